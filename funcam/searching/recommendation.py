"""What to use after a search: the ranking, the best recipe against the default, its threshold, its options."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from funcam.comparison.plan import METRICS, Rival
from funcam.metrics.wsol import LEVELS
from funcam.recipe import Recipe
from funcam.resuming.versions import versions
from funcam.searching.choosing import Halves, RankedRecipe, Trial, difference, ranked
from funcam.searching.search import SearchResult
from funcam.searching.wording import described, explain_options, recipe_document
from funcam.statistics.intervals import Interval, Paired, bootstrap

_BOXES = "max-box-acc"
_NEAR = 0.01


class Threshold(NamedTuple):
    """The level of a map (divided by its maximum) above which lies the object, and the accuracy of boxes at it.

    Attributes:
        level: the best one on the half that chose, one for all overlaps.
        chosen_on: the accuracy there.
        found_on: the accuracy at that level on the other half.
    """

    level: float
    chosen_on: float
    found_on: Interval


@dataclass(frozen=True)
class RecommendedRecipe:
    """A recipe that one may want to use.

    Attributes:
        ranked: the recipe with its figures.
        difference: its metric minus that of the network's default, on the half that had no say.
        threshold: for boxes, where the metric is of boxes.
        options: what to give `funcam explain` for it.
    """

    ranked: RankedRecipe
    difference: Paired
    threshold: Threshold | None
    options: str

    def verdict(self, metric: str) -> str:
        """`better` than the default, `worse`, or `unsure` where the interval of the difference contains 0."""
        sign = 1 if METRICS[metric].higher_is_better else -1
        low, high = sorted((sign * self.difference.low, sign * self.difference.high))
        if low > 0:
            return "better"
        return "worse" if high < 0 else "unsure"

    def document(self, metric: str) -> dict[str, Any]:
        """What it adds to the row of its recipe, for JSON."""
        level = self.threshold
        return {
            "difference": self.difference._asdict(),
            "verdict": self.verdict(metric),
            "threshold": level and {**level._asdict(), "found_on": level.found_on._asdict()},
            "options": self.options,
        }


@dataclass(frozen=True)
class Recommendation:
    """What to do with a network.

    Attributes:
        net: its label.
        weights: where its values come from.
        metric: what chose.
        ranking: every recipe, the best on the choosing half first.
        costs: of each recipe in forward passes of the network at its own size.
        default: Grad-CAM at the default layer and the network's own size.
        best: the first of the ranking.
        frugal: the cheapest that is as good but for a hundredth on the choosing half; None where it is the best itself.
        skipped: the recipes that the network can't have, a line each.
        problems: the images that could not be done, a line each.
        notes: what there is to say besides, a line each; not part of the recommendation.
    """

    net: str
    weights: str
    metric: str
    ranking: list[RankedRecipe]
    costs: dict[Recipe, float]
    default: RankedRecipe
    best: RecommendedRecipe
    frugal: RecommendedRecipe | None
    skipped: list[str]
    problems: list[str]
    notes: list[str] = field(default_factory=list, compare=False)

    @property
    def sentences(self) -> list[str]:
        """What the figures say of the best recipe, and what they don't."""
        return [
            self._against_default(),
            f"its figure on the half that chose is the best of {len(self.ranking)} and so flatters it; the other half "
            "had no say, and its figure is what to expect",
        ]

    def _against_default(self) -> str:
        against, difference = f"the network's default ({described(self.default.recipe)})", self.best.difference
        if self.best.ranked.recipe == self.default.recipe:
            return f"nothing that was tried is better than {against} on the half that chose"
        by = f"the difference is {_difference_text(self.metric, difference)} on {difference.n} images that had no say"
        because = "too few to tell" if np.isnan(difference.low) else "an interval with 0 in it"
        return {
            "better": f"it is surely better than {against}: {by}",
            "worse": f"it is surely worse than {against}: {by}; keep the default",
            "unsure": f"it is not surely better than {against}: {by}, {because}",
        }[self.best.verdict(self.metric)]

    def document(self) -> dict[str, Any]:
        """All of it for JSON; it may hold NaN."""
        best, frugal = self.best, self.frugal
        return {
            "net": self.net,
            "weights": self.weights,
            "metric": self.metric,
            "images": {"chosen_on": best.ranked.chosen_on.n, "found_on": best.ranked.found_on.n},
            "best": {**self._row(best.ranked), **best.document(self.metric)},
            "frugal": frugal and {**self._row(frugal.ranked), **frugal.document(self.metric)},
            "default": self._row(self.default),
            "sentences": self.sentences,
            "ranking": [self._row(row) for row in self.ranking],
            "skipped": self.skipped,
            "problems": self.problems,
            "versions": {"python": platform.python_version(), **versions()},
        }

    def _row(self, row: RankedRecipe) -> dict[str, Any]:
        return {
            **recipe_document(row.recipe),
            "words": described(row.recipe),
            "chosen_on": row.chosen_on._asdict(),
            "found_on": row.found_on._asdict(),
            "cost": self.costs[row.recipe],
        }


