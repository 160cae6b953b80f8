"""Choosing between recipes: on one half of the images, reported on the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from funcam.comparison.aggregation import Column, shared_rows, statistic_of
from funcam.comparison.plan import METRICS
from funcam.errors import FuncamError
from funcam.recipe import Recipe
from funcam.statistics.intervals import Interval, Paired, bootstrap, paired

_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Trial:
    """A recipe, and what was measured with it.

    Attributes:
        recipe: the recipe.
        columns: a row for each image and class, by metric.
        keys: the image and the class of each row.
    """

    recipe: Recipe
    columns: Mapping[str, Column]
    keys: Sequence[tuple[str, int]]

    def rows(self, half: frozenset[str]) -> NDArray[np.intp]:
        """Where the rows of some images are."""
        return np.array([row for row, (image, _) in enumerate(self.keys) if image in half], np.intp)


@dataclass(frozen=True)
class Halves:
    """The images of a data set by name.

    Attributes:
        choosing: those that choose.
        other: those that have no say and tell what the chosen is worth.
    """

    choosing: frozenset[str]
    other: frozenset[str]


@dataclass(frozen=True)
class RankedRecipe:
    """A recipe with the metric on the half by which recipes are ranked, and on the other half.

    Attributes:
        recipe: the recipe.
        chosen_on: the metric on the half that chose.
        found_on: the metric on the other half, which had no say.
    """

    recipe: Recipe
    chosen_on: Interval
    found_on: Interval


def halved(images: Iterable[str]) -> Halves:
    """Two halves of a data set, drawn by a fixed seed: the same for the same names in any order.

    Raises:
        FuncamError: fewer than two images.

    Example:
        >>> halves = halved(["a.jpg", "b.jpg", "c.jpg"])
        >>> len(halves.choosing), len(halves.other), halves.choosing & halves.other
        (2, 1, frozenset())
    """
    names = sorted(set(images))
    if len(names) < 2:
        raise FuncamError("choosing needs at least two images: one half chooses, the other tells what it is worth")
    drawn = np.random.default_rng(0).permutation(len(names)) < len(names) / 2  # docs/comparison.md has these halves
    choosing = frozenset(name for name, chosen in zip(names, drawn, strict=True) if chosen)
    return Halves(choosing, frozenset(names) - choosing)


def ranked(trials: Sequence[Trial], halves: Halves, metric: str) -> list[RankedRecipe]:
    """Every recipe, the best on the choosing half first; of equal ones the one that was tried first.

    Args:
        trials: what was measured.
        halves: of the images.
        metric: the name of a metric that was measured of all of them.
    """
    rows = [
        RankedRecipe(t.recipe, _figure(t, halves.choosing, metric), _figure(t, halves.other, metric)) for t in trials
    ]
    return sorted(rows, key=lambda row: _worst_last(row.chosen_on.value, metric))


def distinct_best(trials: Sequence[Trial], halves: Halves, metric: str, most: int) -> list[Trial]:
    """The best few on the choosing half, but none that is the same on each of its images as a better one.

    Grad-CAM, XGrad-CAM and HiResCAM are one method in front of a pooling and a linear layer.
    """
    order = {row.recipe: place for place, row in enumerate(ranked(trials, halves, metric))}
    best: list[Trial] = []
    for one in sorted(trials, key=lambda one: order[one.recipe]):
        if len(best) < most and not any(_same(one, other, halves.choosing, metric) for other in best):
            best.append(one)
    return best


def difference(one: Trial, other: Trial, half: frozenset[str], metric: str) -> Paired:
    """The metric of one recipe minus that of another, on the images of a half, with its interval."""
    ours, theirs = one.rows(half), other.rows(half)
    keys = [one.keys[row] for row in ours], [other.keys[row] for row in theirs]
    first, second = shared_rows(*keys)
    return paired(
        one.columns[metric][ours[first]],
        other.columns[metric][theirs[second]],
        statistic_of(metric),
        groups=np.array([keys[0][row][0] for row in first], np.str_),
    )


def _figure(trial: Trial, half: frozenset[str], metric: str) -> Interval:
    rows = trial.rows(half)
    names = np.array([trial.keys[row][0] for row in rows], np.str_)
    return bootstrap(trial.columns[metric][rows], statistic_of(metric), groups=names)


def _worst_last(value: float, metric: str) -> tuple[bool, float]:
    """What sorts the best first, and a figure of no images last."""
    return np.isnan(value).item(), -value if METRICS[metric].higher_is_better else value


def _same(one: Trial, other: Trial, half: frozenset[str], metric: str) -> bool:
    """Whether the rows are equal but for what rounding can do: on average to one in a thousand."""
    ours, theirs = one.columns[metric][one.rows(half)], other.columns[metric][other.rows(half)]
    if ours.shape != theirs.shape:
        return False
    return bool(np.nanmean(np.abs(ours - theirs)) <= _ROUNDING * np.nanmean(np.abs(ours)))
