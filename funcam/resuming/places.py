"""What results are called: by no name of another question's results, nor of a file of the user's. No torch.

A question here is what one asked, as one asked it, without what may be mended under the same command: pixels, truth,
the network's values and code, versions. Whoever has a name keeps it; else the plain one is taken where it is nobody's,
and where it is somebody's the one with letters of the question.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError
from funcam.files import MIB, parse_json, read_text, remove
from funcam.imaging.marks import is_others

ASKED = "asked"
_SHORT = 10  # letters of a question that stand in a name: thousands of images may be called alike

Files = Callable[[str], Iterable[str]]
"""The names of all files, by what they begin with."""


def readable(path: Path) -> dict[str, Any] | None:
    """The record in a file; None where there is none."""
    try:
        found = parse_json(read_text(path, most=4 * MIB), "the record", "a record")
    except FuncamError:
        return None
    return found if isinstance(found, dict) else None


def named_in(record: Mapping[str, Any]) -> list[str]:
    """The files that a record tells of.

    Raises:
        LookupError, TypeError, AttributeError: it is no record.
    """
    nets = record.get("nets", [record])
    of = [record["files"], *(each["files"] for net in nets for each in (net, *net.get("explained", ())))]
    return [str(name) for files in of for name in files.values()]


def other_name(name: str, asked: str) -> str:
    """A name that no other question has."""
    return f"{name}-{asked[:_SHORT]}"


def way(folder: Path, file: str) -> str:
    """How a file is known: by its way from the folder of the results, so that both may be moved."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return os.path.abspath(file)


class Place:
    """Where results go: a name whose files are nobody's, or this question's own from an earlier run.

    Pictures of funcam's of which no record tells are nobody's: whoever made them did not come to an end.

    Args:
        folder: where to; it exists.
        stem: what the names of all of the results begin with.
        record: what their record is called, without `.json`, if that name is free.
        asked: what tells the question from others, in letters; "" where nobody asks: then all is replaced.
        overwrite: whether other questions' results and other files are replaced.
        plain: whether the name without letters may be taken: not where others of the same call have it.
        damaged: whether a record that can't be read is the question's own: where nobody else has such a name.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        record: str,
        asked: str,
        overwrite: bool = False,
        *,
        plain: bool = True,
        damaged: bool = True,
    ) -> None:
        self.folder, self.stem, self.asked = folder, stem, asked
        self.overwrite = overwrite or not asked
        self.plain = plain
        self._records = [folder / f"{name}.json" for name in (record, other_name(record, asked))]
        found = {path: readable(path) for path in self._records}
        own = {path: told for path, told in found.items() if told is not None and told.get(ASKED, "") == asked}
        self._has_letters = self._records[1] in own
        self._own = {name for path, told in own.items() for name in (path.name, *self._listed(told))}
        for path in self._records if plain else self._records[1:]:
            if damaged and found[path] is None and os.path.isfile(path):  # it tells nothing that could be lost
                self._own.add(path.name)

    def name(self, name: str, files: Files) -> str:
        """The name to use: the one given, or that with letters of the question.

        Records of the question's earlier results are removed, so that none ever tells of what is being replaced.

        Raises:
            FuncamError: there are files of both names that aren't this question's.
        """
        for chosen in self._choices(name):
            wanted = set(files(chosen))
            there = {each for each in wanted - self._own if _is_there(self.folder / each)}
            tell = self._records_of(there) if there else {}
            others = [each for each in there if is_others(self.folder / each)]
            folders = [each for each in there if os.path.isdir(self.folder / each)]
            if folders or ((others or tell) and not self.overwrite):
                continue
            for path in (*tell, *self._withdrawn()):
                remove(path)
            self._own.update(wanted, *tell.values())
            return chosen
        raise FuncamError(
            f"{sorted(there)[0]!r} is in {str(self.folder)!r} and of another question; choose another --out, or "
            "add --overwrite"
        )

    def done(self, record: Mapping[str, Any]) -> None:
        """Remove what the question's earlier results had, and these have not."""
        for name in self._own - set(named_in(record)):
            remove(self.folder / name)

    def _choices(self, name: str) -> tuple[str, ...]:
        """The names that may be used, the first that can be is taken."""
        with_letters = other_name(name, self.asked)
        if not self.plain:
            return (with_letters,)
        return (with_letters, name) if self._has_letters and not self.overwrite else (name, with_letters)

    def _withdrawn(self) -> list[Path]:
        """What of the question's earlier results goes first: what has no mark, and the records behind that.

        A table that a process left without its record would be taken for a file of the user's.
        """
        unmarked = filter(is_others, (self.folder / name for name in self._own))
        return sorted(unmarked, key=self._records.__contains__)

    def _records_of(self, there: set[str]) -> dict[Path, list[str]]:
        """The records of other questions that tell of these files, with all that they tell of."""
        found = {}
        for path in self.folder.glob(f"{glob.escape(self.stem)}-*.json"):
            listed = self._listed(readable(path))
            if path.name not in self._own and there.intersection(listed):
                found[path] = listed
        return found

    def _listed(self, record: Mapping[str, Any] | None) -> list[str]:
        """The files that a record tells of, as far as they can be its own."""
        try:
            names = named_in(record or {})
        except (LookupError, TypeError, AttributeError):  # it is no record
            return []
        return [each for each in names if Path(each).name == each and each.startswith(self.stem)]


def results_place(folder: Path, name: str, asked: str, overwrite: bool = False) -> Place:
    """Where results go that are no image's: their names begin with that of their record.

    Args:
        folder: where to; it exists.
        name: the record's, without `.json`.
        asked: as in `Place`.
        overwrite: as in `Place`.
    """
    return Place(folder, name, name, asked, overwrite, damaged=False)


def _is_there(path: Path) -> bool:
    """Whether something would be lost there: a link or a pipe holds nothing."""
    return (os.path.isfile(path) or os.path.isdir(path)) and not os.path.islink(path)
