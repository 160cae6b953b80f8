"""The metrics of one batch of maps, group by group. Each gives a row of values an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from funcam import metrics
from funcam.comparison.batches import Batch, MethodMaps, explained
from funcam.comparison.plan import ARCC, BASELINES, CONFIDENCE, FAITHFULNESS, INFIDELITY, LOCALISATION, ROAD, SANITY
from funcam.metrics.faithfulness import Confidence

Values = dict[str, torch.Tensor]

CURVES = ("insertion", "deletion")
BINS = 200
"""Thresholds of PxAP."""

_ARCC_SHARES = (0.2, 0.4, 0.6, 0.8)  # of the pixels that ROAD removes, as in the paper
_REMOVED = 10  # sensitivity-n takes away one pixel in so many


def scores(batch: Batch, groups: Sequence[str]) -> list[Values]:
    """For each of the batch's maps the values of some groups of metrics, `[B, ...]` each.

    A group that means nothing for a baseline (is the network's map the same again?) leaves it out.
    """
    measured: list[Values] = [{} for _ in batch.method_maps]
    for group in groups:
        for values, more in zip(measured, _GROUPS[group](batch), strict=True):
            values |= more
    return measured


def _localisation(batch: Batch, method_maps: MethodMaps) -> Values:
    truth = batch.truth
    assert truth is not None
    overlaps = metrics.box_overlaps(method_maps.big, truth.boxes, truth.valid)
    objects = metrics.object_coverage(method_maps.big, truth.masks)
    values = {
        "pointing-game": metrics.pointing_game(method_maps.big, truth.whole),
        "pointing-game@15": metrics.pointing_game(method_maps.big, truth.whole, tolerance=15),
        "energy": metrics.energy(method_maps.big, truth.whole),
        "coverage": objects.coverage,
        "hit-share": objects.hit_share,
        "evenness": objects.evenness,
        "iou": metrics.iou_at(method_maps.big, truth.whole),
        "overlaps": overlaps.largest,
        "overlaps-multi": overlaps.any,
    }
    if truth.exact is not None:
        values["pixels"] = metrics.pixel_counts(method_maps.big, truth.exact, bins=BINS).flatten(1)
    return values


def _confidence(batch: Batch, method_maps: MethodMaps) -> Confidence:
    return metrics.confidence(batch.network, batch.images, method_maps.big, batch.classes, score=batch.probabilities)


def _drop_and_gain(batch: Batch, method_maps: MethodMaps) -> Values:
    confidence = _confidence(batch, method_maps)
    return {
        "average-drop": metrics.average_drop(confidence),
        "increase": metrics.increase_in_confidence(confidence),
        "average-gain": metrics.average_gain(confidence),
    }


def _faithfulness(batch: Batch, method_maps: MethodMaps) -> Values:
    values = _drop_and_gain(batch, method_maps)
    if method_maps.method == "uniform":  # it has no order
        return values
    for name, curve in zip(CURVES, (metrics.insertion, metrics.deletion), strict=True):
        drawn = curve(
            batch.network,
            batch.images,
            method_maps.big,
            batch.classes,
            steps=batch.plan.steps,
            score=batch.probabilities,
        )
        values |= {name: drawn.area, f"{name}-curve": drawn.scores}
    return values


def _road(batch: Batch, method_maps: MethodMaps) -> Values:
    if method_maps.method == "uniform":
        return {}
    road = metrics.road(batch.network, batch.images, method_maps.big, batch.classes, score=batch.probabilities)
    return {"road": road.combined, "road-most": road.most, "road-least": road.least}


def _infidelity(batch: Batch, method_maps: MethodMaps) -> Values:
    values = method_maps.maps if method_maps.pixels else method_maps.big
    if method_maps.method == "uniform":
        return {"infidelity": metrics.infidelity(batch.network, batch.images, values, batch.classes)}
    n = batch.images.shape[2] * batch.images.shape[3] // _REMOVED
    return {
        "infidelity": metrics.infidelity(batch.network, batch.images, values, batch.classes),
        "sensitivity-n": metrics.sensitivity_n(batch.network, batch.images, values, batch.classes, n=n),
    }


def _arcc(batch: Batch) -> list[Values]:
    """Each map's own masked images are explained again, by that method at that layer."""
    columns: list[Values] = []
    for number, method_maps in enumerate(batch.method_maps):
        if method_maps.method in BASELINES:
            columns.append({})
            continue
        masked = batch.images * method_maps.big[:, None]
        again = explained(batch.rival, batch.plan, masked, batch.classes)[0][number].big
        coherency, complexity = metrics.coherency(method_maps.big, again), metrics.complexity(method_maps.big)
        drop = metrics.average_drop(_confidence(batch, method_maps))
        road = metrics.road(
            batch.network,
            batch.images,
            method_maps.big,
            batch.classes,
            shares=_ARCC_SHARES,
            score=batch.probabilities,
        ).combined
        whole = {
            "adcc": metrics.adcc(coherency, complexity, drop),
            "arcc": metrics.arcc(coherency, complexity, road),
        }
        columns.append({"coherency": coherency, "complexity": complexity, **whole})
    return columns


def _sanity(batch: Batch) -> list[Values]:
    """How much the maps of networks with shuffled weights are like those of the network: Spearman's correlation."""
    ours = [method_maps for method_maps in batch.method_maps if method_maps.method not in BASELINES]
    if not ours:
        return [{} for _ in batch.method_maps]
    alike = {
        kind: [
            [
                metrics.rank_correlation(method_maps.big, other.big)
                for method_maps, other in zip(ours, _maps_of(batch, copy), strict=True)
            ]
            for copy in copies
        ]
        for kind, copies in batch.rival.shuffled.items()
    }
    columns: list[Values] = []
    for number in range(len(ours)):
        cascade = torch.stack([step[number] for step in alike["cascading"]])
        single = torch.stack([step[number] for step in alike["independent"]])
        columns.append({"cascading": cascade.mean(0), "cascading-all": cascade[-1], "independent": single.mean(0)})
    return columns


def _maps_of(batch: Batch, model: torch.nn.Module) -> tuple[MethodMaps, ...]:
    return explained(batch.rival, batch.plan, batch.images, batch.classes, model=model)[0]


def _each(score: Callable[[Batch, MethodMaps], Values]) -> Callable[[Batch], list[Values]]:
    return lambda batch: [score(batch, method_maps) for method_maps in batch.method_maps]


_GROUPS: dict[str, Callable[[Batch], list[Values]]] = {
    LOCALISATION: _each(_localisation),
    CONFIDENCE: _each(_drop_and_gain),
    FAITHFULNESS: _each(_faithfulness),
    ROAD: _each(_road),
    ARCC: _arcc,
    INFIDELITY: _each(_infidelity),
    SANITY: _sanity,
}
