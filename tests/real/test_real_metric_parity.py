"""What the table in docs/metrics.md says of the peers, on the same photos with every other pixel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from metric_pairs import PAIRS, Pair, difference
from metric_parity import places
from metric_peers import Place
from parity import AGREES

PACKAGES = {"grad-cam": "pytorch_grad_cam", "scikit-learn": "sklearn", "scikit-image": "skimage"}

COARSE = {("pxap", "scikit-learn"): 3e-3}
"""A thousand thresholds are few where a map has some ten thousand values."""


@pytest.fixture(scope="module")
def groups(assets: Path) -> dict[str, list[Place]]:
    torch.set_num_threads(1)
    return places(assets, every=2)


DEAR = {("road", "grad-cam"), ("arcc", "grad-cam")}


@pytest.mark.parametrize(
    ("key", "pair"),
    [
        pytest.param(key, pair, id="-".join(key), marks=[pytest.mark.slow] if key in DEAR else [])
        for key, pair in PAIRS.items()
    ],
)
def test_a_pair_is_as_the_table_says(key: tuple[str, str], pair: Pair, groups: dict[str, list[Place]]) -> None:
    pytest.importorskip(PACKAGES.get(key[1], key[1].lower()), exc_type=ImportError)
    chosen = [place for group in pair.where for place in groups[group]]
    found = max(difference(*pair.compare(place)) for place in chosen)
    if not pair.why:
        assert found < COARSE.get(key, AGREES)
        return
    assert found > AGREES
    if pair.instead:
        assert max(difference(*pair.instead(place)) for place in chosen) < AGREES
