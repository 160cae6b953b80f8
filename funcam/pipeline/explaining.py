"""The main job on one image: put it before a network, predict, explain, and bring everything back as NumPy arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from funcam.attribution.dispatch import resolve_method
from funcam.attribution.explanation import Explanation
from funcam.errors import FuncamError
from funcam.imaging.fit import View
from funcam.imaging.reading import Pixels
from funcam.methods import METHODS
from funcam.network.failures import PAIR
from funcam.network.rewrites.guidance import guided
from funcam.pipeline.explain_recipe import explain_prepared, explain_recipe
from funcam.pipeline.fitting import FittedImage, fit_for, sized
from funcam.pipeline.predictions import Prediction, likeliest, meaning, predictions
from funcam.pipeline.recipes import ALL, CAMS, GUIDED
from funcam.recipe import Recipe
from funcam.targets.class_scores import contrast
from funcam.targets.target import ClassScore, Targets, take
from funcam.zoo.labels import class_name
from funcam.zoo.nets import Net, at_size
from funcam.zoo.preprocessing import normalised

# What "all" sets: masking an image with each of 2,048 channels takes minutes, with the strongest ones seconds.
_OPTIONS_OF_ALL = {name: {"strongest": 32} for name in ("score-cam", "score-cam-authors", "ss-cam", "is-cam")}


@dataclass(frozen=True)
class Provenance:
    """How a map was made: its name, the method, the layer, what of a class was explained, the options."""

    name: str
    method: str
    layer: str
    explains: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ImageExplanation:
    """What the network said of one image, and why.

    Attributes:
        fit: how the image was put before the network.
        view: which part of the image the network saw.
        predictions: the likeliest classes, the likeliest first.
        explained: the K classes that are explained.
        maps: name -> `[K, h, w]` for maps, `[K, h, w, 3]` for gradients of the image, float32. The name is the
            method's, with several layers `method@layer`.
        layer: where the network was cut; several with commas between.
        notes: what the reader should know, a sentence each.
        seconds: how long predicting and explaining took.
        recipe: how the maps were asked to be made.
        contrast: the class that the explained ones are contrasted with, a class index or `runner-up`; None for none.
        provenance: how each map was made.
    """

    fit: str
    view: View
    predictions: tuple[Prediction, ...]
    explained: tuple[Prediction, ...]
    maps: dict[str, NDArray[np.float32]]
    layer: str
    notes: tuple[str, ...]
    seconds: float
    recipe: Recipe = field(default_factory=Recipe)
    contrast: int | str | None = None
    provenance: tuple[Provenance, ...] = ()


def explain_image(
    net: Net,
    image: Pixels | FittedImage,
    classes: Sequence[int] | None = None,
    recipe: Recipe | None = None,
    *,
    contrast: int | str | None = None,
    fit: str = "squash",
    device: str | torch.device = "cpu",
    layout: str | None = None,
    fast: bool = False,
    top: int | None = None,
) -> ImageExplanation:
    """Predict and explain one image.

    Args:
        net: the network, its model on `device`.
        image: uint8 RGB `[H, W, 3]`, or one that is before the network already.
        classes: indices of the classes to explain, `~index` for what speaks against one; None for the predicted one.
        recipe: how the maps are made. Without methods these are Grad-CAM, Grad-CAM++ and, where there are ReLUs, the
            two guided methods; the methods `("all",)` are all that the network can have.
        contrast: a class index, or `runner-up`: the class that the explained ones are contrasted with.
        fit: how the image is put before the network (`funcam.imaging.fit`), if it isn't there.
        device: where to compute.
        layout: how the layer's tensor holds the map, in words (see `funcam.split`).
        fast: whether the network is prepared for each method (see `funcam.prepare`), and kept so for the next images.
        top: so many of the likeliest classes are explained where `classes` is None; None for one.

    Returns:
        The explanation.

    Raises:
        FuncamError: the network can't take the image, can't be cut there, can't have a method that was named, or a
            value isn't finite.

    Example:
        >>> from funcam.zoo.nets import build_net
        >>> explain_image(build_net("resnet18"), np.zeros((40, 60, 3), np.uint8)).maps["grad-cam"].shape
        (1, 7, 7)
    """
    recipe = recipe or Recipe()
    net = sized(net, recipe, image.fit if isinstance(image, FittedImage) else fit)
    (explanation,) = explain_fitted(
        net,
        [image if isinstance(image, FittedImage) else fit_for(net, image, fit)],
        classes,
        recipe,
        contrast=contrast,
        device=device,
        layout=layout,
        fast=fast,
        top=top,
    )
    return explanation


def explain_fitted(
    net: Net,
    images: Sequence[FittedImage],
    classes: Sequence[int] | None,
    recipe: Recipe,
    *,
    contrast: int | str | None = None,
    device: str | torch.device = "cpu",
    layout: str | None = None,
    fast: bool = False,
    top: int | None = None,
) -> list[ImageExplanation]:
    """Predict and explain several images of one input size at once, each as if it were alone.

    Args:
        net: the network with the input that the recipe asks for (`sized`), its model on `device`.
        images: at least one.
        classes: as in `explain_image`; the same for all.
        recipe: as in `explain_image`.
        contrast: as in `explain_image`.
        device: as in `explain_image`.
        layout: as in `explain_image`.
        fast: as in `explain_image`.
        top: as in `explain_image`.

    Raises:
        FuncamError: as in `explain_image`, for any of them.
    """
    started = time.perf_counter()
    batch = normalised(net, [each.pixels for each in images], device)
    several = top is not None and top > 1 and classes is None
    seen = _before(net, images, recipe, device, layout, several)
    asked = _asked(seen, top or 1) if seen and classes is None else [classes] * len(images)
    results, notes = _results(net, batch, _targets(asked, contrast), recipe, layout, fast)
    logits = (seen or results[0]).logits
    check_logits(logits, net)
    names = _names(results)
    layer = ", ".join(dict.fromkeys(r.layer for r in results if METHODS[r.method].at_layer)) or results[0].layer
    provenance = _provenance(results, names, recipe)
    arrays = [_as_arrays(result) for result in results]
    seconds = (time.perf_counter() - started) / len(images)

    def of(row: int) -> ImageExplanation:
        chosen = asked[row] or results[0].targets[row].flatten().tolist()
        explained, best = predictions(net, logits[row], chosen), likeliest(net, logits[row])
        said = (meaning(net, best[0]), _says_another(best, explained) if classes is None else None, _sizes(net, recipe))
        return ImageExplanation(
            fit=images[row].fit,
            view=images[row].view,
            predictions=best,
            explained=explained,
            maps={name: maps[row] for name, maps in zip(names, arrays, strict=True)},
            layer=layer,
            notes=(*filter(None, said), *notes, *_notes(net, recipe, results, row)),
            seconds=seconds,
            recipe=recipe,
            contrast=contrast,
            provenance=provenance,
        )

    return [of(row) for row in range(len(images))]


def _before(
    net: Net,
    images: Sequence[FittedImage],
    recipe: Recipe,
    device: str | torch.device,
    layout: str | None,
    several: bool,
) -> Explanation | None:
    """What the network says of images, where that has to be known before they are explained: where several of its
    classes are asked for, and where a recipe enlarges images for the map's sake. It is asked at the size it was trained
    for, because of larger ones it is less sure.
    """
    if _own_size(net, recipe) == net.input_size and not several:
        return None
    own = at_size(net, _own_size(net, recipe))
    batch = normalised(own, [fit_for(own, each.image, each.fit).pixels for each in images], device)
    plain = Recipe(("random-cam",), recipe.layers[:1])
    return explain_recipe(own.model, batch, None, plain, output=own.output, scores=own.scores, layout=layout)[0]


def _asked(seen: Explanation, top: int) -> list[list[int]]:
    """The likeliest classes of each image."""
    if top == 1:
        return [[index] for index in seen.targets.tolist()]
    return [row.topk(min(top, len(row))).indices.tolist() for row in seen.logits]


def _own_size(net: Net, recipe: Recipe) -> int:
    return net.input_size // recipe.scale if recipe.input_size is None else net.input_size


def _sizes(net: Net, recipe: Recipe) -> str | None:
    own = _own_size(net, recipe)
    return None if own == net.input_size else f"predicted at {own} pixels, explained at {net.input_size}"


def _provenance(results: Sequence[Explanation], names: Sequence[str], recipe: Recipe) -> tuple[Provenance, ...]:
    return tuple(
        Provenance(
            name,
            result.method,
            result.layer,
            METHODS[result.method].explains,
            resolve_method(result.method, _options(recipe, result.method), eigen=False).options,
        )
        for name, result in zip(names, results, strict=True)
    )


def _targets(classes: Sequence[Sequence[int] | None], contrast_with: int | str | None) -> Targets:
    """The classes of each image as a target; None for the predicted ones."""
    asked = [list(each) for each in classes if each is not None]
    if any(index < 0 for each in asked for index in each):
        if contrast_with is not None:
            raise FuncamError("what speaks against a class has no contrast; leave out --contrast, or the `not`")
        signs = torch.tensor([1.0 if index >= 0 else -1.0 for index in asked[0]])  # the same for all images
        own = [[max(index, ~index) for index in each] for each in asked]
        return ClassScore(own, lambda logits, chosen: take(logits, chosen) * signs.to(logits))
    targets = asked or None
    return targets if contrast_with is None else contrast(targets, contrast_with)


def _says_another(best: Sequence[Prediction], explained: Sequence[Prediction]) -> str | None:
    """A network with one logit that says no: the class is explained all the same."""
    if best[0].index != explained[0].index or best[0].name == explained[0].name:
        return None
    return (
        f"the network says {best[0].name!r}, and what speaks for {explained[0].name!r} is explained; "
        f"--class {best[0].name!r} explains the other"
    )


def _results(
    net: Net, images: torch.Tensor, targets: Targets, recipe: Recipe, layout: str | None, fast: bool
) -> tuple[list[Explanation], list[str]]:
    """The explanations, and what there is to say about those that could not be had."""

    def results_of(methods: Sequence[str]) -> list[Explanation]:
        options = {name: _options(recipe, name) for name in methods}
        asked = replace(recipe, methods=tuple(methods), options=options)
        return explain_recipe(net.model, images, targets, asked, output=net.output, scores=net.scores, layout=layout)

    if fast:
        return explain_prepared(net.model, images, targets, recipe, results_of, output=net.output, scores=net.scores)
    if recipe.methods == (ALL,):
        return _every_one(net, results_of)
    methods, notes = (recipe.methods, []) if recipe.methods else _usual_methods(net, images)
    return results_of(methods), notes


def _every_one(
    net: Net, results_of: Callable[[Sequence[str]], list[Explanation]]
) -> tuple[list[Explanation], list[str]]:
    """Each method that the network can have, one after the other; a note for each that it can't."""
    results: list[Explanation] = []
    notes = []
    for name in METHODS:
        try:
            results += results_of([name])
        except FuncamError as error:
            notes.append(f"no {name}: {error}")
    if not results:
        raise FuncamError(f"{net.name} can't have any method: {notes[0]}")
    strongest = next(iter(_OPTIONS_OF_ALL.values()))["strongest"]
    return results, [
        *notes,
        f"{', '.join(_OPTIONS_OF_ALL)} masked with the {strongest} strongest channels (--method all)",
    ]


