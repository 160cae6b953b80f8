"""What `funcam evaluate` prints: the ranking of recipes, and the best one with how to use it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from funcam.cli.comparison_table import told
from funcam.cli.tables import Column, print_prose, print_table
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
    columns = [Column("recipe", prose=True), *(Column(name, right=True) for name in _FIGURES)]
    choices = [*advice.ranking[:_SHOWN]]
    if all(choice.recipe != advice.default.recipe for choice in choices):
        choices.append(advice.default)
    print_table(console, columns, [_row(advice, choice) for choice in choices], title=title)
    print_prose(console, f"{len(advice.ranking)} recipes tried; cost in forward passes of the network at its own size")
    for line in advice.skipped:
        print_prose(console, f"left out: {escape(line)}", style="dim")
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
    for sentence in (_told(advice, "best", advice.best), *map(escape, advice.sentences)):
        print_prose(console, sentence)
    lines = []
    level = advice.best.threshold
    if level is not None:
        at = f"{_figure(advice, level.found_on)} at that level"
        print_prose(console, f"boxes are best above {level.level:g} of a map's maximum: {at}")
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
