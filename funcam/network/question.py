"""What of a model's outputs depends on its maps, asked by running it: with other images, and with something added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from funcam.errors import FuncamError
from funcam.network.axes import AnyLayout
from funcam.network.checks import cotangents, difference, features_of, outputs_and_features
from funcam.network.derivative import vjp
from funcam.network.outputs import differentiable
from funcam.network.samples import scattered
from funcam.network.survey import Seen
from funcam.network.tap import Inputs, Manner, Place, Visit, run
from funcam.network.wanted import Wanted


@dataclass(frozen=True, eq=False)
class Question:
    """A model, what goes in, and what of its outputs counts.

    Attributes:
        model: a module; it is only read.
        inputs: a sample.
        manner: how it has to be run.
        wanted: what the score depends on; None for all outputs.
        counts: what counts of the outputs for another image, once it was run.
        another: what places hold for that one.
    """

    model: nn.Module
    inputs: Inputs
    manner: Manner
    wanted: Wanted | None
    counts: list[Tensor] = field(default_factory=list)
    another: dict[Place, Tensor] = field(default_factory=dict)

    def of(self, outputs: object) -> list[Tensor]:
        """The values among the outputs that count."""
        tensors = differentiable(outputs, type(self.model).__name__)
        return tensors if self.wanted is None else self.wanted.of(tensors)

    def of_another(self, places: Sequence[Seen]) -> tuple[list[Tensor], list[Tensor]]:
        """What counts of the outputs for another image of the same range, and what places hold for it.

        The model is run once for the places that are asked for first.
        """
        if any(one.place not in self.another for one in places):
            other = replace(self.inputs, images=_another(self.inputs.images))
            asked = [one.place for one in places]
            outputs, features = outputs_and_features(self.model, other, asked, self.manner)
            self.another.update(zip(asked, features, strict=True))
            self.counts[:] = self.of(outputs)
        return list(self.counts), [self.another[one.place] for one in places]

    def answers(self, taps: dict[Place, Visit]) -> list[Tensor]:
        """What counts of the outputs where places hold something else."""
        with torch.no_grad():
            return self.of(run(self.model, self.inputs, taps, self.manner))

    def features(self, inputs: Inputs, places: Sequence[Place]) -> list[Tensor]:
        """What places hold for some images."""
        return features_of(self.model, inputs, places, self.manner)

    def is_passed_by(self, one: Seen) -> bool | None:
        """Whether the score also depends on what doesn't pass a map; None if it can't be told.

        With the cells of another image it would be that one's. (A class token beside them stays: it is another way.)
        """
        layout = one.layout(tuple(self.inputs.images.shape))
        assert layout is not None
        try:
            theirs, (tensor,) = self.of_another([one])
            cells = layout.to_map(tensor)
            return bool(difference(self.answers({one.place: partial(with_cells, layout, cells)}), theirs))
        except FuncamError:  # other images take another way through its code
            return None

    def leads_around(self, one: Seen) -> bool:
        """Whether what counts depends on the images, by a derivative, in a way that doesn't pass a map."""

        def held(images: Tensor) -> tuple[list[Tensor], tuple[()]]:
            given = replace(self.inputs, images=images.clone())  # code may write to what it is given
            return self.of(run(self.model, given, {one.place: Tensor.detach}, self.manner)), ()

        values, pullback, *_ = vjp(held, [self.inputs.images], self.manner.plain or None)
        return bool(pullback(cotangents(values))[0].any())

    def derivatives(
        self, places: Sequence[Place], like: Sequence[Tensor], alone: bool = False
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The features at places, and there the derivative of a random function of what counts, in one pass.

        Args:
            places: the places.
            like: tensors of their shapes and types.
            alone: whether only ways count that pass no other of the places.
        """
        values, pullback, features = self.pullback(places, like, alone)
        return features, list(pullback(cotangents(values)))

    def pullback(
        self, places: Sequence[Place], like: Sequence[Tensor], alone: bool = False
    ) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], tuple[Tensor, ...]], list[Tensor]]:
        """What counts, its pullback to places (cotangents -> a gradient at each), and the features there."""
        values, pullback, features, _ = vjp(self._of_added(places, alone), _zeros(like), self.manner.plain or None)
        return values, pullback, features

    def connected(self, places: Sequence[Place], like: Sequence[Tensor]) -> list[Place]:
        """Those from which a way leads to what counts, whatever its derivative is."""
        added = _zeros(like)
        with torch.inference_mode(False), torch.enable_grad():
            for tensor in added:  # ours
                tensor.requires_grad = True
            values, _ = self._of_added(places)(*added)
            total = sum((value.sum() for value in values), start=torch.zeros((), device="cpu"))
            if not total.requires_grad:
                return []
            gradients = torch.autograd.grad(total, added, allow_unused=True)
        return [one for one, g in zip(places, gradients, strict=True) if g is not None]

    def _of_added(
        self, places: Sequence[Place], alone: bool = False
    ) -> Callable[..., tuple[list[Tensor], list[Tensor]]]:
        """What counts, and the features, as a function of what is added at every place."""

        def function(*deltas: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            seen: dict[Place, Tensor] = {}

            def visit(place: Place, delta: Tensor) -> Visit:
                def add(tensor: Tensor) -> Tensor:
                    seen[place] = tensor.clone()
                    return (tensor.detach() if alone else tensor) + delta

                return add

            taps = {place: visit(place, delta) for place, delta in zip(places, deltas, strict=True)}
            outputs = run(self.model, self.inputs, taps, self.manner)
            return self.of(outputs), [seen[place] for place in places]

        return function


def with_cells(layout: AnyLayout, cells: Tensor, tensor: Tensor) -> Tensor:
    """A layer's tensor with other cells in its map; what stands beside them stays."""
    return layout.from_map(cells, tensor)


def _another(images: Tensor) -> Tensor:
    """Other images of the same range."""
    noise = (scattered(images.shape, images.dtype, images.device) + 1) / 2
    low, high = images.amin(), images.amax()
    return low + (high - low + (high == low)) * noise


def _zeros(like: Sequence[Tensor]) -> list[Tensor]:
    """Zeros with memory of their own, which a blank hasn't."""
    return [torch.zeros_like(A, memory_format=torch.contiguous_format) for A in like]
