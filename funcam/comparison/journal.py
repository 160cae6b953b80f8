"""What was measured, a line an image, so that an interrupted comparison goes on where it stopped. No torch.

A line says by a key what was computed, of what content it was, and by a seal that it is as it was written. One that is
cut off, that somebody changed or that another version wrote has no valid seal: it is never parsed, but counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from funcam.comparison.contents import Contents
from funcam.files import append, opened

_LONGEST = 2**26  # bytes of a line that may be one: a thousand maps of an image are less than half of it
_PART = 2**16
_SEALED = re.compile(rb'(\{"key": "([0-9a-f]+)", "records": \[\{"seal": ")([0-9a-f]{32})(", .*\]\})\n?', re.DOTALL)


class Journal:
    """A file of JSON lines, one for each image and network with all its records; `damaged` counts unusable ones.

    Example:
        >>> journal = Journal(Path("/tmp/none.jsonl"))
        >>> journal.done("key", Contents([]))
        set()
    """

    def __init__(self, path: Path, fits: Callable[[Any], bool] = lambda record: isinstance(record, dict)) -> None:
        """A journal.

        Args:
            path: the file.
            fits: whether a record has the form that it should have; a line with one that has not can't be used.
        """
        self.path = path
        self.fits = fits
        self.damaged = 0

    def done(self, key: str, contents: Contents) -> set[str]:
        """The names of the images that were measured under a key, and are what they were then."""
        return {record["image"] for record in self.records({key}, contents)}

    def add(self, key: str, records: Iterable[Mapping[str, Any]], contents: Contents) -> None:
        """Append records and have them written at once: after an interruption an image is there whole or not at all.

        Raises:
            FuncamError: the file can't be written to.
        """
        images: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for record in records:
            images[record["image"]].append(record)
        append(self.path, b"".join(_line(key, contents.of(image), kept) for image, kept in images.items()))

    def records(self, keys: set[str], contents: Contents) -> Iterator[dict[str, Any]]:
        """The records under some keys, of images that are what they were then, one at a time, each with its key.

        Raises:
            FuncamError: the file can't be read.
        """
        self.damaged = 0
        seen: set[tuple[str, str]] = set()
        with opened(self.path) as stream:
            for line in _lines(stream) if stream else ():
                sealed = _SEALED.fullmatch(line)
                if sealed is None or sealed[3] != _seal(sealed[1], sealed[4]):
                    self.damaged += bool(line.strip())
                    continue
                key = sealed[2].decode()
                if key not in keys:
                    continue
                records = self._records_in(line)
                if not records:
                    self.damaged += 1
                    continue
                image, content = records[0]["image"], records[0]["content"]
                if (key, image) not in seen and content == contents.of(image):
                    seen.add((key, image))
                    for record in records:
                        yield {"key": key, **record}

    def _records_in(self, line: bytes) -> list[dict[str, Any]]:
        """The records of a line, all of one image; none where somebody sealed anything else."""
        try:
            records: list[dict[str, Any]] = json.loads(line)["records"]
            about = {(record["image"], record.get("content", records[0]["content"])) for record in records}
            return records if len(about) == 1 and all(map(self.fits, records)) else []
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return []


def _line(key: str, content: str | None, records: Iterable[Mapping[str, Any]]) -> bytes:
    text = json.dumps([{"content": content, **record} for record in records])  # [{"content": ...
    before, behind = f'{{"key": "{key}", "records": [{{"seal": "'.encode(), f'", {text[2:]}}}'.encode()
    return before + _seal(before, behind) + behind + b"\n"


def _seal(before: bytes, behind: bytes) -> bytes:
    """What a line holds, but for the seal itself, in 32 letters."""
    digest = hashlib.sha256(before)
    digest.update(behind)
    return digest.hexdigest()[:32].encode()


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; one that is too long to be a line is shortened, and so has no valid seal."""
    while line := stream.readline(_LONGEST):
        yield line
        while line and not line.endswith(b"\n"):
            line = stream.readline(_PART)
