"""The tables that ``funcam compare`` prints: figures with their intervals, and the conclusion in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from funcam.comparison.plan import METRICS
from funcam.comparison.run import Run

_SUBSETS = {"all": "all images", "single": "single objects", "multiple": "several objects"}
_SHOWN = ("max-box-acc-v2", "pointing-game", "energy", "coverage", "insertion", "deletion", "average-drop")


def print_figures(console: Console, run: Run, folder: Path) -> None:
    """Print a table for each subset, the conclusion, and where everything is.

    Example:
        >>> print_figures(Console(), run, Path("comparison"))  # doctest: +SKIP
    """
    subsets = [subset for subset in _SUBSETS if any(row["subset"] == subset for row in run.rows)]
    for subset in subsets if len(subsets) > 2 else subsets[:1]:
        console.print(_table([row for row in run.rows if row["subset"] == subset], _SUBSETS[subset]))
        console.print()
    for sentence in run.conclusions:
        console.print(escape(sentence), soft_wrap=True)
    console.print(
        f"{run.images} image{'s' * (run.images != 1)} compared; results in [bold]{escape(str(folder))}[/]",
        soft_wrap=True,
    )


def _table(rows: Sequence[dict[str, Any]], subset: str) -> Table:
    shown = [name for name in _SHOWN if any(row["metric"] == name for row in rows)]
    counts = {row["n"] for row in rows}
    table = Table(
        title=f"[bold]{subset}[/] (n = {max(counts)}), % with 95 % intervals",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("net", "layer", "method"):
        table.add_column(name, no_wrap=True)
    for name in shown:
        table.add_column(METRICS[name].title, justify="right", no_wrap=True)
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in rows:
        place = (row["net"], row["layer"], row["method"])
        cells.setdefault(place, {})[row["metric"]] = _cell(row)
    for place, found in cells.items():
        table.add_row(*map(escape, place), *(found.get(name, "") for name in shown))
    return table


def _cell(row: dict[str, Any]) -> str:
    value, low, high = (100 * row[key] for key in ("value", "low", "high"))
    return f"{value:.1f} [dim]{low:.1f}..{high:.1f}[/]"
