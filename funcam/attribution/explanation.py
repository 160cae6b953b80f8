"""The composition: run a batch, apply the methods, combine layers, smooth."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import nn

from funcam.attribution.arguments import (
    Layers,
    Methods,
    check_layers,
    check_settings,
    inputs_of,
    layer_names,
    refuse_unsmoothed,
    resolved_methods,
    smoothings,
)
from funcam.attribution.batch_run import BatchRun, run_batch
from funcam.attribution.dispatch import (
    MethodLike,
    ResolvedMethod,
    apply_methods,
    needs_of,
    resolve_method,
)
from funcam.attribution.finite import check_finite, naming_images, warn_of_left, warn_of_zeros
from funcam.attribution.knowing import Asked, Context, spelled_out
from funcam.attribution.rows import full_precision
from funcam.attribution.showing import Shown
from funcam.attribution.smoothing import columns_of, variants
from funcam.attribution.telling import gives_pixels
from funcam.errors import FuncamError, shown, whole_number
from funcam.imaging.given import Picture
from funcam.maps import combine_maps
from funcam.network.axes import LayoutLike
from funcam.network.budget import MEMORY
from funcam.network.cutting import CutOptions, Split
from funcam.network.inputs import like_images
from funcam.network.tap import Inputs
from funcam.recipe import Scores
from funcam.targets.probabilities import check_scores
from funcam.targets.target import Output, Targets, logits_of
from funcam.zoo.batches import Batch
from funcam.zoo.net import Net

Model = nn.Module | Split | tuple[Callable[..., Any], Callable[..., Any]]
Images = torch.Tensor | Batch | Picture | Sequence[Picture]
WHOLE_NETWORK = "whole network"


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Shown):
    """What `explain` returns. It shows itself in a notebook; pictures, files and plain values are a method each.

    Attributes:
        maps: the method's own values, float32 (float64 of a model in it), not rescaled and not upsampled:
            `targets.shape + S` for class activation maps, `targets.shape + [*image size]` for FullGrad,
            `targets.shape + [channels, *image size]` for gradients of the image (combined layers: at the finest of
            their grids, each in 0..1). Of no image there are none: `[0, ...]`.
        outputs: what the model returned.
        targets: the classes that are explained, `[B]` or `[B, K]` (for a function of the outputs: its scores'
            numbers).
        scores: the values of what is explained, of the shape of `targets` and the type of the maps.
        layer: the name of the layer where the model was cut, `layer3+layer4` for combined ones, `whole network`
            for a method that has none.
        method: the name of the method (of a function: what it is called).
        output: where the logits are in `outputs`, as it was given.
        context: of a network of the zoo its name, its classes' names and the pictures; None for any other model.
    """

    maps: torch.Tensor
    outputs: Any
    targets: torch.Tensor
    scores: torch.Tensor
    layer: str
    method: str
    output: Output = None
    context: Context | None = None

    @property
    def logits(self) -> torch.Tensor:
        """The logits `[B, N]` in what the model returned."""
        return logits_of(self.outputs, self.output)

    def __copy__(self) -> Explanation:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Explanation:
        try:
            return Explanation(*copy.deepcopy(self._values(), memo))
        except RuntimeError as error:  # torch's, of tensors that were computed
            raise FuncamError(
                "a differentiable explanation can't be copied: its tensors belong to autograd's graph; copy what you "
                "need of it as result.maps.detach().clone()"
            ) from error

    def __reduce__(self) -> Any:
        if "<" in getattr(self.output, "__qualname__", ""):  # a lambda, or made inside another function
            raise FuncamError(
                f"the explanation can't be pickled, for its output= is {shown(self.output)}; give a function that a "
                "module holds under its name, or pickle result.maps and result.logits"
            )
        return Explanation, self._values()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, each.name) for each in fields(self))


def explain(
    model: Model | Net,
    images: Images,
    targets: Targets | Any = None,
    *,
    method: MethodLike = "grad-cam",
    layer: Layers = None,
    combine: str | None = "mean",
    smooth: str | Sequence[str] | None = (),
    output: Output = None,
    scores: Scores | None = None,
    memory: int = MEMORY,
    differentiable: bool = False,
    inputs: Mapping[str, Any] | Sequence[Any] = (),
    wrt: int | str = 0,
    hooks: bool | None = None,
    layout: LayoutLike | None = None,
    fast: bool = False,
    **options: Any,
) -> Explanation:
    """Explain what a model says of some images.

    Args:
        model: a module, a split of one, or a pair of functions `(features, head)`; or a network that knows its classes
            and how it takes pictures (`load_net`, `own_net`).
        images: `[B, channels, *size]`, normalised as the model expects; waveforms may be `[B, T]`, and maps of the
            image's own values then have a channel axis of length 1. For a network: pictures (paths, Pillow's images,
            arrays, tensors; one or several), or what `fit_images` made of them. Floats that all lie in 0..1 are read as
            pictures, and normalised; floats beyond as normalised already, or refused where they can't be.
        targets: the classes to explain: None for the predicted one, an index, `[B]`, `[B, K]` or `"all"`; a rule
            (`funcam.contrast(...)`, `funcam.probability(...)`); or any function of what the model returns. Of a network
            names will do for indices: `"tabby"`.
        method: the name of a method (`funcam methods` lists them), its line of `METHODS` or its public function; or any
            function `(A [C, *S], g [C, *S]) -> [*S]` of the features of one image and the gradient of one score there.
        layer: where to cut the model: a name, a module of the model or a line of `list_layers` (see `split`); several
            in a list are run in one forward pass and combined, each once.
        combine: how several layers' maps become one: `mean`, `max` or `product` (`combine_maps`).
        smooth: `"aug"` averages over flipped and rescaled images, `"eigen"` takes the first principal component of
            the weighted channels instead of their sum; or both.
        output: where the logits are in what the model returns, if it is not a tensor (see `logits_of`).
        scores: what makes probabilities of the logits, for targets and methods that are made of them: `softmax`,
            `sigmoid` (each class by itself, or a model with one logit) or `none`, where the model returns probabilities
            or plain numbers. None finds out where it is plain (one logit; a softmax or sigmoid at the model's end; rows
            that add up to one) and takes `softmax` elsewhere; inside `torch.compile` a model's end isn't seen: say it.
        memory: about how many bytes the gradients of one chunk of classes may take.
        differentiable: whether the maps can be differentiated in turn, with respect to the images and the weights.
        inputs: what else the model takes: by name (`{"input_ids": ids}`) or by position.
        wrt: which argument of the model the images are: its position or name (`"pixel_values"`).
        hooks: False to leave forward hooks on the model out (see `split`).
        layout: how the layer's tensor holds the map, where the model's answers don't tell (see `split`).
        fast: whether to prepare the model first (see `prepare`) and keep that for the next calls: worth its seconds for
            many images of one size, of which classes are explained. Under `torch.autocast` it runs in that type.
        **options: the method's own, e.g. `strongest=64` for Score-CAM (see its function); a function's keywords.

    Returns:
        The explanation: maps, outputs, targets, scores, layer and method.

    Raises:
        FuncamError: the model can't be split there, it can't have the method, images or targets have another shape, or
            an image's map isn't finite (the image is named); an argument that can't be used is refused, never ignored.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18()
        >>> explain(model, torch.rand(2, 3, 64, 64), [[1, 2, 3], [4, 5, 6]], layer=model.layer3).maps.shape
        torch.Size([2, 3, 4, 4])
    """
    asked = spelled_out(model, images, targets, output, scores)
    if fast is not False:
        usual = {"method": method, "layer": layer, "smooth": smooth, "output": asked.output, "scores": asked.scores}
        others = {"combine": combine, "inputs": inputs, "wrt": wrt, "hooks": hooks, "layout": layout}
        flags = {"memory": memory, "differentiable": differentiable}
        named = {**_unusual({**usual, **others, **flags}), **options}
        result = _fast(fast)(asked.model, asked.images, asked.targets, **named)
        wording = None if result.context is None else result.context.wording
        return result if asked.context is None else replace(result, context=replace(asked.context, wording=wording))
    names = smoothings(smooth)
    resolved = [resolve_method(method, options, "eigen" in names)]
    refuse_unsmoothed(resolved, names)
    layers = layer_names(asked.model, layer)
    if combine is None and len(layers) > 1:
        raise FuncamError(
            "combine=None keeps the maps of several layers apart and explain returns one explanation; give 'mean', "
            "'max' or 'product', or take funcam.explain_methods(..., methods=[...])"
        )
    given = inputs_of(asked.images, inputs, wrt)
    how = CutOptions(hooks, layout)
    explanations = _explained(asked, given, resolved, layers, combine, "aug" in names, memory, differentiable, how)
    warn_of_zeros(explanations)
    return explanations[0]


def _fast(fast: Any) -> Callable[..., Explanation]:
    if fast is not True:
        raise FuncamError(f"fast is {shown(fast)}; expected True or False")
    from funcam.attribution.fast import explain_fast  # which stands on this

    return explain_fast


def _unusual(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that aren't `explain`'s defaults."""
    usual = inspect.signature(explain).parameters
    defaults = {name: usual[name].default for name in given}
    return {
        name: value
        for name, value in given.items()
        if value is not defaults[name] and not (isinstance(value, str) and value == defaults[name])
    }


