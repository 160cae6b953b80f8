"""What a comparison found: the figures of what the journal holds, and the files in which they are written."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from funcam.comparison.aggregation import collected, figures_of
from funcam.comparison.conclusions import FEW, conclusions, headline
from funcam.comparison.contents import Contents
from funcam.comparison.journal import Journal
from funcam.comparison.plan import Plan, Rival
from funcam.errors import FuncamError, json_text, printable
from funcam.files import write_atomically
from funcam.report.data import Pair, Result
from funcam.resuming.places import ASKED, Place
from funcam.resuming.versions import versions

RESULTS = "results"
"""What the files are called, if that name is free."""

COLUMNS = tuple(field.name for field in fields(Result))
"""Of `results.csv`."""


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison found.

    Attributes:
        rows: the figures.
        pairs: paired differences between networks and between methods, with their significance.
        conclusions: what they say, in words.
        problems: the images that could not be done, a line each.
        images: how many were done.
        measured: where the journal has it.
        notes: what there is to say besides, a line each.
        headline: what all of it comes to, in one sentence.
        record: the file in which all of it is; None where it isn't written.
    """

    rows: list[Result]
    pairs: list[Pair]
    conclusions: list[str]
    problems: list[str]
    images: int
    measured: Measured
    notes: list[str]
    headline: str = ""
    record: Path | None = None


@dataclass(frozen=True)
class Measured:
    """What of a journal belongs to a comparison.

    Attributes:
        keys: by the networks' labels; two labels of one network share theirs, and are computed once.
        contents: of the images.
    """

    keys: Mapping[str, str]
    contents: Contents

    def records(self, journal: Journal) -> Iterator[dict[str, Any]]:
        """The records one at a time, each with its network's label."""
        for record in journal.records(set(self.keys.values()), self.contents):
            for label, key in self.keys.items():
                if key == record["key"]:
                    yield {**record, "net": label}


def summarise(measured: Measured, journal: Journal, problems: list[str], notes: list[str]) -> ComparisonResult:
    """The figures of what the journal holds for some networks and images; problems and notes are passed on.

    Raises:
        FuncamError: there is nothing.
    """
    values, keys, subsets = collected(measured.records(journal))
    values = {place: values[place] for label in measured.keys for place in values if place[0] == label}
    if not values:
        raise FuncamError(f"no image could be compared: {problems[0] if problems else 'nothing was measured'}")
    rows, pairs = figures_of(values, keys, subsets)
    images = {image for shown in keys.values() for image, _ in shown}
    told = conclusions(rows, pairs, least=FEW, original=False)
    return ComparisonResult(rows, pairs, told, problems, len(images), measured, notes, headline(rows, pairs))


def write_comparison(result: ComparisonResult, rivals: Sequence[Rival], plan: Plan, place: Place) -> Path:
    """Write `results.json`, figures, differences, conclusions, configuration, versions; then `results.csv`.

    In this order, as the first tells whose the second is.

    Args:
        result: the figures.
        rivals: the networks.
        plan: what was computed.
        place: where to.

    Returns:
        The first file.
    """
    files = _files(place.name(RESULTS, lambda name: _files(name).values()))
    document = {**_document(result, rivals, plan), "files": files, ASKED: place.asked}
    text = json_text(finite(document), indent=1) + "\n"
    write_atomically(place.folder / files["record"], text.encode(errors="backslashreplace"), links=False)
    write_atomically(place.folder / files["table"], _table(result), links=False)
    place.done(document)
    return place.folder / files["record"]


def _files(name: str) -> dict[str, str]:
    return {"record": f"{name}.json", "table": f"{name}.csv"}


def _table(result: ComparisonResult) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in asdict(row).items()} for row in result.rows)
    return stream.getvalue().encode()


def _document(result: ComparisonResult, rivals: Sequence[Rival], plan: Plan) -> dict[str, Any]:
    return {
        "headline": result.headline,
        "conclusions": result.conclusions,
        "results": [asdict(row) for row in result.rows],
        "pairs": [_pair_document(pair) for pair in result.pairs],
        "images": result.images,
        "problems": result.problems,
        "config": {
            **plan.document([rival.label for rival in rivals]),
            "nets": [{"label": r.label, "name": r.net.name, "weights": r.net.weights} for r in rivals],
        },
        "versions": {"python": platform.python_version(), **versions()},
    }


_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with; where letters are wide, these signs as wide ones too."""


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, and no terminal for a command; numbers are themselves."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _pair_document(pair: Pair) -> dict[str, Any]:
    """A difference for JSON, with what both sides share and without what only the other kind of pair has."""
    shared = "method" if pair.kind == "net" else "net"
    names = ("kind", "a", "b", shared, "metric", "subset", "difference", "low", "high", "p", "n")
    return {name: getattr(pair, name) for name in names}


def finite(value: Any) -> Any:
    """A document with null where it has NaN, which is no JSON."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and value != value else value
