"""Correlations and SSIM, against SciPy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from metric_cases import photos
from scipy.stats import pearsonr, spearmanr

from funcam.errors import FuncamError
from funcam.metrics import correlation, rank_correlation, ssim

_steps = st.integers(0, 9).map(lambda step: step / 9 - 0.3)
_pairs = hnp.arrays(np.float32, (2, 3, 4, 5), elements=_steps)


@given(_pairs)
def test_correlations(pair):
    maps, others = map(torch.from_numpy, pair)
    for found, peer in ((correlation(maps, others), pearsonr), (rank_correlation(maps, others), spearmanr)):
        for index in range(3):
            one, other = (side[index].ravel() for side in pair)
            expected = 0 if np.ptp(one) == 0 or np.ptp(other) == 0 else peer(one, other)[0]
            assert found[index].item() == pytest.approx(expected, abs=1e-5)


@given(_pairs, st.floats(0.1, 10), st.floats(-1, 1))
def test_correlations_do_not_see_scale_and_ranks_not_the_shape(pair, factor, offset):
    maps, others = map(torch.from_numpy, pair)
    assume(all(np.ptp(one) > 0.1 for one in pair.reshape(6, -1)))
    np.testing.assert_allclose(correlation(maps, factor * others + offset), correlation(maps, others), atol=1e-4)
    np.testing.assert_allclose(rank_correlation(maps, others.double().exp()), rank_correlation(maps, others), atol=1e-6)


@pytest.mark.parametrize("window", [7, 3])
def test_ssim_agrees_with_scikit_image(window):
    peer = pytest.importorskip("skimage.metrics").structural_similarity
    _, maps = photos(side=16)
    _, others = photos(side=16, seed=5)
    others = 0.6 * maps + 0.7 * others
    found = ssim(maps, others, window=window)
    for index in range(2):
        one, other = maps[index].numpy(), others[index].numpy()
        extent = float(max(one.max(), other.max()) - min(one.min(), other.min()))
        assert found[index].item() == pytest.approx(peer(one, other, win_size=window, data_range=extent), abs=1e-5)
    np.testing.assert_allclose(ssim(maps, maps), 1, atol=1e-6)


def test_shapes_that_differ_are_refused():
    for metric in (correlation, rank_correlation, ssim):
        with pytest.raises(FuncamError, match=r"shapes \[1, 8, 8\] and \[1, 8, 9\]"):
            metric(torch.zeros(1, 8, 8), torch.zeros(1, 8, 9))
    with pytest.raises(FuncamError, match="don't hold a window of 7"):
        ssim(torch.zeros(1, 6, 8), torch.zeros(1, 6, 8))
