"""Journals of comparisons made worse: edited by hand, lines moved and doubled, lines of other runs between them."""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_mutations import change_bytes, change_json, change_words

_KEYS = ("0123456789abcdef", "fedcba9876543210")


def _contents(run: int) -> Any:
    from funcam.comparison.contents import Contents
    from funcam.comparison.dataset import Example

    return Contents([Example(f"{name}.png", lambda: None, source=f"{name} {run}") for name in "abcd"])  # type: ignore[arg-type, return-value]


def _records(run: int) -> list[dict[str, Any]]:
    maps = [{"layer": "x", "method": "grad-cam", "energy": 0.25, "boxes": [1, 2.5, None]}]
    return [
        {"image": f"{name}.png", "subset": "single", "asked": 0, "class": run, "maps": maps, "shown": kind}
        for name in "abcd"
        for kind in ("é", "b")
    ]


@cache
def journal() -> bytes:
    """What two comparisons wrote down, each with its key; then one of other images of the same names."""
    from funcam.comparison.journal import Journal

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.jsonl")
        for key, run in ((_KEYS[0], 0), (_KEYS[1], 0), (_KEYS[0], 1)):
            Journal(path).add(key, _records(run), _contents(run))
        return path.read_bytes()


def read(path: Path) -> None:
    """Every record is one that was written of this image under this key, and there once; some may be missing."""
    from funcam.comparison.journal import Journal
    from funcam.errors import FuncamError

    found = Journal(path)
    records = list(found.records({_KEYS[0]}, _contents(0)))
    left = [json.dumps(record) for record in _records(0)]
    for record in records:
        assert record.pop("key") == _KEYS[0]
        record.pop("seal", None)  # it is the line's
        del record["content"]
        left.remove(json.dumps(record))
    if found.damaged and not records:
        raise FuncamError("no line can be used")


def edit(rng: random.Random, data: bytes) -> bytes:
    """Lines with other values, swapped, doubled, put together, cut, or with the key, seal or content of others."""
    lines = data.splitlines(keepends=True)
    for _ in range(rng.randint(1, 3)):
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        match rng.randrange(7):
            case 0:
                lines[one] = _with_other_values(rng, lines[one])
            case 1:
                lines[one], lines[other] = lines[other], lines[one]
            case 2:
                lines.insert(one, lines[other])
            case 3:
                lines[one] = lines[one].rstrip(b"\n") + lines[other]
            case 4:
                lines[one] = lines[one][: rng.randrange(len(lines[one]) + 1)]
            case 5:
                part = slice(*rng.choice([(9, 25), (48, 80), (97, 129)]))
                lines[one] = lines[one][: part.start] + lines[other][part] + lines[one][part.stop :]
            case _:
                lines[one] = rng.choice([change_bytes, change_words])(rng, lines[one])
    return b"".join(lines)


def _with_other_values(rng: random.Random, line: bytes) -> bytes:
    try:
        return change_json(rng, line) + b"\n"
    except ValueError:  # it was cut before
        return change_words(rng, line)
