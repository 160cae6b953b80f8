"""Error bars: bootstrap intervals of a figure over images, and paired differences with their significance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from funcam.errors import FuncamError

Values: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[Values], float]
"""From the rows of the images, ``[n, ...]``, to one number."""

_CELLS = 2**19
"""So many numbers a chunk of resamples holds: 4 MB."""


class Interval(NamedTuple):
    """A figure with its interval: NaN without an image; without width, and so NaN, from a single one.

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
    """A difference with its interval, and the probability ``p`` of one at least as large if there were none.

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
        """Whether ``a`` is surely larger: the interval lies above 0."""
        return self.low > 0

    def __str__(self) -> str:
        told = _told(self.difference, self.low, self.high, self.n)
        return told if math.isnan(self.p) else f"{told}, p = {self.p:.3g}"


@dataclass(frozen=True)
class OfMean:
    """A statistic that is a function of the images' mean row; thousands of resamples of it are one matrix product.

    Args:
        function: from means ``[s, ...]`` to numbers ``[s]``, one for each of ``s`` resamples.

    Example:
        >>> OfMean(lambda means: means[:, 0] / means[:, 1])(np.array([[1.0, 2.0], [2.0, 4.0]]))
        0.5
    """

    function: Callable[[Values], Values]

    def __call__(self, values: Values) -> float:
        return float(self.function(values.mean(axis=0, keepdims=True, dtype=np.float64))[0])


mean = OfMean(lambda means: means.reshape(len(means), -1).mean(axis=1))
"""The mean over the images (and over whatever axes a row has)."""

max_box_acc_v2 = OfMean(lambda means: means.max(axis=-1).mean(axis=-1))
"""MaxBoxAccV2 of hits ``[n, 3, 20]``: each IoU's best threshold over the data set, chosen anew in each resample."""


top_1_error = OfMean(lambda means: 1 - means.max(axis=-1).mean(axis=-1))
"""The top-1 localisation error of hits ``[n, 1, 20]`` that count where the class is right, at the best threshold."""


def _average_precision(means: Values) -> Values:
    inside, outside = np.moveaxis(means[..., ::-1], -2, 0)  # from the highest threshold down
    precision = inside / np.maximum(inside + outside, 1e-300)
    gained = np.diff(inside, axis=-1, prepend=0)
    return np.asarray((precision * gained).sum(-1) / inside[..., -1], np.float64)


pxap = OfMean(_average_precision)
"""PxAP of numbers of pixels ``[n, 2, T]`` (the objects', the others') at or above each threshold."""


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

    The images are drawn again with replacement ``samples`` times. The same ``seed`` gives the same interval, and the
    global random state is left alone. An image with a NaN in its row is missing, and not counted.

    Args:
        values: ``[n]`` or ``[n, ...]``, one row an image.
        statistic: from rows ``[n, ...]`` to a number; an ``OfMean`` (``mean``, ``max_box_acc_v2``) is quick, any
            other function is called once for each resample.
        groups: ``[n]``, names of what rows belong to, where several are of one image (its classes): they are drawn
            together, and ``n`` counts images.
        level: the interval's, between 0 and 1.
        samples: how many resamples.
        seed: of the random numbers.

    Returns:
        ``Interval(value, low, high, n)``; all NaN where ``n`` is 0, the ends NaN where it is 1.

    Raises:
        FuncamError: a value is infinite, the shape has no axis of images, or ``level`` or ``samples`` is out of range.

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
    """The difference of a figure, ``a`` minus ``b``, over the same images.

    Both are resampled with the same images, so that what makes an image hard for both cancels. ``p`` is two-sided: for
    the ``mean`` from the sign-flip permutation test (every combination where they are no more than ``samples``, else
    random ones), for any other statistic from the share of resamples on the other side of 0. An image with a NaN in
    either row is missing in both.

    Args:
        a: ``[n]`` or ``[n, ...]``, one row an image.
        b: the same shape, the same images.
        statistic: as in ``bootstrap``.
        groups: as in ``bootstrap``.
        level: the interval's, between 0 and 1.
        samples: how many resamples.
        seed: of the random numbers.

    Returns:
        ``Paired(difference, low, high, p, n)``; all NaN where ``n`` is 0, all but the difference NaN where it is 1.

    Raises:
        FuncamError: the shapes differ, or as in ``bootstrap``.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15; the 1 added to both counts
        in Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010.

    Example:
        >>> paired([1.0, 2.0, 3.0, 4.0], [0.5, 1.5, 2.5, 3.5])
        Paired(difference=0.5, low=0.5, high=0.5, p=0.125, n=4)
    """
    first = sampled(a, statistic, groups=groups, samples=samples, seed=seed)
    return difference_of(first, sampled(b, statistic, groups=groups, samples=samples, seed=seed), level)


