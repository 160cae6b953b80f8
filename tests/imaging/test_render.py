"""Pictures, against the colours OpenCV gives and blends worked out in float64."""

import errno
import os
import stat
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from funcam.errors import FuncamError
from funcam.files import make_folder, write_atomically
from funcam.imaging.fit import fit_image, onto_image
from funcam.imaging.reading import read_image
from funcam.imaging.render import (
    COLORMAPS,
    UNSEEN,
    heatmap,
    overlay,
    picture_size,
    resize_picture,
    save_picture,
    scale_map,
    signed_picture,
)

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
anything = st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, float("nan"), float("inf"), -float("inf")]))
maps = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=anything)
quick = settings(max_examples=150)


@quick
@given(maps)
def test_a_scaled_map_lies_in_0_to_1_and_keeps_its_order(saliency):
    scaled = scale_map(saliency)
    assert scaled.dtype == np.float32
    assert ((scaled >= 0) & (scaled <= 1)).all()
    finite = np.isfinite(saliency)
    if finite.any() and saliency[finite].max() > 0:
        expected = np.maximum(saliency[finite], 0).astype(np.float64) / saliency[finite].max()
        np.testing.assert_allclose(scaled[finite], expected, atol=1e-6)
    else:
        assert (scaled[saliency != np.inf] == 0).all()
    assert (scaled[np.isnan(saliency)] == 0).all()


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan")])
def test_a_map_without_a_positive_value_is_drawn_as_nothing(value):
    saliency = np.full((6, 9), value, np.float32)
    assert (scale_map(saliency) == 0).all()
    if not np.isnan(value):
        assert (heatmap(saliency) == COLORMAPS["jet"][0, 0]).all()
        np.testing.assert_array_equal(overlay(PHOTO, saliency), PHOTO)


@pytest.mark.parametrize("name", [name for name in COLORMAPS if name != "gray"])
def test_colour_maps_are_opencvs_in_rgb(name):
    ramp = np.arange(256, dtype=np.uint8)[None]
    theirs = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{name.upper()}"))[..., ::-1]
    np.testing.assert_array_equal(heatmap(ramp, name), theirs)


def test_every_colour_map_of_opencv_is_offered_and_none_can_be_changed():
    theirs = {name.removeprefix("COLORMAP_").lower() for name in dir(cv2) if name.startswith("COLORMAP_")}
    assert {*COLORMAPS} >= theirs
    assert heatmap([[0.0, 0.5, 1.0]], "gray")[0, :, 0].tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match="read-only"):
        COLORMAPS["jet"][0] = 0


def test_what_the_network_did_not_see_is_grey_in_a_heatmap_and_dim_in_an_overlay():
    saliency = np.ones((6, 9))
    saliency[:, :4] = np.nan
    assert (heatmap(saliency)[:, :4] == UNSEEN).all()
    assert not (COLORMAPS["jet"] == UNSEEN).all(axis=-1).any()
    laid = overlay(PHOTO, saliency)
    unseen = laid[:, :4].astype(int)
    assert (unseen == unseen[..., :1]).all()
    np.testing.assert_allclose(unseen[..., 0], PHOTO[:, :4] @ [0.299, 0.587, 0.114] / 2, atol=1)
    np.testing.assert_allclose(laid[:, 4:], (PHOTO[:, 4:].astype(float) + COLORMAPS["jet"][255, 0]) / 2, atol=1)


@quick
@given(saliency=hnp.arrays(np.float32, (6, 9), elements=st.floats(-1, 1, width=32)), alpha=st.floats(0, 1))
@pytest.mark.parametrize("name", ["jet", "viridis"])
def test_an_overlay_is_the_blend_worked_out_in_floats(name, saliency, alpha):
    levels = np.rint(scale_map(saliency) * 255).astype(int)
    weight = alpha * np.sqrt(levels / 255)[..., None]
    expected = PHOTO * (1 - weight) + COLORMAPS[name][levels, 0] * weight
    assert np.abs(overlay(PHOTO, saliency, name, alpha) - expected).max() <= 1.51


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3)])
def test_pictures_of_a_few_pixels(shape):
    image, saliency = np.full((*shape, 3), 100, np.uint8), np.ones(shape)
    assert overlay(image, saliency).shape == heatmap(saliency).shape == (*shape, 3)
    np.testing.assert_array_equal(overlay(image, saliency, alpha=1.0), heatmap(saliency))
    np.testing.assert_array_equal(overlay(image, saliency, alpha=0.0), image)


