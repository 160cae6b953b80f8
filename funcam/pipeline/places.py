"""What an image's results are called: no name of another question's results, nor of a file of the user's.

A question is all that was asked of an image, but for what may be mended under the same command: the image's pixels,
the network's values and code, versions. No torch.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from funcam.errors import FuncamError, json_text
from funcam.files import MIB, parse_json, read_text, remove, write_atomically
from funcam.imaging.letters import letters

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
        self._begun = folder / f".{letters(f'{record} {asked}'.encode(errors='replace'))[:16]}.begun"
        """Lists what is being written, until the record is there: a run may be killed at any moment."""
        self._records = [folder / f"{name}.json" for name in (record, other_name(record, asked))]
        self._own = set(self._listed(self._begun))
        self._damaged = False
        for path in self._records:
            self._own.update(self._listed(path))

    def name(self, name: str, files: Files) -> str:
        """The name to use: the one given, or that with letters of the question.

        Records of the question's earlier results are removed, so that none ever tells of what is being replaced.

        Raises:
            FuncamError: there are files of both names that aren't this question's.
        """
        for chosen in (name, other_name(name, self.asked)):
            wanted = set(files(chosen))
            known = wanted if self._damaged else self._own
            others = {each for each in wanted - known if _is_file(self.folder / each)}
            if others and self.overwrite:
                self._take_over(others)
            elif others:
                continue
            self._begin(wanted)
            return chosen
        raise FuncamError(
            f"{sorted(others)[0]!r} is in {str(self.folder)!r} and of another question; choose another --out, or "
            "add --overwrite"
        )

    def done(self, record: Mapping[str, Any]) -> None:
        """Remove what the question's earlier results had, and these have not."""
        for name in self._own - set(named_in(record)):
            remove(self.folder / name)
        remove(self._begun)

    def _begin(self, wanted: set[str]) -> None:
        self._own |= wanted
        listed = {ASKED: self.asked, "files": {name: name for name in sorted(self._own)}, "explained": []}
        write_atomically(self._begun, json_text(listed).encode(errors="backslashreplace"), links=False)
        for path in self._records:
            if path.name in self._own:
                remove(path)

    def _take_over(self, others: set[str]) -> None:
        """The records that tell of these files go, and with them all that they tell of."""
        for path in self.folder.glob(f"{glob.escape(self.stem)}-*.json"):
            if others.intersection(listed := self._listed(path, of_others=True)):
                self._own.update(listed)
                remove(path)
        self._own |= others

    def _listed(self, path: Path, of_others: bool = False) -> list[str]:
        """The files that a record of this question tells of, or one of any, as far as they are the image's."""
        if not _is_file(path):
            return []
        record = readable(path)
        if record is not None and not of_others and record.get(ASKED, "") != self.asked:
            return []
        try:
            names = named_in(record or {})
        except (LookupError, TypeError, AttributeError):  # what stood there was no other question's
            self._damaged |= not of_others
            return []
        return [each for each in names if Path(each).name == each and each.startswith(self.stem)]


def _is_file(path: Path) -> bool:
    """Whether something would be lost there: a link or a pipe holds nothing."""
    return path.is_file() and not path.is_symlink()
