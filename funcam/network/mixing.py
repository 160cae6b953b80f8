"""Whether what a model says of an image depends on the other images of its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from funcam.errors import FuncamError
from funcam.network.alone import alone
from funcam.network.axes import OwnLayout
from funcam.network.believed import manner_for
from funcam.network.call import tensors_in
from funcam.network.checks import cotangents
from funcam.network.cut_runs import run_cut
from funcam.network.derivative import vjp
from funcam.network.graph import Graph
from funcam.network.known import TracedModel, known_of
from funcam.network.layers import Unvalued
from funcam.network.outputs import leaves
from funcam.network.plain_shapes import result_of
from funcam.network.provenance import Provenance
from funcam.network.random_numbers import own_random_numbers
from funcam.network.samples import kind_of, sample_of, scattered
from funcam.network.settled import Settled
from funcam.network.tap import Inputs, run
from funcam.network.tracing import is_compiled

_NOTHING = 1e-5  # of the derivative by the image itself, or of the outputs: rounding
_A_LITTLE = 0.01  # of an image: no branch of the model's code is left for it
_MANY = 1_000_003  # images, without values


def rows_mix(model: nn.Module, given: Inputs) -> bool:
    """Whether a row of what a model returns depends on another's image, found once for such inputs.

    That of BatchNorm without running statistics does, and whatever else is computed over the batch, with a derivative
    or without (a maximum over the batch that is detached). Where it can't be tried
    (inside `torch.compile`; code without a derivative; inputs besides the images, of which nobody knows which have a
    row for each) it is no.

    Args:
        model: a module; it is only read.
        given: what goes into it.

    Example:
        >>> rows_mix(nn.BatchNorm2d(1, track_running_stats=False).eval(), Inputs(torch.rand(2, 1, 4, 4)))
        True
    """
    if not _may_meet(model, given):
        return False
    mixed: bool = known_of(model).fact(("rows mix", kind_of(given)), lambda: _mix(model, given))
    return mixed


def refuse_mixed(model: nn.Module, given: Inputs, cuts: Sequence[Settled]) -> None:
    """Refuse several images at once where a map of one would be one of others.

    Raises:
        FuncamError: what the model says of one depends on the others, or a layer holds them in another order.
    """
    if len(given.images) < 2 or is_compiled():
        return
    traced = known_of(model).traced(model) if cuts and all(cut.way == "fx" for cut in cuts) else None
    apart = not _may_meet(model, given, traced)
    # Which rows a caller's own functions take of a layer's tensor is not followed.
    asked = [cut for cut in cuts if not apart or isinstance(cut.layout, OwnLayout)]
    if not asked or given.has_others or given.images.is_meta:
        return
    alone = "explain them one at a time: [funcam.explain(model, image[None]) for image in images]"
    name, known, kind = type(model).__name__, known_of(model), kind_of(given)
    if not apart and rows_mix(model, given):
        raise FuncamError(
            f"{name} says another thing of an image when the images beside it are others (BatchNorm without running "
            f"statistics does so), so that a map of one would be a map of all; {alone}"
        )
    for cut in asked:
        if known.fact(("rows moved", cut.layer, cut.layout, kind), partial(_moved, cut, model, given)):
            raise FuncamError(
                f"{name} holds the images in another order at layer {cut.layer!r} (what it says of one depends on the "
                f"row of another there), so that a map of one would be another's; name an earlier layer, or {alone}"
            )


def _may_meet(model: nn.Module, given: Inputs, traced: TracedModel | None = None) -> bool:
    """Whether it can be tried, and isn't plain, that the images keep apart.

    Args:
        model: a module; it is only read.
        given: what goes into it.
        traced: its graph, if that computes what it computes.
    """
    return not (is_compiled() or given.has_others or given.images.is_meta) and not _kept_apart(model, given, traced)


def _kept_apart(model: nn.Module, given: Inputs, traced: TracedModel | None) -> bool:
    """Whether every operation of the model is seen to keep the images apart, and in their order.

    Two images are followed: the axis of one is easily lost among others of length one, and its first is all of it.
    """

    def through_graph(graph: Graph) -> bool:
        many = torch.empty((_MANY, *given.images.shape[1:]), dtype=given.images.dtype, device="meta")
        with alone(), torch.no_grad(), suppress(LookupError):
            _KnownRows(graph).run(many)
            return True
        shape = (2, *given.images.shape[1:])
        pair = torch.empty(shape, dtype=given.images.dtype, device="meta")  # without values it costs next to nothing
        with alone(), torch.no_grad(), Provenance(pair) as followed:
            outputs = Unvalued(graph).run(pair)
        return _are_apart(outputs, followed)

    def through_model() -> bool:
        manner, pair = manner_for(model, sample_of(given)), _pair(given)
        with own_random_numbers(pair), torch.no_grad(), Provenance(pair) as followed:
            outputs = run(model, replace(given, images=pair), {}, manner)
        return _are_apart(outputs, followed)

    def find() -> bool:
        if traced is not None:
            with suppress(Exception):  # some operations have none without values
                return through_graph(traced.graph)
        with suppress(FuncamError):  # it takes one at a time
            return through_model()
        return False

    apart: bool = known_of(model).fact(("rows apart", kind_of(given)), find)
    return apart


class _KnownRows(Unvalued):
    """Follows so many images that no other axis is as long, through operations that are known to keep rows apart."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # which imports the compiler

    def run_node(self, n: fx.Node) -> Any:
        """What a node makes.

        Raises:
            LookupError: it is another operation.
        """
        if n.op in ("placeholder", "get_attr", "output"):
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        made = result_of(self.fetch_attr(str(n.target)) if n.op == "call_module" else n.target, args, kwargs)
        if made is None or any(one.shape[:1] != (_MANY,) for one in tensors_in((made,))):
            raise LookupError(n.name)
        return made