def recommend(result: SearchResult, rival: Rival, metric: str, fit: str) -> Recommendation:
    """What to use, by the figures of a search.

    Args:
        result: of `funcam.searching.search.search`.
        rival: the network at its own size.
        metric: what chose.
        fit: how images were put before the network.
    """
    ranking = ranked(result.trials, result.halves, metric)
    frugal = _frugal(ranking, result.costs)
    return Recommendation(
        net=rival.label,
        weights=rival.net.weights,
        metric=metric,
        ranking=ranking,
        costs=result.costs,
        default=ranked([result.default], result.halves, metric)[0],
        best=_recommended(ranking[0], result, rival, metric, fit),
        frugal=None if frugal == ranking[0] else _recommended(frugal, result, rival, metric, fit),
        skipped=result.skipped,
        problems=result.problems,
        notes=result.notes,
    )


def _frugal(ranking: Sequence[RankedRecipe], costs: Mapping[Recipe, float]) -> RankedRecipe:
    """The cheapest recipe that is as good as the best but for a hundredth, on the half that chose."""
    best = ranking[0].chosen_on.value
    near = [row for row in ranking if abs(row.chosen_on.value - best) <= _NEAR * abs(best)]
    return min(near or ranking[:1], key=lambda row: costs[row.recipe])


def _recommended(row: RankedRecipe, result: SearchResult, rival: Rival, metric: str, fit: str) -> RecommendedRecipe:
    trial = next(one for one in result.trials if one.recipe == row.recipe)
    options = explain_options(row.recipe, rival.net.input_size)
    return RecommendedRecipe(
        ranked=row,
        difference=difference(trial, result.default, result.halves.other, metric),
        threshold=threshold(trial, result.halves, metric) if metric.startswith(_BOXES) else None,
        options=options if fit == "squash" else f"{options} --fit {fit}",
    )


def threshold(trial: Trial, halves: Halves, metric: str) -> Threshold:
    """The one level at which a recipe's boxes are best on the choosing half, on average over the metric's overlaps."""
    hits = trial.columns[metric].mean(1)  # [n, T]
    chosen, other = trial.rows(halves.choosing), trial.rows(halves.other)
    accuracy = np.nanmean(hits[chosen], axis=0)
    best = int(accuracy.argmax())
    names = np.array([trial.keys[row][0] for row in other], np.str_)
    return Threshold(LEVELS[best], float(accuracy[best]), bootstrap(hits[other, best], groups=names))


def _difference_text(metric: str, pair: Paired) -> str:
    share = METRICS[metric].share
    numbers = [f"{100 * value:+.1f}" if share else f"{value:+.3g}" for value in pair[:3]]
    return f"{numbers[0]}{' points' if share else ''} ({numbers[1]} to {numbers[2]})"
