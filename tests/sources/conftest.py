"""Files of each kind that a source may be."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

Members = dict[str, bytes] | list[tuple[str, bytes]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def files(place: Path) -> Callable[..., None]:
    """Writes files, each holding its own path."""

    def write(*paths: str) -> None:
        for path in paths:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(path.encode())

    return write


@pytest.fixture
def tar(place: Path) -> Callable[[str, Members], None]:
    """Writes a tar file of members."""

    def write(path: str, members: Members) -> None:
        with tarfile.open(place / path, "w") as archive:
            for name, content in members.items() if isinstance(members, dict) else members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    return write


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's file system in memory, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()
