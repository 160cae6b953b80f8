"""From the journal to figures: each metric over each subset with its interval, and paired differences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funcam.comparison.plan import BASELINES, METRICS
from funcam.statistics import OfMean, bootstrap, max_box_acc_v2, mean, paired

Place = tuple[str, str, str]
"""Network, layer, method."""
Values = dict[Place, dict[str, NDArray[np.float64]]]

SUBSETS = ("all", "single", "multiple")
_IOUS = (0.3, 0.5, 0.7)


def collected(records: Iterable[Mapping[str, Any]]) -> tuple[Values, dict[str, list[str]]]:
    """The values of every place by metric, ``[n]`` (hits ``[n, I, T]``), and the rows' subsets by network.

    Rows of one network are in the same order everywhere: that of their images' names and classes.
    """
    kept: dict[Place, list[dict[str, Any]]] = defaultdict(list)
    subsets: dict[str, list[str]] = defaultdict(list)
    for record in sorted(records, key=lambda r: (r["net"], r["image"], r["class"])):
        subsets[record["net"]].append(record["subset"])
        for made in record["maps"]:
            kept[record["net"], made["layer"], made["method"]].append(made)
    return {place: _columns(rows) for place, rows in kept.items()}, subsets


def _columns(rows: list[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in METRICS if name in rows[0]}
    if "overlaps" in rows[0]:
        overlaps = np.array([row["overlaps"] for row in rows], np.float64)
        hits = np.stack([np.where(np.isnan(overlaps), np.nan, overlaps >= least) for least in _IOUS], 1)
        columns["max-box-acc-v2"] = hits
        columns |= {f"max-box-acc@{least}": hits[:, [i]] for i, least in enumerate(_IOUS)}
    return columns


def rows_of(values: Values, subsets: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """A row ``net, layer, method, metric, subset, value, low, high, n`` for each figure."""
    rows = []
    for place, columns in values.items():
        for metric in METRICS:
            if metric not in columns:
                continue
            for subset, chosen in _chosen(subsets[place[0]]):
                found = bootstrap(columns[metric][chosen], statistic_of(metric))
                if found.n:
                    where = dict(zip(("net", "layer", "method"), place, strict=True))
                    rows.append({**where, "metric": metric, "subset": subset, **found._asdict()})
    return rows


def pairs_of(values: Values, subsets: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Paired differences: between networks for each method at their first layer, between methods of each network."""
    firsts: dict[tuple[str, str], Place] = {}
    for place in values:
        if place[2] not in BASELINES:
            firsts.setdefault((place[0], place[2]), place)
    nets = list(dict.fromkeys(net for net, _ in firsts))
    methods = list(dict.fromkeys(method for _, method in firsts))
    rows: list[dict[str, Any]] = []
    for method in methods:
        there = [net for net in nets if (net, method) in firsts]
        for a, b in combinations(there, 2):
            if subsets[a] == subsets[b]:
                rows += _differences(
                    "net", a, b, values, firsts[a, method], firsts[b, method], subsets[a], method=method
                )
    for net in nets:
        there = [method for method in methods if (net, method) in firsts]
        for a, b in combinations(there, 2):
            rows += _differences("method", a, b, values, firsts[net, a], firsts[net, b], subsets[net], net=net)
    return rows


def _differences(
    kind: str, a: str, b: str, values: Values, first: Place, second: Place, subsets: list[str], **where: str
) -> Iterator[dict[str, Any]]:
    for metric in METRICS:
        if metric in values[first] and metric in values[second]:
            for subset, chosen in _chosen(subsets):
                one, other = values[first][metric][chosen], values[second][metric][chosen]
                found = paired(one, other, statistic_of(metric))
                if found.n:
                    yield {"kind": kind, "a": a, "b": b, **where, "metric": metric, "subset": subset, **found._asdict()}


def statistic_of(metric: str) -> OfMean:
    """From the values of the images to the figure: their mean, or the best threshold's over the data set."""
    return max_box_acc_v2 if metric.startswith("max-box-acc") else mean


def _chosen(subsets: list[str]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    names = np.array(subsets)
    for subset in SUBSETS:
        chosen = np.flatnonzero((names == subset) | (subset == "all"))
        if len(chosen):
            yield subset, chosen
