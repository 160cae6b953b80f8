"""The scenes: the same for the same seed, true about themselves, and silent about the class except in shape."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import funcam.scenes
from funcam.scenes import CLASSES, SIZE, SUBSETS, Scene, Thing, scene, scenes

some_scenes = st.builds(
    scene,
    st.integers(0, 2**40),
    st.sampled_from(SUBSETS),
    size=st.integers(32, 96),
    difficulty=st.sampled_from([0.0, 0.5, 1.0]),
)


def labels(picture: Scene) -> list[int]:
    return [thing.label for thing in picture.things]


def same(a: Scene, b: Scene) -> bool:
    things = zip(a.things, b.things, strict=True)
    alike = all(s.label == t.label and s.box == t.box and np.array_equal(s.mask, t.mask) for s, t in things)
    return alike and a.image.tobytes() == b.image.tobytes()


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_same_seed_gives_the_same_bytes(subset: str) -> None:
    assert same(scene(11, subset, size=64), scene(11, subset, size=64))
    assert not np.array_equal(scene(11, subset, size=64).image, scene(12, subset, size=64).image)


def test_scenes_are_the_scenes_of_consecutive_seeds() -> None:
    drawn = list(scenes(3, 40, "different", size=64))
    assert all(same(picture, scene(40 + i, "different", size=64)) for i, picture in enumerate(drawn))
    assert len(drawn) == 3
    assert list(scenes(0)) == []


@settings(max_examples=40)
@given(some_scenes)
def test_masks_and_boxes_tell_the_truth(picture: Scene) -> None:
    height, width = picture.image.shape[:2]
    assert picture.image.dtype == np.uint8
    assert picture.image.shape == (height, width, 3)
    for thing in picture.things:
        assert thing.mask.shape == (height, width)
        assert thing.mask.dtype == bool
        x0, y0, x1, y1 = thing.box
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        inside = thing.mask[y0:y1, x0:x1]
        assert inside.sum() == thing.mask.sum(), "the mask leaves the box"
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1])), "the box is loose"
    assert np.sum([thing.mask for thing in picture.things], axis=0).max() == 1, "a pixel belongs to two things"


@settings(max_examples=20)
@given(st.integers(0, 2**40))
def test_subsets_hold_what_they_say(seed: int) -> None:
    assert len(labels(scene(seed, "single", size=32))) == 1
    of_one_class = labels(scene(seed, "same", size=32))
    assert 2 <= len(of_one_class) <= 3
    assert len(set(of_one_class)) == 1
    different = labels(scene(seed, "different", size=32))
    assert 2 <= len(different) == len(set(different)) <= 4
    assert 2 <= len(labels(scene(seed, "multiple", size=32))) <= 4


@settings(max_examples=20)
@given(st.integers(0, 2**40), st.lists(st.integers(0, len(CLASSES) - 1), min_size=1, max_size=6))
def test_labels_are_drawn_as_asked(seed: int, wanted: list[int]) -> None:
    assert labels(scene(seed, labels=wanted, size=48)) == wanted
    assert same(scene(seed, labels=wanted, size=48), scene(seed, labels=[CLASSES[i] for i in wanted], size=48))


def test_every_class_is_drawn_about_as_often() -> None:
    counts = np.bincount([labels(picture)[0] for picture in scenes(300, size=32)], minlength=len(CLASSES))
    assert counts.min() > 14
    assert counts.max() < 54


@pytest.mark.parametrize("seed", range(4))
def test_size_changes_only_the_resolution(seed: int) -> None:
    small, large = scene(seed, "different", size=64), scene(seed, "different", size=192)
    assert labels(small) == labels(large)
    for a, b in zip(small.things, large.things, strict=True):
        assert np.abs(np.array(a.box) * 3 - np.array(b.box)).max() <= 5


def test_colours_say_nothing_about_the_class() -> None:
    """The mean colours of the things of one class and of the others are draws of one distribution."""
    drawn = [(labels(s)[0], s.image[s.things[0].mask].mean(axis=0)) for s in scenes(400, seed=3_000, size=32)]
    classes = np.array([label for label, _ in drawn])
    colours = np.array([colour for _, colour in drawn])
    for label in range(len(CLASSES)):
        own, others = colours[classes == label], colours[classes != label]
        error = np.sqrt(own.var(axis=0) / len(own) + others.var(axis=0) / len(others))
        # 30 comparisons: |t| above 4 has a chance of about 0.002 in all, and the seeds are fixed.
        assert np.abs((own.mean(axis=0) - others.mean(axis=0)) / error).max() < 4


def test_classes_differ_in_shape() -> None:
    """Stretched to one box, the masks of no two classes are nearly alike."""
    masks = [crop(scene(1, labels=[label], size=128).things[0]) for label in range(len(CLASSES))]
    for (a, first), (b, second) in itertools.combinations(zip(CLASSES, masks, strict=True), 2):
        overlap = (first & second).sum() / (first | second).sum()
        assert overlap < 0.85, (a, b)


def crop(thing: Thing) -> NDArray[np.bool_]:
    """The mask of a thing, its box stretched to 48 x 48."""
    x0, y0, x1, y1 = thing.box
    rows, columns = np.linspace(y0, y1 - 1, 48).astype(int), np.linspace(x0, x1 - 1, 48).astype(int)
    return np.asarray(thing.mask[np.ix_(rows, columns)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"subset": "many"}, "subset must be one of single, same, different, multiple, got 'many'"),
        ({"size": 8}, "size must be 32 pixels or more, got 8"),
        ({"difficulty": 1.5}, r"difficulty must lie in 0..1, got 1.5"),
        ({"labels": []}, r"labels must be a sequence of 1 to 6 classes, got \[\]"),
        ({"labels": "star"}, "labels must be a sequence of 1 to 6 classes, got 'star'"),
        ({"labels": [0] * 7}, "labels must be a sequence of 1 to 6 classes"),
        ({"labels": ["cat"]}, "label must be one of arrow, .*, got 'cat'"),
        ({"labels": [10]}, r"label must lie in 0..9, got 10"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scene(**{"seed": 0, **arguments})  # type: ignore[arg-type]


def test_a_bad_number_of_scenes_is_named_before_any_is_drawn() -> None:
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        scenes(-1)
    with pytest.raises(ValueError, match="subset must be one of"):
        scenes(1, subset="many")


def test_the_package_needs_no_torch() -> None:
    folder = str(Path(funcam.scenes.__file__).parents[1])
    code = (
        "import sys, types; stub = types.ModuleType('funcam'); stub.__path__ = [sys.argv[1]]; "
        "sys.modules['funcam'] = stub; import funcam.scenes as s; s.scene(0); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=True)


def test_the_usual_scene_is_large_enough_to_look_at() -> None:
    assert scene(0).image.shape == (SIZE, SIZE, 3)