def explain_methods(
    model: Model | Net,
    images: Images,
    targets: Targets | Any = None,
    *,
    methods: Methods,
    layer: Layers = None,
    combine: str | None = None,
    smooth: str | Sequence[str] | None = (),
    output: Output = None,
    scores: Scores | None = None,
    memory: int = MEMORY,
    differentiable: bool = False,
    inputs: Mapping[str, Any] | Sequence[Any] = (),
    wrt: int | str = 0,
    hooks: bool | None = None,
    layout: LayoutLike | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Explanation]:
    """Explain with several methods at once: they share the passes through the network. Otherwise as `explain`.

    Args:
        model: as in `explain`.
        images: as in `explain`.
        targets: as in `explain`.
        methods: one or several, each as in `explain`.
        layer: as in `explain`.
        combine: as in `explain`; None keeps several layers apart.
        smooth: as in `explain`; it goes for every method.
        output: as in `explain`.
        scores: as in `explain`.
        memory: as in `explain`.
        differentiable: as in `explain`.
        inputs: as in `explain`.
        wrt: as in `explain`.
        hooks: as in `explain`.
        layout: as in `explain`.
        options: of each method, by its name (or the function): `{"score-cam": {"strongest": 64}}`.

    Returns:
        For each method an explanation at each layer, or one if layers are combined or the method has none.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18()
        >>> results = explain_methods(model, torch.rand(1, 3, 64, 64), methods=["grad-cam", "guided-backprop"])
        >>> [tuple(result.maps.shape) for result in results]
        [(1, 2, 2), (1, 3, 64, 64)]
    """
    names = smoothings(smooth)
    resolved = resolved_methods(methods, options, "eigen" in names)
    refuse_unsmoothed(resolved, names)
    asked = spelled_out(model, images, targets, output, scores)
    layers = layer_names(asked.model, layer)
    given = inputs_of(asked.images, inputs, wrt)
    how = CutOptions(hooks, layout)
    explanations = _explained(asked, given, resolved, layers, combine, "aug" in names, memory, differentiable, how)
    warn_of_zeros(explanations)
    return explanations


