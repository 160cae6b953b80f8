"""A comparison's conclusion in words: what its figures and their intervals say, and what they leave open."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

from funcam.comparison.plan import BASELINES
from funcam.methods import METHODS
from funcam.report.data import Pair, Result

_TELLING = ("max-box-acc-v2", "pointing-game", "energy")
"""The metrics that say which network localises best, the most telling first."""

_METRICS = {
    "max-box-acc-v2": "MaxBoxAccV2",
    "pointing-game": "the pointing game",
    "energy": "the energy inside the objects",
    "coverage": "coverage",
}
_SUBSETS = {"single": "On single objects", "multiple": "On several objects", "all": "On all images"}
FEW = 10
"""Of fewer images nothing is told in words that their intervals leave open."""

_GRAD_CAM, _PLUS = "grad-cam", "grad-cam++"

# A wide ResNet is another network than the original's resnet50 and resnet101.
_FAMILIES = {"DenseNet": r"densenet", "ResNet": r"(?<![a-z])(?<!wide[_-])resnet", "VGG": r"vgg"}


def conclusions(
    results: Sequence[Result],
    pairs: Sequence[Pair],
    *,
    scale: float = 100.0,
    least: int = 1,
    original: bool = True,
) -> list[str]:
    """The conclusion of a comparison, one sentence or two for each question, in plain English.

    Which network localises best, on single and on several objects apart; which of more than two methods; whether
    Grad-CAM++ covers more of several objects than Grad-CAM; which methods beat the baselines that know nothing; and whether that is what the original
    project concluded by eye (DenseNet over ResNet over VGG, Grad-CAM++ covers more). One is called better than another
    only where the interval of their paired difference leaves out 0.

    Args:
        results: the figures; higher is better in the metrics that are looked at, `max-box-acc-v2`, `pointing-game`,
            `energy` and `coverage`. Of a network's layers the first counts for each figure.
        pairs: the differences.
        scale: what figures are multiplied by before they are told; 100 for shares in 0..1.
        least: of groups of fewer images nothing is told that their intervals leave open.
        original: whether it is told what that says of the original project's conclusions.

    Returns:
        The sentences. What the rows leave open is told, not guessed; without rows the list is empty.

    Example:
        >>> about = ("energy", "single")
        >>> rows = [
        ...     Result("resnet50", "layer4", "grad-cam", *about, 0.71, 0.69, 0.73, 300),
        ...     Result("vgg16", "features", "grad-cam", *about, 0.62, 0.60, 0.64, 300),
        ... ]
        >>> pair = Pair("net", "resnet50", "vgg16", *about, 0.09, 0.07, 0.11, 0.001, 300, method="grad-cam")
        >>> for line in conclusions(rows, [pair]):
        ...     print(line)
        On single objects, by the energy inside the objects with Grad-CAM, resnet50 localises best: 71.0 (69.0 to 73.0), ahead of vgg16 by 9.0 (7.0 to 11.0); n = 300.
        On single objects, by the energy inside the objects with Grad-CAM, resnet50 is ahead of vgg16 by 9.0 (7.0 to 11.0): this agrees with the original project (ResNet over VGG).
    """  # noqa: E501
    table = _Table(results, pairs, scale, least, original)
    parts = (_best_networks, _best_methods, _coverage, _against_baselines, _against_original)
    return [sentence for part in parts for sentence in part(table)]


def headline(results: Sequence[Result], pairs: Sequence[Pair], *, scale: float = 100.0) -> str:
    """What a comparison comes to, in one sentence: who is ahead and by how much, or that it can't be told.

    It is of all images, by the most telling metric that was measured; of networks where there are several, else of
    methods, the baselines that know nothing among them.

    Args:
        results: the figures.
        pairs: the differences.
        scale: as in `conclusions`.

    Returns:
        The sentence; "" where there is nothing to compare.

    Example:
        >>> rows = [Result(net, "", "grad-cam", "energy", "all", 0.7, 0.6, 0.8, 6) for net in ("vgg16", "resnet50")]
        >>> headline(rows, [])
        'Nothing can be told from so few: 6 images (the energy inside the objects with Grad-CAM).'
    """
    table = _Table(results, pairs, scale)
    for metric in _TELLING:
        for kind, shared, names in _contests(table):
            figures = {name: table.figure(*_place(kind, shared, name), metric, "all") for name in names}
            rows = {name: row for name, row in figures.items() if row is not None}
            if len(rows) > 1:
                lead = partial(table.difference, kind, shared, metric, "all")
                how = f"{_metric(metric)} {'with' if kind == 'net' else 'in'} {_method(shared)}"
                return _headline_of(table, rows, lead, how)
    return ""


def _contests(table: _Table) -> Iterator[tuple[str, str, list[str]]]:
    """What is compared: networks by a method, then methods in a network."""
    for method in _compared_methods(table)[:1]:
        yield "net", method, table.nets
    for net in table.nets[:1]:
        yield "method", net, table.methods


def _place(kind: str, shared: str, name: str) -> tuple[str, str]:
    """The network and the method of a figure."""
    return (name, shared) if kind == "net" else (shared, name)


def _headline_of(
    table: _Table, rows: Mapping[str, Result], difference: Callable[[str, str], _Difference | None], how: str
) -> str:
    order = sorted(rows, key=lambda name: -rows[name].value)
    first, count = order[0], rows[order[0]].n
    if count < FEW:
        return f"Nothing can be told from so few: {count} image{'s' * (count != 1)} ({how})."
    leads = {name: difference(first, name) for name in order[1:]}
    behind = {name: lead for name, lead in leads.items() if lead is not None and lead.sign > 0}
    level = [_method(name) for name in (first, *(name for name in leads if name not in behind))]
    if len(level) > 1:
        return f"Nobody is clearly ahead: {_and(level)} can't be told apart by {how} on {count} images."
    nearest = min(behind, key=lambda name: behind[name].value)
    return (
        f"{_method(first)} is ahead by {how}: {table.text(rows[first])}, {behind[nearest]} more than "
        f"{_method(nearest)}, the next, on {count} images."
    )


class _Table:
    """The rows by what they are about."""

    def __init__(
        self,
        results: Sequence[Result],
        pairs: Sequence[Pair],
        scale: float,
        least: int = 1,
        original: bool = True,
    ) -> None:
        self.scale, self.least, self.original = scale, least, original
        self.nets = list(dict.fromkeys(row.net for row in results))
        self.methods = list(dict.fromkeys(row.method for row in results))
        self._figures: dict[tuple[str, str, str, str], Result] = {}
        for row in results:
            self._figures.setdefault((row.net, row.method, row.metric, row.subset), row)
        self._pairs: dict[tuple[str | None, ...], _Difference] = {}
        for pair in pairs:
            shared = pair.method if pair.kind == "net" else pair.net
            about = (pair.kind, shared, pair.metric, pair.subset)
            difference = _Difference(pair.difference * scale, pair.low * scale, pair.high * scale)
            self._pairs.setdefault((*about, pair.a, pair.b), difference)
            self._pairs.setdefault((*about, pair.b, pair.a), difference.reversed())

    def figure(self, net: str, method: str, metric: str, subset: str) -> Result | None:
        row = self._figures.get((net, method, metric, subset))
        return None if row is None or math.isnan(row.value) else row

    def difference(self, kind: str, shared: str, metric: str, subset: str, a: str, b: str) -> _Difference | None:
        """How far `a` is ahead of `b`, if that was measured on enough images for an interval."""
        lead = self._pairs.get((kind, shared, metric, subset, a, b))
        return None if lead is None or math.isnan(lead.low) or math.isnan(lead.high) else lead

    def text(self, row: Result) -> str:
        """A figure with its interval."""
        value, low, high = (number * self.scale for number in (row.value, row.low, row.high))
        return f"{value:.1f}" if math.isnan(low) else f"{value:.1f} ({low:.1f} to {high:.1f})"


@dataclass(frozen=True)
class _Difference:
    value: float
    low: float
    high: float

    def reversed(self) -> _Difference:
        return _Difference(-self.value, -self.high, -self.low)

    @property
    def sign(self) -> int:
        """1 where it is surely above 0, -1 where surely below, 0 where that is open."""
        return (self.low > 0) - (self.high < 0)

    def __str__(self) -> str:
        return f"{self.value:.1f} ({self.low:.1f} to {self.high:.1f})"


def _best_networks(table: _Table) -> Iterator[str]:
    for subset in _subsets(table):
        for metric in _TELLING:
            for method in _compared_methods(table):
                figures = {net: table.figure(net, method, metric, subset) for net in table.nets}
                rows = {net: row for net, row in figures.items() if row is not None}
                if len(rows) > 1:
                    lead = partial(table.difference, "net", method, metric, subset)
                    yield _best_of(table, rows, lead, _about(subset, metric, method))


def _best_methods(table: _Table) -> Iterator[str]:
    """For each network which of its methods localises best, where there are more than two."""
    metric = _TELLING[0]
    for net in table.nets:
        figures = {method: table.figure(net, method, metric, "all") for method in _methods(table)}
        rows = {method: row for method, row in figures.items() if row is not None}
        if len(rows) > 2:
            lead = partial(table.difference, "method", net, metric, "all")
            yield _best_of(table, rows, lead, f"On all images, by {_metric(metric)} in {net}", _method)


def _best_of(
    table: _Table,
    rows: Mapping[str, Result],
    difference: Callable[[str, str], _Difference | None],
    start: str,
    called: Callable[[str], str] = str,
) -> str:
    """Who leads, and whom the leader can't be told apart from."""
    order = sorted(rows, key=lambda name: -rows[name].value)
    pairs = [(called(name), difference(order[0], name)) for name in order[1:]]
    rows = {called(name): row for name, row in rows.items()}
    first = called(order[0])
    behind = {name: lead for name, lead in pairs if lead is not None and lead.sign > 0}
    unclear = {name: lead for name, lead in pairs if name not in behind}
    count = f"n = {rows[first].n}"
    if not unclear:
        nearest = min(behind, key=lambda name: behind[name].value)
        others = [name for name in behind if name != nearest]
        more = f" and of {_and(others)} by more" if others else ""
        ahead = f"ahead of {nearest} by {behind[nearest]}{more}"
        return f"{start}, {first} localises best: {table.text(rows[first])}, {ahead}; {count}."
    figures = _and([f"{name} with {table.text(rows[name])}" for name in (first, *unclear)])
    leads = [f"{name} by {lead}" if lead else f"{name}, not compared image by image" for name, lead in unclear.items()]
    apart = f"{_and([first, *unclear])} can't be told apart: {figures} ({first} ahead of {_and(leads)})"
    beaten = f"; {_and(list(behind))} {'is' if len(behind) == 1 else 'are'} behind {first}" if behind else ""
    return f"{start}, {apart}{beaten}; {count}."


