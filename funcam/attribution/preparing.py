"""Preparing a model: a copy with folded BatchNorms in channels_last, compiled, and held to the eager float32 map."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from funcam.attribution.compiling import as_it_is, check_backend, compiled, mode
from funcam.attribution.dispatch import MethodLike
from funcam.attribution.explanation import Explanation, explain
from funcam.attribution.finite import tell, without_warnings
from funcam.attribution.prepared import Explain, Form, Prepared, Run
from funcam.errors import FuncamError, reason_in, shown
from funcam.maps import pearson
from funcam.methods import find_method
from funcam.network.believed import graph_of
from funcam.network.checks import difference, why_not_run
from funcam.network.cutting import Split, split
from funcam.network.derivative import recordable
from funcam.network.naming import LayerLike
from funcam.network.outputs import leaves
from funcam.network.random_numbers import own_random_numbers
from funcam.network.rewrites.batchnorm import folded
from funcam.network.rewrites.channels_last import channels_last, in_channels_last
from funcam.network.watch import Watch
from funcam.network.wrappers import unwrapped
from funcam.targets.target import Targets

_T = TypeVar("_T")
_Change = Callable[[torch.Tensor], torch.Tensor]
_HALF = (torch.bfloat16, torch.float16)
_LEAST, _LEAST_IN_HALF = 0.999, 0.95
"""What a map has to correlate at least with the eager one; rounding of eight bits moves a map by a hundredth."""
_MOST, _MOST_IN_HALF = 0.01, 0.25
"""How far it may be from it, as a share of its largest value."""
_NOTHING = 0.05
"""A map that varies by no more, as a share of the image's largest value, says nothing that could correlate."""
_OTHERS = ("inputs", "wrt", "differentiable", "hooks", "layout", "combine")


def prepare(
    model: nn.Module,
    layer: LayerLike | None = None,
    *,
    example: torch.Tensor,
    targets: Targets = None,
    method: MethodLike = "grad-cam",
    dtype: torch.dtype | None = None,
    dynamic: bool = False,
    backend: Any = "inductor",
    **options: Any,
) -> Prepared:
    """Make `images -> Explanation` of a model once, to be called many times: the fast path of `explain`.

    The model is copied: BatchNorms are folded into the convolutions and linear layers before them, weights are held in
    channels_last where its code takes that, and all of `explain` is compiled as one graph (on a GPU as CUDA graphs). It
    takes seconds, which torch's own cache of compiled code makes fewer the next time. Where torch finds no compiler,
    can't compile the method, or the model isn't cut by its graph, what is left is done and a `FuncamWarning` says so.
    The maps of the example are compared with those of `explain`, and what differs is refused. The model is only read;
    when it is changed later, the next call says that it has to be prepared again.

    Args:
        model: a module.
        layer: one layer, as in `explain`.
        example: images of the kind that will be explained: as many, unless `dynamic`, of that size, type and device.
        targets: as in `explain`. Classes of each image's own (`[B]` or `[B, K]`) are the example's; each call gives
            those of its images.
        method: as in `explain`.
        dtype: `torch.bfloat16` or `torch.float16` to run the network under autocast; maps are made in float32. For a
            GPU, or a processor with instructions for it: one without them takes six times as long as in float32.
        dynamic: whether calls may have any number of images.
        backend: what compiles, a name or a function as in `torch.compile`; None for nothing.
        **options: what else `explain` takes: `output`, `scores`, `smooth`, `memory`, and the method's own.

    Returns:
        The function; how well it agrees, and how long it took to compile, are its attributes.

    Raises:
        FuncamError: the model can't be explained so, or the fast maps aren't those of `explain`.

    Example:
        >>> import torchvision
        >>> model, images = torchvision.models.resnet18().eval(), torch.rand(2, 3, 64, 64)
        >>> fast = prepare(model, example=images, backend=None)
        >>> fast(images).maps.shape, fast.folded, fast.correlation > 0.999
        (torch.Size([2, 2, 2]), 20, True)
    """
    _check(model, layer, dtype, dynamic, options)
    check_backend(backend)
    module = unwrapped(model)
    layer = _of_targets(module, example, targets, method, options) if layer is None else layer
    watch, cut = Watch(module), split(module, layer, example=example)
    if not len(example):
        raise FuncamError("example holds no images; expected at least one, of which the fast maps are compared")
    example = example.detach().clone()
    network, copy, laid_out = _folded(module, cut, example)
    own = are_of_each(targets)

    def explained(images: torch.Tensor, classes: torch.Tensor | None) -> Explanation:
        given = targets if classes is None else classes
        return explain(copy, laid_out(images), given, method=method, **options)

    def exact(targets: Targets) -> Explanation:
        with mode(example.device):
            return explain(cut, example, targets, method=method, **options)

    settled = exact(targets)
    classes = settled.targets if own else None
    start = time.perf_counter()
    run, fast, why = _fastest(explained, settled, cut, example, classes, dtype, dynamic, backend)
    seconds = time.perf_counter() - start
    # (of classes that tie another may be the predicted one)
    like = exact(fast.targets) if targets is None else settled
    correlation, difference = agreement(_rows(fast), _rows(like))
    _refuse_another(correlation, difference, dtype)
    shape = tuple(settled.targets.shape) if own else None
    count = settled.logits.shape[1] if own else 0
    return Prepared(
        layer=settled.layer,
        method=settled.method,
        folded=_norms(module) - _norms(network),
        compiled=run is not None,
        why=why,
        seconds=seconds,
        correlation=correlation,
        difference=difference,
        _form=Form(tuple(example.shape), example.dtype, example.device, dynamic, shape, count),
        _watch=watch,
        _run=_in_mode(run or as_it_is(explained), example.device, dtype),
        _exact=_in_mode(explained, example.device, dtype),
        _network=network,
    )


