"""What an image's results are called: no name of another question's results, nor of a file of the user's.

A question is all that was asked of an image, but for what may be mended under the same command: the image's pixels,
the network's values and code, versions. No torch.
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
_SHORT = 6  # letters of a question that stand in a name

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
    of = [record["files"], *(each["files"] for net in nets for each in (net, *net["explained"]))]
    return [str(name) for files in of for name in files.values()]


def other_name(name: str, asked: str) -> str:
    """A name that no other question has."""
    return f"{name}-{asked[:_SHORT]}"


class Place:
    """Where the results of an image go: a name whose files are nobody's, or this question's own from an earlier run.

    Pictures of funcam's of which no record tells are nobody's: whoever made them did not come to an end.

    Args:
        folder: where to; it exists.
        stem: what the names of all of the image's results begin with.
        record: what its record is called, without `.json`, if that name is free.
        asked: what tells the question from others, in letters; "" where nobody asks: then all is replaced.
        overwrite: whether other questions' results and other files are replaced.
    """

    def __init__(self, folder: Path, stem: str, record: str, asked: str, overwrite: bool = False) -> None:
        self.folder, self.stem, self.asked = folder, stem, asked
        self.overwrite = overwrite or not asked
        self._records = [folder / f"{name}.json" for name in (record, other_name(record, asked))]
        self._own: set[str] = set()
        for path in self._records:
            found = readable(path)
            if found is None or found.get(ASKED, "") == asked:  # a damaged one tells nothing that could be lost
                self._own |= {path.name, *self._listed(found)}

    def name(self, name: str, files: Files) -> str:
        """The name to use: the one given, or that with letters of the question.

        Records of the question's earlier results are removed, so that none ever tells of what is being replaced.

        Raises:
            FuncamError: there are files of both names that aren't this question's.
        """
        for chosen in (name, other_name(name, self.asked)):
            wanted = set(files(chosen))
            there = {each for each in wanted - self._own if _is_file(self.folder / each)}
            tell = self._records_of(there) if there else {}
            others = [each for each in there if is_others(self.folder / each)]
            if (others or tell) and not self.overwrite:
                continue
            for path in (*tell, *(path for path in self._records if path.name in self._own)):
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

    def _records_of(self, there: set[str]) -> dict[Path, list[str]]:
        """The records of other questions that tell of these files, with all that they tell of."""
        found = {}
        for path in self.folder.glob(f"{glob.escape(self.stem)}-*.json"):
            listed = self._listed(readable(path))
            if path.name not in self._own and there.intersection(listed):
                found[path] = listed
        return found

    def _listed(self, record: Mapping[str, Any] | None) -> list[str]:
        """The files that a record tells of, as far as they are the image's."""
        try:
            names = named_in(record or {})
        except (LookupError, TypeError, AttributeError):  # it is no record
            return []
        return [each for each in names if Path(each).name == each and each.startswith(self.stem)]


def _is_file(path: Path) -> bool:
    """Whether something would be lost there: a link or a pipe holds nothing."""
    return os.path.isfile(path) and not os.path.islink(path)