def _options(recipe: Recipe, method: str) -> Mapping[str, Any]:
    own = recipe.options.get(method, {})
    return {**_OPTIONS_OF_ALL.get(method, {}), **own} if recipe.methods == (ALL,) else own


def _names(results: Sequence[Explanation]) -> list[str]:
    several = len({result.layer for result in results if METHODS[result.method].at_layer}) > 1
    return [
        f"{result.method}@{result.layer}" if several and METHODS[result.method].at_layer else result.method
        for result in results
    ]


def _usual_methods(net: Net, images: torch.Tensor) -> tuple[Sequence[str], list[str]]:
    """The default methods that the network can have, and a note on those that it can't."""
    try:
        rewritten = guided(net.model, images)
    except FuncamError as error:
        reason = str(error).removesuffix(f"; {PAIR}")  # which is nothing for who has a picture and a network's name
        return CAMS, [f"{reason} (that is why there is no {' and no '.join(GUIDED)})"]
    if not rewritten.left:
        return (*CAMS, *GUIDED), []
    count = f"{len(rewritten.rewritten)} ReLUs are guided, {len(rewritten.left)} other activations are not"
    return (*CAMS, *GUIDED), [f"guided backpropagation covers a part of {net.name}: {count}"]


def check_logits(logits: torch.Tensor, net: Net) -> None:
    """Refuse logits that are no numbers.

    Args:
        logits: of any number of images.
        net: the network.

    Raises:
        FuncamError: some are NaN or infinite.
    """
    if not bool(logits.isfinite().all()):
        count = int(logits.isfinite().logical_not().sum())
        raise FuncamError(
            f"{net.name} returns NaN or infinity for {count} of {len(net.classes)} classes; "
            "look for NaN or huge values in its weights"
        )