def test_an_overlay_changes_neither_the_image_nor_the_map():
    image, saliency = PHOTO.copy(), np.linspace(-1, 1, 54).reshape(6, 9)
    image.setflags(write=False)
    saliency.setflags(write=False)
    overlay(image, saliency)
    scale_map(saliency.astype(np.float32))


def test_a_hot_spot_on_a_real_photo_is_hot_there_and_nowhere_else(assets):
    image = read_image(assets / "photos" / "seed" / "pic2.jpg")
    view = fit_image(image, 224)[1]
    saliency = np.zeros((7, 7))
    saliency[2, 5] = 1
    changed = (overlay(image, onto_image(saliency, view)) != image).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    cell = image.shape[0] / 7, image.shape[1] / 7
    assert 1.5 * cell[0] - 1 <= rows[0] < 2.5 * cell[0] < rows[-1] <= 3.5 * cell[0] + 1
    assert 4.5 * cell[1] - 1 <= columns[0] < 5.5 * cell[1] < columns[-1] <= 6.5 * cell[1] + 1


@quick
@given(hnp.arrays(np.float32, (3, 4, 3), elements=st.floats(-100, 100, width=32)))
def test_a_signed_picture_is_symmetric_about_mid_grey(gradient):
    picture = signed_picture(gradient).astype(int)
    assert (picture[gradient == 0] == 128).all()
    assert (picture[gradient > 0] >= 128).all()
    assert (picture[gradient < 0] <= 128).all()
    np.testing.assert_array_equal(picture - 128, 128 - signed_picture(-gradient).astype(int))


def test_a_signed_picture_saturates_a_few_and_shows_the_rest():
    gradient = RNG.uniform(-1, 1, (700, 40, 3)).astype(np.float32)  # more than one band of rows
    expected = 128 + 127 * np.clip(gradient / np.percentile(np.abs(gradient), 99.5), -1, 1)
    assert np.abs(signed_picture(gradient) - expected).max() <= 0.51
    gradient[0, 0] = 1e6
    assert signed_picture(gradient)[1:].std() > 60


def test_a_signed_picture_of_nothing_is_grey_and_of_one_pixel_shows_it():
    gradient = np.zeros((50, 50, 3), np.float32)
    assert (signed_picture(gradient) == 128).all()
    gradient[3, 4] = (2, 0, -2)
    gradient[:, 0] = np.nan
    picture = signed_picture(gradient)
    assert picture[3, 4].tolist() == [255, 128, 1]
    assert (np.delete(picture, 4, axis=1) == 128).all()
    assert (signed_picture(np.full((2, 2, 3), np.nan)) == 128).all()


@quick
@given(
    hnp.arrays(np.float32, st.integers(1, 400), elements=st.floats(0, 8, width=16)),
    st.sampled_from([0.0, 50.0, 90.0, 99.5, 100.0]),
)
def test_a_signed_pictures_limit_is_numpys_percentile(values, percentile):
    gradient = np.tile(values[:, None, None], (1, 1, 3))
    limit = np.percentile(np.abs(gradient), percentile) or gradient.max() or 1.0
    expected = 128 + 127 * np.clip(gradient / limit, -1, 1)
    assert np.abs(signed_picture(gradient, percentile) - expected).max() <= 0.51


@pytest.mark.parametrize("far", [np.inf, -np.inf, 1e30, -1e30, np.nan])
def test_a_value_that_is_far_away_saturates_in_a_signed_picture(far):
    gradient = np.random.default_rng(0).standard_normal((40, 50, 3)).astype(np.float32)
    gradient[3, 4, 1] = far
    limit = np.percentile(np.abs(gradient[np.isfinite(gradient)]), 99.5)
    expected = np.nan_to_num(128 + 127 * np.clip(gradient / limit, -1, 1), nan=128)
    assert np.abs(signed_picture(gradient) - expected).max() <= 0.51


@given(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), st.integers(1, 2000))
def test_picture_size_keeps_the_aspect(size, longest):
    height, width = picture_size(size, longest)
    assert max(height, width) == longest
    assert abs(min(height, width) - max(1, min(size) * longest / max(size))) <= 0.5
    assert picture_size(size, None) == size