def _explained(
    asked: Asked,
    given: Inputs,
    resolved: Sequence[ResolvedMethod],
    layers: Sequence[str | None],
    combine: str | None,
    augment: bool,
    memory: int,
    differentiable: bool,
    how: CutOptions,
) -> list[Explanation]:
    check_settings(asked.output, differentiable)
    scores, model = check_scores(asked.scores), asked.model
    memory = whole_number("memory", memory, 1)
    check_layers(model, layers, combine)
    with _modes(differentiable), naming_images(given.images):
        run = run_batch(
            model,
            given,
            asked.targets,
            layers,
            memory=memory,
            output=asked.output,
            scores=scores,
            **needs_of(resolved),
            options=how,
        )
        warn_of_left(run.left)
        results = _results(run, resolved, combine)
        if augment:
            _refuse_unchanged(run)
            changed = _explained_again(model, layers, run, resolved, combine, how)
            results = [
                replace(result, maps=torch.stack([result.maps, *(maps[i] for maps in changed)]).mean(0))
                for i, result in enumerate(results)
            ]
    for result in results:
        check_finite(run, result)
    context = asked.context
    if run.target.wording is not None:
        context = replace(context or Context(), wording=run.target.wording)
    return [replace(result, context=context) for result in results]


def _refuse_unchanged(run: BatchRun) -> None:
    """Changed copies of the images are flipped; what goes in beside them and lies over them would not be."""
    shapes = like_images(run.given)
    if shapes:
        raise FuncamError(
            f"smooth='aug' flips the images, and another input of the images' size ({shapes[0]}) would stay as it is; "
            "leave 'aug' out"
        )


def _explained_again(
    model: Model,
    layers: Sequence[str | None],
    run: BatchRun,
    resolved: Sequence[ResolvedMethod],
    combine: str | None,
    how: CutOptions,
) -> list[list[torch.Tensor]]:
    """The maps of the same scores for each changed copy of the images, brought back to the images' own place."""
    maps, columns = [], columns_of(run.images.shape)
    for change, back in variants(flip=run.target.class_score is not None):
        again = run_batch(
            model,
            replace(run.given, images=change(run.images)),
            run.target,
            layers,
            memory=run.memory,
            output=run.output,
            scores=run.meaning(run.logits) if run.target.class_score else None,
            **needs_of(resolved),
            options=how,
        )
        results = _results(again, resolved, combine)
        maps.append([back(result.maps, columns if gives_pixels(result) else -1) for result in results])
    return maps


@contextmanager
def _modes(differentiable: bool) -> Iterator[None]:
    """Autograd records nothing of ours unless it was asked for; inference mode, in which nothing can be
    differentiated, is left for the duration.
    """
    if torch.compiler.is_dynamo_compiling():  # the compiler asks that inference mode be left alone
        with torch.set_grad_enabled(differentiable):
            yield
    else:
        with torch.inference_mode(False), torch.set_grad_enabled(differentiable):
            yield


def _results(run: BatchRun, resolved: Sequence[ResolvedMethod], combine: str | None) -> list[Explanation]:
    """Every method at every layer, or combined over them."""
    names = [cut.layer for cut in run.cuts]
    indices, results = run.target.indices, []
    scores = full_precision(run.scores).view(indices.shape)
    for each, maps in zip(resolved, apply_methods(run, resolved), strict=True):
        places = names if each.method.at_layer else [WHOLE_NETWORK]
        if len(maps) > 1 and combine is not None:
            maps, places = [combine_maps(maps, combine, spatial=maps[0].ndim - 2)], ["+".join(names)]
        for layer, values in zip(places, maps, strict=True):
            shaped, scores = (
                values if indices.ndim == 2 else values[:, 0],
                full_precision(run.scores).view(indices.shape),
            )
            results.append(Explanation(shaped, run.outputs, indices, scores, layer, each.method.name, run.output))
    return results
