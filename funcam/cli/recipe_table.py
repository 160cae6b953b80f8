"""What `funcam evaluate` prints: the ranking of recipes, and the best one with how to use it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from funcam.cli.comparison_table import told
from funcam.comparison.plan import METRICS
from funcam.searching.advice import Advice, Advised
from funcam.searching.choosing import Choice
from funcam.statistics.intervals import Interval

_SHOWN = 12
_FIGURES = ("chosen on", "found on", "cost")


def print_advice(console: Console, advice: Advice, file: Path) -> None:
    """Print the ranking, the best recipe against the network's default, and the command that uses it.

    Example:
        >>> print_advice(Console(), advice, Path("evaluation/recipe.json"))  # doctest: +SKIP
    """
    metric = METRICS[advice.metric]
    unit = " in %" if metric.share else ""
    chose, found = advice.best.choice.chosen_on.n, advice.best.choice.found_on.n
    title = f"[bold]{escape(advice.net)}[/], {metric.title}{unit}: chosen on {chose} images, found on {found} others"
    table = Table("recipe", title=title, title_justify="left", box=None, pad_edge=False)
    for name in _FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    for choice in advice.ranking[:_SHOWN]:
        table.add_row(*_row(advice, choice))
    if all(choice.recipe != advice.default.recipe for choice in advice.ranking[:_SHOWN]):
        table.add_row(*_row(advice, advice.default))
    console.print(table)
    console.print(
        f"{len(advice.ranking)} recipes tried; cost in forward passes of the network at its own size", soft_wrap=True
    )
    for line in advice.skipped:
        console.print(f"[dim]left out: {escape(line)}[/]", soft_wrap=True)
    _print_best(console, advice, file)


def _row(advice: Advice, choice: Choice) -> list[str]:
    recipe = choice.recipe
    mark = " (default)" if recipe == advice.default.recipe else ""
    return [
        escape(recipe.words) + mark,
        _figure(advice, choice.chosen_on),
        _figure(advice, choice.found_on),
        f"{advice.costs[recipe]:.1f}",
    ]


def _print_best(console: Console, advice: Advice, file: Path) -> None:
    lines = [_told(advice, "best", advice.best), *map(escape, advice.sentences)]
    level = advice.best.threshold
    if level is not None:
        at = f"{_figure(advice, level.found_on)} at that level"
        lines.append(f"boxes are best above {level.level:g} of a map's maximum: {at}")
    lines.append(f"to use it: funcam explain ... {escape(advice.best.options)}")
    lines.append(f"or funcam explain ... --recipe [bold]{escape(str(file))}[/], which has all of this")
    if advice.frugal is not None:
        lines.append(_told(advice, "nearly as good for less", advice.frugal))
        lines.append(f"to use it: funcam explain ... {escape(advice.frugal.options)}")
    for line in lines:
        console.print(line, soft_wrap=True)


def _told(advice: Advice, title: str, advised: Advised) -> str:
    recipe = advised.choice.recipe
    figure, cost = _figure(advice, advised.choice.found_on), advice.costs[recipe]
    return f"[bold]{title}:[/] {escape(recipe.words)}: {figure}, {cost:.1f} forward passes"


def _figure(advice: Advice, found: Interval) -> str:
    return told(METRICS[advice.metric], *found[:3])