def _coverage(table: _Table) -> Iterator[str]:
    """Whether Grad-CAM++ covers more of several objects than Grad-CAM, for each network."""
    for net in table.nets:
        plain, plus = (table.figure(net, method, "coverage", "multiple") for method in (_GRAD_CAM, _PLUS))
        if plain is None or plus is None:
            continue
        lead = table.difference("method", net, "coverage", "multiple", _PLUS, _GRAD_CAM)
        figures = f"{table.text(plus)} against {table.text(plain)}"
        about = f"Of several objects in {net}, Grad-CAM++"
        if plus.n < table.least and not (lead and lead.sign):
            continue
        if lead is None:
            yield f"{about} covers {figures} with Grad-CAM; they were not compared image by image."
        elif lead.sign == 0:
            open_ = f"; {_open()}" * table.original
            yield f"{about} and Grad-CAM can't be told apart by coverage: {figures}, a difference of {lead}{open_}."
        else:
            word, difference = ("more", lead) if lead.sign > 0 else ("less", lead.reversed())
            verdict = "agrees" if lead.sign > 0 else "disagrees"
            more = f"covers {word} than Grad-CAM: {figures}, {word} by {difference}"
            agreed = f" This {verdict} with the original project." * table.original
            yield f"{about} {more}; n = {plus.n}.{agreed}"


