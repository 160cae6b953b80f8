"""Resampling images: a figure over them, and what it would be over thousands of draws of the same images."""

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
"""From the rows of the images, `[n, ...]`, to one number."""

_CELLS = 2**19
"""So many numbers a chunk of resamples holds: 4 MB."""


@dataclass(frozen=True)
class OfMean:
    """A statistic that is a function of the images' mean row; thousands of resamples of it are one matrix product.

    Attributes:
        function: from means `[s, ...]` to numbers `[s]`, one for each of `s` resamples.

    Example:
        >>> OfMean(lambda means: means[:, 0] / means[:, 1])(np.array([[1.0, 2.0], [2.0, 4.0]]))
        0.5
    """

    function: Callable[[Values], Values]

    def __call__(self, values: Values) -> float:
        return float(self.function(values.mean(axis=0, keepdims=True, dtype=np.float64))[0])


mean = OfMean(lambda means: means.reshape(len(means), -1).mean(axis=1))
"""The mean over the images (and over whatever axes a row has)."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A figure over images and its resamples, which are computed once however often it is compared.

    Attributes:
        rows: `[n, ...]`, NaN where an image has none.
        statistic: as in `bootstrap`.
        group: the number of what each row belongs to, `[n]`.
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
        """The statistic of each resample, `[samples]`."""
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
    """What `bootstrap` and `paired` are made of, for figures that are compared with many others.

    Args:
        values: `[n]` or `[n, ...]`, one row an image.
        statistic: from rows `[n, ...]` to a number.
        groups: `[n]`, names of what rows belong to, where several are of one image; None for each its own.
        samples: how many resamples.
        seed: of the random numbers.

    Raises:
        FuncamError: a value is infinite, the shape has no axis of images, or `samples` is out of range.

    Example:
        >>> sampled([1.0, 2.0, 3.0]).value
        2.0
    """
    if samples < 1:
        raise FuncamError(f"samples is {samples}; expected at least 1, better 1000 or more")
    rows = _rows(values)
    return Sample(rows, statistic, _numbered(groups, len(rows)), samples, seed)


class _Grouped(NamedTuple):
    """Rows by what is drawn together: `sums [G, ...]` over each group, and how many rows it has, `sizes [G]`."""

    rows: Values
    group: NDArray[np.intp]
    sums: Values
    sizes: Values


def _grouped(rows: Values, group: NDArray[np.intp]) -> _Grouped:
    """`group [n]` numbers the groups from 0."""
    sizes = np.bincount(group).astype(np.float64)
    if len(sizes) == len(rows):  # each row is its own: in the order of the groups
        return _Grouped(rows, group, rows[np.argsort(group)], sizes)
    flat = rows.reshape(len(rows), -1)
    sums: Values = np.stack([np.bincount(group, weights=column) for column in flat.T], axis=1).astype(np.float64)
    return _Grouped(rows, group, sums.reshape(len(sizes), *rows.shape[1:]), sizes)


def _resampled(grouped: _Grouped, statistic: Statistic, samples: int, seed: int) -> Values:
    """The statistic in each resample, `[s]`: the same groups are drawn for all figures with as many groups."""
    counts = _counts(len(grouped.sizes), samples, seed)
    chunk = max(1, _CELLS // max(counts.shape[1], grouped.sums[0].size))
    return np.concatenate(
        [_figures(grouped, statistic, counts[start : start + chunk]) for start in range(0, samples, chunk)]
    )


def _figures(grouped: _Grouped, statistic: Statistic, counts: NDArray[np.uint8]) -> Values:
    if isinstance(statistic, OfMean):
        drawn = counts.astype(np.float64)
        sums = drawn @ grouped.sums.reshape(len(grouped.sums), -1)
        means = sums / (drawn @ grouped.sizes)[:, None]
        return statistic.function(means.reshape(len(counts), *grouped.sums.shape[1:]))
    numbers = np.arange(len(grouped.rows))
    drawn_rows = (grouped.rows[np.repeat(numbers, row[grouped.group])] for row in counts)
    return np.array([float(statistic(rows)) for rows in drawn_rows])


@lru_cache(maxsize=3)  # a comparison resamples the same subsets for hundreds of figures
def _counts(count: int, samples: int, seed: int) -> NDArray[np.uint8]:
    """How often each of `count` groups is in each resample; bytes, because there are millions of them."""
    generator = np.random.default_rng(seed)
    counts = np.empty((samples, count), np.uint8)  # nothing is drawn 256 times but by a miracle
    chunk = max(1, _CELLS // count)
    for start in range(0, samples, chunk):
        rows = counts[start : start + chunk]
        drawn = generator.integers(0, count, rows.shape) + np.arange(len(rows))[:, None] * count
        rows[:] = np.bincount(drawn.ravel(), minlength=rows.size).reshape(rows.shape).clip(max=255)
    counts.setflags(write=False)
    return counts


def sign_flips(differences: Values, samples: int, seed: int) -> float:
    """The share of sign combinations whose sum is at least as far from 0."""
    count = len(differences)
    rounding = 1e-12 * np.abs(differences).sum()  # the same sum in another order is not smaller
    extent = abs(differences.sum()) - rounding
    if count < 63 and 2**count <= samples:
        signs = (np.arange(2**count)[:, None] >> np.arange(count)) % 2 * 2 - 1
        return float(np.mean(np.abs(signs @ differences) >= extent))
    generator = np.random.default_rng([seed, 1])  # Another stream than the resamples'.
    chunk, as_far = max(1, _CELLS // count), 0
    for start in range(0, samples, chunk):
        flips = generator.integers(0, 2, (min(chunk, samples - start), count), dtype=np.int8) * 2.0 - 1
        as_far += int(np.count_nonzero(np.abs(flips @ differences) >= extent))
    return (as_far + 1) / (samples + 1)


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