def _notes(net: Net, recipe: Recipe, results: list[Explanation], row: int) -> list[str]:
    """What a reader of the maps should know: which have nothing on them, and which methods mislead when."""
    methods = dict.fromkeys(result.method for result in results)
    told = [f"{name} {beware}" for name in methods if (beware := METHODS[name].beware)]
    if recipe.layers and not any(METHODS[name].at_layer for name in methods):
        told.append(
            f"the layer {', '.join(recipe.layers)} changes nothing: {', '.join(methods)} is of the whole network"
        )
    return told + [
        f"{result.method} at {result.layer} is zero everywhere for class {index}, {class_name(index, net.classes)!r}: "
        "nothing there speaks for it"
        for result in results
        for index, values in zip(result.targets[row].flatten().tolist(), _by_class(result)[row], strict=True)
        if not values.any()
    ]


def _by_class(result: Explanation) -> torch.Tensor:
    """`[B, K, ...]`, also of one class."""
    return result.maps[:, None] if result.targets.ndim == 1 else result.maps


def _as_arrays(result: Explanation) -> NDArray[np.float32]:
    """`[B, K, h, w]`, or `[B, K, h, w, 3]` for a gradient of the image; of a clip, whose frames are all alike, their
    mean.
    """
    maps = _by_class(result)
    if METHODS[result.method].gives == "pixels":
        maps = maps.mean(2) if maps.ndim == 6 else maps
        maps = (maps.expand(-1, -1, 3, -1, -1) if maps.shape[2] == 1 else maps[:, :, :3]).movedim(2, -1)
    elif maps.ndim == 5:
        maps = maps.mean(2)
    array: NDArray[np.float32] = maps.float().cpu().numpy()
    return array
