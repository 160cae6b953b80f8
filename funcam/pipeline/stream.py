"""Images from files to pictures, as one stream: read, explained together, drawn and written.

Importing it needs no torch, so that the command line can look for the files first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from funcam.errors import shown
from funcam.imaging.reading import announced_bytes, read, read_data
from funcam.imaging.text import undrawn
from funcam.pipeline.earlier import MADE_FROM, ImageSource, asked_of, made_from
from funcam.pipeline.writing import Style, names_of, write_results
from funcam.resuming.alone import alone_in
from funcam.resuming.places import ASKED, Place
from funcam.streaming.in_order import in_order, worker_count
from funcam.streaming.outcome import Outcome
from funcam.streaming.together import Together

if TYPE_CHECKING:
    from funcam.imaging.reading import Pixels
    from funcam.pipeline.explaining import ImageExplanation
    from funcam.pipeline.fitting import FittedImage
    from funcam.recipe import Recipe
    from funcam.zoo.nets import Net

_FIRST = "the file has several frames or pages; the first is explained"
_STRETCHED = "the picture's 16 bits use 12 or fewer: its values are stretched from their minimum to their maximum"
_BYTES_A_PIXEL = 256  # of a network's input, while it is explained: so 8 of 256 x 256 go at once
_BYTES_A_IMAGE = 2**24  # times as many images as go at once where they are small


@dataclass(frozen=True)
class Job:
    """Everything that is the same for all images of a call.

    Attributes:
        label: what the network goes by.
        net: the network, on the device.
        device: where to compute.
        classes: what is explained; None for what the network says, or what a scene shows.
        contrast: the class that these are contrasted with.
        fit: how images are put before the network.
        recipe: how the maps are made.
        layout: how the layer's tensor holds the map, in words; None to find out.
        style: how the pictures look.
        out: the folder for the results.
        fast: whether the network is prepared for the methods first.
        top: how many of the likeliest classes are explained; None for the one, or what a scene shows.
        also: what else is done with an image and its explanation, in the thread that writes.
        question: what tells all of this from what else could be asked, in letters: with what tells the image from
            others it stands in the record, for `funcam.pipeline.earlier`. "" where nobody will ask.
        asked: what tells the options from others, in letters, for `funcam.resuming.places`: results of other options
            keep their names. "" where all results are replaced.
        overwrite: whether they are replaced nevertheless.
        places: where the results of images go, where several jobs share them.
    """

    label: str
    net: Net
    device: str
    classes: tuple[int, ...] | None
    contrast: int | str | None
    fit: str
    recipe: Recipe
    layout: str | None
    style: Style
    out: Path
    fast: bool = False
    top: int | None = None
    also: Callable[[ImageSource, Pixels, ImageExplanation], object] | None = None
    question: str = ""
    asked: str = ""
    overwrite: bool = False
    places: Mapping[ImageSource, Place] | None = None


class _Seen(NamedTuple):
    """An image before the network, the classes that are known to be on it, and what there is to say of it."""

    source: ImageSource
    fitted: FittedImage
    known: tuple[int, ...]
    notes: tuple[str, ...]
    made_from: str | None


class _Explained(NamedTuple):
    """An image and why the network said what it said."""

    seen: _Seen
    explanation: ImageExplanation


def explain_files(
    job: Job, sources: Sequence[ImageSource], wrote: Callable[[ImageSource], object] = lambda _source: None
) -> Generator[Outcome[ImageSource, dict[str, Any]], None, None]:
    """The record of each image, in order, once its pictures are written; or the image's own error.

    Images are read, and results are drawn and written, in threads, some ahead of the network and some behind it: close
    the iterator to stop. Memory does not grow with the number of images.

    Args:
        job: what is the same for all.
        sources: the images.
        wrote: called when an image's last file is there, in the thread that wrote it.

    Example:
        >>> for outcome in explain_files(job, sources):  # doctest: +SKIP
        ...     print(outcome.item.name, outcome.error or outcome.value["files"])
    """
    from funcam.pipeline.at_once import images_at_once
    from funcam.pipeline.fitting import sized

    def write(explained: Outcome[ImageSource, _Explained]) -> dict[str, Any]:
        record = _written(job, explained.get())
        wrote(explained.item)
        return record

    net = sized(job.net, job.recipe, job.fit)
    most = images_at_once(net, job.recipe, job.device)
    together = Together(partial(_explained, job, net), _kind, most, partial(_bytes_before, net), most * _BYTES_A_IMAGE)
    workers = worker_count() if len(sources) > 1 else 0
    seen = in_order(partial(_seen, job, net), sources, workers, size_of=_announced)
    for written in in_order(write, together.over(seen), workers, size_of=_bytes_behind):
        yield Outcome(written.item.item, written.value, written.error)


def _seen(job: Job, net: Net, source: ImageSource) -> _Seen:
    from funcam.pipeline.fitting import fit_for

    made = made_from(job.question, source) if job.question else None
    image, known, notes = _picture(source)
    if known and job.classes is None and job.top is None and _knows_scenes(net):
        things = ", ".join(net.classes[index] for index in known)
        notes = (f"the scene shows {things}: what it shows is explained",)
    else:
        known = ()
    return _Seen(source, fit_for(net, image, job.fit), known, notes, made)


def _knows_scenes(net: Net) -> bool:
    from funcam.scenes import CLASSES  # draws with NumPy's generators, which take a while to import

    return net.classes == CLASSES


def _picture(source: ImageSource) -> tuple[Pixels, tuple[int, ...], tuple[str, ...]]:
    """The image, the classes that are known to be on it, and what there is to say of how it was read."""
    if source.seed is None:
        image = read(source.name) if source.data is None else read_data(source.data, source.name)
        said = ((_STRETCHED, image.stretched), (_FIRST, image.several))
        return image.pixels, (), tuple(note for note, holds in said if holds)
    from funcam.scenes import scene

    drawn = scene(source.seed, "different")
    return drawn.image, tuple(dict.fromkeys(thing.label for thing in drawn.things)), ()


def _explained(job: Job, net: Net, images: Sequence[_Seen]) -> list[_Explained]:
    """Images of one size, with the same classes known to be on them."""
    from funcam.pipeline.explaining import explain_fitted, explain_image

    classes = job.classes or images[0].known or None
    how: Any = {"contrast": job.contrast, "device": job.device, "layout": job.layout, "fast": job.fast, "top": job.top}
    if len(images) == 1:
        return [_Explained(images[0], explain_image(job.net, images[0].fitted, classes, job.recipe, **how))]
    explanations = explain_fitted(net, [each.fitted for each in images], classes, job.recipe, **how)
    return [*map(_Explained, images, explanations)]


def _written(job: Job, explained: _Explained) -> dict[str, Any]:
    seen, explanation = explained
    source = seen.source
    unwritten = _unwritten(job, source, explanation)
    explanation = replace(explanation, notes=(*seen.notes, *explanation.notes, *unwritten))
    if job.places is not None:
        record = _placed(job, seen, explanation, job.places[source])
    else:
        with alone_in(job.out):
            place = place_of(job, source, job.label)
            record = _placed(job, seen, explanation, place)
            place.done(record)
    if job.also is not None:
        job.also(source, seen.fitted.image, explanation)
    return record


def _placed(job: Job, seen: _Seen, explanation: ImageExplanation, place: Place) -> dict[str, Any]:
    source, style = seen.source, job.style
    name = place.name(f"{source.stem}-{job.label}", lambda name: names_of(name, explanation, style))
    known_by = {MADE_FROM: seen.made_from, ASKED: place.asked}
    return write_results(
        job.out,
        name,
        source.name,
        seen.fitted.image,
        job.net,
        explanation,
        style,
        known_by={key: letters for key, letters in known_by.items() if letters},
    )


def place_of(job: Job, source: ImageSource, ending: str) -> Place:
    """Where the results of an image go, with a record whose name ends so."""
    asked = asked_of(job.asked, source, job.out)
    return Place(job.out, source.stem, f"{source.stem}-{ending}", asked, job.overwrite, plain=source.plain)


def _unwritten(job: Job, source: ImageSource, explanation: ImageExplanation) -> list[str]:
    """Names in the panel that no font here can write."""
    if "panel" not in job.style.pictures and job.also is None:
        return []
    names = [Path(source.name).name, *(prediction.name for prediction in explanation.explained)]
    lacking = {name: undrawn(name) for name in names}
    return [
        f"no font of this system writes {letters[:8]!r} in {shown(name)}: empty boxes stand for it in the panel; "
        "install one that does, such as Noto Sans for its script"
        for name, letters in lacking.items()
        if letters
    ]


def _kind(seen: _Seen) -> Hashable:
    return seen.fitted.view.input_size, seen.known


def _announced(source: ImageSource) -> int:
    return announced_bytes(source.name) if source.seed is None else 0


def _bytes_before(net: Net, seen: _Seen) -> int:
    return seen.fitted.image.nbytes + _BYTES_A_PIXEL * math.prod(seen.fitted.view.input_size) * (net.frames or 1)


def _bytes_behind(explained: Outcome[ImageSource, _Explained]) -> int:
    if explained.value is None:
        return 0
    maps = explained.value.explanation.maps.values()
    return explained.value.seen.fitted.image.nbytes + sum(each.nbytes for each in maps)
