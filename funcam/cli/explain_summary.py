"""The tables that `funcam explain` prints: the top predictions, what was written, and the cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from rich.bar import Bar
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from funcam.zoo.nets import Net

_DETAILED = 3
_BAR, _BESIDE = 24, 52  # columns of the bar of a probability, and of what stands beside it


def print_summary(console: Console, net: Net, records: Sequence[dict[str, Any]], folder: Path) -> None:
    """Print what the network said: in full for a few images, a line each for many.

    Example:
        >>> print_summary(Console(), net, records, Path("results"))  # doctest: +SKIP
    """
    if len(records) <= _DETAILED:
        for record in records:
            console.print(_predictions(record, bar=min(_BAR, max(0, console.width - _BESIDE))))
            console.print("[bold]written[/]")
            for line in _files(record):  # never folded: a name in two pieces can't be copied
                console.print(f"  {escape(line)}", soft_wrap=True)
            console.print()
    else:
        console.print(_overview(records))
    for note in dict.fromkeys(note for record in records for note in record["notes"]):
        console.print(f"[yellow]note[/] {escape(note)}", soft_wrap=True)
    seconds = sum(record["seconds"] for record in records)
    count = f"{len(records)} image{'s' * (len(records) != 1)}"
    console.print(
        f"{count} explained in {seconds:.2f} s with {escape(net.name)} ({escape(net.weights)}) at "
        f"{escape(records[0]['layer'])}; "
        f"results in [bold]{escape(str(folder))}[/]",
        soft_wrap=True,
    )


def _predictions(record: dict[str, Any], bar: int) -> Table:
    explained = {entry["index"] for entry in record["explained"]}
    table = Table(title=f"[bold]{escape(record['image'])}[/]", title_justify="left", box=None, pad_edge=False)
    table.add_column("class", justify="right", no_wrap=True)
    table.add_column("name")
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("", width=bar)
    table.add_column("", no_wrap=True)
    for entry in _rows(record):
        mark = "explained" if entry["index"] in explained else ""
        probability = entry["probability"]
        drawn = Bar(1, 0, probability, width=bar, color="green" if mark else "bright_black") if bar else ""
        table.add_row(str(entry["index"]), escape(entry["name"]), f"{probability:.1%}", drawn, mark)
    return table


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The top predictions, then what was explained besides."""
    rows = {entry["index"]: entry for entry in [*record["predictions"], *record["explained"]]}
    return list(rows.values())


def _files(record: dict[str, Any]) -> list[str]:
    """What was written: the panel and the record, then a line of pictures for each class."""
    return ["  ".join(record["files"].values()), *(_braced(list(e["files"].values())) for e in record["explained"])]


def _braced(names: Sequence[str]) -> str:
    """File names that differ in one word, short and still understood by a shell: dog-{cam,gb}.jpg."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    start = "".join(letters[0] for letters in same)
    start = start[: start.rfind("-") + 1]
    end = names[0][names[0].rindex(".") :]
    return f"{start}{{{','.join(name.removeprefix(start).removesuffix(end) for name in names)}}}{end}"


def _overview(records: Sequence[dict[str, Any]]) -> Table:
    table = Table("image", "predicted", "probability", "explained", "panel", box=None, pad_edge=False)
    for record in records:
        first = record["predictions"][0]
        names = ", ".join(entry["name"] for entry in record["explained"])
        row = (record["image"], first["name"], f"{first['probability']:.1%}", names, record["files"]["panel"])
        table.add_row(*map(escape, row))
    return table
