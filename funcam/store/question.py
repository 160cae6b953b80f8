"""What a store answers: everything that its rows depend on. Rows of two questions are never mixed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from funcam.errors import FuncamError, json_text, nearest, shown, whole_number
from funcam.files import MIB, exists, parse_json, read_bytes, write_atomically
from funcam.store.encoding import MAP_TYPES
from funcam.store.layout import QUESTION
from funcam.store.listing import listed_count

FORMAT = 1
"""Of the folder's files: a store of another one is refused."""

MOST_ROWS = 2**16
"""Images of a shard, which is in memory while it is written."""

_EXPECTED = "expected the question.json of a store; remove the file, and funcam batch writes it again"
_SHOWN = 4


class Sizes(NamedTuple):
    """What the store itself needs of a question.

    Attributes:
        map_type: how maps are kept, one of `MAP_TYPES`.
        shard: images of a shard.
        batch: images of a batch.
    """

    map_type: str
    shard: int
    batch: int


def sizes_of(question: Mapping[str, Any]) -> Sizes:
    """What the store itself needs of a question.

    Raises:
        FuncamError: a part is missing or isn't what it should be.

    Example:
        >>> sizes_of({"map_type": "float16", "shard_size": 4096, "batch_size": 32})
        Sizes(map_type='float16', shard=4096, batch=32)
    """
    map_type = question.get("map_type")
    if map_type not in MAP_TYPES:
        raise FuncamError(f"map_type is {shown(map_type)}; nearest: {nearest(map_type, MAP_TYPES)}")
    shard, batch = (whole_number(name, question.get(name), 1) for name in ("shard_size", "batch_size"))
    if not batch <= shard <= MOST_ROWS:
        raise FuncamError(f"batch_size is {batch} and shard_size {shard}; expected at most {MOST_ROWS:,} and no larger")
    return Sizes(map_type, shard, batch)


def settle_question(folder: Path, question: Mapping[str, Any]) -> None:
    """Write a question into a new store, or find the same in the one that is there.

    Args:
        folder: the store.
        question: what JSON can say: mappings, lists, texts, numbers.

    Raises:
        FuncamError: it is no such question, or the store is of another one, which is told part by part. One that no
            image was listed for is replaced.

    Example:
        >>> settle_question(Path("store"), question)  # doctest: +SKIP
    """
    sizes_of(question)
    try:
        ours = json.loads(json.dumps(question, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise FuncamError(f"the question can't be written as JSON ({error}); give texts and numbers") from None
    there = read_question(folder) if exists(folder / QUESTION) else None
    if there is None or (there != ours and listed_count(folder) is None):  # no row can be there yet
        text = json_text({"format": FORMAT, "question": ours}, indent=2) + "\n"
        write_atomically(folder / QUESTION, text.encode(errors="backslashreplace"), links=False)
    parts = [f"{part} is {now}, there {there}" for part, there, now in _differing(read_question(folder), ours)]
    if parts:
        more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
        raise FuncamError(
            f"{str(folder)!r} answers another question: {'; '.join(parts[:_SHOWN])}{more}; give another folder, or the "
            "same question"
        )


def read_question(folder: Path) -> dict[str, Any]:
    """The question of a store.

    Raises:
        FuncamError: there is none, it is damaged, or it is of another version of the store's files.

    Example:
        >>> read_question(Path("no-such-store"))
        Traceback (most recent call last):
        funcam.errors.FuncamError: 'no-such-store' is no store; give a folder that funcam batch wrote
    """
    if not exists(folder / QUESTION):
        raise FuncamError(f"{str(folder)!r} is no store; give a folder that funcam batch wrote")
    document = parse_json(read_bytes(folder / QUESTION, most=64 * MIB), repr(str(folder / QUESTION)), _EXPECTED)
    if not isinstance(document, dict) or not isinstance(document.get("question"), dict):
        raise FuncamError(f"{str(folder / QUESTION)!r} is damaged; {_EXPECTED}")
    if document.get("format") != FORMAT:
        raise FuncamError(
            f"{str(folder)!r} is a store of format {shown(document.get('format'))}, this funcam writes {FORMAT}; "
            "read it with the version that wrote it, or give another folder"
        )
    sizes_of(document["question"])
    return dict(document["question"])


def _differing(there: Any, now: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """The parts in which two questions differ, and what each says."""
    if isinstance(there, dict) and isinstance(now, dict):
        for key in [*there, *(key for key in now if key not in there)]:
            yield from _differing(there.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif there != now:
        yield name, shown(there), shown(now)