@dataclass(frozen=True, eq=False)
class Sample:
    """A figure over images and its resamples, which are computed once however often it is compared.

    Attributes:
        rows: ``[n, ...]``, NaN where an image has none.
        statistic: as in ``bootstrap``.
        group: the number of what each row belongs to, ``[n]``.
        samples: how many resamples.
        seed: of the random numbers.
    """

    rows: Values
    statistic: Statistic
    group: NDArray[np.intp]
    samples: int
    seed: int

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Which rows have no NaN."""
        return np.asarray(~np.isnan(self.rows).any(axis=tuple(range(1, self.rows.ndim))), bool)

    @cached_property
    def grouped(self) -> _Grouped:
        """The rows that are there."""
        group = np.unique(self.group[self.present], return_inverse=True)[1]
        return _grouped(self.rows[self.present], np.asarray(group, np.intp))

    @cached_property
    def figures(self) -> Values:
        """The statistic of each resample, ``[samples]``."""
        return _resampled(self.grouped, self.statistic, self.samples, self.seed)

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.grouped.sizes)

    @property
    def value(self) -> float:
        """The figure."""
        return float(self.statistic(self.grouped.rows)) if self.count else math.nan

    def among(self, present: NDArray[np.bool_]) -> Sample:
        """Of some rows only."""
        if np.array_equal(present, self.present):
            return self
        hidden = present.reshape(-1, *[1] * (self.rows.ndim - 1))
        return replace(self, rows=np.where(hidden, self.rows, np.nan))


def sampled(
    values: ArrayLike,
    statistic: Statistic = mean,
    *,
    groups: ArrayLike | None = None,
    samples: int = 2000,
    seed: int = 0,
) -> Sample:
    """What ``bootstrap`` and ``paired`` are made of, for figures that are compared with many others.

    Args:
        values: as in ``bootstrap``, like all that follows.

    Raises:
        FuncamError: a value is infinite, the shape has no axis of images, or ``samples`` is out of range.

    Example:
        >>> one, other = sampled([1.0, 2.0, 3.0]), sampled([0.0, 1.0, 2.0])
        >>> interval_of(one).value, difference_of(one, other).difference
        (2.0, 1.0)
    """
    if samples < 1:
        raise FuncamError(f"samples is {samples}; expected at least 1, better 1000 or more")
    rows = _rows(values)
    return Sample(rows, statistic, _numbered(groups, len(rows)), samples, seed)


def interval_of(sample: Sample, level: float = 0.95) -> Interval:
    """The figure with its interval, as ``bootstrap`` gives it."""
    _check(level)
    if sample.count < 2:
        return Interval(sample.value, math.nan, math.nan, sample.count)
    return Interval(sample.value, *_ends(sample.figures, level), sample.count)


def difference_of(a: Sample, b: Sample, level: float = 0.95) -> Paired:
    """The difference of two figures over the same images, as ``paired`` gives it.

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
        p = _sign_flips((a.grouped.sums - b.grouped.sums).reshape(a.count, -1).mean(axis=1), a.samples, a.seed)
    else:
        p = _other_side(differences)
    return Paired(difference, low, high, p, a.count)


class _Grouped(NamedTuple):
    """Rows by what is drawn together: ``sums [G, ...]`` over each group, and how many rows it has, ``sizes [G]``."""

    rows: Values
    group: NDArray[np.intp]
    sums: Values
    sizes: Values


def _grouped(rows: Values, group: NDArray[np.intp]) -> _Grouped:
    """``group [n]`` numbers the groups from 0."""
    sizes = np.bincount(group).astype(np.float64)
    if len(sizes) == len(rows):  # each row is its own: in the order of the groups
        return _Grouped(rows, group, rows[np.argsort(group)], sizes)
    flat = rows.reshape(len(rows), -1)
    sums: Values = np.stack([np.bincount(group, weights=column) for column in flat.T], axis=1).astype(np.float64)
    return _Grouped(rows, group, sums.reshape(len(sizes), *rows.shape[1:]), sizes)


