"""Bootstrap intervals and paired tests, against closed forms, enumeration, SciPy and loops written by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.statistics.intervals import OfMean, bootstrap, max_box_acc_v2, mean, paired


def numbers(count, low=-5.0, high=5.0):
    return st.lists(st.floats(low, high), min_size=2, max_size=count)


def test_the_interval_of_a_mean_is_the_normal_one_where_that_is_known():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = bootstrap(values, samples=4000)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_interval_of_a_share_is_the_binomial_one():
    values = np.arange(200) < 60
    found = bootstrap(values, level=0.9, samples=8000)
    stats = pytest.importorskip("scipy.stats")
    low, high = stats.binom(200, 0.3).ppf([0.05, 0.95]) / 200
    assert found.low == pytest.approx(low, abs=0.0051)
    assert found.high == pytest.approx(high, abs=0.0051)


def test_intervals_cover_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(1)
    draws = generator.exponential(2.0, (200, 80))
    found = [bootstrap(values, level=0.8, samples=300, seed=index) for index, values in enumerate(draws)]
    covered = sum(each.low <= 2.0 <= each.high for each in found)
    assert 0.70 * 200 < covered < 0.88 * 200


def test_p_is_uniform_without_a_difference_and_small_with_one():
    generator = np.random.default_rng(2)
    base = generator.normal(size=(200, 30))
    same = [paired(row, row + generator.normal(size=30), samples=200, seed=7).p for row in base]
    assert 0.02 * 200 < sum(p <= 0.1 for p in same) < 0.18 * 200
    assert paired(base[0] + 1, base[0] + generator.normal(0, 0.5, 30)).p == pytest.approx(1 / 2001)


@given(numbers(8), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_the_sign_flip_test_is_exact_for_few_images(values, random):
    a = np.array(values)
    b = np.array(random.choices(values, k=len(values)))
    d = a - b
    means = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in product((-1, 1), repeat=len(d))]
    least = abs(d.sum()) - 1e-12 * np.abs(d).sum()  # the same sum in another order is not smaller
    expected = sum(each >= least for each in means) / len(means)
    assert paired(a, b, samples=256).p == pytest.approx(expected)


def test_scipy_finds_the_same_p():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(3)
    a, b = generator.normal(0.4, 1, 11), generator.normal(0, 1, 11)
    theirs = stats.permutation_test((a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", axis=0)
    assert paired(a, b, samples=2048).p == pytest.approx(theirs.pvalue)
    assert paired(a, b, samples=2000).p == pytest.approx(theirs.pvalue, abs=0.03)  # at random: too many combinations


def accuracy(hits):
    """MaxBoxAccV2 in a loop over IoUs: the share of hits at the best threshold of each, averaged."""
    return sum(max(hits[:, iou, t].mean() for t in range(hits.shape[2])) for iou in range(hits.shape[1])) / 3


def test_a_data_sets_statistic_is_resampled_whole():
    hits = np.random.default_rng(4).random((25, 3, 20)) < 0.5
    quick, slow = bootstrap(hits, max_box_acc_v2, samples=50), bootstrap(hits, accuracy, samples=50)
    assert quick == pytest.approx(slow)
    # The best threshold is chosen anew, so resamples lie above the figure on average; a fixed one would not.
    assert (quick.low + quick.high) / 2 > quick.value + 0.005


def test_paired_uses_the_same_images_for_both():
    generator = np.random.default_rng(5)
    hard = generator.normal(0, 10, 300)
    a, b = hard + generator.normal(0.5, 0.1, 300), hard
    found = paired(a, b)
    assert 0.45 < found.low < found.difference < found.high < 0.55
    assert bootstrap(a).high - bootstrap(a).low > 20 * (found.high - found.low)


@given(numbers(30), st.integers(0, 5))
@settings(max_examples=30)
def test_swapping_both_turns_the_sign_alone(values, seed):
    a, b = np.array(values), np.roll(values, 1)
    for statistic in (mean, OfMean(lambda means: means**3)):
        there = paired(a, b, statistic, samples=100, seed=seed)
        back = paired(b, a, statistic, samples=100, seed=seed)
        assert (back.difference, back.p, back.n) == pytest.approx((-there.difference, there.p, there.n))
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)


@given(numbers(20), st.floats(0.1, 9), st.floats(-9, 9))
@settings(max_examples=30)
def test_an_interval_moves_with_its_values(values, scale, offset):
    plain, moved = bootstrap(values, samples=100), bootstrap(np.array(values) * scale + offset, samples=100)
    assert moved[:3] == pytest.approx([part * scale + offset for part in plain[:3]], abs=1e-6)


def test_a_function_that_is_no_mean_gets_p_from_the_resamples():
    generator = np.random.default_rng(6)
    a, b = generator.normal(1, 1, 60), generator.normal(0, 1, 60)
    assert paired(a, b, lambda rows: float(np.median(rows)), samples=400).p < 0.02
    assert paired(a, a, lambda rows: float(np.median(rows)), samples=400).p == 1


def test_missing_images_are_dropped_pairwise():
    a = np.array([1.0, math.nan, 3.0, 4.0, 5.0])
    b = np.array([0.0, 2.0, math.nan, 1.0, 1.5])
    assert bootstrap(a) == bootstrap([1.0, 3.0, 4.0, 5.0])
    assert paired(a, b) == paired([1.0, 4.0, 5.0], [0.0, 1.0, 1.5])
    hits = np.ones((4, 3, 20))
    hits[2, 1, 7] = math.nan
    assert bootstrap(hits, max_box_acc_v2).n == 3


@pytest.mark.parametrize("values", [[], [math.nan, math.nan], np.empty((0, 3, 20))])
def test_no_image_is_no_figure(values):
    found = bootstrap(values, samples=10)
    assert found.n == 0
    assert np.isnan(found[:3]).all()
    assert str(found) == "no images"
    assert paired(values, values).n == 0
    assert math.isnan(paired(values, values).p)


def test_one_image_has_a_figure_and_no_interval():
    found = bootstrap([0.25])
    assert (found.value, found.n) == (0.25, 1)
    assert np.isnan(found[1:3]).all()
    assert "too few" in str(found)
    both = paired([0.5], [0.25])
    assert both.difference == 0.25
    assert np.isnan(both[1:4]).all()


def test_the_same_seed_gives_the_same_and_the_global_state_is_left_alone():
    values = np.random.default_rng(7).normal(size=50)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = bootstrap(values, seed=3)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert bootstrap(values, seed=3) == first
    assert bootstrap(values, seed=4) != first


def test_chunks_don_t_change_the_interval(monkeypatch):
    values = np.random.default_rng(8).normal(size=(40, 3))
    whole = bootstrap(values, samples=100), paired(values, values[::-1], samples=100)
    monkeypatch.setattr("funcam.statistics.bootstrap._CELLS", 333)
    assert bootstrap(values, samples=100) == pytest.approx(whole[0])
    assert paired(values, values[::-1], samples=100)[:3] == pytest.approx(whole[1][:3])


def test_a_paired_difference_has_the_interval_of_its_standard_error():
    random = np.random.default_rng(0)
    others = 5 * random.normal(size=400)
    values = others + 0.3 + random.normal(size=400)
    found = paired(values, others)
    differences = values - others
    error = 1.96 * differences.std(ddof=1) / 20
    assert (found.low, found.high) == pytest.approx((differences.mean() - error, differences.mean() + error), abs=0.02)
    assert found.better
    assert not paired(others, values).better
    assert not paired(values, values).better


def test_rows_of_one_image_are_drawn_together():
    """Four copies of each image tell no more than one: the same interval, half as wide if they were independent."""
    random = np.random.default_rng(1)
    values, others = random.normal(size=100), random.normal(size=100)
    names = [f"image {number}" for number in range(100)]
    copied, beside = np.tile(values, 4), np.tile(others, 4)
    assert bootstrap(copied, groups=names * 4)[:3] == pytest.approx(bootstrap(values, groups=names)[:3])
    assert bootstrap(copied, groups=names * 4).n == 100
    alone = bootstrap(copied)
    assert (alone.high - alone.low) < 0.6 * (bootstrap(values).high - bootstrap(values).low)
    assert paired(copied, beside, groups=names * 4)[:3] == pytest.approx(paired(values, others, groups=names)[:3])
    assert paired(copied, beside, groups=names * 4).p == pytest.approx(paired(values, others, groups=names).p)


def test_groups_of_several_sizes_weigh_as_many_rows_as_they_have():
    """Against resampling by hand: the mean over all rows of the drawn groups, not the mean of their means."""
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), random.integers(1, 6, 30))
    values = random.normal(size=len(groups)) + groups / 10
    found = bootstrap(values, groups=groups, samples=4000)
    by_hand = []
    for _ in range(4000):
        drawn = random.integers(0, 30, 30)
        by_hand.append(np.concatenate([values[groups == group] for group in drawn]).mean())
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(np.quantile(by_hand, [0.025, 0.975]), abs=0.06)
    median = bootstrap(values, np.median, groups=groups, samples=300)
    assert median.low < median.value < median.high


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda: bootstrap([1.0, 2.0], groups=["a"]), r"groups have shape \[1\]"),
        (lambda: bootstrap(3.0), "one row for each image"),
        (lambda: bootstrap([1.0, math.inf]), "infinite"),
        (lambda: bootstrap([1.0], level=95), "level is 95"),
        (lambda: bootstrap([1.0], samples=0), "samples is 0"),
        (lambda: paired([1.0, 2.0], [1.0]), r"\[2\] and \[1\]"),
    ],
)
def test_bad_input_is_told(call, part):
    with pytest.raises(FuncamError, match=part):
        call()
