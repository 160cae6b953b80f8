"""Error bars: bootstrap intervals of a figure over images, and paired differences with their significance."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from funcam.errors import FuncamError
from funcam.statistics.bootstrap import OfMean, Sample, Statistic, Values, mean, sampled, sign_flips

__all__ = [
    "Interval",
    "OfMean",
    "Paired",
    "Sample",
    "bootstrap",
    "difference_of",
    "interval_of",
    "max_box_acc_v2",
    "mean",
    "paired",
    "pxap",
    "sampled",
    "top_1_error",
]


class Interval(NamedTuple):
    """A figure with its interval: NaN without an image; without width, and so NaN, from a single one.

    Attributes:
        value: the figure.
        low: the interval's lower end.
        high: its upper end.
        n: how many images.

    Example:
        >>> print(Interval(0.637, 0.612, 0.661, 300)); print(Interval(0.5, math.nan, math.nan, 1))
        0.637 [0.612, 0.661], n = 300
        0.5, n = 1: too few for an interval
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return _told(self.value, self.low, self.high, self.n)


class Paired(NamedTuple):
    """A difference with its interval.

    Attributes:
        difference: of the figures, `a` less `b`.
        low: the interval's lower end.
        high: its upper end.
        p: the probability of a difference at least as large if there were none.
        n: how many images have both.

    Example:
        >>> print(Paired(0.03, 0.01, 0.05, 0.004, 300))
        0.03 [0.01, 0.05], n = 300, p = 0.004
    """

    difference: float
    low: float
    high: float
    p: float
    n: int

    @property
    def better(self) -> bool:
        """Whether `a` is surely larger: the interval lies above 0."""
        return self.low > 0

    def __str__(self) -> str:
        told = _told(self.difference, self.low, self.high, self.n)
        return told if math.isnan(self.p) else f"{told}, p = {self.p:.3g}"


max_box_acc_v2 = OfMean(lambda means: means.max(axis=-1).mean(axis=-1))
"""MaxBoxAccV2 of hits `[n, 3, 20]`: each IoU's best threshold over the data set, chosen anew in each resample."""


top_1_error = OfMean(lambda means: 1 - means.max(axis=-1).mean(axis=-1))
"""The top-1 localisation error of hits `[n, 1, 20]` that count where the class is right, at the best threshold."""


def _average_precision(means: Values) -> Values:
    inside, outside = np.moveaxis(means[..., ::-1], -2, 0)  # from the highest threshold down
    precision = inside / np.maximum(inside + outside, 1e-300)
    gained = np.diff(inside, axis=-1, prepend=0)
    return np.asarray((precision * gained).sum(-1) / inside[..., -1], np.float64)


pxap = OfMean(_average_precision)
"""PxAP of numbers of pixels `[n, 2, T]` (the objects', the others') at or above each threshold."""


def bootstrap(
    values: ArrayLike,
    statistic: Statistic = mean,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A figure over images, with its percentile bootstrap interval.

    The images are drawn again with replacement `samples` times. The same `seed` gives the same interval, and the
    global random state is left alone. An image with a NaN in its row is missing, and not counted.

    Args:
        values: `[n]` or `[n, ...]`, one row an image.
        statistic: from rows `[n, ...]` to a number; an `OfMean` (`mean`, `max_box_acc_v2`) is quick, any
            other function is called once for each resample.
        groups: `[n]`, names of what rows belong to, where several are of one image (its classes): they are drawn
            together, and `n` counts images.
        level: the interval's, between 0 and 1.
        samples: how many resamples.
        seed: of the random numbers.

    Returns:
        `Interval(value, low, high, n)`; all NaN where `n` is 0, the ends NaN where it is 1.

    Raises:
        FuncamError: a value is infinite, the shape has no axis of images, or `level` or `samples` is out of range.

    Source:
        Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 1979.

    Example:
        >>> bootstrap([1.0, 1.0, 1.0, float("nan")])
        Interval(value=1.0, low=1.0, high=1.0, n=3)
    """
    return interval_of(sampled(values, statistic, groups=groups, samples=samples, seed=seed), level)


def paired(
    a: ArrayLike,
    b: ArrayLike,
    statistic: Statistic = mean,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> Paired:
    """The difference of a figure, `a` minus `b`, over the same images.

    Both are resampled with the same images, so that what makes an image hard for both cancels. `p` is two-sided: for
    the `mean` from the sign-flip permutation test (every combination where they are no more than `samples`, else
    random ones), for any other statistic from the share of resamples on the other side of 0. An image with a NaN in
    either row is missing in both.

    Args:
        a: `[n]` or `[n, ...]`, one row an image.
        b: the same shape, the same images.
        statistic: as in `bootstrap`.
        groups: as in `bootstrap`.
        level: the interval's, between 0 and 1.
        samples: how many resamples.
        seed: of the random numbers.

    Returns:
        `Paired(difference, low, high, p, n)`; all NaN where `n` is 0, all but the difference NaN where it is 1.

    Raises:
        FuncamError: the shapes differ, or as in `bootstrap`.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15; the 1 added to both counts
        in Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010.

    Example:
        >>> paired([1.0, 2.0, 3.0, 4.0], [0.5, 1.5, 2.5, 3.5])
        Paired(difference=0.5, low=0.5, high=0.5, p=0.125, n=4)
    """
    first = sampled(a, statistic, groups=groups, samples=samples, seed=seed)
    return difference_of(first, sampled(b, statistic, groups=groups, samples=samples, seed=seed), level)


def interval_of(sample: Sample, level: float = 0.95) -> Interval:
    """The figure with its interval, as `bootstrap` gives it."""
    _check(level)
    if sample.count < 2:
        return Interval(sample.value, math.nan, math.nan, sample.count)
    return Interval(sample.value, *_ends(sample.figures, level), sample.count)


def difference_of(a: Sample, b: Sample, level: float = 0.95) -> Paired:
    """The difference of two figures over the same images, as `paired` gives it.

    Raises:
        FuncamError: the shapes differ.
    """
    _check(level)
    if a.rows.shape != b.rows.shape:
        shapes = f"{list(a.rows.shape)} and {list(b.rows.shape)}"
        raise FuncamError(f"a paired comparison needs the same images in both; got shapes {shapes}")
    both = a.present & b.present
    a, b = a.among(both), b.among(both)
    difference = a.value - b.value
    if a.count < 2:
        return Paired(difference, math.nan, math.nan, math.nan, a.count)
    differences = a.figures - b.figures
    low, high = _ends(differences, level)
    if a.statistic is mean:
        p = sign_flips((a.grouped.sums - b.grouped.sums).reshape(a.count, -1).mean(axis=1), a.samples, a.seed)
    else:
        p = _other_side(differences)
    return Paired(difference, low, high, p, a.count)


def _other_side(differences: Values) -> float:
    """Twice the share of resampled differences on the rarer side of 0, and at most 1."""
    rarer = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))


def _ends(figures: Values, level: float) -> tuple[float, float]:
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise FuncamError(f"level is {level}; expected a number between 0 and 1 such as 0.95")


def _told(value: float, low: float, high: float, n: int) -> str:
    if n == 0:
        return "no images"
    if math.isnan(low):
        return f"{value:.3g}, n = {n}: too few for an interval"
    return f"{value:.3g} [{low:.3g}, {high:.3g}], n = {n}"
