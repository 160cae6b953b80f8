"""Masks rendered from polygons, run lengths and files, against tests point by point and what pycocotools writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from funcam.errors import FuncamError
from funcam.truth.masks import MaskFile, Polygons, RunLengths, Turned, file_pixels, mask_box, resized, run_lengths

# What pycocotools 2.0.11 writes for the ellipse below, 160 x 120, and for nine pixels.
ELLIPSE = (
    "^`2=X36K4L4L4M2N2N2M4N0O2N2N2N2O0O2N2O0O2O0O2O0O2O0O2O0O2O000O2O00000O2O0000000O2O000000000000000000000000000000"
    "00000000000001N100000001N1000001N10001N101N101N101N101N101N2N101N2N2N2N102L3N2N2N3L4L4L5J]d4"
)
ROWS, COLUMNS = np.mgrid[:120, :160]
OVAL = ((COLUMNS - 70) / 50) ** 2 + ((ROWS - 60) / 35) ** 2 < 1


def lengths_of(mask):
    """Run lengths of a mask, in a loop down the columns."""
    counts, value = [0], False
    for pixel in np.asarray(mask).T.ravel():
        if bool(pixel) != value:
            counts.append(0)
            value = not value
        counts[-1] += 1
    return tuple(counts)


def inside(x, y, ring):
    """Whether a point lies in a polygon: a ray to the right meets its edges an odd number of times."""
    odd = False
    points = list(zip(ring[::2], ring[1::2], strict=True))
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            odd = not odd
    return odd


def test_run_lengths_that_pycocotools_wrote():
    np.testing.assert_array_equal(RunLengths(ELLIPSE, (160, 120))(120, 160), OVAL)
    assert run_lengths("01f02^O00000004N").tolist() == [0, 1, 22, 3, 4, 3, 4, 3, 4, 3, 4, 3, 8, 1]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_run_lengths_of_any_mask(height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    np.testing.assert_array_equal(RunLengths(lengths_of(mask), (width, height))(height, width), mask)


@pytest.mark.parametrize("text", ["0P", "01f", "0\x00", "ü"])
def test_run_lengths_that_are_none(text):
    with pytest.raises(FuncamError, match="encode them again"):
        run_lengths(text)


@given(st.lists(st.floats(-3, 15), min_size=6, max_size=14).filter(lambda ring: len(ring) % 2 == 0))
@settings(max_examples=60)
def test_a_polygon_is_the_pixels_whose_centres_lie_in_it(ring):
    mask = Polygons((tuple(ring),), (12, 9))(9, 12)
    expected = [[inside(column + 0.5, row + 0.5, ring) for column in range(12)] for row in range(9)]
    assert (mask != np.array(expected)).sum() <= 1  # a centre on an edge may round either way


def test_a_polygon_covers_what_pycocotools_covers():
    mask = Polygons(((10.5, 5.2, 60.1, 12.7, 48.0, 50.0, 22.2, 41.9),), (80, 60))(60, 80)
    theirs = RunLengths(
        "id03i13N2M3M4L3M3M3N2M4L3M2N001O01O01O00001O01O0001O00001O01O01O00001O01O01O00N2M3M3M4L3M3M3M3M3M4L3MVU1",
        (80, 60),
    )(60, 80)
    assert (mask & theirs).sum() / (mask | theirs).sum() > 0.93
    assert abs(int(mask.sum()) - int(theirs.sum())) < 0.05 * mask.sum()


def test_polygons_are_joined_and_scaled():
    left, right = (0, 0, 2, 0, 2, 2, 0, 2), (3, 0, 5, 0, 5, 2, 3, 2)
    assert Polygons((left, right, left), (6, 2))(2, 6).tolist() == [[True, True, False, True, True, False]] * 2
    np.testing.assert_array_equal(Polygons((left,), (6, 2))(4, 12), np.arange(12)[None].repeat(4, 0) < 4)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_resizing_takes_what_lies_at_the_centre(height, width, high, wide, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    found = resized(mask, high, wide)
    for row, column in np.ndindex(high, wide):
        assert found[row, column] == mask[int((row + 0.5) * height / high), int((column + 0.5) * width / wide)]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_turning_is_what_pillow_does(orientation, tmp_path):
    stored = np.random.default_rng(orientation).random((4, 6)) < 0.5
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored.astype(np.uint8) * 255).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image)) > 0
    np.testing.assert_array_equal(Turned(RunLengths(lengths_of(stored), (6, 4)), orientation)(6, 4), upright)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_a_file_s_mask_is_what_is_not_0(mode, tmp_path):
    mask = np.random.default_rng(0).random((5, 7)) < 0.5
    if mode == "P":  # a palette whose second colour is black too
        image = Image.fromarray(mask.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 0, 0, 0, 9, 9, 9])
    elif mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16))
    else:
        image = Image.fromarray(np.stack([mask * 0, mask * 0, mask * 7], -1).astype(np.uint8)).convert("RGB")
        image = image if mode.startswith("RGB") else Image.fromarray(mask.astype(np.uint8) * 255)
        image = image.convert(mode)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(file_pixels(tmp_path / "m.png"), mask)
    np.testing.assert_array_equal(MaskFile(tmp_path / "m.png")(10, 14), mask.repeat(2, 0).repeat(2, 1))


def test_the_box_of_a_mask():
    rows, columns = np.nonzero(OVAL)
    assert mask_box(OVAL) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert mask_box(np.zeros((3, 3), bool)) is None