def _are_apart(outputs: Any, followed: Provenance) -> bool:
    tensors = [tensor for _, tensor in leaves(outputs) if tensor.is_floating_point()]
    return bool(tensors) and followed.keeps_apart(tensors)


def _pair(given: Inputs) -> Tensor:
    """Two images that differ."""
    image = sample_of(given).images.detach()
    return torch.cat([image, scattered(image.shape, image.dtype, image.device)])


def _mix(model: nn.Module, given: Inputs) -> bool:
    manner, pair = manner_for(model, sample_of(given)), _pair(given)

    def function(images: Tensor) -> Any:
        return run(model, replace(given, images=images), {}, manner)

    with own_random_numbers(pair):
        return _leads_across(function, pair) or _tells_across(function, pair)


def _moved(cut: Settled, model: nn.Module, given: Inputs) -> bool:
    """Whether, of two images in either order, a row of the outputs depends on the other's features."""
    pair = _pair(given)
    with own_random_numbers(pair):
        for images in (pair, pair.flip(0)):
            A, head = run_cut(cut, lambda: model, replace(given, images=images))
            if _leads_across(head, A.detach()):
                return True
    return False


def _leads_across(function: Callable[[Tensor], Any], rows: Tensor) -> bool:
    """Whether either of the two rows of what a function returns has a derivative by the other that it is given."""

    def in_rows(rows: Tensor) -> tuple[list[Tensor], None]:
        return _in_rows(function(rows)), None

    try:
        values, pullback, *_ = vjp(in_rows, (rows,))
        given = cotangents(values)
        gradients = [pullback([_only(one, row) for one in given])[0].detach().abs() for row in (0, 1)]
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:  # batches of one only, say
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return False
    return any(bool(one[1 - row].max() > _NOTHING * one[row].max()) for row, one in enumerate(gradients))


def _tells_across(function: Callable[[Tensor], Any], pair: Tensor) -> bool:
    """Whether either of two rows of what a function returns is another when the other image is a little different."""
    noise = _A_LITTLE * (pair.amax() - pair.amin()) * scattered(pair.shape, pair.dtype, pair.device)
    with torch.no_grad(), suppress(FuncamError, RuntimeError, ValueError, TypeError, LookupError, AssertionError):
        ours = _in_rows(function(pair))
        for row in (0, 1):
            theirs = _in_rows(function(pair + _only(noise, 1 - row)))
            for one, other in zip(ours, theirs, strict=True):
                apart = (one[row] - other[row]).abs().nan_to_num().max()
                if bool(apart > _NOTHING * one[row].abs().nan_to_num().max()):
                    return True
    return False


def _in_rows(outputs: Any) -> list[Tensor]:
    """The tensors that have a row for each of two images."""
    tensors = [t for _, t in leaves(outputs) if t.is_floating_point() and t.ndim]
    return [tensor for tensor in tensors if len(tensor) == 2 and tensor.numel()]


def _only(tensor: Tensor, row: int) -> Tensor:
    """One row of a tensor, and nothing in the others."""
    one = torch.zeros_like(tensor)
    one[row] = tensor[row]
    return one
