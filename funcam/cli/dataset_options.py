"""The options that name a data set, of `funcam compare` and `funcam evaluate`: images with truth, or scenes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from funcam.cli.messages import UsageError, check_choice, check_file

if TYPE_CHECKING:
    from funcam.comparison.dataset import Example

Images = Annotated[list[str] | None, typer.Argument(help="Image files, folders or globs.")]
TruthPath = Annotated[
    str | None, typer.Option("--truth", "-t", help="Boxes: CSV, Pascal VOC, COCO, ILSVRC, or a folder of masks.")
]
Names = Annotated[Path | None, typer.Option("--names", help="CSV name,class_index: classes for the truth's own words.")]
Scenes = Annotated[int | None, typer.Option("--scenes", min=1, help="So many scenes with known truth, no images.")]
Fit = Annotated[str, typer.Option("--fit", help="squash, crop or pad.")]
InputSize = Annotated[int | None, typer.Option("--input-size", min=1, help="Side of the networks' input, in pixels.")]
Batch = Annotated[int, typer.Option("--batch", min=1, help="Images at once.")]

LoadExamples: TypeAlias = Callable[[Sequence[str]], tuple[list["Example"], list[str]]]
"""From the classes of the networks to the data set, and the problems with it."""


def check_dataset(
    images: Sequence[str] | None, truth: str | None, names: Path | None, scenes: int | None, fit: str
) -> None:
    """Find every wrong word before torch is imported.

    Raises:
        UsageError: no data set, two, `--names` without use, or an unknown fit.
    """
    if scenes is None and not images:
        raise UsageError("no images to compare on; give image files, folders or globs, or --scenes 500")
    if scenes is not None and (images or truth):
        raise UsageError("--scenes was given and images or --truth too; give one or the other")
    if names is not None and truth is None:
        raise UsageError("--names says what the words of --truth mean; give --truth too")
    check_file("--names", names)
    check_choice("--fit", fit, ("squash", "crop", "pad"))


def words_of(images: Sequence[str], truth: str | None, names: Path | None, scenes: int | None, out: Path) -> list[str]:
    """A data set in the words in which it was asked for: what is in its files may be mended.

    Args:
        images: as they were given.
        truth: as it was given.
        names: as they were given.
        scenes: how many.
        out: the folder of the results, from which the others are known.
    """
    from funcam.resuming.places import way

    files = (("--truth", truth), ("--names", names))
    words = [f"{option} {way(out, str(file))}" for option, file in files if file is not None]
    return [*(way(out, each) for each in images), *words, *([] if scenes is None else [f"--scenes {scenes}"])]


def find_dataset(images: Sequence[str], truth: str | None, names: Path | None, scenes: int | None) -> LoadExamples:
    """The data set, to be loaded once the networks' classes are known; what can be found wrong before is said now.

    Raises:
        UsageError: no such images or truth.
    """
    return _photos(images, truth, names) if scenes is None else _drawn(scenes)


def _drawn(scenes: int) -> LoadExamples:
    def load(classes: Sequence[str]) -> tuple[list[Example], list[str]]:
        from funcam.comparison.dataset import scene_examples
        from funcam.scenes import CLASSES

        if len(classes) != len(CLASSES):
            raise UsageError(
                f"--scenes shows {len(CLASSES)} classes and the network knows {len(classes)}; give --net scenes or "
                "networks that were trained on the scenes, or photos with --truth"
            )
        return scene_examples(scenes), []

    return load


def _photos(images: Sequence[str], truth: str | None, names: Path | None) -> LoadExamples:
    from funcam.imaging.reading import find_images
    from funcam.imaging.suffixes import heic_offer

    files = find_images(images)
    offer = heic_offer([*files.problems, *files.notes])
    if not files.paths:
        raise UsageError("; ".join([*files.problems, *offer]))
    if truth is not None and not os.path.exists(truth):
        raise UsageError(f"--truth {truth!r}: there is no such file or folder")

    def load(classes: Sequence[str]) -> tuple[list[Example], list[str]]:
        from funcam.comparison.dataset import image_examples
        from funcam.truth import match, read_names, read_truth

        if truth is None:
            return image_examples(files.paths), [*files.problems, *files.notes, *offer]
        meanings = read_names(names, classes) if names else None
        known = read_truth(truth, classes, names=meanings, images=files.paths)
        matched = match(known.by_file, files.paths)
        examples = image_examples([path for path in files.paths if path in matched.truths], matched.truths)
        return examples, [*files.problems, *files.notes, *offer, *known.problems, *matched.problems]

    return load
