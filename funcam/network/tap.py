"""A model's own code, run on a twin with taps at some of its modules: what they return is read, added to or replaced.

No graph, no hook, and nothing that outlives the run: each run has a twin of its own, and whatever the model's code
writes (counters, caches, images) it writes there. Differentiated is what lies behind the taps; what lies before them is
computed and not recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from funcam.errors import FuncamError, nearest
from funcam.network.blame import called
from funcam.network.copies import Copies
from funcam.network.fixed import is_captured
from funcam.network.outputs import Path, leaf, leaves, mapped, with_leaf
from funcam.network.outside import Outside
from funcam.network.tracing import uncompiled
from funcam.network.transforms import Unseen
from funcam.network.twin import Twin, kept_tables, twin_of
from funcam.network.visits import visit_module
from funcam.network.writes import BuffersWritten, InputsWritten, Lent, ParametersWritten, Written, kept_flags

Visit = Callable[[Tensor], Tensor]
"""What a tap makes of what the layer returned."""

_LAYER = re.compile(r"(?P<path>[^#\[]*)(?:#(?P<call>[1-9]\d*))?(?P<leaf>(?:\[[^\[\]]+\])*)")
_FUSED = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


@dataclass(frozen=True)
class Place:
    """A layer as a tap finds it.

    Attributes:
        path: the module's path; "" for the whole model.
        call: which of its calls, the first being 1.
        leaf: which part of what it returns; none for the only tensor in it.
    """

    path: str
    call: int = 1
    leaf: Path = ()

    def __str__(self) -> str:
        call = f"#{self.call}" if self.call > 1 else ""
        return self.path + call + "".join(f"[{key}]" for key in self.leaf)


def place_of(layer: str) -> Place:
    """A layer's name taken apart: `block#2` is a module's second call, `encoder[0]` or `encoder[states]` a part.

    Raises:
        FuncamError: it is no such name.

    Example:
        >>> place_of("encoder.layer#2[hidden][0]")
        Place(path='encoder.layer', call=2, leaf=('hidden', 0))
    """
    parts = _LAYER.fullmatch(layer)
    if parts is None:
        raise FuncamError(
            f"layer {layer!r} is no name of a layer; expected a module's path, with `#2` for its second call and "
            "`[0]` or `[key]` for a part of what it returns"
        )
    keys = re.findall(r"\[([^\[\]]+)\]", parts["leaf"])
    found: Path = tuple(int(key) if re.fullmatch(r"-?\d+", key) else key.strip("'\"") for key in keys)
    return Place(parts["path"], int(parts["call"] or 1), found)


@dataclass(frozen=True)
class Manner:
    """How a model has to be run, as a check found out.

    Attributes:
        hooks: whether the caller's hooks are part of the function, or may be for other images.
        own_buffers: whether its code writes into buffers, so that each run needs its own.
        own_images: whether its code writes into the images.
        own_tables: whether its code registers hooks while it runs.
        own_parameters: whether its code writes into its parameters, so that each run needs its own.
        autograd: whether its code needs autograd while it runs: it hangs hooks on tensors, or keeps their gradients.
        threads: whether modules are called in other threads.
        draws: whether its code draws random numbers of Python's or NumPy's.
    """

    hooks: bool = False
    own_buffers: bool = True
    own_images: bool = True
    own_tables: bool = True
    own_parameters: bool = False
    autograd: bool = False
    threads: bool = False
    draws: bool = False

    @property
    def plain(self) -> bool:
        """Whether only plain autograd sees all of it."""
        return self.autograd or self.threads


@dataclass(frozen=True)
class Inputs:
    """What goes into a model: the images, and whatever else it takes.

    Attributes:
        images: `[B, channels, *size]`.
        args: further arguments by position.
        kwargs: further arguments by name.
        wrt: which argument the images are: their position among all, or their name.
        bare: whether the model takes them without the channel axis, of length 1: waveforms `[B, T]`, spectrograms.
        last: whether the model takes them with the channels last: features in steps, `[B, T, C]`.
    """

    images: Tensor
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    wrt: int | str = 0
    bare: bool = False
    last: bool = False

    @property
    def has_others(self) -> bool:
        """Whether something else goes in beside the images."""
        return bool(self.args or self.kwargs)

    @property
    def taken(self) -> Tensor:
        """The images as the model takes them."""
        return self._as_taken(self.images)

    def _as_taken(self, images: Tensor) -> Tensor:
        if self.last:
            return images.movedim(1, -1)
        return images[:, 0] if self.bare else images

    def own(self, own_tensors: bool) -> Inputs:
        """The same with containers and objects of their own, for code that may write into them.

        Args:
            own_tensors: whether tensors beside the images are copied too.
        """
        if not self.has_others:
            return self
        copies = Copies(own_tensors=own_tensors)
        return replace(
            self,
            args=tuple(map(copies.value, self.args)),
            kwargs={name: copies.value(value) for name, value in self.kwargs.items()},
        )

    def call(self, model: Callable[..., Any], images: Tensor) -> Any:
        """What the model returns for these inputs, with (changed) images in their place."""
        images = self._as_taken(images)
        if isinstance(self.wrt, str):
            return model(*self.args, **{**self.kwargs, self.wrt: images})
        before, after = self.args[: self.wrt], self.args[self.wrt :]
        return model(*before, images, *after, **self.kwargs)


def run(
    model: nn.Module,
    inputs: Inputs,
    taps: Mapping[Place, Visit],
    manner: Manner,
    recording: bool = False,
    *,
    watch: Mapping[str, Callable[[Any], None]] | None = None,
) -> Any:
    """What a model returns, with taps at some of its layers.

    Args:
        model: a module; it is only read.
        inputs: the images and whatever else it takes.
        taps: what is made of what each layer returned.
        manner: how the model has to be run.
        recording: whether autograd records what the model does with its parameters.
        watch: called with all that a module returns, by the module's path; for modules without a tap.

    Raises:
        FuncamError: a layer is not in the model, or is never called, or returns no tensor.
    """
    while True:
        try:
            with _rewound(inputs.images):
                return _run(model, inputs, taps, manner, recording, watch or {})
        except Written as found:  # of another image than the one by which the manner was found out
            manner = replace(manner, **{found.own: True})


def _run(
    model: nn.Module,
    inputs: Inputs,
    taps: Mapping[Place, Visit],
    manner: Manner,
    recording: bool,
    watch: Mapping[str, Callable[[Any], None]],
) -> Any:
    keeps = torch.is_grad_enabled()
    with _modes(model), kept_flags(list(model.parameters()) if recording else []), kept_tables(model, manner.hooks):
        made = twin_of(
            model,
            hooks=manner.hooks,
            frozen=not recording,
            own_buffers=manner.own_buffers,
            own_tables=manner.own_tables,
            own_parameters=manner.own_parameters,
        )
        own, outside = made.root, Outside(made)
        unseen = Unseen(None if recording or inputs.has_others else inputs.images)
        visited = _tap(own, taps, manner, unseen)
        for path, look in watch.items():
            visit_module(own.get_submodule(path), _taps_modes()(look), manner.own_tables)
        given, images = inputs.own(manner.own_images), _given(inputs.images, manner)
        try:
            with unseen, Lent(_lent(made, given, images, manner)):
                outputs = called(own, lambda: given.call(own, images), inputs.taken, inputs.has_others)
        finally:
            outside.restore()
        if manner.plain and not keeps:
            outputs = mapped(outputs, Tensor.detach)
    for place, count in visited.items():
        if count < place.call:
            raise FuncamError(_never_called(place, count, _called(model, inputs, manner), type(model).__name__))
    return outputs


def _lent(made: Twin, given: Inputs, images: Tensor, manner: Manner) -> dict[type[Written], Iterable[Tensor]]:
    """The tensors of a run that are the caller's, by what is raised where its code would write into them."""
    others = (tensor for _, tensor in leaves([list(given.args), dict(given.kwargs)]))
    lent: dict[type[Written], Iterable[Tensor]] = {
        BuffersWritten: () if manner.own_buffers else made.lent,
        InputsWritten: () if manner.own_images else chain((images,), others),
        ParametersWritten: made.lent_parameters,
    }
    return lent