def test_resizing_averages_down_and_keeps_pixels_sharp_up():
    halves = np.zeros((4, 4, 3), np.uint8)
    halves[:, 1::2] = 200
    assert (resize_picture(halves, (2, 2)) == 100).all()
    assert set(np.unique(resize_picture(halves, (16, 16)))) == {0, 200}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: heatmap([[1.0]], "virdis"), "'virdis' is not known; nearest: 'viridis'"),
        (lambda: heatmap([1.0]), r"a map to draw is \[H, W\]"),
        (lambda: scale_map(np.zeros((0, 2))), "at least one pixel"),
        (lambda: overlay(PHOTO, np.ones((7, 7))), "onto_image"),
        (lambda: overlay(PHOTO, np.ones((6, 9)), alpha=1.5), "alpha .* got 1.5"),
        (lambda: overlay(PHOTO / 255, np.ones((6, 9))), "uint8"),
        (lambda: signed_picture(np.ones((2, 2))), r"\[H, W, 3\]"),
        (lambda: signed_picture(np.ones((2, 2, 3)), 101), "percentile"),
        (lambda: picture_size((3, 4), 0), "at least 1 pixel"),
        (lambda: resize_picture(PHOTO, (0, 4)), "at least 1 pixel"),
        (lambda: save_picture("x.bmp", PHOTO), r"'x.bmp' has no suffix of a picture; use one of .jpg"),
        (lambda: save_picture("x.jpg", PHOTO, quality=0), "quality"),
        (lambda: save_picture("x.webp", np.zeros((1, 16384, 3), np.uint8)), "16383"),
        (lambda: save_picture("x.jpg", np.zeros((65536, 1, 3), np.uint8)), "65535"),
    ],
)
def test_bad_arguments_are_named(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FuncamError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".jpeg", ".webp"])
def test_saved_pictures_are_read_back(tmp_path, suffix):
    smooth = cv2.resize(PHOTO, (90, 60), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / f"ünïcødé 图{suffix}"
    save_picture(path, smooth, quality=97)
    assert os.listdir(tmp_path) == [path.name]
    difference = np.abs(read_image(path).astype(int) - smooth)
    assert difference.max() == 0 if suffix.lower() == ".png" else difference.mean() < 4


def test_quality_is_a_matter_of_bytes(tmp_path):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in (".jpg", ".webp"):
        for quality in (20, 95):
            save_picture(tmp_path / f"{quality}{suffix}", noise, quality)
        assert (tmp_path / f"20{suffix}").stat().st_size < (tmp_path / f"95{suffix}").stat().st_size


def test_a_file_that_is_replaced_is_never_seen_in_part(tmp_path):
    path, contents, seen = tmp_path / "x", [bytes([value]) * 200_000 for value in (65, 66)], set()
    write_atomically(path, contents[0])
    done = threading.Event()

    def read():
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(200):
        write_atomically(path, contents[turn % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "make room"), (errno.EACCES, "may write to")])
def test_a_failed_write_leaves_nothing_behind_and_the_old_file_whole(tmp_path, monkeypatch, code, words):
    path = tmp_path / "x.json"
    path.write_bytes(b"old")

    def fails(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(FuncamError, match=words) as caught:
        write_atomically(path, b"new")
    assert os.strerror(code) in str(caught.value)
    assert os.listdir(tmp_path) == ["x.json"]
    assert path.read_bytes() == b"old"


def test_places_that_cannot_be_written_to_are_named(tmp_path):
    (tmp_path / "file").touch()
    for place, words in [
        ("no/x.jpg", "make the folder first"),
        ("file/x.jpg", "a part of the path is a file"),
        ("", "that is a folder"),
        ("n" * 300, "choose a shorter name"),
        ("nu\0ll", "null"),
    ]:
        with pytest.raises(FuncamError, match=words) as caught:
            write_atomically(tmp_path / place, b"x")
        assert "can't write" in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FuncamError, match="is a file, not a folder"):
        make_folder(tmp_path / "file")
    with pytest.raises(FuncamError, match="can't write"):
        make_folder(tmp_path / "file" / "folder")


@pytest.mark.skipif(os.name != "posix", reason="links, devices and permissions as POSIX has them")
def test_links_are_followed_devices_kept_and_permissions_usual(tmp_path):
    (tmp_path / "link").symlink_to("x")
    write_atomically(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "x").read_bytes() == b"data"
    (tmp_path / "usual").touch()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode
    write_atomically("/dev/null", b"data")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_folders_are_made_with_their_parents(tmp_path):
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
