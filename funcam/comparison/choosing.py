"""Choosing the best layer and method of one network: on one half of the images, reported on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from funcam.comparison.plan import BASELINES, METRICS
from funcam.comparison.summing import Place, Values, statistic_of
from funcam.errors import FuncamError, nearest
from funcam.statistics import Interval, bootstrap


@dataclass(frozen=True)
class Choice:
    """A layer and a method, with the metric on the half that they were chosen on and on the other half.

    Attributes:
        layer: the layer.
        method: the method.
        chosen_on: the metric on the half that chose.
        found_on: the metric on the other half, which had no say.
    """

    layer: str
    method: str
    chosen_on: Interval
    found_on: Interval


def ranked(values: Values, images: Sequence[str], metric: str) -> list[Choice]:
    """Every layer and method, the best on the first half first.

    Args:
        values: of one network, from :func:`funcam.comparison.summing.collected`.
        images: the image of each row; rows of one image stay together. A half drawn by a fixed seed chooses.
        metric: the name of a metric.

    Raises:
        FuncamError: an unknown metric, one that was not measured, or fewer than two images.

    Example:
        >>> ranked(values, images, "max-box-acc-v2")[0].method  # doctest: +SKIP
        'layer-cam'
    """
    if metric not in METRICS:
        raise FuncamError(f"unknown metric {metric!r}; nearest: {nearest(metric, METRICS)}")
    places = [place for place in values if place[2] not in BASELINES and metric in values[place]]
    if not places:
        raise FuncamError(f"{metric} was not measured; it needs {METRICS[metric].needs}")
    order = {name: number for number, name in enumerate(dict.fromkeys(images))}
    if len(order) < 2:
        raise FuncamError("choosing needs at least two images: one half chooses, the other tells what it is worth")
    drawn = np.random.default_rng(0).permutation(len(order)) < len(order) / 2
    choosing = np.array([drawn[order[name]] for name in images])
    best_first = -1 if METRICS[metric].higher_is_better else 1
    choices = [_choice(place, values, choosing, metric) for place in places]
    return sorted(choices, key=lambda choice: best_first * choice.chosen_on.value)


def _choice(place: Place, values: Values, choosing: np.ndarray, metric: str) -> Choice:
    column = values[place][metric]
    halves = [bootstrap(column[half], statistic_of(metric)) for half in (choosing, ~choosing)]
    return Choice(place[1], place[2], *halves)
