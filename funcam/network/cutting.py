"""Splitting a model at a layer into two pure functions: features, and the head that turns features into logits."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import fx, nn

from funcam.errors import FuncamError, nearest, shown
from funcam.network.axes import LayoutLike, parsed
from funcam.network.believed import graph_of as graph_of
from funcam.network.choice import LAST_CONV, last_conv
from funcam.network.copied import OfAModel
from funcam.network.cut_runs import run_cut
from funcam.network.cuts import Cut as Cut
from funcam.network.forms import in_form
from funcam.network.hooks import without_hooks
from funcam.network.images import check_images
from funcam.network.inputs import check_wrt, inputs_for
from funcam.network.known import known_of
from funcam.network.layers import find_node, output_of
from funcam.network.layout import PLAIN
from funcam.network.naming import Layer as Layer
from funcam.network.naming import LayerLike, layer_name
from funcam.network.pair import NAMES, closed_head, is_pair, named_features
from funcam.network.samples import numbers
from funcam.network.settled import Settled
from funcam.network.tap import Inputs, place_of
from funcam.network.tracing import is_compiled
from funcam.network.twin import twin
from funcam.network.wanted import Read
from funcam.network.ways import VIA, settle
from funcam.network.wrappers import plain_name, refuse_list, required_of, unwrapped

Functions = tuple[Callable[[torch.Tensor], Any], Callable[..., Any]]
Image = tuple[int, ...]


_NUMBERS = itertools.count()
_SPLITS: weakref.WeakValueDictionary[str, Split] = weakref.WeakValueDictionary()
"""The splits there are, by a word: torch 2.11's compiler hands no object on to what it runs itself."""