def _against_baselines(table: _Table) -> Iterator[str]:
    """Whether each method of each network beats every baseline, metric by metric."""
    there = [method for method in table.methods if method in BASELINES]
    for net in table.nets:
        for method in (method for method in table.methods if method not in BASELINES):
            wins: list[str] = []
            losses: list[str] = []
            for metric in _TELLING:
                pairs = [(each, table.difference("method", net, metric, "all", method, each)) for each in there]
                leads = {each: lead for each, lead in pairs if lead is not None}
                unbeaten = {each: lead for each, lead in leads.items() if lead.sign < 1}
                if unbeaten:
                    told = _and([f"{each} (a difference of {lead})" for each, lead in unbeaten.items()])
                    losses.append(f"does not beat {told} in {_metric(metric)}")
                elif leads:
                    nearest = min(leads, key=lambda each: leads[each].value)
                    wins.append(f"{_metric(metric)} (by {leads[nearest]} over {nearest}, the nearest)")
            if wins or losses:
                won = [f"beats the data-free baselines in {_and(wins)}"] if wins else []
                yield f"With {net}, {_method(method)} {'; it '.join(won + losses)}."


def _against_original(table: _Table) -> Iterator[str]:
    """The original's order of the networks, DenseNet over ResNet over VGG, for each pair of them that is here."""
    if not table.original:
        return
    nets = {family: [net for net in table.nets if re.search(form, net.lower())] for family, form in _FAMILIES.items()}
    for subset in _subsets(table):
        for metric in _TELLING[:1] if _has(table, _TELLING[0], subset) else _TELLING[1:]:
            for method in _compared_methods(table):
                for better, worse in combinations(_FAMILIES, 2):
                    for a, b in ((a, b) for a in nets[better] for b in nets[worse]):
                        lead = table.difference("net", method, metric, subset, a, b)
                        if lead is not None:
                            about = _about(subset, metric, method)
                            yield f"{about}, {_verdict(a, b, lead)} ({better} over {worse})."


