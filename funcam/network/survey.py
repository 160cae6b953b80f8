"""What each module of a model returns, seen by running it: where it can be cut when nobody has its graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from funcam.network.known import known_of
from funcam.network.layers import layout_of
from funcam.network.layout import PLAIN, Layout, readings
from funcam.network.outputs import leaves
from funcam.network.provenance import UNKNOWN, Provenance, Unknown
from funcam.network.random_numbers import own_random_numbers
from funcam.network.reach import Reach
from funcam.network.samples import kind_of
from funcam.network.tap import Inputs, Manner, Place, run
from funcam.network.tracing import transformations
from funcam.network.traits import sets_grid

Shape = tuple[int, ...]
_OF_SIGNALS = 3  # axes of signals [B, channels, T]


@dataclass(frozen=True)
class Seen:
    """A tensor that a module returned.

    Attributes:
        place: the module, its call, the part of what it returned.
        kind: the module's class.
        shape: the tensor's shape.
        grid: the grid of cells in force there, for a layer of tokens.
        same: the number of the tensor: an outer module may return what an inner one did.
        weighted: whether the module itself multiplies by weights.
        bare: whether the module returned the tensor itself, not something that holds it.
        first: whether no module returned the tensor before: it was made there.
        active: whether none of its values is negative.
        blank: a tensor of its shape, type and device that takes no memory.
        parts: of which of the image's axes its cells cover another part than the whole.
        followed: how it holds the image's axes, as far as they could be followed: a layout, None where it has none of
            them, `UNKNOWN` where they were lost. A signal's spectrum, behind convolutions over frequencies and times,
            is a map of both.
        number: which of the tensors that were seen it is.
        made_of: the numbers of those that it was made of, as bits; None where they couldn't be followed.
        carries: whether everything was seen to pass through it.
        ends: where it doesn't, and is the default layer: where the branches end that meet behind their maps, itself
            among them; alone where the others hold no map of their own.
    """

    place: Place
    kind: type[nn.Module]
    shape: Shape
    grid: Shape
    same: int
    weighted: bool
    bare: bool
    first: bool
    active: bool
    blank: Tensor = field(compare=False)
    parts: Mapping[int, Reach] = field(compare=False)
    followed: Layout | Unknown | None = UNKNOWN
    number: int = field(default=0, compare=False)
    made_of: int | None = field(default=None, compare=False)
    carries: bool = field(default=False, compare=False)
    ends: tuple[Place, ...] = field(default=(), compare=False)

    @property
    def is_known(self) -> bool:
        """Whether it is certain how it holds the image's axes."""
        return not isinstance(self.followed, Unknown)

    def cells(self, image: Shape) -> int:
        """How many cells its feature map has; 0 where it holds none."""
        layout = self.layout(image)
        return math.prod(layout.spatial(self.shape)) if layout else 0

    def layout(self, image: Shape) -> Layout | None:
        """How it holds a feature map of such images, for certain or probably; None where it holds none."""
        if not isinstance(self.followed, Unknown):
            known = self.followed
            return known if known and math.prod(known.spatial(self.shape)) > 1 else None
        layout = layout_of(self.shape, image, self.grid) if self.shape[:1] == image[:1] else None
        if layout is None:
            layout = next((one for one in readings(self.shape, image) if _is_common(one)), None)
        return layout if layout and math.prod(layout.spatial(self.shape)) > 1 else None


def _is_common(reading: Layout) -> bool:
    return not reading.order and reading.prefix < 2 and not reading.suffix


def survey(model: nn.Module, inputs: Inputs, manner: Manner) -> list[Seen]:
    """Every tensor that a module of a model returns for some images, in the order in which they are returned."""
    image = tuple(inputs.images.shape)
    kept: list[Tensor] = []  # alive until the end, so that no identity is used twice
    numbers: dict[tuple[int, int], int] = {}  # by identity and version: what writes in place makes other values
    seen: list[Seen] = []
    grid: Shape = ()
    around = transformations()
    raised = 0  # the channels of the last convolution of more axes than a signal has

    def note(place: Place, module: nn.Module, returned: Any) -> None:
        nonlocal grid, raised
        if transformations() != around:
            return  # the model's own code maps over its calls, or differentiates them: no tap can be there
        for path, tensor in leaves(returned):
            if not tensor.is_floating_point():
                continue
            shape = tuple(tensor.shape)
            plain = len(shape) == len(image) and layout_of(shape, image) == Layout("channels-first")
            if plain and (not grid or sets_grid(type(module).__name__.lower())):
                grid = shape[2:]
            version = 0 if tensor.is_inference() else tensor._version
            first = (id(tensor), version) not in numbers
            same = numbers.setdefault((id(tensor), version), len(numbers))
            kept.append(tensor)
            weighted = any(p.ndim > 1 for p in module._parameters.values() if p is not None)
            whole = not path or len(list(leaves(returned))) == 1
            at = Place(place.path, place.call, () if whole else path)
            axes = UNKNOWN if manner.threads else followed.axes_of(tensor)
            if len(image) == _OF_SIGNALS and len(shape) == _OF_SIGNALS + 1 and shape[0] == image[0]:
                raised = shape[1] if isinstance(module, nn.Conv2d) else raised
                axes = PLAIN if shape[1] == raised else axes
            with followed.asleep():
                active, blank = bool((tensor >= 0).all()), tensor.new_zeros(()).expand(shape)
            parts, number = followed.parts_of(tensor), len(seen)
            made_of = None if manner.threads else followed.mark(tensor, number)
            seen.append(
                Seen(
                    *(at, type(module), shape, grid, same, weighted, not path, first, active, blank, parts, axes),
                    *(number, made_of),
                )
            )

    with Provenance(inputs.images) as followed:
        _observe(model, inputs, manner, note)
    return seen


def spectra(model: nn.Module, inputs: Inputs, manner: Manner) -> list[Place]:
    """The places in a model of signals that hold maps over frequencies and times."""
    if inputs.images.ndim != _OF_SIGNALS or not any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return []

    def find() -> list[Place]:
        seen = survey(model, inputs, manner)
        return [one.place for one in seen if one.followed == PLAIN and len(one.shape) > _OF_SIGNALS]

    return known_of(model).fact(("spectra", kind_of(inputs)), find)


def _observe(model: nn.Module, inputs: Inputs, manner: Manner, note: Any) -> None:
    paths = [path for path, _ in model.named_modules() if path]
    modules = dict(model.named_modules())
    with own_random_numbers(inputs.images), torch.no_grad():
        run(model, inputs, {}, manner, watch={path: _noting(path, modules[path], note) for path in paths})


def _noting(path: str, module: nn.Module, note: Any) -> Any:
    calls = 0

    def watch(returned: Any) -> None:
        nonlocal calls
        calls += 1
        note(Place(path, calls), module, returned)

    return watch


def outermost(one: Seen, alive: Sequence[Seen]) -> Seen:
    """The outermost module that returns the same tensor, and nothing beside it if there is such a one."""
    same = [other for other in alive if other.same == one.same]
    return min(same, key=lambda s: (not s.bare, s.place.path.count(".")))