@contextmanager
def _rewound(images: Tensor) -> Iterator[None]:
    """Where a run is stopped, the next draws the same random numbers."""
    on_device = images.is_cuda and not is_captured(images)
    before = torch.get_rng_state(), torch.cuda.get_rng_state(images.device) if on_device else None
    try:
        yield
    except Written:
        torch.set_rng_state(before[0])
        if before[1] is not None:
            torch.cuda.set_rng_state(before[1], images.device)
        raise


def _given(images: Tensor, manner: Manner) -> Tensor:
    """The images as a run is given them: its own where its code writes into them, or needs a derivative by them."""
    if manner.autograd:
        return _recorded(images)
    return images.clone() if manner.own_images else images


def _recorded(tensor: Tensor) -> Tensor:
    """A tensor that autograd records, whether anybody asks for a derivative by it or not."""
    if not tensor.requires_grad:
        tensor = tensor.detach().clone()  # (of one made in inference mode only a copy can be recorded)
        tensor.requires_grad = True  # ours
    return tensor.clone()


def _tap(own: nn.Module, taps: Mapping[Place, Visit], manner: Manner, unseen: Unseen) -> dict[Place, int]:
    """Put taps at the modules of a twin; returned is how often each was called, once it has run."""
    calls = dict.fromkeys(taps, 0)
    by_path: dict[str, list[Place]] = {}
    for place in taps:
        by_path.setdefault(place.path, []).append(place)
    for path, places in by_path.items():
        module = submodule(own, path)

        def visit(returned: Any, places: Sequence[Place] = places) -> Any:
            for place in places:
                calls[place] += 1
                if calls[place] == place.call:
                    unseen.end(str(place))
                    with _taps_modes():
                        returned = _visited(returned, place, taps[place], manner)
            return returned

        visit_module(module, visit, manner.own_tables)
    return calls


