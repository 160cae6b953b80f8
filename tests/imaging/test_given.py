"""Pictures in every form that people have them become the same bytes, or are refused in words."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from funcam import FuncamError, as_image
from funcam.imaging.given import as_images
from funcam.imaging.strips import strip
from funcam.imaging.volumes import at_slices, slices_of

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
OPAQUE = np.dstack([RGB, np.full((5, 7), 255, np.uint8)])
TENSOR = torch.from_numpy(RGB).permute(2, 0, 1)


@pytest.mark.parametrize(
    "picture",
    [
        RGB,
        RGB[None],
        RGB.transpose(2, 0, 1),
        RGB / 255,
        (RGB / 255).astype(np.float32),
        RGB.astype(np.int64),
        OPAQUE,
        Image.fromarray(RGB),
        Image.fromarray(OPAQUE),
        TENSOR,
        TENSOR[None],
        TENSOR.double() / 255,
        (TENSOR.double() / 255).requires_grad_(),
        torch.from_numpy(RGB),
    ],
    ids=lambda picture: f"{type(picture).__name__}-{getattr(picture, 'dtype', '')}-{getattr(picture, 'shape', '')}",
)
def test_one_picture_in_many_forms(picture):
    np.testing.assert_array_equal(as_image(picture), RGB)


def test_a_file_is_read_and_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(RGB, -1)
    np.testing.assert_array_equal(as_image(tmp_path / "turned.png"), upright)
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_array_equal(as_image(opened), upright)


def test_grey_masks_and_transparency():
    grey = RGB[..., 0]
    for picture in (grey, grey[..., None], grey[None], torch.from_numpy(grey), Image.fromarray(grey)):
        np.testing.assert_array_equal(as_image(picture), np.dstack([grey] * 3))
    assert as_image(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]
    assert as_image(np.zeros((2, 2, 4), np.uint8)).tolist() == [[[255] * 3] * 2] * 2
    assert as_image(torch.full((2, 2), 0.5, dtype=torch.bfloat16)).max() == 128


@pytest.mark.parametrize("kind", [np.int32, np.uint8])
def test_bytes_in_32_bits_are_bytes(kind):
    values = np.array([[0, 100, 255]], kind)
    assert as_image(Image.fromarray(values))[0, :, 0].tolist() == [0, 100, 255]
    assert as_image(Image.fromarray(values.astype(np.int32) * 257))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (RGB.astype(float), r"go from .* image / 255"),
        ((RGB / 255 - 0.45) / 0.22, r"normalised.*image \* std \+ mean"),
        (np.full((2, 2), np.nan), "not finite.*nan_to_num"),
        (np.array([[0.5, np.nan]]), "not finite"),
        (np.array([[0.5, np.inf]]), "not finite"),
        (RGB.astype(np.uint16) * 256, r"uint16 .* >> 8"),
        (np.zeros((2, 5, 7, 3)), r"several: give images\[0\]"),
        (np.zeros((5, 7, 2)), r"1, 3 or 4 channels"),
        (np.zeros((0, 3, 3)), "no picture"),
        (None, "no picture"),
        ("nowhere.jpg", "does not exist"),
    ],
)
def test_what_could_mean_anything_is_refused(picture, message):
    with pytest.raises(FuncamError, match=message) as caught:
        as_image(picture)
    assert "\n" not in str(caught.value)


def test_several_pictures():
    assert [image.shape for image in as_images([RGB, TENSOR[:, :2], Image.new("L", (4, 3))])] == [
        (5, 7, 3),
        (2, 7, 3),
        (3, 4, 3),
    ]
    assert len(as_images(np.stack([RGB, RGB]))) == len(as_images(torch.stack([TENSOR, TENSOR]))) == 2
    with pytest.raises(FuncamError, match="no picture was given"):
        as_images([])


def test_slices_of_volumes_and_frames_of_clips():
    volume = np.zeros((4, 5, 6))
    volume[2] = 1000
    pictures = slices_of(volume[None, None])
    assert [int(picture.max()) for picture in pictures] == [0, 0, 255, 0]
    clip = np.random.default_rng(1).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
    for given in (clip, clip.transpose(3, 0, 1, 2), torch.from_numpy(clip).permute(0, 3, 1, 2)[None], list(clip)):
        np.testing.assert_array_equal(slices_of(given), clip)
    for wrong in (np.zeros((5, 6)), np.zeros((2, 4, 5, 6))):
        with pytest.raises(FuncamError, match="a volume is"):
            slices_of(wrong)
    with pytest.raises(FuncamError, match="4 slices and its map 8"):
        slices_of(volume, 8)


def test_a_map_between_its_slices():
    cells = np.random.default_rng(2).random((3, 2, 2)).astype(np.float32)
    tensor = torch.from_numpy(cells)[None, None]
    want = torch.nn.functional.interpolate(tensor, (7, 2, 2), mode="trilinear", align_corners=False)[0, 0]
    np.testing.assert_allclose(np.stack([*at_slices(cells, range(7), 7)]), want, rtol=1e-6)


def test_a_strip_has_its_heat_where_the_map_has():
    saliency = np.zeros(10)
    saliency[7] = 1
    heat = strip(saliency, np.zeros(50), "gray")
    coloured = np.abs(heat[5].astype(int) - 255).sum(1) > 0
    where = np.flatnonzero(coloured) / heat.shape[1] * 10
    assert 6.4 < where.min() < where.max() < 8.6
    with pytest.raises(FuncamError, match="a signal is"):
        strip(saliency, np.zeros((2, 3, 4)))
    with pytest.raises(FuncamError, match="the map of a signal"):
        strip(np.zeros((2, 3)))


def test_what_a_file_holds_is_the_picture_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3)).save(path)
    data = path.read_bytes()
    with path.open("rb") as stream:
        forms = [as_images(form) for form in (data, bytearray(data), io.BytesIO(data), stream)]
    for images in forms:
        assert len(images) == 1
        np.testing.assert_array_equal(images[0], as_image(path))
    with pytest.raises(FuncamError, match=r"b'no picture' are bytes.* a path is a str"):
        as_image(b"no picture")
    with path.open(encoding="latin-1") as text, pytest.raises(FuncamError, match="binary mode"):
        as_image(text)
