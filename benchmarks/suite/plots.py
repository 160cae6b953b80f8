"""Bar charts as SVG: a bar for each case's median, a line over its middle 60 %."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.suite.statistics import Quantiles

LINE, LEFT, WIDTH, RIGHT = 20, 250, 420, 90
OURS, THEIRS, INK = "#2563a8", "#a0a7b0", "#57606a"


@dataclass(frozen=True)
class Bar:
    """A case: its name, its figures, and whether it is a peer's."""

    name: str
    figure: Quantiles
    peer: bool = False


def chart(title: str, bars: Sequence[Bar], unit: str) -> str:
    """The picture, readable on a bright and on a dark page.

    Raises:
        ValueError: there are no bars.
    """
    if not bars:
        raise ValueError(f"nothing to plot for {title!r}; expected at least one case")
    largest = max(bar.figure.p80 for bar in bars) or 1.0
    height = LINE * (len(bars) + 2)
    total = LEFT + WIDTH + RIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}" role="img" aria-label="{escape(title, quote=True)}">',
        f'<text x="4" y="15" font-weight="bold">{escape(title)} ({escape(unit)})</text>',
    ]
    for number, bar in enumerate(bars):
        lines += _drawn(bar, LINE * (number + 1) + 6, WIDTH / largest)
    return "\n".join([*lines, "</svg>", ""])


def _drawn(bar: Bar, top: float, scale: float) -> list[str]:
    low, middle, high = (LEFT + value * scale for value in (bar.figure.p20, bar.figure.p50, bar.figure.p80))
    centre = top + LINE / 2 - 2
    return [
        f'<text x="{LEFT - 6}" y="{centre + 4:.0f}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect x="{LEFT}" y="{top:.0f}" width="{middle - LEFT:.1f}" height="{LINE - 5}" '
        f'fill="{THEIRS if bar.peer else OURS}"/>',
        f'<path d="M{low:.1f} {centre:.1f}H{high:.1f}" stroke="{INK}" stroke-width="2"/>',
        f'<text x="{high + 5:.1f}" y="{centre + 4:.0f}">{bar.figure.p50:.3g}</text>',
    ]