def _of_targets(
    module: nn.Module, example: torch.Tensor, targets: Targets, method: MethodLike, options: dict[str, Any]
) -> str | None:
    """The default layer of what will be explained: of the predicted class any may be it.

    Raises:
        FuncamError: there are several.
    """
    if isinstance(method, str) and not find_method(method).at_layer:
        return None
    asked = "all" if targets is None else targets
    with without_warnings():  # `explain` tells them
        return explain(module, example, asked, method="fem", output=options.get("output")).layer


def _folded(module: nn.Module, cut: Split, example: torch.Tensor) -> tuple[nn.Module, Split, _Change]:
    """A copy of a model with its BatchNorms folded, the same copy cut, and how images lie in memory that go into it.

    In channels_last code may fail (`x.view(len(x), -1)`) or see that its tensors lie otherwise: there the copy and the
    images are left as they lie.
    """
    graph = graph_of(module, example) if cut.way == "fx" else None
    with mode(example.device), own_random_numbers(example):
        network = folded(module, graph, example.shape, cut.layer)
        said = _said(cut, example)
        copy, _ = why_not_run(lambda: split(in_channels_last(network), cut.layer, example=example))
        same, _ = why_not_run(lambda: copy and not difference(_said(copy, channels_last(example)), said))
    if copy is not None and same:
        return network, copy, channels_last
    network = folded(module, graph, example.shape, cut.layer)
    return network, split(network, cut.layer, example=example), _as_they_lie


def _said(cut: Split, images: torch.Tensor) -> list[torch.Tensor]:
    """The tensors in what a cut model returns."""
    A, head = cut(images)
    return [tensor for _, tensor in leaves(head(A))]


def _as_they_lie(images: torch.Tensor) -> torch.Tensor:
    return images


def agreement(maps: torch.Tensor, exact: torch.Tensor) -> tuple[float, float]:
    """The lowest correlation of a map with the exact one, and the largest difference.

    The difference is a share of the largest value of that image's maps: of a thousand classes most maps are next to
    nothing, and rounding is what is left of them. So is a correlation of maps that are the same everywhere: only the
    difference tells of them.

    Args:
        maps: one map of each image, `[B, n]`, or several, `[B, K, n]`.
        exact: the same of the exact maps.

    Example:
        >>> correlation, difference = agreement(torch.tensor([[0.0, 2.0, 4.0]]), torch.tensor([[0.0, 1.0, 2.0]]))
        >>> round(correlation, 6), difference
        (1.0, 1.0)
    """
    one, other = (tensor.double() for tensor in (maps, exact))
    largest = other.abs().flatten(1).amax(1)
    gap = (one - other).abs().flatten(1).amax(1) / largest.where(largest > 0, torch.ones_like(largest))
    size = (other - other.mean(-1, keepdim=True)).abs().amax(-1)
    flat = size <= _NOTHING * largest.view(-1, *[1] * (other.ndim - 2))
    return pearson(one, other).where(~flat, torch.ones_like(size)).min().item(), gap.max().item()


