"""The tables that `funcam explain` prints: the top predictions, what was written, and the cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from rich.bar import Bar
from rich.console import Console

from funcam.cli.tables import Column, plain, print_prose, print_table
from funcam.pipeline.gallery import random_nets
from funcam.pipeline.stream import Job
from funcam.zoo.nets import Net

_DETAILED = 3
_BAR, _LEAST, _BESIDE = 24, 4, 52  # columns of the bar of a probability, and of what stands beside it


def print_summary(console: Console, net: Net, records: Sequence[dict[str, Any]], folder: Path) -> None:
    """Print what the network said: in full for a few images, a line each for many.

    Example:
        >>> print_summary(Console(), net, records, Path("results"))  # doctest: +SKIP
    """
    if len(records) <= _DETAILED:
        for record in records:
            console.print(f"[bold]{plain(record['image'])}[/]", style="table.title", soft_wrap=True)
            _print_predictions(console, record, bar=min(_BAR, max(_LEAST, console.width - _BESIDE)))
            console.print("[bold]written[/]")
            for line in _files(record):  # never folded: a name in two pieces can't be copied
                console.print(f"  {plain(line)}", soft_wrap=True)
            console.print()
    else:
        _print_overview(console, records)
    _print_notes(console, [(record["image"], record["notes"]) for record in records])
    seconds = sum(record["seconds"] for record in records)
    count = f"{len(records)} image{'s' * (len(records) != 1)}"
    console.print(
        f"{count} explained in {seconds:.2f} s with {plain(net.name)} ({plain(net.weights)}) at "
        f"{plain(records[0]['layer'])}; "
        f"results in [bold]{plain(str(folder))}[/]",
        soft_wrap=True,
    )


def print_summary_of_several(console: Console, jobs: Sequence[Job], records: Sequence[dict[str, Any]]) -> None:
    """Print what several networks said: a line for each image and network.

    Example:
        >>> print_summary_of_several(Console(), jobs, records)  # doctest: +SKIP
    """
    every = [own for record in records for own in record["nets"]]
    numbers = any(own["predictions"][0]["probability"] is None for own in every)
    columns = (
        Column("image"),
        Column("network", prose=True),
        Column("predicted", prose=True),
        Column("value" if numbers else "probability"),
        Column("explained", prose=True),
    )
    rows = []
    for record in records:
        for own in record["nets"]:
            first = own["predictions"][0]
            names = ", ".join(entry["name"] for entry in own["explained"])
            rows.append([*map(plain, (record["image"], own["label"], first["name"], _said(first), names))])
    print_table(console, columns, rows)
    for record in records[:_DETAILED]:
        console.print(plain("  ".join(record["files"].values())), soft_wrap=True)
    if untrained := random_nets(jobs):
        print_prose(console, f"[yellow]note[/] {plain(untrained)}")
    _print_notes(console, [(record["image"], _notes_of(record)) for record in records])
    count = f"{len(records)} image{'s' * (len(records) != 1)}"
    console.print(
        f"{count} explained with {len(jobs)} networks; results in [bold]{plain(str(jobs[0].out))}[/]", soft_wrap=True
    )


def _notes_of(record: dict[str, Any]) -> list[str]:
    """What is told of an image, by each of several networks."""
    return [f"{own['label']}: {note}" for own in record["nets"] for note in own["notes"]]


def _print_notes(console: Console, told: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Each note once, with the images that it is of where it isn't of all.

    Args:
        console: where to.
        told: each image, and its notes.
    """
    images: dict[str, list[str]] = {}
    for image, notes in told:
        for note in dict.fromkeys(notes):
            images.setdefault(note, []).append(Path(image).name)
    for note, names in images.items():
        more = f" and {len(names) - _DETAILED} more" if len(names) > _DETAILED else ""
        of = "" if len(names) == len(told) else f"{', '.join(names[:_DETAILED])}{more}: "
        print_prose(console, f"[yellow]note[/] {plain(of + note)}")


def _print_predictions(console: Console, record: dict[str, Any], bar: int) -> None:
    explained = {(entry["index"], entry["name"]) for entry in record["explained"]}
    numbers = any(entry["probability"] is None for entry in _rows(record))
    columns = (
        Column("class", right=True),
        Column("name", prose=True),
        Column("value" if numbers else "probability", right=True),
        Column(spare=True),
        Column(),
    )
    rows = []
    for entry in _rows(record):
        mark = "explained" if (entry["index"], entry["name"]) in explained else ""
        drawn = Bar(1, 0, entry["probability"] or 0, width=bar, color="green" if mark else "bright_black")
        rows.append((str(entry["index"]), plain(entry["name"]), _said(entry), drawn, mark))
    print_table(console, columns, rows, keys=2)


def _said(entry: dict[str, Any]) -> str:
    """A probability, or the number that the network returned."""
    probability = entry["probability"]
    return f"{entry['logit']:.4g}" if probability is None else f"{probability:.1%}"


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The top predictions, then what was explained besides."""
    rows = {(entry["index"], entry["name"]): entry for entry in [*record["predictions"], *record["explained"]]}
    return list(rows.values())


def _files(record: dict[str, Any]) -> list[str]:
    """What was written: the panel and the record, then a line of pictures for each class."""
    return [
        "  ".join(record["files"].values()),
        *(_braced(list(e["files"].values())) for e in record["explained"] if e["files"]),
    ]


def _braced(names: Sequence[str]) -> str:
    """File names that differ in one word, short and still understood by a shell: dog-{cam,gb}.jpg."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    start = "".join(letters[0] for letters in same)
    start = start[: start.rfind("-") + 1]
    end = names[0][names[0].rindex(".") :]
    return f"{start}{{{','.join(name.removeprefix(start).removesuffix(end) for name in names)}}}{end}"


def _print_overview(console: Console, records: Sequence[dict[str, Any]]) -> None:
    written = "panel" if "panel" in records[0]["files"] else "record"
    columns = (
        Column("image"),
        Column("predicted", prose=True),
        Column("probability"),
        Column("explained", prose=True),
        Column(written, spare=True),
    )
    rows = []
    for record in records:
        first = record["predictions"][0]
        names = ", ".join(entry["name"] for entry in record["explained"])
        row = (record["image"], first["name"], _said(first), names, record["files"][written])
        rows.append([*map(plain, row)])
    print_table(console, columns, rows)