def _verdict(a: str, b: str, lead: _Difference) -> str:
    if lead.sign > 0:
        return f"{a} is ahead of {b} by {lead}: this agrees with the original project"
    if lead.sign < 0:
        return f"{b} is ahead of {a} by {lead.reversed()}: this disagrees with the original project"
    return f"{a} and {b} can't be told apart, a difference of {lead}: {_open()}"


def _open() -> str:
    return "the original project's conclusion is neither confirmed nor refuted"


def _subsets(table: _Table) -> list[str]:
    """Single and several objects apart; all images where neither is there."""
    apart = [subset for subset in ("single", "multiple") if any(_has(table, each, subset) for each in _TELLING)]
    return apart or ["all"]


def _has(table: _Table, metric: str, subset: str) -> bool:
    figures = (table.figure(net, method, metric, subset) for net in table.nets for method in table.methods)
    return any(row is not None and row.n >= table.least for row in figures)


def _compared_methods(table: _Table) -> list[str]:
    """The methods by which networks are compared: Grad-CAM and Grad-CAM++ where they are, else the first two."""
    methods = _methods(table)
    return [method for method in methods if method in (_GRAD_CAM, _PLUS)] or methods[:2]


def _methods(table: _Table) -> list[str]:
    """The methods that know something."""
    return [method for method in table.methods if method not in BASELINES]


def _about(subset: str, metric: str, method: str) -> str:
    return f"{_SUBSETS[subset]}, by {_metric(metric)} with {_method(method)}"


def _metric(metric: str) -> str:
    return _METRICS.get(metric, metric)


def _method(method: str) -> str:
    return METHODS[method].title if method in METHODS else method


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
