"""Class names: finding a class by index or name, and reading a file of names. Imports no torch."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, nearest, quoted
from funcam.files import MIB, parse_json, read_text

_LARGEST = 16 * MIB

_LONGEST = 1000
"""No name of a class is longer."""

_LONGEST_FOLDED = 64
"""Unicode's forms of longer ones are not looked at: for a name of nothing but accents that takes its length squared."""

_SHOWN = 8
"""So many candidates an error message lists before it counts."""


def class_name(index: int, classes: Sequence[str]) -> str:
    """What an index means: a class, or with `~index` what speaks against one.

    Args:
        index: of the class, or `~index`.
        classes: the name of each.

    Example:
        >>> class_name(0, ["cat"]), class_name(~0, ["cat"])
        ('cat', 'not cat')
    """
    return classes[index] if index >= 0 else f"not {classes[~index]}"


def find_class(text: str, classes: Sequence[str]) -> int:
    """The index of the class that a user means.

    Digits are an index. A name to the letter is that class. Otherwise case, underscores and Unicode's several
    spellings don't count, and the first of these comparisons that any class meets decides: the whole name, whole
    words of it, its beginning, any part of it.

    Args:
        text: an index such as "281", or (a part of) a name such as "tabby".
        classes: the name of each class, in order.

    Raises:
        FuncamError: the index is out of range, no class has the name (the nearest are offered), or several have it
            (they are listed).

    Example:
        >>> find_class("siamese", ("tabby", "Siamese cat", "crane"))
        1
    """
    wanted = folded(text)
    if is_index(text):
        return _checked_index(int(text.strip()), len(classes))
    if not wanted:
        raise FuncamError("the class is empty; give its index or its name")
    if classes.count(text) == 1:
        return classes.index(text)  # ImageNet has a Cardigan, which is a dog, and a cardigan
    alike = [folded(name) if max(len(name), len(text)) <= _LONGEST else "" for name in classes]
    for meets in _MATCHES:
        matches = [index for index, name in enumerate(alike) if meets(wanted, name)]
        if len(matches) > 1:
            raise FuncamError(
                f"class {quoted(text)} is ambiguous: {_listed(matches, classes)}; give an index or a longer name"
            )
        if matches:
            return matches[0]
    raise FuncamError(f"class {quoted(text)} is unknown; nearest: {nearest(text, classes)}; give an index or a name")


def find_meant(text: str, classes: Sequence[str]) -> int:
    """The index of the class that is meant; `~index`, what speaks against it, for `not NAME`.

    Args:
        text: an index, a name, or `not NAME`.
        classes: the name of each class, in order.

    Raises:
        FuncamError: as `find_class`, or nothing stands behind `not`.

    Example:
        >>> find_meant("not tabby", ("tabby", "crane")) == ~0
        True
    """
    if text.strip().lower() == "not" and text not in classes:
        raise FuncamError(f"class {text!r} names no class; give one behind it, as 'not {classes[0]}'")
    try:
        return find_class(text, classes)
    except FuncamError:
        if not text.lower().startswith("not "):
            raise
    return ~find_class(text[4:].strip(), classes)


