"""Geometry, against torchvision's preprocessing, torch's interpolation and squares that must stay where they are."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as v1
from torchvision.transforms.v2 import functional as v2

from funcam.errors import FuncamError
from funcam.imaging import fit as fit_module
from funcam.imaging.fit import FITS, INTERPOLATIONS, View, fit_image, onto_image

sides = st.integers(1, 90)
slow = settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@slow
@example(height=1, width=1, resize=5, size=9)
@example(height=1, width=60, resize=7, size=7)
@example(height=33, width=22, resize=3, size=10)
@given(height=sides, width=sides, resize=st.integers(1, 60), size=st.integers(1, 60))
@pytest.mark.parametrize("filter_", ["bilinear", "bicubic"])
def test_crop_is_torchvisions_preprocessing_bit_for_bit(filter_, height, width, resize, size):
    image = noise(height, width)
    mode = InterpolationMode(filter_)
    for functional in (v1, v2):
        theirs = functional.resize(Image.fromarray(image), [resize], interpolation=mode, antialias=True)
        theirs = functional.center_crop(theirs, [size])
        ours, _ = fit_image(image, size, "crop", resize=resize, interpolation=filter_)
        np.testing.assert_array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (333, 501), (224, 224), (1200, 1601), (40, 2000)])
@pytest.mark.parametrize(("resize", "size"), [(256, 224), (232, 224), (224, (200, 300)), (100, 224)])
def test_crop_agrees_at_the_sizes_that_networks_use(shape, resize, size):
    image = noise(*shape)
    theirs = v1.resize(Image.fromarray(image), [resize])
    theirs = v1.center_crop(theirs, [size] if isinstance(size, int) else list(size))
    np.testing.assert_array_equal(fit_image(image, size, "crop", resize=resize)[0], np.asarray(theirs))


def test_crop_agrees_on_real_photos(assets):
    paths = sorted((assets / "photos" / "seed").glob("*.jpg"))
    assert paths
    for path in paths:
        picture = Image.open(path).convert("RGB")
        theirs = v1.center_crop(v1.resize(picture, [256]), [224])
        np.testing.assert_array_equal(fit_image(np.array(picture), 224, "crop", resize=256)[0], np.asarray(theirs))


@slow
@given(height=sides, width=sides, resize=st.integers(1, 60), size=st.integers(1, 60))
def test_crops_box_says_where_torchvision_looked(height, width, resize, size):
    """A picture of its own coordinates, resized and cropped by torchvision, reads as the box says."""
    grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1).astype(np.float32)
    theirs = []
    for axis in range(2):  # A ramp survives linear interpolation away from the edges, antialiased nearly.
        ramp = Image.fromarray(np.ascontiguousarray(grid[..., axis]))
        theirs.append(np.asarray(v1.center_crop(v1.resize(ramp, [resize]), [size])))
    x0, y0, x1, y1 = fit_image(noise(height, width), size, "crop", resize=resize)[1].box
    centres = (np.arange(size) + 0.5) / size
    xs, ys = np.broadcast_arrays(x0 + centres * (x1 - x0), (y0 + centres * (y1 - y0))[:, None])
    reach = 1 + 2 * max(1, max(height, width) / resize, min(height, width) / resize)
    inside = (xs > reach) & (xs < width - reach) & (ys > reach) & (ys < height - reach)
    np.testing.assert_allclose(theirs[0][inside], xs[inside], atol=0.15)
    np.testing.assert_allclose(theirs[1][inside], ys[inside], atol=0.15)


def test_a_crop_of_a_very_long_image_computes_only_what_it_keeps(monkeypatch):
    image = noise(3, 400)
    whole, view = fit_image(image, 32, "crop", resize=40)
    monkeypatch.setattr(fit_module, "_LARGEST_RESIZED", 0)
    part, same = fit_image(image, 32, "crop", resize=40)
    assert same == view
    assert np.abs(part.astype(int) - whole).max() <= 1


@slow
@given(height=sides, width=sides, h=sides, w=sides, filter_=st.sampled_from(sorted(INTERPOLATIONS)))
def test_squash_is_pillows_resize(height, width, h, w, filter_):
    image = noise(height, width)
    ours, view = fit_image(image, (h, w), interpolation=filter_)
    name = filter_.split("-")[0].upper()
    np.testing.assert_array_equal(ours, Image.fromarray(image).resize((w, h), Image.Resampling[name]))
    assert view == View((height, width), (h, w), (0, 0, width, height))


@slow
@given(height=sides, width=sides, h=sides, w=sides)
def test_pad_shows_the_whole_image_on_the_fill(height, width, h, w):
    image = np.full((height, width, 3), 200, np.uint8)
    ours, view = fit_image(image, (h, w), "pad", fill=(1, 2, 3))
    seen = (ours == 200).all(axis=2)
    assert ours.shape == (h, w, 3)
    assert (ours[~seen] == (1, 2, 3)).all()
    rows, columns = seen.any(axis=1), seen.any(axis=0)
    assert (seen == rows[:, None] & columns).all()  # one rectangle, which spans one side and is centred on the other
    assert rows.all() or columns.all()
    for line in (rows, columns):
        first, last = np.flatnonzero(line)[[0, -1]]
        assert len(line) - 1 - last - first in (0, 1)
    x0, y0, x1, y1 = view.box
    x, y = np.flatnonzero(columns), np.flatnonzero(rows)
    edges = [x[0] / w, (x[-1] + 1) / w, y[0] / h, (y[-1] + 1) / h]  # the image's edges in the input, by its pixels
    expected = [-x0 / (x1 - x0), (width - x0) / (x1 - x0), -y0 / (y1 - y0), (height - y0) / (y1 - y0)]
    np.testing.assert_allclose(edges, expected, atol=1e-9)


def test_native_is_the_image_itself():
    image = noise(3, 5)
    same, view = fit_image(image, None, "native")
    assert same is image
    assert view == View((3, 5), (3, 5), (0, 0, 5, 3))


def test_the_image_is_not_written_to():
    image = noise(30, 50)
    image.setflags(write=False)
    for fit in FITS:
        result, _ = fit_image(image[:, ::-1], 20, fit)
        assert fit == "native" or result.flags.writeable


@slow
@given(height=sides, width=sides, h=st.integers(1, 20), w=st.integers(1, 20), seed=st.integers(0, 9))
def test_squash_comes_back_as_torch_interpolates(height, width, h, w, seed):
    values = np.random.default_rng(seed).standard_normal((h, w)).astype(np.float32)
    view = fit_image(noise(height, width), 32)[1]
    theirs = interpolate(torch.tensor(values)[None, None], (height, width), mode="bilinear", align_corners=False)
    # torch finds its taps in float32, funcam in float64.
    np.testing.assert_allclose(onto_image(values, view), theirs[0, 0].numpy(), atol=2e-5)


@slow
@given(height=sides, width=sides, out_h=sides, out_w=sides)
def test_a_picture_of_another_size_shows_the_same_map(height, width, out_h, out_w):
    values = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)
    view = View((height, width), (8, 8), (0.0, 0.0, float(width), float(height)))
    theirs = interpolate(torch.tensor(values)[None, None], (out_h, out_w), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(onto_image(values, view, (out_h, out_w)), theirs[0, 0].numpy(), atol=2e-5)


@slow
@given(
    size=st.tuples(sides, sides),
    corner=st.tuples(st.floats(-50, 90), st.floats(-50, 90)),
    extent=st.tuples(st.floats(0.5, 150), st.floats(0.5, 150)),
    cells=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_onto_image_against_a_loop_over_pixels(size, corner, extent, cells):
    x0, y0, x1, y1 = box = (*corner, corner[0] + extent[0], corner[1] + extent[1])
    values = np.random.default_rng(2).standard_normal(cells)
    ours = onto_image(values, View(size, (8, 8), box))
    for y, x in [(0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, size[1] // 3), (size[0] // 3, size[1] // 2)]:
        u, v = (x + 0.5 - x0) / (x1 - x0), (y + 0.5 - y0) / (y1 - y0)
        if not (0 <= u <= 1 and 0 <= v <= 1):
            assert np.isnan(ours[y, x])
            continue
        column = np.interp(u * cells[1] - 0.5, np.arange(cells[1]), np.arange(cells[1]))
        across = [np.interp(column, np.arange(cells[1]), row) for row in values]
        assert ours[y, x] == pytest.approx(np.interp(v * cells[0] - 0.5, np.arange(cells[0]), across), abs=1e-5)


def test_channels_are_brought_back_one_by_one():
    values = np.random.default_rng(3).standard_normal((4, 6, 3)).astype(np.float32)
    view = fit_image(noise(50, 30), 24, "crop", resize=30)[1]
    together = onto_image(values, view)
    assert together.shape == (50, 30, 3)
    for channel in range(3):
        np.testing.assert_array_equal(together[..., channel], onto_image(values[..., channel], view))


def test_a_constant_map_stays_exactly_constant_and_nan_lies_outside():
    view = View((10, 20), (8, 8), (5.0, 0.0, 15.0, 10.0))
    ours = onto_image(np.full((7, 7), 0.1), view)
    assert ours.dtype == np.float32
    assert (ours[:, 5:15] == np.float32(0.1)).all()
    assert np.isnan(ours[:, :5]).all()
    assert np.isnan(ours[:, 15:]).all()


@slow
@given(
    fit=st.sampled_from(FITS),
    size=st.tuples(st.integers(40, 300), st.integers(40, 300)),
    where=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    target=st.tuples(st.integers(64, 224), st.integers(64, 224)),
)
def test_a_square_comes_back_to_where_it_was(fit, size, where, target):
    side = round(min(size) * 0.4)
    top, left = (round(share * (length - side)) for share, length in zip(where, size, strict=True))
    truth = np.zeros(size, bool)
    truth[top : top + side, left : left + side] = True
    put, view = fit_image(np.repeat(truth[..., None] * np.uint8(255), 3, axis=2), target, fit, fill=(0, 0, 0))
    back = onto_image(put[..., 0], view)
    found, seen = np.nan_to_num(back) > 127.5, ~np.isnan(back)
    x0, y0, x1, y1 = view.box
    visible = (seen & truth).any(axis=1).sum() * put.shape[0] / (y1 - y0), (seen & truth).any(axis=0).sum()
    assume(min(visible[0], visible[1] * put.shape[1] / (x1 - x0)) >= 14)  # pixels of the input a side, to be a square
    assert (found & truth & seen).sum() > 0.9 * ((found | truth) & seen).sum()


@slow
@given(
    fit=st.sampled_from(FITS),
    size=st.tuples(st.integers(60, 300), st.integers(60, 300)),
    cell=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
def test_the_peak_of_a_cell_is_registered_to_within_half_a_cell(fit, size, cell):
    _, view = fit_image(np.zeros((*size, 3), np.uint8), 64, fit)
    values = np.zeros((7, 7))
    values[cell] = 1
    x0, y0, x1, y1 = view.box
    across, down = (x1 - x0) / 7, (y1 - y0) / 7
    centre = (y0 + (cell[0] + 0.5) * down, x0 + (cell[1] + 0.5) * across)
    assume(all(0 <= at < length for at, length in zip(centre, size, strict=True)))
    peak = np.unravel_index(np.nanargmax(onto_image(values, view)), size)
    assert abs(peak[0] + 0.5 - centre[0]) <= 0.5 * down + 1e-6
    assert abs(peak[1] + 0.5 - centre[1]) <= 0.5 * across + 1e-6


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3)])
def test_tiny_and_thin_images_go_there_and_back(fit, shape):
    put, view = fit_image(noise(*shape), 32, fit)
    assert put.shape == (*((32, 32) if fit != "native" else shape), 3)
    back = onto_image(np.ones((7, 7)), view)
    assert back.shape == shape
    assert np.nanmin(back) == np.nanmax(back) == 1


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((224, "sqash"), {}, "fit 'sqash' is not known; nearest: 'squash'"),
        ((224,), {"interpolation": "cubic"}, "'bicubic'"),
        ((0,), {}, "size .* at least 1; got 0"),
        ((None,), {}, "size .* got None"),
        ((1.5,), {}, "size .* got 1.5"),
        (((3, 4, 5),), {}, "size"),
        ((4, "crop"), {"resize": 0}, "resize .* got 0"),
        ((4, "pad"), {"fill": (0, 0, 256)}, "fill"),
        ((4, "pad"), {"fill": 0}, "fill"),
    ],
)
def test_bad_arguments_are_named(arguments, options, words):
    with pytest.raises(FuncamError, match=words):
        fit_image(noise(4, 4), *arguments, **options)


def test_bad_maps_and_views_are_named():
    with pytest.raises(FuncamError, match="uint8"):
        fit_image(np.zeros((4, 4)), 3)
    view = View((4, 4), (4, 4), (0.0, 0.0, 4.0, 4.0))
    for values in ([1.0], np.zeros((0, 3)), np.zeros((1, 1, 1, 1))):
        with pytest.raises(FuncamError, match=r"a map is \[h, w\]"):
            onto_image(values, view)
    with pytest.raises(FuncamError, match="size"):
        onto_image([[1.0]], view, (0, 3))
    with pytest.raises(FuncamError, match="box"):
        View((4, 4), (4, 4), (1.0, 0.0, 1.0, 4.0))
    with pytest.raises(FuncamError, match="box"):
        View((4, 4), (4, 4), (0.0, 0.0, float("inf"), 4.0))
    with pytest.raises(FuncamError, match="sizes"):
        View((0, 4), (4, 4), (0.0, 0.0, 1.0, 4.0))
