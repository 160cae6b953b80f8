"""From the class names of a truth to the network's classes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from funcam.errors import FuncamError, nearest, quoted
from funcam.files import MIB, parse_json, parsing, read_text
from funcam.zoo.labels import find_class, folded, is_index

Labels: TypeAlias = Callable[[str], tuple[int, ...]]
"""The network's classes that a name in the truth means; a FuncamError where it means none."""

SYNSET_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "synsets.txt", "imagenet_class_index.json")
"""The files that say which WordNet id is which class, in the order in which they are looked for."""

_WORDNET = re.compile(r"n\d{8}")
_LARGEST = 64 * MIB
_EXPLAINED = 8
"""So many unknown names of a truth are told with the classes that are nearest."""

_LONGEST = 1000
"""Letters of a class's name: to normalise a text takes the square of the marks on one letter."""

_PARENTS = 4
"""Kaggle's LOC_synset_mapping.txt lies four folders above ILSVRC/Annotations/CLS-LOC/val."""


def labeller(classes: Sequence[str], names: Mapping[str, Sequence[int]] | None = None) -> Labels:
    """The function that turns a name in the truth into the network's classes.

    A name means the class of that name, whatever its case, underscores and spelling in Unicode; parts of names don't
    count, because a truth's "bird" is no "crane bird". Digits are an index, unless a class is called so.

    Args:
        classes: the name of each of the network's classes, in order.
        names: classes for names that the network has under others: `{"cat": [281, 282, 283, 284, 285]}`.

    Example:
        >>> labeller(("tabby", "golden retriever"), {"dog": [1]})("Golden_Retriever")
        (1,)
    """
    known = dict(names or {})
    for name, indices in known.items():
        for index in indices:
            _checked(index, classes, name)
    index_of, reasons = _by_name(classes), dict[str, FuncamError]()

    def labels(text: str) -> tuple[int, ...]:
        if text in known:
            return tuple(known[text])
        if text not in reasons:
            index = index_of(text) if len(text) <= _LONGEST else None
            if index is not None:
                return (index,)
            # The nearest names take 20 ms, and a truth may hold a hundred thousand that are unknown.
            explained = len(reasons) < _EXPLAINED and len(text) <= _LONGEST
            reasons[text] = FuncamError(_reason(text, classes if explained else ()))
        raise reasons[text].with_traceback(None)  # not a new one: to make a message takes longer than to read a row

    return labels


def wordnet_ids(texts: Iterable[str]) -> bool:
    """Whether the names are WordNet ids (`n01440764`), all of them and at least one.

    Example:
        >>> wordnet_ids(["n01440764", "n01443537"]), wordnet_ids(["tench"])
        (True, False)
    """
    listed = list(texts)
    return bool(listed) and all(_WORDNET.fullmatch(text) for text in listed)


def synsets(place: Path, classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The network's class of each WordNet id, from a mapping file in the folder `place` or one of its parents.

    Where the file has as many lines as the network has classes, the line is the class, as in torchvision's networks;
    else the names behind the ids decide. Without a file the result is empty.

    Raises:
        FuncamError: there is a file, but it can't be read.

    Example:
        >>> synsets(Path("ILSVRC/Annotations/CLS-LOC/val"), ("tench",))  # doctest: +SKIP
        {'n01440764': (0,)}
    """
    for folder in (place, *place.absolute().parents[:_PARENTS]):
        for name in SYNSET_FILES:
            if os.path.lexists(folder / name) and not os.path.isdir(folder / name):
                return _mapped(_pairs(folder / name), classes)
    return {}


def in_order(ids: Iterable[str], classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The network's class of each WordNet id by their sorted order, if there are as many as classes; else empty.

    Example:
        >>> in_order(["n02", "n01"], ("tench", "goldfish"))
        {'n01': (0,), 'n02': (1,)}
    """
    ordered = sorted(set(ids))
    return {name: (index,) for index, name in enumerate(ordered)} if len(ordered) == len(classes) else {}


def with_synsets(labels: Labels, ids: Mapping[str, tuple[int, ...]]) -> Labels:
    """`labels`, but for WordNet ids what `ids` says.

    Example:
        >>> with_synsets(labeller(("tench",)), {"n01440764": (0,)})("n01440764")
        (0,)
    """

    def labels_or_ids(text: str) -> tuple[int, ...]:
        return ids[text] if text in ids else labels(text)

    return labels_or_ids


def _by_name(classes: Sequence[str]) -> Callable[[str], int | None]:
    """The function that finds the class of a whole name, or of an index; it gives None where there is none."""
    exact, alike = (_indices(names) for names in (classes, map(folded, classes)))

    def index_of(text: str) -> int | None:
        if len(exact.get(text, ())) == 1:  # Before the digits, which are always an index to find_class.
            return exact[text][0]
        if is_index(text):
            return int(text) if 0 <= int(text) < len(classes) else None
        indices = alike.get(folded(text), ())
        return indices[0] if len(indices) == 1 else None

    return index_of


def _indices(names: Iterable[str]) -> dict[str, list[int]]:
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        indices.setdefault(name, []).append(index)
    return indices


def _reason(text: str, classes: Sequence[str]) -> str:
    """Why a name means no class; without classes to look through the nearest are not told."""
    told = f"class {quoted(text)} is none of the network's"
    if not classes:
        return told
    try:
        find_class(text, classes)
    except FuncamError as error:
        return f"{told}: {error}"
    return f"{told}; nearest: {nearest(text, classes)}"


def _checked(index: int, classes: Sequence[str], name: str) -> None:
    if not 0 <= index < len(classes):
        count = len(classes)
        raise FuncamError(f"names: {name!r} means class {index}, but the network has {count}; give 0 to {count - 1}")


def _pairs(file: Path) -> list[tuple[str, list[str]]]:
    """The WordNet ids of a mapping file in order, each with its names."""
    with parsing(f"{_quoted(file)} can't be read as WordNet ids and names", "mend it"):
        text = read_text(file, most=_LARGEST)
        if file.suffix == ".json":
            entries = parse_json(text, _quoted(file), "expected WordNet ids and names")
            return [(str(entries[key][0]), [str(entries[key][1])]) for key in sorted(entries, key=int)]
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    if not wordnet_ids(line[0] for line in lines):
        raise FuncamError(f"{_quoted(file)} should begin each line with a WordNet id such as n01440764; mend it")
    return [(line[0], [name.strip() for name in " ".join(line[1:]).split(",")]) for line in lines]


def _mapped(pairs: list[tuple[str, list[str]]], classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    if len(pairs) == len(classes):
        return {name: (index,) for index, (name, _) in enumerate(pairs)}
    index_of = _by_name(classes)
    class_of: dict[str, tuple[int, ...]] = {}
    for identity, names in pairs:
        found = (index_of(name) for name in (identity, *names))
        index = next((index for index in found if index is not None), None)
        if index is not None:  # An id without any is told where an object has it.
            class_of[identity] = (index,)
    return class_of


def _quoted(path: Path) -> str:
    return repr(os.fspath(path))