def _resampled(found: _Grouped, statistic: Statistic, samples: int, seed: int) -> Values:
    """The statistic in each resample, ``[s]``: the same groups are drawn for all figures with as many groups."""
    counts = _counts(len(found.sizes), samples, seed)
    chunk = max(1, _CELLS // max(counts.shape[1], found.sums[0].size))
    return np.concatenate(
        [_figures(found, statistic, counts[start : start + chunk]) for start in range(0, samples, chunk)]
    )


def _figures(found: _Grouped, statistic: Statistic, counts: NDArray[np.uint8]) -> Values:
    if isinstance(statistic, OfMean):
        drawn = counts.astype(np.float64)
        sums = drawn @ found.sums.reshape(len(found.sums), -1)
        means = sums / (drawn @ found.sizes)[:, None]
        return statistic.function(means.reshape(len(counts), *found.sums.shape[1:]))
    numbers = np.arange(len(found.rows))
    drawn_rows = (found.rows[np.repeat(numbers, row[found.group])] for row in counts)
    return np.array([float(statistic(rows)) for rows in drawn_rows])


@lru_cache(maxsize=3)  # a comparison resamples the same subsets for hundreds of figures
def _counts(count: int, samples: int, seed: int) -> NDArray[np.uint8]:
    """How often each of ``count`` groups is in each resample; bytes, because there are millions of them."""
    generator = np.random.default_rng(seed)
    counts = np.empty((samples, count), np.uint8)  # nothing is drawn 256 times but by a miracle
    chunk = max(1, _CELLS // count)
    for start in range(0, samples, chunk):
        rows = counts[start : start + chunk]
        drawn = generator.integers(0, count, rows.shape) + np.arange(len(rows))[:, None] * count
        rows[:] = np.bincount(drawn.ravel(), minlength=rows.size).reshape(rows.shape).clip(max=255)
    counts.setflags(write=False)
    return counts


def _sign_flips(differences: Values, samples: int, seed: int) -> float:
    """The share of sign combinations whose sum is at least as far from 0."""
    count = len(differences)
    rounding = 1e-12 * np.abs(differences).sum()  # the same sum in another order is not smaller
    found = abs(differences.sum()) - rounding
    if count < 63 and 2**count <= samples:
        signs = (np.arange(2**count)[:, None] >> np.arange(count)) % 2 * 2 - 1
        return float(np.mean(np.abs(signs @ differences) >= found))
    generator = np.random.default_rng([seed, 1])  # Another stream than the resamples'.
    chunk, as_far = max(1, _CELLS // count), 0
    for start in range(0, samples, chunk):
        flips = generator.integers(0, 2, (min(chunk, samples - start), count), dtype=np.int8) * 2.0 - 1
        as_far += int(np.count_nonzero(np.abs(flips @ differences) >= found))
    return (as_far + 1) / (samples + 1)


def _other_side(differences: Values) -> float:
    """Twice the share of resampled differences on the rarer side of 0, and at most 1."""
    rarer = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (rarer + 1) / (len(differences) + 1))


def _ends(figures: Values, level: float) -> tuple[float, float]:
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _rows(values: ArrayLike) -> Values:
    rows = np.asarray(values)
    if rows.dtype != np.float32:  # thousands of numbers an image come in single precision, and stay so
        rows = rows.astype(np.float64)
    if rows.ndim == 0:
        raise FuncamError("one number is no set of images; give one row for each image: [n] or [n, ...]")
    if np.isinf(rows).any():
        raise FuncamError("a value is infinite; give finite numbers, and NaN where an image has none")
    return rows


def _numbered(groups: ArrayLike | None, count: int) -> NDArray[np.intp]:
    """The number of the group of each row."""
    if groups is None:
        return np.arange(count)
    names = np.asarray(groups)
    if names.shape != (count,):
        raise FuncamError(f"groups have shape {list(names.shape)}; expected one name for each of {count} rows")
    return np.asarray(np.unique(names, return_inverse=True)[1], np.intp)


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise FuncamError(f"level is {level}; expected a number between 0 and 1 such as 0.95")


def _told(value: float, low: float, high: float, n: int) -> str:
    if n == 0:
        return "no images"
    if math.isnan(low):
        return f"{value:.3g}, n = {n}: too few for an interval"
    return f"{value:.3g} [{low:.3g}, {high:.3g}], n = {n}"
