"""What a folder, a glob or a file holds besides what is explained is told, not passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging.reading import find_images, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("IMG_1.HEIC", "b.heif", "c.CR2", "d.jxl", "notes.txt", ".hidden.heic"):
        (tmp_path / name).write_bytes(b"?")
    return tmp_path


def test_formats_that_cannot_be_read_are_counted(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    for argument in (folder, folder / "*"):
        found = find_images([argument])
        (note,) = found.notes
        assert [path.name for path in found.paths] == ["a.png", "gone.jpg"]  # of the link its reader tells
        assert "4 images are left out, of formats that can't be read ('" in note
        assert "IMG_1.HEIC'" in note
        assert note.endswith(", ...); convert to JPEG or PNG what is to be done")
    assert find_images([folder / "a.png"]).notes == []


def test_a_folder_of_nothing_else(folder: Path) -> None:
    (problem,) = find_images([folder]).problems
    assert "holds no images" in problem
    assert "4 images are left out" in problem
    with pytest.raises(FuncamError, match="convert it to JPEG or PNG"):
        read(folder / "IMG_1.HEIC")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_files_of_several_frames_say_so(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), grey, np.uint8)) for grey in (10, 200, 90)]
    path = tmp_path / f"moving.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == "webp" else {}))
    several, alone = read(path), tmp_path / f"still.{suffix}"
    frames[0].save(alone, **({"lossless": True} if suffix == "webp" else {}))
    assert several.several
    assert not read(alone).several
    np.testing.assert_array_equal(several.pixels, np.full((8, 8, 3), 10, np.uint8))
