"""Images of formats that can't be read are counted and named, and what reads HEIC is offered."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from command_line import SCENES, Funcam

from funcam.errors import FuncamError
from funcam.imaging.reading import read_image

HEAD = struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0mif1heic"


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcam.imaging.heif.is_installed", lambda: False)


@pytest.mark.usefixtures("without")
def test_it_is_offered(funcam: Funcam, image: Path) -> None:
    Path("photos").mkdir()
    Path("photos/IMG_1.HEIC").write_bytes(HEAD + b"?" * 99)
    with pytest.raises(FuncamError, match=r"is a HEIC or HEIF file; pip install 'funcam\[heif\]' reads it"):
        read_image("photos/IMG_1.HEIC")
    batch = ("batch", "photos", "--net", "scenes", "--out", "store")
    for run in (("explain", "photos", *SCENES), batch, ("compare", "photos", "--net", "scenes")):
        ran = funcam(*run)
        assert ran.code in (1, 2)
        assert "1 image is left out" in ran.err
        assert "funcam[heif]" in ran.err
    image.rename("photos/pic.png")
    for run in (("explain", "photos", *SCENES, "-m", "grad-cam"), batch, ("batch", "photos/*", *batch[2:])):
        ran = funcam(*run)
        assert ran.code == 0
        assert "1 image is left out, of formats that can't be read ('IMG_1.HEIC'" in ran.err.replace("photos/", "")
        assert "funcam[heif]" in ran.err


def test_other_formats_are_counted_in_a_batch(funcam: Funcam, image: Path) -> None:
    Path("photos/raw").mkdir(parents=True)
    image.rename("photos/pic.png")
    for name in ("a.cr2", "b.psd", "raw/c.NEF", "raw/d.jxl", "notes.txt"):
        Path("photos", name).write_bytes(b"?")
    run = ("batch", "photos", "--net", "scenes", "--out", "store")
    ran = funcam(*run)
    assert ran.code == 0
    assert "4 images are left out" in ran.err
    assert "heif" not in ran.err
    assert funcam(*run, "--quiet").err == ""
