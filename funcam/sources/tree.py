"""Folders and globs: the files below a folder, one after the other in an order that doesn't change."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import groupby

from funcam.errors import FuncamError
from funcam.sources.places import Entry, entries, identity_of

_WILD = re.compile(r"([^*?\[]*/)?(.*)", re.DOTALL)
"""The folder before the first wildcard of a glob, and the rest."""

_OF_STORE = {"question.json", "listing"}
"""What lies in a folder that `funcam batch` writes (`store.layout`): its pictures are none of the source's."""


def below(folder: str, depth: int | None = None) -> Iterator[tuple[list[str], Entry]]:
    """The files below a folder, each folder's entries sorted by name; what is hidden is left out.

    A link to a folder is followed. No folder is gone into twice, so that links that lead back end; none is that is a
    store of `funcam batch`. In memory is one folder of each level.

    Args:
        folder: a path or an address.
        depth: so many levels, 1 for the folder's own files; None for all.

    Returns:
        The names of the folders that lead to each file and its own, and the file. A folder below the first that can't
        be read is among them, with its problem.

    Raises:
        FuncamError: the folder can't be read.

    Example:
        >>> ["/".join(names) for names, _ in below("photos")]  # doctest: +SKIP
        ['cat.jpg', 'dogs/rex.jpg']
    """
    levels, names = [iter(entries(folder))], [""]
    met = {identity_of(folder)}
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            names.pop()
            continue
        names[-1] = entry.name
        if entry.name.startswith("."):
            continue
        if not entry.folder:
            yield names, entry
        elif (depth is None or len(levels) < depth) and (entry.identity is None or entry.identity not in met):
            met.add(entry.identity)
            try:
                inside = entries(entry.path)
            except FuncamError as error:
                yield names, entry._replace(problem=str(error))
                continue
            if not {each.name for each in inside} >= _OF_STORE:
                levels.append(iter(inside))
                names.append("")


def is_glob(path: str) -> bool:
    """Whether a path has wildcards in it.

    Example:
        >>> is_glob("photos/*.jpg"), is_glob("photos")
        (True, False)
    """
    return re.search(r"[*?\[]", path) is not None


def matching(pattern: str) -> Iterator[Entry]:
    """The files that a glob matches, in the order of `below`; `**` goes through folders, hidden files are left out.

    Args:
        pattern: a path or an address, with wildcards.

    Raises:
        FuncamError: the folder before the first wildcard can't be read.

    Example:
        >>> [entry.path for entry in matching("photos/**/*.jpg")]  # doctest: +SKIP
        ['photos/dogs/rex.jpg']
    """
    found = _WILD.fullmatch(pattern.replace(os.sep, "/"))
    base, rest = (found[1] or "", found[2]) if found else ("", pattern)
    parts = [part for part, run in groupby(re.split("/+", rest)) for part in (run if part != "**" else ["**"])]
    for names, entry in below(base or os.curdir, None if "**" in parts else len(parts)):
        if entry.problem or _matches(parts, names):
            yield entry if base else entry._replace(path="/".join(names))


def _matches(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the parts of a glob match those of a path, all of them."""
    reached = {0}  # how many names the parts so far may have taken
    for part in parts:
        if part == "**":
            reached = {end for at in reached for end in range(at, len(names) + 1)}
        else:
            reached = {at + 1 for at in reached if at < len(names) and fnmatchcase(names[at], part)}
    return len(names) in reached