@contextmanager
def _taps_modes() -> Iterator[None]:
    """A tap's own modes: the model's code may be under `no_grad`."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _visited(returned: Any, place: Place, visit: Visit, manner: Manner) -> Any:
    path = place.leaf
    if not path and not isinstance(returned, Tensor):
        tensors = [found for found, _ in leaves(returned)]
        if len(tensors) != 1:
            raise FuncamError(_several(returned, place))
        path = tensors[0]
    try:
        part = leaf(returned, path)
    except LookupError as error:
        raise FuncamError(f"layer {place!s}: there is no part {error}; {_several(returned, place)}") from None
    if not isinstance(part, Tensor):
        raise FuncamError(f"layer {str(place)!r} is no feature map: it holds a {type(part).__name__}, not a tensor")
    return with_leaf(returned, path, (lambda tensor: _recorded(visit(tensor))) if manner.autograd else visit)


def _several(returned: Any, place: Place) -> str:
    whole = str(Place(place.path, place.call))
    shown = [f"{str(Place(place.path, place.call, path))!r} {list(t.shape)}" for path, t in leaves(returned)]
    if not shown:
        return f"layer {whole!r} is no feature map: it returns a {type(returned).__name__} without tensors"
    return f"layer {whole!r} returns {len(shown)} tensors; name one of them: {', '.join(shown[:6])}"


def submodule(model: nn.Module, path: str) -> nn.Module:
    """The module at a path.

    Raises:
        FuncamError: there is none; the nearest are named.
    """
    found: nn.Module | None = model
    for name in path.split(".") if path else ():
        found = None if found is None else found._modules.get(name)
    if found is None:
        names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
        raise FuncamError(
            f"layer {path!r} is not in {type(model).__name__}; nearest: {nearest(path, names)} "
            "(funcam.list_layers(model, images) lists them all)"
        )
    return found


def _called(model: nn.Module, inputs: Inputs, manner: Manner) -> list[str]:
    """The paths of the modules that are called when the model runs."""
    found: dict[str, None] = {}
    paths = [path for path, _ in model.named_modules() if path]
    watch: dict[str, Callable[[Any], None]] = {path: _noting(found, path) for path in paths}
    with torch.no_grad():
        run(model, inputs, {}, manner, watch=watch)
    return list(found)


def _noting(found: dict[str, None], path: str) -> Callable[[Any], None]:
    return lambda _: found.setdefault(path)


def _never_called(place: Place, count: int, called: Sequence[str], name: str) -> str:
    often = f"is called {count} time{'s' * (count != 1)}" if count else "is never called when the model runs"
    why = "" if count else " (its parent computes with its weights, or takes another way)"
    parts = place.path.split(".")
    parents = [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
    parent = next((path for path in parents if path in called), None)
    inside = [path for path in called if path.startswith(f"{place.path}.")]
    if count:
        way = f"name {str(Place(place.path, count, place.leaf))!r}, its last call"
    elif parent:
        way = f"name {parent!r}, which it is part of"
    else:
        way = f"name one that is: {nearest(place.path, inside or called)}" if called else "name another layer"
    return f"layer {str(place)!r} of {name} {often}{why}; {way}"


class SlowPath(TorchFunctionMode):
    """Inside this context (and thread), torch's attention calls its parts instead of one fused operation.

    The fused operation passes the parts by, so that taps there see nothing, and has no derivative.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextmanager
def _modes(model: nn.Module) -> Iterator[None]:
    """Outside inference mode and with grad mode on: torch's CPU LSTM keeps nothing for its derivative without.

    Nothing is recorded all the same, because the twin's parameters ask for no gradient.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(uncompiled())
        if any(issubclass(kind, _FUSED) for kind in set(map(type, model.modules()))):
            stack.enter_context(SlowPath())
        yield
