"""The tables that `funcam compare` prints: figures with their intervals, and the conclusion in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from funcam.cli.tables import Column, plain, print_prose, print_table
from funcam.comparison.findings import ComparisonResult
from funcam.comparison.plan import (
    ARCC,
    FAITHFULNESS,
    INFIDELITY,
    LOCALISATION,
    METRICS,
    ROAD,
    SANITY,
    Metric,
)
from funcam.report.data import Result

_SUBSETS = {"all": "all images", "single": "single objects", "multiple": "several objects"}
_PLACE = ("net", "layer", "method")
_SHOWN = {
    LOCALISATION: ("max-box-acc-v2", "pointing-game", "energy", "coverage"),
    FAITHFULNESS: ("insertion", "deletion", "average-drop", "average-gain"),
    ROAD: ("road", "road-most", "road-least"),
    ARCC: ("complexity", "coherency", "adcc", "arcc"),
    INFIDELITY: ("infidelity", "sensitivity-n"),
    SANITY: ("cascading", "cascading-all", "independent"),
}
"""The figures that fit beside each other; all of them are in `results.csv`."""


def print_figures(console: Console, result: ComparisonResult, folder: Path) -> None:
    """Print the figures, the conclusion, and where everything is.

    Example:
        >>> print_figures(Console(), result, Path("comparison"))  # doctest: +SKIP
    """
    for group, shown in _SHOWN.items():
        measured = [row for row in result.rows if row.metric in shown]
        subsets = [subset for subset in _SUBSETS if any(row.subset == subset for row in measured)]
        if group != LOCALISATION or len(subsets) == 2:  # all of them are single, or several
            subsets = subsets[:1]
        for subset in subsets:
            _print_table(console, [row for row in measured if row.subset == subset], shown, _SUBSETS[subset])
            console.print()
    if result.headline:
        print_prose(console, f"[bold]{plain(result.headline)}[/]")
    for sentence in result.conclusions:
        print_prose(console, plain(sentence))
    console.print(
        f"{result.images} image{'s' * (result.images != 1)} compared; results in [bold]{plain(str(folder))}[/]",
        soft_wrap=True,
    )


def _print_table(console: Console, rows: Sequence[Result], names: Sequence[str], subset: str) -> None:
    shown = [name for name in names if any(row.metric == name for row in rows)]
    unit = "% with 95 % intervals" if METRICS[shown[0]].share else "with 95 % intervals"
    count = max(row.n for row in rows)
    columns = [*map(Column, _PLACE), *(Column(METRICS[name].title, right=True) for name in shown)]
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        figure = figure_text(METRICS[row.metric], row.value, row.low, row.high)
        cells.setdefault((row.net, row.layer, row.method), {})[row.metric] = figure
    lines = [[*map(plain, place), *(figures.get(name, "") for name in shown)] for place, figures in cells.items()]
    title = f"[bold]{subset}[/] (n = {count}), {unit}"
    print_table(console, columns, lines, title=title, keys=len(_PLACE), split=True)


def figure_text(metric: Metric, value: float, low: float, high: float) -> str:
    """A figure with its interval, in percent where it is a share; of one image there is no interval.

    Example:
        >>> figure_text(METRICS["energy"], 0.5, 0.4, 0.6)
        '50.0 [dim]40.0..60.0[/]'
    """
    if math.isnan(value):
        return "-"
    numbers = [f"{100 * number:.1f}" if metric.share else f"{number:.3g}" for number in (value, low, high)]
    return numbers[0] if math.isnan(low) else f"{numbers[0]} [dim]{numbers[1]}..{numbers[2]}[/]"
