"""ADCC and ARCC: against means worked out by hand, SciPy's harmonic mean, and from a network's maps to the figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_cases import Bend, photos, softmax
from scipy.stats import hmean

from funcam import metrics
from funcam.errors import FuncamError

_shares = st.floats(0.01, 0.99)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value])


@pytest.mark.parametrize(
    ("coherency", "complexity", "drop", "expected"),
    [
        (1.0, 0.0, 0.0, 1.0),
        (0.5, 0.5, 0.5, 0.5),
        (1.0, 0.5, 0.75, 3 / 7),  # 3 / (1 + 2 + 4)
        (0.25, 0.0, 0.0, 0.5),  # 3 / (4 + 1 + 1)
        *[(0.0, 0.5, 0.5, 0.0), (0.5, 1.0, 0.5, 0.0), (0.5, 0.5, 1.0, 0.0), (0.0, 1.0, 1.0, 0.0)],
    ],
)
def test_adcc_by_hand(coherency, complexity, drop, expected):
    assert metrics.adcc(one(coherency), one(complexity), one(drop)).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("coherency", "complexity", "road", "expected"),
    [
        (1.0, 0.0, 0.5, 1.0),  # the best combined ROAD is a half
        (1.0, 0.5, 0.125, 3 / 7),  # 3 / (1 + 2 + 4)
        (0.5, 0.5, 0.25, 0.5),
        *[(1.0, 0.0, 0.0, 0.0), (1.0, 0.0, -0.4, 0.0), (0.0, 0.0, 0.5, 0.0), (1.0, 1.0, 0.5, 0.0)],
    ],
)
def test_arcc_by_hand(coherency, complexity, road, expected):
    assert metrics.arcc(one(coherency), one(complexity), one(road)).item() == pytest.approx(expected)


@given(st.lists(st.tuples(_shares, _shares, _shares), min_size=1, max_size=4))
def test_both_are_harmonic_means_of_each_image(rows):
    parts = np.array(rows)
    a, b, c = torch.tensor(rows).T
    expected = hmean(parts, axis=1)
    np.testing.assert_allclose(metrics.adcc(a, 1 - b, 1 - c), expected, rtol=1e-4)
    np.testing.assert_allclose(metrics.arcc(a, 1 - b, c / 2), expected, rtol=1e-4)
    assert (expected <= parts.mean(1) + 1e-9).all()
    swapped = metrics.adcc(a, 1 - c, 1 - b)
    np.testing.assert_allclose(swapped, expected, rtol=1e-4)


def test_an_image_without_a_figure_has_none():
    values = torch.tensor([0.5, torch.nan])
    for composite in (metrics.adcc, metrics.arcc):
        found = composite(values, torch.tensor([0.5, 0.0]), torch.tensor([0.5, 0.0]))
        assert found[0] > 0
        assert found[1].isnan()


def test_adcc_of_a_networks_maps_is_what_a_loop_finds():
    """One image after the other, in NumPy: mask, forward pass, correlation, mean."""
    images, maps = photos(count=4, seed=2)
    _, again = photos(count=4, seed=9)
    network, targets = Bend(images[0].numel()), torch.tensor([0, 1, 2, 3])
    found = metrics.adcc(
        metrics.coherency(maps, again),
        metrics.complexity(maps),
        metrics.average_drop(metrics.confidence(network, images, maps, targets)),
    )
    for index, target in enumerate(targets.tolist()):
        image, saliency, second = (some[index].numpy().astype(np.float64) for some in (images, maps, again))
        before, after = (softmax(network.in_numpy(shown))[target] for shown in (image, image * saliency))
        coherent = (1 + np.corrcoef(saliency.ravel(), second.ravel())[0, 1]) / 2
        simple, kept = 1 - np.abs(saliency).sum() / saliency.size, 1 - max(0, before - after) / before
        assert found[index].item() == pytest.approx(3 / (1 / coherent + 1 / simple + 1 / kept), abs=1e-5)


def test_parts_that_do_not_belong_together_are_refused():
    half = torch.full((2,), 0.5)
    for composite, third in ((metrics.adcc, "average_drop"), (metrics.arcc, "road")):
        with pytest.raises(FuncamError, match=rf"coherency, complexity, {third} have shapes \[2\], \[2\], \[1\]"):
            composite(half, half, half[:1])
        with pytest.raises(FuncamError, match=r"expected the same \[B\]"):
            composite(half[0], half[0], half[0])
        with pytest.raises(FuncamError, match=r"complexity is 43 for an image; expected 0 to 1"):
            composite(half, 86 * half, half)
        with pytest.raises(FuncamError, match=r"coherency is -0.5 for an image"):
            composite(-half, half, half)
    with pytest.raises(FuncamError, match=r"average_drop is 50 for an image; expected 0 to 1"):
        metrics.adcc(half, half, 100 * half)
    with pytest.raises(FuncamError, match=r"road is 0.75 for an image; expected -0.5 to 0.5"):
        metrics.arcc(half, half, 1.5 * half)
