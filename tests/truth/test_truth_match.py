"""Truth brought to its images: names, sizes, EXIF orientation, the edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from funcam.errors import FuncamError
from funcam.imaging.reading import find_images, read_image
from funcam.truth import Object, Truth, match, read_truth
from funcam.truth.masks import MaskFile
from funcam.truth.match import Frame, fitted, image_frame
from funcam.truth.tally import Tally

BOX = (1.0, 2.0, 6.0, 7.0)


def truths(*names, box=BOX, size=None):
    return {name: Truth(name, (Object((3,), "cat", box),), size) for name in names}


def pictures(folder, *names, size=(20, 10)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(folder / name)
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("names", "images", "expected"),
    [
        (["a.png"], ["a.png"], {"a.png": "a.png"}),
        (["a"], ["x/a.png"], {"x/a.png": "a"}),
        (["ILSVRC_1"], ["ILSVRC_1.png", "ILSVRC_2.png"], {"ILSVRC_1.png": "ILSVRC_1"}),
        (["a.JPEG", "b.png"], ["a.png", "b.png"], {"a.png": "a.JPEG", "b.png": "b.png"}),
        (
            ["cat/1.png", "dog/1.png"],
            ["x/dog/1.png", "x/cat/1.png"],
            {"x/dog/1.png": "dog/1.png", "x/cat/1.png": "cat/1.png"},
        ),
        (["/data/far/1.png"], ["here/1.png"], {"here/1.png": "/data/far/1.png"}),
        (["u\u0308.png"], ["ü.png"], {"ü.png": "u\u0308.png"}),
        (["v1.2"], ["v1.2.png", "v1.png"], {"v1.2.png": "v1.2"}),
        (["a.png", "a.jpg"], ["a.png"], {"a.png": "a.png"}),
        (["1.png", "2.png"], ["x/1.png", "y/1.png", "2.png"], {"2.png": "2.png"}),  # 1.png could be either
        (["cat/1", "dog/1", "2"], ["1.png", "2.png"], {"2.png": "2"}),
    ],
)
def test_which_truth_is_about_which_image(tmp_path, names, images, expected):
    folder = pictures(tmp_path, *images) and tmp_path
    numbered = {name: Truth(name, (Object((index,), name, BOX),)) for index, name in enumerate(names)}
    found, problems = match(numbered, [folder / name for name in images])
    got = {path.relative_to(folder).as_posix(): truth.objects[0].name for path, truth in found.items()}
    assert got == expected
    assert list(got) == list(expected)
    assert all(truth.image == path for path, truth in found.items())
    assert bool(problems) == (len(expected) < max(len(names), len(images)))


def test_what_does_not_meet_is_told_in_one_line_each(tmp_path):
    images = pictures(tmp_path, *(f"{index}.png" for index in range(30)))
    found, problems = match(truths(*(f"{index}.png" for index in range(20, 60))), images)
    assert list(found) == images[20:]
    assert len(problems) == 2
    assert "an image has no truth" in problems[0]
    assert "20 times" in problems[0]
    assert "truth names no image" in problems[1]
    assert "30 times, first: 30.png" in problems[1]


def test_nothing_left_is_an_error(tmp_path):
    (image,) = pictures(tmp_path, "a.png")
    for given_truths, images in ((truths("b.png"), [image]), ({}, [image]), (truths("a.png"), [])):
        with pytest.raises(FuncamError, match="no image has truth") as caught:
            match(given_truths, images)
        assert "\n" not in str(caught.value)
    with pytest.raises(FuncamError, match="inside out"):
        match(truths("a.png", box=(9, 0, 1, 9)), [image])


@pytest.mark.parametrize(
    ("box", "expected", "part"),
    [
        ((1, 2, 6, 7), (1, 2, 6, 7), None),
        ((-0.4, 0, 20.4, 10), (0, 0, 20, 10), None),
        ((-5, 2, 6, 17), (0, 2, 6, 10), "reaches over the edge"),
        ((21, 2, 26, 7), None, "outside of its image"),
        ((6, 2, 1, 7), None, "inside out or empty"),
        ((1, 2, 6, 2), None, "inside out or empty"),
    ],
)
def test_boxes_and_the_edges_of_the_image(tmp_path, box, expected, part):
    (image,) = pictures(tmp_path, "a.png")
    objects = (Object((3,), "cat", box), Object((4,), "dog", BOX))
    found, problems = match({"a.png": Truth("a.png", objects)}, [image])
    assert [each.box for each in found[image].objects] == [each for each in (expected, BOX) if each]
    assert [part in line for line in problems] == ([True] if part else [])


@given(st.tuples(*[st.floats(-50, 50)] * 4), st.integers(1, 40), st.integers(1, 40))
def test_what_is_left_lies_inside_and_has_an_area(box, width, height):
    truth = Truth("a.png", (Object((3,), "cat", box),))
    once = fitted(truth, Frame(width, height), Tally())
    for object_ in once.objects:
        x0, y0, x1, y1 = object_.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
    tally = Tally()
    assert fitted(once, Frame(width, height), tally) == once
    assert tally.lines() == []


def test_another_size_is_told_and_scaled_to(tmp_path):
    (image,) = pictures(tmp_path, "a.png", size=(40, 5))
    found, problems = match(truths("a.png", size=(20, 10)), [image])
    assert found[image].objects[0].box == (2, 1, 12, 3.5)
    assert found[image].size == (40, 5)
    assert "20x10, the file is 40x5" in problems[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_masks_follow_the_image_upright(tmp_path, orientation):
    stored = np.zeros((10, 20, 3), np.uint8)
    stored[2:7, 1:6] = 255  # the object, before the orientation
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(stored).save(tmp_path / "m.png")
    image = read_image(tmp_path / "a.png")
    rows, columns = np.nonzero(image[..., 0])
    upright = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert image_frame(tmp_path / "a.png") == (image.shape[1], image.shape[0], orientation)

    found, problems = match(truths("a.png", box=upright), [tmp_path / "a.png"])
    assert found[tmp_path / "a.png"].objects[0].box == upright
    assert problems == []
    if orientation > 4:  # then the size says that the truth was made before turning
        truth = Truth("a.png", (Object((3,), "cat", BOX, MaskFile(tmp_path / "m.png")),), (20, 10))
        found, problems = match({"a.png": truth}, [tmp_path / "a.png"])
        (object_,) = found[tmp_path / "a.png"].objects
        assert object_.box == upright
        np.testing.assert_array_equal(object_.mask(20, 10), image[..., 0] > 0)
        assert "turned" in problems[0]


def test_an_image_that_can_t_be_read_keeps_its_truth(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    found, problems = match(truths("a.png"), [tmp_path / "a.png"])
    assert found[tmp_path / "a.png"].objects[0].box == BOX
    assert problems == []


def test_a_class_without_a_box_is_truth(tmp_path):
    (image,) = pictures(tmp_path, "a.png")
    found, _ = match({"a.png": Truth("a.png", (Object((3,), "cat", None),))}, [image])
    assert found[image].labels == (3,)
    assert found[image].of(3) == ()


def test_the_assets(assets):
    for name, count, several, objects in (("ilsvrc", 300, 58, 418), ("coco", 60, 44, 260)):
        folder = assets / "photos" / name
        by_file, problems = read_truth(folder, [f"class {index}" for index in range(1000)])
        found, more = match(by_file, find_images([folder]).paths)
        assert problems + more == []
        assert len(found) == count
        assert sum(truth.multiple() for truth in found.values()) == several
        assert sum(len(truth.objects) for truth in found.values()) == objects
    first = found[Path(folder / "000000000009.jpg")]
    assert first.multiple(659)
    assert first.single(937)


def test_fractions_are_no_pixels(tmp_path):
    (image,) = pictures(tmp_path, "a.png")
    with pytest.raises(FuncamError, match=r"'a\.png', 0\.1, 0\.2, 0\.6, 1.*fractions: multiply x by the image's width"):
        match(truths("a.png", box=(0.1, 0.2, 0.6, 1.0)), [image])
    (pixel,) = pictures(tmp_path, "b.png", size=(1, 1))
    assert match(truths("b.png", box=(0.0, 0.0, 1.0, 1.0)), [pixel]).truths[pixel].objects[0].box == (0, 0, 1, 1)
    small, large = Object((3,), "cat", (0.1, 0.2, 0.6, 0.9)), Object((3,), "cat", BOX)
    found, problems = match({"a.png": Truth("a.png", (small, large))}, [image])
    assert [each.box for each in found[image].objects] == [small.box, BOX]
    assert problems == []
