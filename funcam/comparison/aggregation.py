"""From the journal to figures: each metric over each subset with its interval, and paired differences."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from funcam.comparison.plan import BASELINES, METRICS
from funcam.report.data import Pair, Result
from funcam.statistics.intervals import (
    OfMean,
    Sample,
    difference_of,
    interval_of,
    max_box_acc_v2,
    mean,
    pxap,
    sampled,
    top_1_error,
)

Place = tuple[str, str, str]
"""Network, layer, method."""
Column = NDArray[np.float32]
"""A row an image: a value `[n]`, whether overlaps are reached `[n, I, T]`, numbers of pixels `[n, 2, T]`."""
Values = dict[Place, dict[str, Column]]
Keys = dict[str, list[tuple[str, int]]]
"""By network: the image and the class of each row."""
Samples = dict[Place, dict[str, dict[str, Sample]]]
"""By place, metric and subset."""

Row = TypeVar("Row", Result, Pair)

_KEPT = {*METRICS, "overlaps", "overlaps-multi", "pixels"}
SUBSETS = ("all", "single", "multiple")
_IOUS = (0.3, 0.5, 0.7)


def collected(records: Iterable[Mapping[str, Any]]) -> tuple[Values, Keys, dict[str, list[str]]]:
    """What was measured, by network, layer and method; of the records nothing is kept but their numbers.

    Returns:
        The values of every place by metric, a row for each image and class that was asked for; what these are, by
        network, in the rows' order; and the rows' subsets by network.
    """
    kept: dict[Place, dict[str, _Numbers]] = defaultdict(lambda: defaultdict(_Numbers))
    keys: Keys = defaultdict(list)
    subsets: dict[str, list[str]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        net = record["net"]
        for method_maps in record["maps"]:
            columns = kept[net, method_maps["layer"], method_maps["method"]]
            for name in _KEPT & method_maps.keys():
                columns[name].add(len(keys[net]), method_maps[name])
        keys[net].append((record["image"], -1 if record["asked"] is None else record["asked"]))
        subsets[net].append(record["subset"])
        right[net].append(record["predicted"] == record["class"])
    order = {net: sorted(range(len(own)), key=own.__getitem__) for net, own in keys.items()}
    values = {}
    for place, columns in kept.items():
        rows = order[place[0]]
        measured = {name: numbers.rows(rows) for name, numbers in columns.items()}
        values[place] = _columns(measured, np.array(right[place[0]])[rows])
    return (
        values,
        {net: [keys[net][row] for row in rows] for net, rows in order.items()},
        {net: [subsets[net][row] for row in rows] for net, rows in order.items()},
    )


class _Numbers:
    """The values of a metric, some numbers a row; a row may have none. Packed: there are thousands for each image."""

    def __init__(self) -> None:
        self._rows, self._values = array("l"), array("f")

    def add(self, row: int, value: float | list[float]) -> None:
        self._rows.append(row)
        self._values.extend(value if isinstance(value, list) else [value])

    def rows(self, order: Sequence[int]) -> Column:
        """`[n]` or `[n, numbers]`, NaN where a row has none."""
        values = np.frombuffer(self._values, np.float32).reshape(len(self._rows), -1)
        rows = np.full((len(order), values.shape[1]), np.nan, np.float32)
        rows[np.argsort(order)[np.frombuffer(self._rows, np.dtype("l"))]] = values
        return rows[:, 0] if rows.shape[1] == 1 else rows


def _columns(measured: Mapping[str, Column], right: NDArray[np.bool_]) -> dict[str, Column]:
    """The columns that statistics take; `right`: whether the explained class is what the network says."""
    columns = {name: measured[name] for name in METRICS if name in measured}
    if "overlaps" in measured:
        hits = _hits(measured["overlaps"])
        columns["max-box-acc-v2"] = hits
        columns |= {f"max-box-acc@{least}": hits[:, [i]] for i, least in enumerate(_IOUS)}
        columns["max-box-acc-v2-multi"] = _hits(measured["overlaps-multi"])
        columns["top-1-error"] = hits[:, [_IOUS.index(0.5)]] * right[:, None, None]
    if "pixels" in measured:
        columns["pxap"] = measured["pixels"].reshape(len(right), 2, -1)
    return columns


def _hits(overlaps: Column) -> Column:
    """Whether each overlap is reached at each threshold, `[n, I, T]`."""
    reached = [overlaps >= np.float32(least) for least in _IOUS]
    return np.stack([np.where(np.isnan(overlaps), np.float32(np.nan), hits) for hits in reached], 1).astype(np.float32)


def figures_of(values: Values, keys: Keys, subsets: Mapping[str, list[str]]) -> tuple[list[Result], list[Pair]]:
    """Every figure with its interval, and the paired differences; metric by metric, so that memory stays small."""
    rows: list[Result] = []
    pairs: list[Pair] = []
    for metric in METRICS:
        some = {place: {metric: columns[metric]} for place, columns in values.items() if metric in columns}
        samples = samples_of(some, keys, subsets)
        rows += rows_of(samples)
        pairs += pairs_of(samples, some, keys, subsets)
    return (
        _together(rows, attrgetter("net", "layer", "method")),
        _together(pairs, attrgetter("kind", "a", "b", "net", "method")),
    )


def _together(rows: list[Row], about: Callable[[Row], Hashable]) -> list[Row]:
    """The rows about one thing behind each other, the things in the order in which they come."""
    order: dict[Hashable, int] = {}
    for row in rows:
        order.setdefault(about(row), len(order))
    return sorted(rows, key=lambda row: order[about(row)])


def samples_of(values: Values, keys: Keys, subsets: Mapping[str, list[str]]) -> Samples:
    """The figures of some columns, from which intervals and differences are made."""
    samples: Samples = {}
    for place, columns in values.items():
        net = place[0]
        samples[place] = {
            name: _sample(columns[name], name, keys[net], subsets[net]) for name in METRICS if name in columns
        }
    return samples


def _sample(column: Column, metric: str, keys: Sequence[tuple[str, int]], subsets: Sequence[str]) -> dict[str, Sample]:
    """One figure over each subset."""
    images, names = np.array([image for image, _ in keys]), np.array(subsets)
    chosen = {subset: np.flatnonzero((names == subset) | (subset == "all")) for subset in SUBSETS}
    return {
        subset: sampled(column[rows], statistic_of(metric), groups=images[rows])
        for subset, rows in chosen.items()
        if len(rows)
    }


def rows_of(samples: Samples) -> list[Result]:
    """A row for each figure; `n` counts images."""
    return [
        Result(net, layer, method, metric, subset, *interval_of(sample))
        for (net, layer, method), metrics in samples.items()
        for metric, subsets in metrics.items()
        for subset, sample in subsets.items()
        if sample.count
    ]


def pairs_of(samples: Samples, values: Values, keys: Keys, subsets: Mapping[str, list[str]]) -> list[Pair]:
    """Paired differences: between networks for each method at their first layer, between methods of each network.

    Two networks are held against each other on what both have done.
    """
    firsts: dict[tuple[str, str], Place] = {}
    for place in values:
        if place[2] not in BASELINES:
            firsts.setdefault((place[0], place[2]), place)
    nets = list(dict.fromkeys(net for net, _ in firsts))
    methods = list(dict.fromkeys(method for _, method in firsts))
    rows: list[Pair] = []
    for method in methods:
        for a, b in combinations([net for net in nets if (net, method) in firsts], 2):
            first, second = firsts[a, method], firsts[b, method]
            if keys[a] == keys[b]:
                pair = samples[first], samples[second]
            else:
                pair = _on_both(first, second, values, keys, subsets)
            rows += _differences(*pair, partial(Pair, "net", a, b, method=method))
    for net in nets:
        for a, b in combinations([method for method in methods if (net, method) in firsts], 2):
            pair = samples[firsts[net, a]], samples[firsts[net, b]]
            rows += _differences(*pair, partial(Pair, "method", a, b, net=net))
    return rows


def _on_both(
    first: Place, second: Place, values: Values, keys: Keys, subsets: Mapping[str, list[str]]
) -> tuple[dict[str, dict[str, Sample]], dict[str, dict[str, Sample]]]:
    """The figures of two networks over the rows that both have."""
    one, other = shared_rows(keys[first[0]], keys[second[0]])
    there = {net: [keys[net][i] for i in rows] for net, rows in ((first[0], one), (second[0], other))}
    kept = {net: [subsets[net][i] for i in rows] for net, rows in ((first[0], one), (second[0], other))}
    shared = {
        place: {name: column[rows] for name, column in values[place].items()}
        for place, rows in ((first, one), (second, other))
    }
    samples = samples_of(shared, there, kept)
    return samples[first], samples[second]


def shared_rows(ours: Sequence[tuple[str, int]], theirs: Sequence[tuple[str, int]]) -> tuple[list[int], list[int]]:
    """Where the rows are that both have."""
    places = {key: index for index, key in enumerate(theirs)}
    both = [(index, places[key]) for index, key in enumerate(ours) if key in places]
    return [one for one, _ in both], [other for _, other in both]


def _differences(
    first: Mapping[str, Mapping[str, Sample]], second: Mapping[str, Mapping[str, Sample]], pair: Callable[..., Pair]
) -> Iterator[Pair]:
    """A row for each metric and subset that both have; `pair` makes it from what follows `kind`, `a` and `b`."""
    for metric, subsets in first.items():
        for subset, sample in subsets.items():
            if subset in second.get(metric, {}):
                difference = difference_of(sample, second[metric][subset])
                if difference.n:
                    yield pair(metric, subset, *difference)


def statistic_of(metric: str) -> OfMean:
    """From the values of the images to the figure: their mean, or what is best over the data set."""
    if metric == "top-1-error":
        return top_1_error
    if metric == "pxap":
        return pxap
    return max_box_acc_v2 if metric.startswith("max-box-acc") else mean
