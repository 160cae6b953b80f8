"""One pass recorded from the image on, for methods of a layer and of the image's gradient side by side.

Guided ReLUs change what is passed back alone: forward the guided network is the model, so that what it says and its
features are had of the pass whose gradient is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from funcam.attribution.tails import Pullback, Tail, Tensors, run_tail
from funcam.attribution.whole import OF_IMAGE_GRADIENT, Kind
from funcam.methods import Method
from funcam.network import budget
from funcam.network.believed import structure_of
from funcam.network.cut_runs import run_cut, run_features
from funcam.network.cuts import Cut
from funcam.network.derivative import may_be_plain
from funcam.network.graph import Graph
from funcam.network.mixing import rows_mix
from funcam.network.outputs import unpacked
from funcam.network.rewrites.guidance import guided
from funcam.network.rewrites.once import cut_at, once
from funcam.network.settled import Settled
from funcam.network.tap import Inputs
from funcam.network.tracing import is_compiled
from funcam.targets.kinds import of_classes
from funcam.targets.target import Target, Targets


@dataclass(frozen=True, eq=False)
class Recorded:
    """A pass recorded from the image on.

    Attributes:
        kind: through which network.
        pullback: cotangents of the scores -> the gradient at the images.
        inputs: the layer's features.
        tail: the rest of the network behind them, in which nothing is guided.
        outputs: what the model returned.
    """

    kind: Kind
    pullback: Pullback
    inputs: Tensors
    tail: Tail
    outputs: Any

    def again(self, *inputs: torch.Tensor) -> tuple[Any, Tensors]:
        """What the tail would give of the inputs: it has been run."""
        return self.outputs, inputs


def beside_a_layer(methods: Sequence[Method]) -> Kind | None:
    """Whose gradient at the image is wanted, where methods of a layer are wanted, too.

    Example:
        >>> from funcam.methods import METHODS
        >>> beside_a_layer([METHODS["grad-cam"], METHODS["guided-backprop"]])
        'guided image'
    """
    if not any(method.at_layer for method in methods):
        return None
    kinds = [OF_IMAGE_GRADIENT[method.name][0] for method in methods if method.name in OF_IMAGE_GRADIENT]
    guided_kind = OF_IMAGE_GRADIENT["guided-backprop"][0]
    wanted = guided_kind in kinds or any("guided_g" in method.takes for method in methods)
    return guided_kind if wanted else next(iter(kinds), None)


def gradient_chunk(images: torch.Tensor, memory: int) -> int:
    """How many images' gradients fit in so many bytes."""
    image = budget.bytes_of(images[:1]) * budget.OF_IMAGES
    return budget.chunk_size(memory, image, most=budget.MOST_ROWS)


def record(
    kind: Kind | None,
    cuts: Sequence[Settled],
    source: Callable[[], nn.Module] | None,
    given: Inputs,
    targets: Targets,
    settled: Callable[[Any], tuple[Target, torch.Tensor]],
    memory: int,
) -> Recorded | None:
    """Run a model from the images on, recorded; None where it is better run to the layer, or can't be.

    Args:
        kind: through which network; None where no gradient at the images is wanted.
        cuts: where features are wanted.
        source: the model as it is now; None for a pair of functions.
        given: what goes into it.
        targets: what is explained.
        settled: what the model returned -> the target and its scores.
        memory: about how many bytes may be held.

    Raises:
        FuncamError: there is no ReLU to be guided.
    """
    if kind is None or source is None or not _has_graph(cuts, given) or not _are_own(source, given, targets, memory):
        return None
    (cut,) = cuts
    assert isinstance(cut.cut, Cut)
    plain = may_be_plain(given.images)
    graph = _through(kind, source(), given.images)
    through = cut_at(once(graph) if plain else graph, cut.layer)
    seen: list[Callable[[Sequence[torch.Tensor]], Any]] = []

    def network(images: torch.Tensor) -> tuple[Any, Tensors]:
        crossing = run_features(through, replace(given, images=images).taken)
        tensors, rest = unpacked(crossing)
        seen[:] = [rest]
        return through.rest(*crossing), tuple(tensors)

    tensors, outputs, _, _, pullback = run_tail((given.images,), network, settled, True, plain, plain)
    assert pullback is not None
    values = dict(zip(cut.cut.names, seen[0](tensors), strict=True))
    A, head = run_cut(replace(cut, cut=replace(cut.cut, features=lambda _images: values)), source, given)
    return Recorded(kind, pullback, (A,), lambda features: (head(features), (features,)), outputs)


def _through(kind: Kind, model: nn.Module, images: torch.Tensor) -> Graph:
    """The network's graph, which is known to be right where the model is cut by it."""
    return guided(model, images).graph if kind == "guided image" else structure_of(model, images).graph


def _has_graph(cuts: Sequence[Settled], given: Inputs) -> bool:
    return [cut.way for cut in cuts] == ["fx"] and not given.has_others and not is_compiled()


def _are_own(source: Callable[[], nn.Module], given: Inputs, targets: Targets, memory: int) -> bool:
    """Whether each image's gradient is its own in a pass of all, which fits in memory.

    A function is called with the outputs once, and may look at all images.
    """
    count = len(given.images)
    if count < 2 or not of_classes(targets):
        return count == 1 and of_classes(targets)
    return count <= gradient_chunk(given.images, memory) and not rows_mix(source(), given)
