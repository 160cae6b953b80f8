"""The form of a record of the journal: whoever edits a line and seals it again may have written anything into it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from funcam.comparison.plan import BASELINES, METRICS
from funcam.methods import METHODS

_MOST_SIDE = 2**8
_LENGTHS = {"overlaps": 20, "overlaps-multi": 20, "pixels": 402}
"""How many numbers the lists hold that figures are made of: a threshold each, twice 201."""
_LISTS = (*_LENGTHS, "insertion-curve", "deletion-curve")


def fits(record: Any) -> bool:
    """Whether something is a record as a comparison writes it; what its numbers are is not asked.

    Example:
        >>> fits({"image": "dog.jpg", "maps": None})
        False
    """
    return isinstance(record, dict) and _has(record, _RECORD) and all(_is_map(each) for each in record["maps"])


def _has(entry: Mapping[str, Any], form: Mapping[str, Callable[[Any], bool]]) -> bool:
    return all(name in entry and is_one(entry[name]) for name, is_one in form.items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**31


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and not abs(value) >= 1e30  # NaN is one


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


_RECORD: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("image", "subset", "name", "predicted_name"), _is_text),
    **dict.fromkeys(("class", "predicted"), _is_whole),
    **dict.fromkeys(("probability", "predicted_probability"), _is_number),
    "asked": lambda value: value is None or _is_whole(value),
    "view": lambda value: _are_numbers(value) and len(value) == 4,
    "size": lambda value: _are_numbers(value) and len(value) == 2 and min(value) > 0,
    "maps": lambda value: isinstance(value, list) and value != [],
}


def _is_map(entry: Any) -> bool:
    if not isinstance(entry, dict) or not _has(entry, {"layer": _is_text, "method": _is_text}):
        return False
    lists = [name for name in _LISTS if name in entry]
    values = all(_is_number(entry[name]) for name in METRICS if name in entry)
    values &= all(_are_numbers(entry[name]) for name in lists)
    return (
        values and all(len(entry[name]) == _LENGTHS.get(name, len(entry[name])) for name in lists) and _is_drawn(entry)
    )


def _is_drawn(entry: Mapping[str, Any]) -> bool:
    """Whether its map or picture can be drawn; a baseline's is not."""
    if entry["method"] not in METHODS:
        return entry["method"] in BASELINES
    try:
        if "picture" in entry:
            with Image.open(io.BytesIO(base64.b64decode(entry["picture"])), formats=["JPEG"]) as picture:
                return max(picture.size) <= _MOST_SIDE and picture.convert("RGB").size == picture.size
        rows, columns = entry["grid"]
        cells = len(base64.b64decode(entry["cells"]))
        return _is_whole(rows) and _is_whole(columns) and rows > 0 and 0 < rows * columns == cells
    except Exception:  # whatever stands there
        return False
