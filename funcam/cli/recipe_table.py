"""What `funcam evaluate` prints: the ranking of recipes, and the best one with how to use it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from funcam.cli.comparison_table import figure_text
from funcam.cli.tables import Column, plain, print_prose, print_table
from funcam.comparison.plan import METRICS
from funcam.searching.choosing import RankedRecipe
from funcam.searching.recommendation import Recommendation, RecommendedRecipe
from funcam.searching.wording import described
from funcam.statistics.intervals import Interval

_SHOWN = 12
_FIGURES = ("chosen on", "found on", "cost")


def print_recommendation(console: Console, recommendation: Recommendation, file: Path) -> None:
    """Print the ranking, the best recipe against the network's default, and the command that uses it.

    Example:
        >>> print_recommendation(Console(), recommendation, Path("evaluation/recipe.json"))  # doctest: +SKIP
    """
    metric = METRICS[recommendation.metric]
    unit = " in %" if metric.share else ""
    images = recommendation.best.ranked.chosen_on.n, recommendation.best.ranked.found_on.n
    halves = f"chosen on {images[0]} images, found on {images[1]} others"
    title = f"[bold]{plain(recommendation.net)}[/], {metric.title}{unit}: {halves}"
    columns = [Column("recipe", prose=True), *(Column(name, right=True) for name in _FIGURES)]
    shown = recommendation.ranking[:_SHOWN]
    if recommendation.default.recipe not in [row.recipe for row in shown]:
        shown = [*shown, recommendation.default]
    print_table(console, columns, [_cells(recommendation, row) for row in shown], title=title)
    tried = len(recommendation.ranking)
    print_prose(console, f"{tried} recipes tried; cost in forward passes of the network at its own size")
    for line in recommendation.skipped:
        print_prose(console, f"left out: {plain(line)}", style="dim")
    _print_best(console, recommendation, file)


def _cells(recommendation: Recommendation, row: RankedRecipe) -> list[str]:
    recipe = row.recipe
    mark = " (default)" if recipe == recommendation.default.recipe else ""
    return [
        plain(described(recipe)) + mark,
        _figure(recommendation, row.chosen_on),
        _figure(recommendation, row.found_on),
        f"{recommendation.costs[recipe]:.1f}",
    ]


def _print_best(console: Console, recommendation: Recommendation, file: Path) -> None:
    for sentence in (_line(recommendation, "best", recommendation.best), *map(plain, recommendation.sentences)):
        print_prose(console, sentence)
    level = recommendation.best.threshold
    if level is not None:
        at = f"{_figure(recommendation, level.found_on)} at that level"
        print_prose(console, f"boxes are best above {level.level:g} of a map's maximum: {at}")
    lines = [f"to use it: funcam explain ... {plain(recommendation.best.options)}"]
    lines.append(f"or funcam explain ... --recipe [bold]{plain(str(file))}[/], which has all of this")
    if recommendation.frugal is not None:
        lines.append(_line(recommendation, "nearly as good for less", recommendation.frugal))
        lines.append(f"to use it: funcam explain ... {plain(recommendation.frugal.options)}")
    for line in lines:
        console.print(line, soft_wrap=True)


def _line(recommendation: Recommendation, title: str, recommended: RecommendedRecipe) -> str:
    recipe = recommended.ranked.recipe
    figure, cost = _figure(recommendation, recommended.ranked.found_on), recommendation.costs[recipe]
    return f"[bold]{title}:[/] {plain(described(recipe))}: {figure}, {cost:.1f} forward passes"


def _figure(recommendation: Recommendation, interval: Interval) -> str:
    return figure_text(METRICS[recommendation.metric], *interval[:3])
