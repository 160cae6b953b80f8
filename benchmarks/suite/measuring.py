"""Running a group: each case in turn, right behind the baseline, every second round backwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.suite.case import Case, Group
from benchmarks.suite.records import Row
from benchmarks.suite.roofline import Machine, limits_of
from benchmarks.suite.statistics import Quantiles, quantiles
from benchmarks.suite.timers import Ready, Timer


@dataclass(frozen=True)
class Pace:
    """How often is measured, what is too slow for that how often, and the machine that work is held against."""

    rounds: int
    few: int = 3
    machine: Machine | None = None


def rows_of(group: Group, timer: Timer, pace: Pace) -> list[Row]:
    """The figures of a group; a case that raises has a row that says why, and so has a group that can't be made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random weights give maps that are zero, and that is said each time
        try:
            cases = group.make()
        except Exception as error:
            return [Row(group.title, "all cases", "warm", failed=reason(error))]
        return _rows(group, cases, timer, pace)


def _rows(group: Group, cases: dict[str, Case], timer: Timer, pace: Pace) -> list[Row]:
    ready, rows = _ready(group, cases, timer)
    rounds = min(pace.rounds, pace.few) if group.once else pace.rounds
    for temperature in timer.temperatures:
        seconds = {name: partial(_of_one, one, cases[name].calls) for name, one in ready.items()}
        base = ready.get(group.baseline or "")
        before = {name: base.beside(one) for name, one in ready.items()} if base else {}
        times = in_turn(seconds, before, rounds, temperature)
        for name, pairs in times.items():
            rows.append(_row(group, name, temperature, pairs, cases[name], ready[name], pace))
    return rows


def _of_one(ready: Ready, calls: int, temperature: str) -> float:
    return ready.seconds(temperature) / calls


def _ready(group: Group, cases: dict[str, Case], timer: Timer) -> tuple[dict[str, Ready], list[Row]]:
    """The cases that run, warmed up, and rows for the others."""
    ready, failed = {}, []
    for name, case in cases.items():
        try:
            ready[name] = timer.ready(case.run, capture=case.capture, compiled=case.compiles)
        except Exception as error:  # a peer's, or an operation that the device does not have for this type
            failed.append(Row(group.title, name, "warm", failed=reason(error)))
    return ready, failed


def reason(error: Exception) -> str:
    """The kind of an error and the first line of it."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"


Pairs = list[tuple[float, float | None]]


def in_turn(
    cases: dict[str, Callable[[str], float]],
    before: dict[str, Callable[[str], float]],
    rounds: int,
    temperature: str,
) -> dict[str, Pairs]:
    """For each case the seconds of its rounds, each with those of what it is held against, right before it."""
    times: dict[str, Pairs] = {name: [] for name in cases}
    for number in range(rounds):
        for name in list(cases)[:: 1 if number % 2 == 0 else -1]:
            base = before[name](temperature) if name in before else None
            times[name].append((cases[name](temperature), base))
    return times


def ratios(pairs: Pairs) -> Quantiles | None:
    """How many times the baseline each round took; None where there is none.

    Example:
        >>> ratios([(3.0, 1.0), (4.0, 2.0), (9.0, 3.0)]).p50
        3.0
    """
    found = [seconds / base for seconds, base in pairs if base]
    return quantiles(found) if found else None


def _row(group: Group, name: str, temperature: str, pairs: Pairs, case: Case, ready: Ready, pace: Pace) -> Row:
    seconds = quantiles([pair[0] for pair in pairs])
    row = Row(group.title, name, temperature, seconds, ratios(pairs), ready.first, how=ready.how)
    middle = seconds.p50 or float("nan")
    row.compile = max(0.0, ready.first - seconds.p50) if case.compiles else None
    row.images_per_second = case.images / middle if case.images else None
    rates = pace.machine.rates(case.dtype) if pace.machine and case.work else None
    if case.work and rates:
        row.limit_shares = {fusion: least / middle for fusion, least in limits_of(case.work, rates).items()}
    row.error = relative_error(case.run(), case.exact()) if case.exact else None
    return row


def relative_error(found: object, exact: torch.Tensor) -> float:
    """The largest difference over the exact values' largest magnitude.

    Example:
        >>> relative_error(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0]))
        0.25
    """
    assert isinstance(found, torch.Tensor), "only tensors are compared"
    largest = float(exact.abs().max()) or 1.0
    return float((found.detach().double().cpu() - exact.detach().double().cpu()).abs().max()) / largest
