"""What was measured, a line an image, so that an interrupted comparison goes on where it stopped. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


class Journal:
    """A file of JSON lines, one for each image and network with all its records; the key says what was computed.

    Example:
        >>> journal = Journal(Path("/tmp/none.jsonl"))
        >>> journal.done("key")
        set()
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def done(self, key: str) -> set[str]:
        """The names of the images that were measured under a key."""
        return {record["image"] for record in self.records({key})}

    def add(self, key: str, records: Iterable[dict[str, Any]]) -> None:
        """Append records and have them written at once: after an interruption an image is there whole or not at all."""
        images: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            images.setdefault(record["image"], []).append(record)
        text = "".join(json.dumps({"key": key, "records": kept}) + "\n" for kept in images.values())
        if self.path.exists() and not _ends_whole(self.path):
            text = "\n" + text  # behind a line that was cut off
        with self.path.open("a", encoding="ascii") as stream:
            stream.write(text)

    def records(self, keys: set[str] | None = None) -> Iterator[dict[str, Any]]:
        """The records, one at a time, each with its key; a line that was cut off in the middle is left out."""
        if not self.path.exists():
            return
        with self.path.open(encoding="ascii", errors="replace") as stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if keys is None or entry["key"] in keys:
                    for record in entry["records"]:
                        yield {"key": entry["key"], **record}


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(0, 2)
        if stream.tell() == 0:
            return True
        stream.seek(-1, 2)
        return stream.read() == b"\n"
