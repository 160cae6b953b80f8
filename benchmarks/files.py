"""Text files that are written whole or not at all: what was there stays until all of the new one is."""

from __future__ import annotations

from pathlib import Path


def put(path: Path, text: str) -> None:
    """Write a text file in UTF-8, in a folder that is made if need be.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     put(Path(folder) / "results" / "cost.json", "{}")
        ...     print((Path(folder) / "results" / "cost.json").read_text())
        {}
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.partial")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