def _rows(result: Explanation) -> torch.Tensor:
    return result.maps.flatten(result.targets.ndim)


def _check(model: Any, layer: Any, dtype: Any, dynamic: Any, options: dict[str, Any]) -> None:
    if not isinstance(model, nn.Module):
        of_zoo = isinstance(getattr(model, "model", None), nn.Module)
        way = (
            "give its .model, with example=batch.tensor"
            if of_zoo
            else "give the model itself, with layer=... for where it is split, or take funcam.explain"
        )
        raise FuncamError(f"prepare makes a copy of a module and was given {shown(model)}; {way}")
    if isinstance(layer, list | tuple):
        raise FuncamError("prepare takes one layer; prepare each, and combine their maps with funcam.combine_maps")
    if dtype is not None and dtype not in _HALF:
        raise FuncamError(f"dtype is {shown(dtype)}; expected torch.bfloat16, torch.float16 or None")
    if not isinstance(dynamic, bool):
        raise FuncamError(f"dynamic is {shown(dynamic)}; expected True or False")
    for name in _OTHERS:
        if name in options:
            raise FuncamError(f"{name} can't be prepared; leave it out, or take funcam.explain without fast=True")


def are_of_each(targets: Any) -> bool:
    """Whether each image has classes of its own.

    Example:
        >>> are_of_each([1, 2]), are_of_each(torch.tensor(1)), are_of_each("all")
        (True, False, False)
    """
    return isinstance(targets, list | tuple) or getattr(targets, "ndim", 0) > 0


def _norms(model: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in model.modules())


def _in_mode(
    run: Callable[[torch.Tensor, torch.Tensor | None], _T], device: torch.device, dtype: torch.dtype | None
) -> Callable[[torch.Tensor, torch.Tensor | None], _T]:
    def in_mode(images: torch.Tensor, classes: torch.Tensor | None) -> _T:
        with mode(device, dtype):
            return run(recordable(images).detach(), classes)

    return in_mode


def _fastest(
    explained: Explain,
    like: Explanation,
    cut: Split,
    example: torch.Tensor,
    classes: torch.Tensor | None,
    dtype: torch.dtype | None,
    dynamic: bool,
    backend: Any,
) -> tuple[Run | None, Explanation, str]:
    """`explained` compiled, or None where it can't be, which is told; what either says of the example; and why not."""
    device, why = example.device, ""
    if cut.way != "fx":
        why = f"the model isn't cut by its graph ({cut.why}), so it is neither folded nor compiled"
    elif backend is not None:
        try:
            exact = _in_mode(explained, device, dtype)(example, classes)  # finds out what can't be while it sees values
            run = compiled(explained, like, device, dynamic, backend)
            result, numbers = _in_mode(run, device, dtype)(example, classes)
            return run, result if bool(numbers.isfinite()) else exact, ""
        except (FuncamError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever is missing, or can't be followed
            why = f"it is not compiled, only folded: {type(error).__name__}: {reason_in(error)}"
    if why:
        tell(why + "; backend=None leaves compiling out" * (cut.way == "fx"), 4)
    return None, _in_mode(explained, device, dtype)(example, classes), why


class OtherMaps(FuncamError):
    """What was prepared says another thing than `explain`, by rounding that a model or a method makes much of."""


def _refuse_another(correlation: float, difference: float, dtype: torch.dtype | None) -> None:
    least, most = (_LEAST, _MOST) if dtype is None else (_LEAST_IN_HALF, _MOST_IN_HALF)
    if correlation >= least and difference <= most:
        return
    way = "take funcam.explain" if dtype is None else "leave dtype out, or take funcam.explain"
    raise OtherMaps(
        f"the prepared model's maps are not those of explain: the lowest correlation is {correlation:.4f} (expected at "
        f"least {least}), the largest difference {difference:.2g} of the map's largest value (at most {most}); {way}"
    )