@dataclass(frozen=True, eq=False)
class Split(OfAModel):
    """A model cut at a layer: a reusable, thread-safe function `images -> (A, head)`. Made by `split`."""

    _layer: str | None
    _model: Callable[[], nn.Module | None] = field(repr=False)
    _kept: nn.Module | None = field(repr=False)
    _via: str | None = field(repr=False, default=None)
    _hooks: bool | None = field(repr=False, default=None)
    _wrt: int | str = field(repr=False, default=0)
    _layout: LayoutLike | None = field(repr=False, default=None)
    _latest: list[Settled] = field(repr=False, default_factory=list)
    _key: str = field(repr=False, default_factory=lambda: f"split {next(_NUMBERS)}")

    def __post_init__(self) -> None:
        _SPLITS[self._key] = self

    @property
    def layer(self) -> str:
        """The name of the cut, e.g. `layer4`.

        Raises:
            FuncamError: it is the default layer of a model whose graph nobody has, and no images were seen yet.
        """
        if self._latest:
            return self._latest[0].layer
        if self._layer is None:
            raise FuncamError("the default layer of this model is settled at the first call; give images first")
        return self._layer

    @property
    def is_pair(self) -> bool:
        """Whether a pair of functions was given, not a module."""
        return self._kept is None

    @property
    def wrt(self) -> int | str:
        """Which argument of the model the images are."""
        return self._wrt

    @property
    def way(self) -> str:
        """How the model is cut: `fx` (its traced graph), `tap` (its own code), `export` or `functions`; "" before the
        first call.
        """
        return self._latest[0].way if self._latest else ""

    @property
    def why(self) -> str:
        """Why it is cut that way."""
        return self._latest[0].why if self._latest else "nothing was explained yet"

    def __call__(
        self, images: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        """Run the model up to the layer.

        Args:
            images: `[B, channels, *image size]`, as the model takes them; waveforms may be `[B, T]`.
            *args: whatever else the model takes, by position.
            **kwargs: whatever else it takes, by name.

        Returns:
            `A`, the features `[B, C, *S]`, and `head`, a pure function from such features to what the model
            returns (`[B, N]` logits for a classifier). Values that skip the layer, and the class token of a
            transformer, are closed over as constants.

        Raises:
            FuncamError: the images have a shape that the model can't take, or the layer is no feature map for them.
        """
        inputs = self._in_form(inputs_for(images, args, kwargs, self._wrt))
        A, head = run_cut(self.settled(inputs), self.source, inputs)
        return A, lambda features: head(features)

    def _in_form(self, inputs: Inputs) -> Inputs:
        return inputs if self._kept is None else in_form(self.source(), inputs)

    def settled(self, inputs: Inputs, read: Read | None = None) -> Settled:
        """The cut of the model as it is now, for such inputs: a new one if a module was replaced.

        Args:
            inputs: what goes in.
            read: the score that the default layer has to lead to; None for the logits, or the first output.
        """
        if self._kept is None:
            check_images(inputs.taken)
            if inputs.has_others:
                raise FuncamError(
                    "a pair (features, head) takes the images alone and more was given; close over it in the functions"
                )
            return self._latest[0]
        if not is_compiled():
            return self._settle(inputs, read)
        images = inputs.images
        if not inputs.has_others:
            _settle_while_compiling(
                self._key, tuple(int(side) for side in images.shape[1:]), images.dtype, images.device
            )
        return self._made_before()

    def _settle(self, inputs: Inputs, read: Read | None = None) -> Settled:
        settled = settle(self.source(), self._layer, inputs, self._via, self._layout, read)
        if self._latest[:1] != [settled]:
            self._latest[:] = [settled]
        return settled

    def _made_before(self) -> Settled:
        if not self._latest:
            raise FuncamError("inside torch.compile a model of several inputs can't be checked; call the split before")
        if self._latest[0].way == "tap":
            raise FuncamError(f"torch.compile can't follow taps, and the model is cut by one ({self._latest[0].why})")
        return self._latest[0]

    def model(self) -> nn.Module:
        """The model that was split.

        Raises:
            FuncamError: there was none, but a pair of functions.
        """
        if self._kept is None:
            raise FuncamError(
                "this needs the whole model, and a pair (features, head) has none; use a method that needs only the "
                "features and the head (as grad-cam), or give the module"
            )
        return self.source()

    def source(self) -> nn.Module:
        """The model as it is now; where it is gone, what the split kept of it: modules that share its parameters."""
        model = self._model()
        assert self._kept is not None
        model = self._kept if model is None else model
        return without_hooks(model) if self._hooks is False else model


def _settle_while_compiling(key: str, image: Image, dtype: torch.dtype, device: torch.device) -> bool:
    """Find the cut for images of a shape, run by the compiler, outside what it follows."""
    _SPLITS[key]._settle(Inputs(numbers((1, *image), dtype, device)))
    return True


# All that `torch.compiler.assume_constant_result` does, but for importing the compiler, which takes a second.
vars(_settle_while_compiling)["_dynamo_marked_constant"] = True


def split(
    model: nn.Module | Functions,
    layer: LayerLike | None = None,
    *,
    example: torch.Tensor | None = None,
    via: str | None = None,
    hooks: bool | None = None,
    wrt: int | str = 0,
    layout: LayoutLike | None = None,
) -> Split:
    """Cut a model at a layer: `A, head = split(model, layer)(images)` with `head(A)` equal to `model(images)`.

    The model is only read: it is explained as in evaluation mode, whatever mode it is in, and nothing of it is changed.
    Its graph, traced by `torch.fx`, is used where a check finds that it computes what the model computes, outputs and
    derivative at the layer, for images of that shape and type; elsewhere the model's own code is run with a tap at the
    layer. `Split.way` says which and `Split.why` why. What was found out is kept for as long as the model lives;
    weights changed in place and modules replaced since are seen.

    Args:
        model: a module. Or a pair of functions `(features, head)`, cut by hand: `features(images)` returns
            `A [B, C, *S]`, or `(A, rest)`, and `head(A)`, or `head(A, rest)`, what the model returns.
        layer: a module path (`layer4.2`; `block#2` for the module's second call, `encoder[0]` or `encoder[states]` for
            a part of what it returns) or a node name (`get_graph_node_names`); a module of the model
            (`model.layer4[2]`; at its first call, under its first name) or a line of `list_layers`; None for the last
            feature map before pooling, after its activation; `last-conv` for the last convolution in module order.
        example: images of the kind that will be explained: layer and way are settled at once, not at the first call.
            A model that takes more than images has none: its split is settled when it is called with all of them,
            `split(model)(images, mask=...)`.
        via: `fx`, `tap` or `export` to use one of them alone; None for the first of `fx` and `tap` that is right, and
            `export` where the model's code has no derivative as it is. (While `torch.export` runs it changes torch for
            the whole process; other threads shouldn't trace or compile then.)
        hooks: False to leave hooks on the model out, forward and backward. Otherwise a check runs them once; where
            outputs or derivative are others without them, or their code doesn't show that they only watch, they are a
            part of the model and run in every pass.
        wrt: which argument of the model the images are: its position or name.
        layout: how the layer's tensor holds the map, where the model's answers don't tell: `channels-first`
            `[B, C, *S]`, `channels-last` `[B, *S, C]`, `tokens` `[B, P + T + Q, C]` with a grid as `"tokens 14x14
            prefix=1 suffix=0"`, a `Layout`, or two functions: the layer's tensor -> `[B, C, *S]`, and back.

    Returns:
        The split.

    Raises:
        FuncamError: the model can't be run (the message says why, and where in its code), there is no such layer or the
            module is not in the model, the outputs don't depend on it, or which of its axes are the image's is
            undecided (the message shows the readings).

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18().eval()
        >>> images = torch.rand(2, 3, 64, 64)
        >>> A, head = split(model, "layer3")(images)
        >>> A.shape, torch.allclose(head(A), model(images), atol=1e-5)
        (torch.Size([2, 256, 4, 4]), True)
    """
    if via not in VIA:
        raise FuncamError(f"via={via!r} is unknown; expected 'fx', 'tap', 'export' or None")
    _check_hooks(hooks)
    check_wrt(wrt)
    if example is not None:
        check_images(example, least=2)
    said = None if layout is None else parsed(layout)
    if is_pair(model):
        if said is not None:
            raise FuncamError(
                "layout was given with a pair (features, head), whose features are [B, C, *S]; leave it out"
            )
        for option, value in (("via", via), ("hooks", hooks), ("wrt", wrt or None)):
            if value is not None:
                raise FuncamError(
                    f"{option} was given with a pair (features, head), which is cut already; leave it out"
                )
        return _split_pair(*cast(Functions, model), layer)
    module = unwrapped(model)
    known_of(module)  # refuses what can't be explained
    name = layer_name(module, layer)
    if wrt == 0:
        refuse_list(module)
    made = Split(name, weakref.ref(module), twin(module, hooks=True), via, hooks, wrt, said)
    if example is not None:
        made.settled(in_form(module, inputs_for(example, wrt=wrt)))
        return made
    if wrt != 0 or len(required_of(module)) > 1:  # its graph would be of the images alone
        return made
    return replace(made, _layer=_named_now(module, name, via, isinstance(layer, nn.Module)))


@dataclass(frozen=True)
class CutOptions:
    """How a model is to be cut, besides where.

    Attributes:
        hooks: as in `split`.
        layout: as in `split`.
    """

    hooks: bool | None = None
    layout: LayoutLike | None = None

    def __post_init__(self) -> None:
        _check_hooks(self.hooks)


def _check_hooks(hooks: Any) -> None:
    if hooks is not None and not isinstance(hooks, bool):
        raise FuncamError(f"hooks is {shown(hooks)}; expected False, to leave a model's hooks out, True or None")


USUAL = CutOptions()


def split_for(model: nn.Module, layer: LayerLike | None, inputs: Inputs, options: CutOptions) -> Split:
    """A model to be cut at a layer for some inputs; nothing is settled yet."""
    module = unwrapped(model)
    if not inputs.has_others:
        refuse_list(module)
    said = None if options.layout is None else parsed(options.layout)
    return Split(layer_name(module, layer), weakref.ref(module), module, None, options.hooks, inputs.wrt, said)


def _named_now(model: nn.Module, layer: str | None, via: str | None, by_module: bool) -> str | None:
    """The layer's name as far as it is known without images; an unknown one is refused."""
    traced = known_of(model).traced(model) if via in (None, "fx") else None
    if traced is None:
        return layer
    if layer is None:
        one = isinstance(output_of(traced.graph).args[0], fx.Node)  # of several outputs a call tells which counts
        return traced.default(None) if one else None
    if layer == LAST_CONV:
        return last_conv(traced.graph, model)
    modules = dict(model.named_modules(remove_duplicate=False))
    name = plain_name({**traced.graph.named, **modules}, layer)
    if place_of(name).path not in modules:
        find_node(traced.graph, name)  # says what is nearest
    known = traced.graph.named
    if name in known:
        traced.cut(name, None)  # refuses what does not lead to the outputs
    elif by_module:
        raise FuncamError(
            f"{name!r} is in {traced.graph.model} but is never called there by itself (it only holds others, or is run "
            f"as a part of one); nearest: {nearest(name, known)}"
        )
    return name


def _split_pair(features: Callable[[torch.Tensor], Any], head: Callable[..., Any], layer: LayerLike | None) -> Split:
    if layer is not None and layer != NAMES[0]:
        raise FuncamError(
            f"layer {shown(layer)} was given with a pair (features, head), which is cut already; leave it out"
        )
    return Split(NAMES[0], lambda: None, None, _latest=[cut_by_hand(features, head)])


def cut_by_hand(features: Callable[[torch.Tensor], Any], head: Callable[..., Any]) -> Settled:
    """A model that was cut into two functions."""
    cut = Cut(NAMES[0], named_features(features), closed_head(head), NAMES)
    return Settled(NAMES[0], "functions", "they were given", cut, PLAIN)
