"""The matrix takes transformers by rule: every class that classifies images, videos or sounds."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import pytest

from benchmarks.models.entry import Entry

modeling_auto = pytest.importorskip("transformers.models.auto.modeling_auto")

FILES = ("vit", "towers", "convnets", "stages", "video", "audio", "segmentation", "detection")
MAPPINGS = (
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES",
)
# A class without an entry, and the package that it needs and this environment has no build of.
NEEDS = {"DinatForImageClassification": "natten"}


def entries() -> list[Entry]:
    """All entries of transformers, file after file."""
    return [entry for name in FILES for entry in import_module(f"benchmarks.models.transformers_{name}").entries()]


def classes(mapping: str) -> set[str]:
    """The names of the classes in a mapping of transformers, which has one or several for each family."""
    families = getattr(modeling_auto, mapping).values()
    return {name for family in families for name in ([family] if isinstance(family, str) else family)}


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_every_class_has_an_entry_or_a_reason(mapping: str) -> None:
    """A class that a new release of transformers brings needs an entry."""
    named = {entry.name.removeprefix("transformers/").split("-")[0] for entry in entries()}
    assert classes(mapping) - named - set(NEEDS) == set()


@pytest.mark.parametrize(("name", "package"), NEEDS.items())
def test_a_reason_still_holds(name: str, package: str) -> None:
    """An exception whose package is there is none."""
    assert find_spec(package) is None
    assert any(name in classes(mapping) for mapping in MAPPINGS)


def test_names_are_unique() -> None:
    """The page of the matrix names a model by its entry."""
    names = [entry.name for entry in entries()]
    assert sorted(set(names)) == sorted(names)
