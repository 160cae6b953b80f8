"""A folder of images for a store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """25 files, some of one content, one that is empty; the current folder is the one that they lie in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(25):
        (folder / f"{number:03}.jpg").write_bytes(b"%d" % (number % 22) if number != 7 else b"")
    return "photos"
