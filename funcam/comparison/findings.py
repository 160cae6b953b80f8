"""What a comparison found: the figures of what the journal holds, and the files in which they are written."""

from __future__ import annotations

import csv
import io
import json
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from funcam import __version__
from funcam.comparison.aggregation import collected, figures_of
from funcam.comparison.conclusions import conclusions
from funcam.comparison.dataset import Example
from funcam.comparison.journal import Journal
from funcam.comparison.plan import Plan, Rival
from funcam.errors import FuncamError
from funcam.files import write_atomically
from funcam.report.data import Pair, Result

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
    """

    rows: list[Result]
    pairs: list[Pair]
    conclusions: list[str]
    problems: list[str]
    images: int


def summarise(
    rivals: Sequence[Rival], examples: Sequence[Example], plan: Plan, journal: Journal, problems: list[str]
) -> ComparisonResult:
    """The figures of what the journal holds for these networks and images.

    Raises:
        FuncamError: there is nothing.
    """
    values, keys, subsets = collected(_records_of(rivals, examples, plan, journal))
    if not values:
        raise FuncamError(f"no image could be compared: {problems[0] if problems else 'nothing was measured'}")
    rows, pairs = figures_of(values, keys, subsets)
    images = {image for shown in keys.values() for image, _ in shown}
    return ComparisonResult(rows, pairs, conclusions(rows, pairs), problems, len(images))


def _records_of(
    rivals: Iterable[Rival], examples: Sequence[Example], plan: Plan, journal: Journal
) -> Iterator[dict[str, Any]]:
    """The records of these networks and images, one at a time."""
    labels = labels_by_key(rivals, plan)
    names = {example.name for example in examples}
    for record in journal.records(set(labels)):
        if record["image"] in names:
            for label in labels[record["key"]]:
                yield {**record, "net": label}


def labels_by_key(rivals: Iterable[Rival], plan: Plan) -> dict[str, list[str]]:
    """The networks by what is computed with them: one network under two labels is computed once."""
    labels: dict[str, list[str]] = defaultdict(list)
    for rival in rivals:
        labels[plan.key(rival)].append(rival.label)
    return labels


def versions() -> dict[str, str]:
    """Of what figures depend on.

    Example:
        >>> list(versions())
        ['funcam', 'torch', 'torchvision', 'numpy']
    """
    return {"funcam": __version__, **{name: version(name) for name in ("torch", "torchvision", "numpy")}}


def write_comparison(result: ComparisonResult, rivals: Sequence[Rival], plan: Plan, folder: Path) -> None:
    """Write `results.csv`, then `results.json`: figures, differences, conclusions, configuration, versions."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, result.rows))
    write_atomically(folder / "results.csv", stream.getvalue().encode())
    document = {
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
    text = json.dumps(finite(document), indent=1, ensure_ascii=False, default=str) + "\n"
    write_atomically(folder / "results.json", text.encode(errors="backslashreplace"))


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