def taken_as(text: str, classes: Sequence[str]) -> str | None:
    """What there is to say of a class that was found by a part of its name; None where there is nothing.

    Args:
        text: what `find_class` finds a class for.
        classes: the name of each class, in order.

    Example:
        >>> taken_as("star", ("starfish", "mustard", "crane"))
        "star: taken as 'starfish'; also matches 1 'mustard'"
    """
    found, wanted = find_class(text, classes), folded(text)
    if is_index(text) or folded(classes[found]) == wanted:
        return None
    others = [index for index, name in enumerate(classes) if index != found and wanted in folded(name)]
    also = f"; also matches {_listed(others, classes)}" if others else ""
    return f"{text.strip()}: taken as {classes[found]!r}{also}"


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read the names of the classes from a file.

    Args:
        path: a text file (UTF-8) with one name a line, or a JSON file: a list of names, a dict from index to name
            (`{"0": "tench"}`, or Keras's `{"0": ["n01440764", "tench"]}`), or a dict from name to index (what
            torchvision's `ImageFolder.class_to_idx` holds).

    Raises:
        FuncamError: the file is missing, no UTF-8, no such JSON, has an empty line between names, or misses an index.

    Example:
        >>> read_labels("pets.txt")  # doctest: +SKIP
        ('cat', 'dog')
    """
    file = Path(path)
    text = read_text(file, most=_LARGEST, name=f"labels file {file}", advice="write one name a line, and nothing else")
    is_json = file.suffix.lower() == ".json" or text.lstrip().startswith("{")
    names = _json_names(text, file) if is_json else _line_names(text, file)
    if not names:
        raise FuncamError(f"labels file {file} holds no names; write one name a line, in the order of the classes")
    return names


def folded(text: str) -> str:
    """A name without what doesn't count in a comparison: case, underscores, Unicode's several spellings.

    Example:
        >>> folded("Golden_Retriever")
        'golden retriever'
    """
    same = unicodedata.normalize("NFKC", text) if len(text) <= _LONGEST_FOLDED else text
    return " ".join(same.casefold().replace("_", " ").split())


def is_index(text: str) -> bool:
    """Whether a text is a whole number that may be an index; Python takes "²" for a digit, and 5,000 of them for none.

    Example:
        >>> is_index(" 281"), is_index("-1"), is_index("²"), is_index("9" * 5000)
        (True, True, False, False)
    """
    return re.fullmatch(r"-?\d{1,18}", text.strip()) is not None


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes that nobody named.

    Example:
        >>> numbered(2)
        ('class 0', 'class 1')
    """
    return tuple(f"class {index}" for index in range(count))


_MATCHES: tuple[Callable[[str, str], bool], ...] = (
    lambda wanted, name: name == wanted,
    lambda wanted, name: wanted in name and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", name) is not None,
    lambda wanted, name: name.startswith(wanted),
    lambda wanted, name: wanted in name,
)


def _checked_index(index: int, count: int) -> int:
    if 0 <= index < count:
        return index
    raise FuncamError(f"class {index} is out of range: the network has {count} classes, 0 to {count - 1}")


def _listed(indices: list[int], classes: Sequence[str]) -> str:
    rest = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
    return ", ".join(f"{index} {classes[index]!r}" for index in indices[:_SHOWN]) + rest


def _line_names(text: str, file: Path) -> tuple[str, ...]:
    names = [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []
    for number, name in enumerate(names, start=1):
        if not name:  # to skip it would move every name after it to another class
            raise FuncamError(f"labels file {file}: line {number} is empty; write one name a line, one for each class")
    return tuple(names)


def _json_names(text: str, file: Path) -> tuple[str, ...]:
    expected = "expected a list of names or a dict from index to name"
    content = parse_json(text, f"labels file {file}", expected)
    if isinstance(content, dict):
        content = _ordered(content, file, expected)
    names = [_name(entry) for entry in content] if isinstance(content, list) else [None]
    if None in names:
        raise FuncamError(f"labels file {file} holds other things than names; {expected}")
    return tuple(name for name in names if name)


def _ordered(content: dict[str, Any], file: Path, expected: str) -> list[Any]:
    """The names of a dict from index to name, or from name to index, in the order of the indices."""
    if content and all(type(value) is int for value in content.values()):
        pairs: list[tuple[int, Any]] = [(index, name) for name, index in content.items()]
    elif all(map(is_index, content)):
        pairs = [(int(key), name) for key, name in content.items()]
    else:
        raise FuncamError(f"labels file {file} has keys that are no indices; {expected}")
    pairs.sort(key=lambda pair: pair[0])
    for expected_index, (index, _) in enumerate(pairs):
        if index != expected_index:
            raise FuncamError(f"labels file {file}: index {expected_index} is missing or given twice; {expected}")
    return [name for _, name in pairs]


def _name(entry: Any) -> str | None:
    """The name in an entry: text, or Keras's ["n01440764", "tench"]; None where it is no name."""
    if isinstance(entry, list) and entry:
        entry = entry[-1]
    return entry.strip() or None if isinstance(entry, str) else None
