"""Panels: every picture is in its place, every text finds room, whatever the image."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from funcam.errors import FuncamError
from funcam.imaging import text as text_module
from funcam.imaging.panel import PanelRow, panel
from funcam.imaging.reading import read_image
from funcam.imaging.text import clean, lettered, shorten, wrap

COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200), (200, 30, 200)]


def flat(colour, height=60, width=60):
    return np.full((height, width, 3), colour, np.uint8)


def found(sheet, colour):
    """(top, bottom, left, right) of each rectangle of exactly one colour, by rows then columns."""
    mask = (sheet == colour).all(axis=2)
    boxes = []
    for top, bottom in runs(mask.any(axis=1)):
        boxes += [(top, bottom, *run) for run in runs(mask[top:bottom].any(axis=0))]
    return boxes


def runs(line):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def test_each_row_shows_the_image_and_its_pictures_in_order():
    rows = [PanelRow(f"class {i}", {"a": flat(COLOURS[1 + i]), "b": flat(COLOURS[3 + i])}, i / 2) for i in range(2)]
    sheet = panel(flat(COLOURS[0]), rows, title="x.jpg", subtitle="net", tile=128)
    images = found(sheet, COLOURS[0])
    assert len(images) == 2
    for i, (top, bottom, left, right) in enumerate(images):
        assert (bottom - top, right - left) == (128, 128)
        (a,), (b,) = found(sheet, COLOURS[1 + i]), found(sheet, COLOURS[3 + i])
        assert a[:2] == b[:2] == (top, bottom)
        assert right < a[2] < a[3] < b[2]
        assert a[3] - a[2] == b[3] - b[2] == 128
    assert images[0][1] < images[1][0]


def test_the_margins_are_white_and_even():
    sheet = panel(flat((0, 0, 0)), [PanelRow("x", {"a": flat((0, 0, 0))})], tile=256)
    (top, bottom, left, _), (_, _, _, right) = [box for box in found(sheet, (0, 0, 0)) if box[1] - box[0] == 256]
    assert left == sheet.shape[1] - right == 24
    assert (sheet[:24] == 255).all()
    assert (sheet[bottom:] == 255).all()
    assert top > 24


@pytest.mark.parametrize("count", [1, 7, 8, 15, 30])
@pytest.mark.parametrize("size", [(60, 60), (60, 90), (40, 120)])
def test_many_columns_are_broken_into_lines_that_can_be_read(count, size):
    pictures = {f"Method {i} heatmap": flat(COLOURS[1], *size) for i in range(count)}
    sheet = panel(flat(COLOURS[0], *size), [PanelRow("x", pictures)], tile=64)
    tiles = found(sheet, COLOURS[0]) + found(sheet, COLOURS[1])
    assert len(tiles) == count + 1
    assert len({tile[2] for tile in tiles}) <= 8
    assert sheet.shape[1] <= 64 * 12
    assert len({tile[2:] for tile in tiles}) == len({tile[2] for tile in tiles})  # columns are aligned


shapes = st.sampled_from([(1, 1), (1, 900), (900, 1), (3, 2), (300, 200), (200, 900), (1200, 150)])


@settings(max_examples=60)
@example((1, 1), "", "", "", None, 64)
@example((300, 200), "中文 🐶 собака كلب é\ud800\x00\n" * 40, "x" * 5000, "W" * 900, 1.0, 64)
@given(
    shapes, st.text(max_size=90), st.text(max_size=90), st.text(max_size=90), st.none() | st.floats(0, 1), st.just(64)
)
def test_any_image_and_any_text_make_a_panel(shape, title, name, picture_name, probability, tile):
    image = flat(COLOURS[0], *shape)
    rows = [PanelRow(name, {picture_name: image, "Guided backprop": flat(COLOURS[1], 9, 9)}, probability)]
    sheet = panel(image, rows, title=title, subtitle=name, tile=tile)
    assert sheet.dtype == np.uint8
    assert max(sheet.shape) < 1000
    assert found(sheet, COLOURS[0])
    assert (sheet[:6] == 255).all()  # no text runs over an edge
    assert (sheet[:, :6] == 255).all()
    assert (sheet[:, -6:] == 255).all()


def test_a_picture_keeps_its_aspect_in_its_tile():
    rows = [PanelRow("x", {"wide": flat(COLOURS[1], 30, 60), "one": flat(COLOURS[2], 1, 1)})]
    sheet = panel(flat(COLOURS[0]), rows, tile=128)
    (top, bottom, left, right), (other,) = found(sheet, COLOURS[1])[0], found(sheet, COLOURS[2])
    assert (bottom - top, right - left) == (64, 128)
    assert (other[1] - other[0], other[3] - other[2]) == (128, 128)


def test_a_long_name_leaves_room_for_the_probability():
    def strip(name, probability):
        return panel(flat(COLOURS[0]), [PanelRow(name, {"a": flat(COLOURS[0])}, probability)], tile=128)[:40]

    name = "a very long name of a class " * 9
    assert (strip(name, 0.111) != strip(name, 0.999)).any()
    assert (strip("cat", None) != strip("cat", 0.5)).any()


def test_a_real_photo_is_in_its_panel_pixel_by_pixel(assets):
    photo = read_image(assets / "photos" / "seed" / "pic1.jpg")
    sheet = panel(photo, [PanelRow("bull mastiff", {"Grad-CAM": photo}, 0.42)], title="pic1.jpg", tile=224)
    margin = round(24 * 224 / 256)
    below = sheet.shape[0] - margin - round(12 * 224 / 256)
    np.testing.assert_array_equal(sheet[below - 224 : below, margin : margin + 224], photo)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([], {}, "at least one row"),
        ([PanelRow("x", {})], {}, "at least one picture"),
        ([PanelRow("x", {"a": flat((0, 0, 0))}), PanelRow("y", {"b": flat((0, 0, 0))})], {}, "same titles"),
        ([PanelRow("x", {"a": np.zeros((3, 3))})], {}, "uint8"),
        ([PanelRow("x", {"a": flat((0, 0, 0))})], {"tile": 8}, "at least 32 pixels; got 8"),
    ],
)
def test_bad_panels_are_named(rows, options, words):
    with pytest.raises(FuncamError, match=words):
        panel(flat((0, 0, 0)), rows, **options)


words = st.text("abc WMil.-", max_size=60)


@given(words, st.integers(1, 300), st.booleans())
def test_shortened_text_fits_and_is_the_longest_that_does(text, width, keep_end):
    font = lettered("", 16)[1]
    short = shorten(text, width, font, keep_end)
    assert font.getlength(short) <= width or short == "…"
    if font.getlength(text) <= width:
        assert short == text
    elif short != "…":
        head, tail = short.split("…")
        assert text.startswith(head)
        assert text.endswith(tail)


@given(words.map(clean), st.integers(40, 300), st.integers(1, 4))
def test_wrapped_text_has_its_words_in_order_in_lines_that_fit(text, width, lines):
    font = lettered("", 16)[1]
    wrapped = wrap(text, width, font, lines)
    assert 1 <= len(wrapped) <= lines
    assert all(font.getlength(line) <= width for line in wrapped)
    if "…" not in "".join(wrapped):
        assert " ".join(wrapped) == text


def test_the_end_of_a_file_name_is_kept():
    font = lettered("", 16)[1]
    assert shorten("a" * 90 + "_0042.jpg", 200, font, keep_end=True).endswith("_0042.jpg")
    assert shorten("a" * 90 + "_0042.jpg", 200, font).endswith("a…")


@given(st.text())
def test_cleaned_text_is_one_printable_line(text):
    assert clean(text).isprintable()
    assert clean(clean(text)) == clean(text)


def test_without_a_system_font_accents_are_dropped_and_the_rest_are_boxes(monkeypatch):
    monkeypatch.setattr(text_module, "_OTHERS", ())
    text, font = lettered("café 中", 16)
    assert text == "cafe 中"
    assert font.getname() == ImageFont.load_default(16).getname()
    assert font.getmask("中").size == font.getmask("\uffff").size


def test_a_system_font_writes_what_the_embedded_one_lacks(monkeypatch):
    asked, named = [], text_module._named
    monkeypatch.setattr(text_module, "_named", lambda name, size: asked.append(name) or named(name, size))
    lettered("plain", 17)
    assert asked == []
    text, font = lettered("собака", 17)
    assert asked
    if font.getname()[0] != "Aileron":  # a machine with one of the fonts
        assert text == "собака"
        assert bytes(font.getmask("б")) != bytes(font.getmask("\uffff"))


def test_a_panel_is_a_picture_for_pillow_too():
    sheet = panel(flat(COLOURS[0]), [PanelRow("x", {"a": flat(COLOURS[1])})], tile=64)
    assert Image.fromarray(sheet).size == (sheet.shape[1], sheet.shape[0])
