"""The default layer belongs to what is asked: of bodies that each make some scores, the one that makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.network.cut_runs import run_cut
from funcam.network.derivative import vjp
from funcam.network.known import known_of
from funcam.network.outputs import leaves
from funcam.network.random_numbers import own_random_numbers
from funcam.network.samples import kind_of, sample_of, scattered
from funcam.network.settled import Settled, TapCut
from funcam.network.tap import Inputs
from funcam.network.tracing import is_compiled, is_transformed
from funcam.network.ways import settle
from funcam.targets.target import Output, Target, as_columns, logits_of

_MOST_BODIES = 4
_MOST_NAMED = 3
_FAR = 10.0
"""What is added to features, in their standard deviations, to see what of the outputs changes."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is explained of a batch, before the default layer is settled.

    Attributes:
        source: the model as it is now.
        given: what goes into it.
        target: its scores.
    """

    source: Callable[[], nn.Module]
    given: Inputs
    target: Target

    def unreached(self, cut: Settled) -> torch.Tensor:
        """Which of the scores `[B, K]` don't depend on a layer: they stay what they are with other features there."""
        A, head = run_cut(cut, self.source, self.given)
        same = self.target(head(A)) == self.target(head(_disturbed(A)))
        if not bool(same.any()):
            return same
        weights = scattered(tuple(same.shape), torch.float64, A.device).to(A.dtype) * same
        plain = cut.cut.plain if isinstance(cut.cut, TapCut) else None
        values, pullback, *_ = vjp(lambda features: (self.target(head(features)), ()), [A], plain)
        return same & ~pullback(weights.to(values))[0].any()  # a change may be too small to be seen beside others

    def layer_for(self, scores: torch.Tensor) -> Settled:
        """The default layer for some of the scores, `[B, K]`."""
        row = int(scores.any(1).nonzero()[0])
        images = self.given.images if self.given.has_others else self.given.images[row : row + 1]

        def read(outputs: Any) -> torch.Tensor:
            return as_columns(self.target.of_image(row)(outputs))[:, scores[row]]

        return settle(self.source(), None, replace(self.given, images=images), None, read=read, exactly=True)


def belonging(
    cut: Settled,
    source: Callable[[], nn.Module],
    given: Inputs,
    output: Output,
    classes: bool,
    bound: Callable[[Any], Target],
) -> Settled:
    """The default layer on which the scores depend that are asked, where another one was taken for all logits.

    Args:
        cut: the default layer for all logits.
        source: the model as it is now.
        given: what goes into it.
        output: where the logits are in what it returns.
        classes: whether classes are explained, not a function of all that it returns.
        bound: what it returned -> what is explained.

    Raises:
        FuncamError: some of the scores depend on one layer and some on another.
    """
    if cut.carries or is_compiled() or is_transformed() or given.images.is_meta or not len(given.images):
        return cut
    with torch.no_grad(), own_random_numbers(given.images):
        if not cut.others and _reaches_all(cut, source, given, output, classes):
            return cut
        A, head = run_cut(cut, source, given)
        return _of(_Asked(source, given, bound(head(A))), cut)


def _reaches_all(cut: Settled, source: Callable[[], nn.Module], given: Inputs, output: Output, classes: bool) -> bool:
    """Whether everything that may be asked of a sample depends on a layer; found out once."""

    def read(outputs: Any) -> torch.Tensor | None:
        return logits_of(outputs, output) if classes else _only_tensor(outputs)

    def find() -> bool:
        A, head = run_cut(cut, source, sample_of(given))
        here, there = read(head(A)), read(head(_disturbed(A)))
        return here is None or there is None or bool((here != there).all())

    return bool(known_of(source()).fact(("reaches all", cut.layer, classes and (output,), kind_of(given)), find))


def _only_tensor(outputs: Any) -> torch.Tensor | None:
    """What a model returned, if it is one tensor; of several the default layer belongs to those that are asked."""
    tensors = [tensor for _, tensor in leaves(outputs) if tensor.is_floating_point()]
    return tensors[0] if len(tensors) == 1 else None


def _of(asked: _Asked, default: Settled) -> Settled:
    found: dict[Settled, torch.Tensor] = {}
    cut = default
    left = torch.ones_like(asked.target.indices.view(len(asked.given.images), -1), dtype=torch.bool)
    while bool(left.any()) and len(found) < _MOST_BODIES:
        reached = left & ~asked.unreached(cut)
        if bool(reached.any()):
            found[cut] = reached
        elif cut is not default and default.others:  # it was found for them, and doesn't lead there for these images
            break
        elif cut is not default:  # their values depend on nothing: a head of zeros
            return default
        left = left & ~reached
        cut = asked.layer_for(left) if bool(left.any()) else cut
        if cut is default:  # what is left depends on nothing that could be told from all the rest
            found[cut], left = found.get(cut, left) | left, torch.zeros_like(left)
    if len(found) != 1 or bool(left.any()):
        raise FuncamError(_parted(asked, found, default.others if bool(left.any()) else ()))
    (cut,) = found
    known = len(default.others) == 1 and cut is default  # the other ends have no name
    return cut if known else replace(cut, others=_meeting(asked, default.others))


def _meeting(asked: _Asked, ends: tuple[str, ...]) -> tuple[str, ...]:
    """The ends of branches on which what is asked depends, if there are several."""
    meeting = tuple(
        end for end in ends if not bool(asked.unreached(settle(asked.source(), end, asked.given, None)).all())
    )
    return meeting if len(meeting) > 1 else ()


def _parted(asked: _Asked, found: dict[Settled, torch.Tensor], ends: tuple[str, ...]) -> str:
    names = ends or [cut.layer for cut in found]
    said = "; ".join(f"{cut.layer!r} leads to {_named(asked, scores)}" for cut, scores in found.items())
    several = f"layer=[{', '.join(map(repr, names))}] combines the layers" if len(names) > 1 else "name a layer"
    return (
        f"no layer leads to all of the scores that are asked: {said or 'they part before the last maps'}; explain them "
        f"one at a time, or {several}"
    )


def _named(asked: _Asked, scores: torch.Tensor) -> str:
    what = "class" if asked.target.class_score else "score"
    indices = asked.target.indices.view(scores.shape)
    places: list[list[int]] = scores.nonzero().tolist()
    named = [f"{what} {int(indices[i, k])}" + f" of image {i}" * (len(scores) > 1) for i, k in places[:_MOST_NAMED]]
    return ", ".join([*named, *["..."][: len(places) - len(named)]])


def _disturbed(A: torch.Tensor) -> torch.Tensor:
    """Other features: noise far beyond their own range is added."""
    spread = A.std() if A.numel() > 1 else A.abs().max()
    return A + _FAR * (spread + (spread == 0)) * scattered(tuple(A.shape), torch.float64, A.device).to(A.dtype)
