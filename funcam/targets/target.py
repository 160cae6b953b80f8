"""Targets: what is explained, as scores of each image: classes, contrasts, or any function of the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from funcam.errors import FuncamError, is_flag, shown
from funcam.recipe import Scores
from funcam.targets.concrete import as_tensor, is_concrete
from funcam.targets.wording import Wording, of_function

Score = Callable[..., torch.Tensor]
Output = str | int | Callable[[Any], torch.Tensor] | None
Classes = int | str | torch.Tensor | Sequence[int] | Sequence[Sequence[int]] | None


@dataclass(frozen=True, eq=False)
class Target:
    """What is explained of a batch: K scores of each image, as a pure function of what the model returned.

    Attributes:
        indices: `[B]` or `[B, K]`: the classes, or the numbers of the scores where they aren't classes.
        score: `(outputs of n images, *constants) -> [n, K]`.
        constants: what belongs to the images, `[B, ...]` (or `[1, ...]`): their classes, masks, embeddings.
        class_score: for scores of a class the function of the logits that is explained, else None.
        wording: what it is called; None for the logits of classes.
        rows: `of_image`, where the score of one image can't be told from its rows alone.
    """

    indices: torch.Tensor
    score: Score
    constants: tuple[torch.Tensor, ...] = ()
    class_score: ClassScore | None = None
    wording: Wording | None = None
    rows: Callable[[int | slice], Callable[[Any], torch.Tensor]] | None = None

    def __call__(self, outputs: Any) -> torch.Tensor:
        """The scores `[B, K]` of the batch."""
        return self.score(outputs, *self.constants)

    def of_image(self, index: int | slice) -> Callable[[Any], torch.Tensor]:
        """The same scores for any number of rows that stand for one image, `outputs -> [n, K]`.

        With a slice for the rows of some images, a row for each.
        """
        if self.rows is not None:
            return self.rows(index)
        rows = index if isinstance(index, slice) else slice(index, index + 1)
        constants = tuple(c if len(c) == 1 else c[rows] for c in self.constants)
        return lambda outputs: self.score(outputs, *constants)


@dataclass(frozen=True, eq=False)
class ClassScore:
    """Classes, and what of them is explained. Made by `probability`, `contrast`, ...

    Attributes:
        classes: as in `class_targets`.
        of: `(logits [n, N], classes [n or 1, K], *constants) -> [n, K]`.
        fix: `(logits [B, N], classes [B, K]) -> constants`, found once from the images themselves.
        by: `of` for each of `funcam.recipe.SCORES`, where it depends on what the outputs mean; else None.
        wording: what it is called; None for logits.
    """

    classes: Classes
    of: Score
    fix: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]] = lambda _logits, _classes: ()
    by: Callable[[Scores], Score] | None = None
    wording: Wording | None = None

    def read_as(self, scores: Callable[[], Scores]) -> ClassScore:
        """The same, of a model whose outputs mean this; it is asked only where it matters."""
        return self if self.by is None else replace(self, of=self.by(scores()), by=None)


@dataclass(frozen=True, eq=False)
class PerImage:
    """A score with constants that belong to the images: `score(outputs, *constants)`.

    Attributes:
        score: `(outputs of n images, *constants) -> [n]` or `[n, K]`.
        constants: `[B, ...]`, or `[1, ...]` for what all images share.
        at: the same of another place in what the model returns; None where it says itself which.
        name: what it is called; where it is empty the score's own.
    """

    score: Score
    constants: tuple[torch.Tensor, ...]
    at: Callable[[Output], PerImage] | None = None
    name: str = ""

    def __call__(self, outputs: Any) -> torch.Tensor:
        return self.score(outputs, *self.constants)


Targets = Classes | ClassScore | Target | PerImage | Callable[[Any], torch.Tensor]
Meaning = Callable[[torch.Tensor], Scores]
"""What a model's outputs mean, asked with the logits of some images."""


def _softmax(_logits: torch.Tensor) -> Scores:
    return "softmax"


def bind(targets: Targets, outputs: Any, batch: int, output: Output = None, meaning: Meaning = _softmax) -> Target:
    """Settle what is explained, from what the model returned for the images themselves.

    Args:
        targets: class indices as in `class_targets`; a rule (`contrast`, ...); or any function
            `outputs -> [B]` or `[B, K]`, which is called with the outputs for any number of rows.
        outputs: what the model returned.
        batch: the number B of images.
        output: where the logits are in the outputs (see `logits_of`).
        meaning: what the logits mean, for what is made of probabilities.

    Raises:
        FuncamError: the targets don't fit the model, or a function returned another shape.

    Example:
        >>> bind(torch.Tensor.max, torch.zeros(2, 3), 2)
        Traceback (most recent call last):
        ...
        funcam.errors.FuncamError: the target 'max' returned shape [] for 2 images; expected [2], or [2, K] for K scores
    """
    return scored(targets, outputs, batch, output, meaning)[0]


def scored(
    targets: Targets, outputs: Any, batch: int, output: Output = None, meaning: Meaning = _softmax
) -> tuple[Target, torch.Tensor]:
    """As `bind`, and the scores `[B, K]` of these outputs: a function of the caller's is called once for both.

    Args:
        targets: as in `bind`.
        outputs: as in `bind`.
        batch: as in `bind`.
        output: as in `bind`.
        meaning: as in `bind`.

    Raises:
        FuncamError: as in `bind`.

    Example:
        >>> target, scores = scored([1, 0], torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 2)
        >>> target.indices, scores
        (tensor([1, 0]), tensor([[2.],
                [3.]]))
    """
    if isinstance(targets, Target):
        return targets, targets(outputs)
    if callable(targets):
        score, constants = (targets.score, targets.constants) if isinstance(targets, PerImage) else (targets, ())
        values = _checked(_called(score, outputs, constants), score, batch)
        numbers = torch.arange(as_columns(values).shape[1], device=values.device).expand(batch, -1)
        indices = numbers[:, 0] if values.ndim == 1 else numbers
        name = targets.name if isinstance(targets, PerImage) else ""
        said = Wording(function=name) if name else of_function(score)
        return Target(indices, lambda rows, *own: as_columns(score(rows, *own)), constants, wording=said), as_columns(
            values
        )
    class_score = targets if isinstance(targets, ClassScore) else ClassScore(targets, _logit)
    logits = logits_of(outputs, output)
    if logits.ndim != 2 or logits.shape[0] != batch:
        raise FuncamError(
            f"the model returned shape {list(logits.shape)} for {batch} images; expected logits [{batch}, N] "
            "(for anything else give a function of the outputs as the target, e.g. funcam.segmentation)"
        )
    class_score = class_score.read_as(lambda: meaning(logits))
    indices = class_targets(class_score.classes, logits)
    columns = indices[:, None] if indices.ndim == 1 else indices
    target = Target(
        indices,
        lambda rows, *own: class_score.of(logits_of(rows, output), *own),
        (columns, *class_score.fix(logits.detach(), columns)),
        replace(class_score, classes=indices),
        class_score.wording,
    )
    return target, target(outputs)


def placed(targets: Targets, output: Output) -> Targets:
    """A score of its own (a segmentation's, a similarity) of the place in the outputs that `explain` was told.

    Raises:
        FuncamError: the score was told a place, too.
    """
    if output is None or not isinstance(targets, PerImage):
        return targets
    if targets.at is None:
        raise FuncamError(
            f"output={shown(output)} was given, and the target says itself what of the outputs it reads; say it once, "
            "to explain or to the target"
        )
    return targets.at(output)


def read_by(targets: Targets, output: Output = None) -> Callable[[Any], torch.Tensor]:
    """What of one image's outputs is explained, before classes are settled: all logits, or the values of a function.

    Example:
        >>> read_by(lambda outputs: outputs["a"][:, :2])({"a": torch.ones(1, 3)})
        tensor([[1., 1.]])
    """
    if isinstance(targets, Target | PerImage) and getattr(targets, "class_score", None) is None:
        own, score = [constant[:1] for constant in targets.constants], targets.score
        return lambda outputs: as_columns(_called(score, outputs, tuple(own)))
    if callable(targets) and not isinstance(targets, Target):
        return lambda outputs: _called(targets, outputs, ())
    return lambda outputs: logits_of(outputs, output)


def explains_logits(target: Target) -> bool:
    """Whether nothing but logits of classes are explained."""
    return target.class_score is not None and target.class_score.of is _logit


def restated(target: Target, make: Callable[[], Score], output: Output = None) -> Target:
    """The same classes with another function of the logits, where a plain logit was explained; else as it is."""
    if target.class_score is None or not explains_logits(target):
        return target
    of = make()
    class_score = ClassScore(target.class_score.classes, of)
    return Target(target.indices, lambda rows, *own: of(logits_of(rows, output), *own), target.constants, class_score)


def logits_of(outputs: Any, output: Output = None) -> torch.Tensor:
    """The logits in what a model returned: a tensor, or a tuple, dict or dataclass that holds one.

    Args:
        outputs: what the model returned.
        output: a key or attribute, an index, or a function of the outputs; None for the tensor itself, the entry
            `logits`, the only tensor in a dict, or the first element of a tuple.

    Raises:
        FuncamError: there is none.

    Example:
        >>> logits_of({"logits": torch.zeros(1, 3), "loss": None}).shape
        torch.Size([1, 3])
    """
    logits = _selected(outputs, output)
    if not isinstance(logits, torch.Tensor):
        known = f" with {', '.join(map(repr, outputs))}" if isinstance(outputs, Mapping) else ""
        lacking = "" if output is None or callable(output) else f", in which there is no {output!r}"
        leave_out = ", leave output out for a tensor" if isinstance(outputs, torch.Tensor) else ""
        raise FuncamError(
            f"the model returned a {type(outputs).__name__}{known}{lacking}; expected logits [B, N] in it: name them "
            f"with output='KEY' (--output KEY; an index, or a function of the outputs{leave_out}), or give a function "
            "of the outputs as the target"
        )
    return logits if logits.layout is torch.strided else logits.to_dense()


def check_output(output: Any) -> None:
    """Refuse what can't say where the logits are.

    Raises:
        FuncamError: it is no key, no index and no function.

    Example:
        >>> check_output("logits")
    """
    if not (output is None or callable(output) or (isinstance(output, str | int) and output != "")) or is_flag(output):
        raise FuncamError(
            f"output is {shown(output)}; expected a key or attribute of what the model returns, an index, a function "
            "of it, or None"
        )


def _selected(outputs: Any, output: Output) -> Any:
    check_output(output)
    if callable(output):
        return output(outputs)
    if isinstance(output, int):
        return outputs[output] if isinstance(outputs, Sequence) and -len(outputs) <= output < len(outputs) else None
    if isinstance(outputs, torch.Tensor):
        return outputs if output is None else None
    if isinstance(outputs, Mapping):
        tensors = [value for value in outputs.values() if isinstance(value, torch.Tensor)]
        return outputs.get(output or "logits", tensors[0] if output is None and len(tensors) == 1 else None)
    logits = getattr(outputs, output or "logits", None)
    if logits is None and output is None and isinstance(outputs, tuple | list) and outputs:
        return outputs[0]
    return logits


def _called(score: Score, outputs: Any, constants: tuple[torch.Tensor, ...]) -> Any:
    try:
        return score(outputs, *constants)
    except (FuncamError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if torch.compiler.is_dynamo_compiling():
            raise
        what = f"shape {list(outputs.shape)}" if isinstance(outputs, torch.Tensor) else f"a {type(outputs).__name__}"
        reason = str(error).strip().partition("\n")[0] or "no reason given"
        raise FuncamError(
            f"the target {_name(score)!r} failed on what the model returned, {what}: {type(error).__name__}: {reason}"
        ) from error


def _name(score: Any) -> str:
    return getattr(score, "__name__", type(score).__name__)


def _checked(values: Any, score: Any, batch: int) -> torch.Tensor:
    if not isinstance(values, torch.Tensor) or values.ndim not in (1, 2) or values.shape[0] != batch:
        returned = f"shape {list(values.shape)}" if isinstance(values, torch.Tensor) else f"a {type(values).__name__}"
        plural = "s" * (batch != 1)
        raise FuncamError(
            f"the target {_name(score)!r} returned {returned} for {batch} image{plural}; expected [{batch}], or "
            f"[{batch}, K] for K scores"
        )
    if not values.is_floating_point():
        raise FuncamError(
            f"the target {_name(score)!r} returned type {values.dtype}; expected floats, by which it can be "
            "differentiated"
        )
    return values


def as_columns(values: torch.Tensor) -> torch.Tensor:
    """Scores `[B]` or `[B, K]` as `[B, K]`."""
    return values[:, None] if values.ndim == 1 else values


def take(values: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Columns of `[n, N]` by class, `[n or 1, K] -> [n, K]`."""
    return values.gather(1, classes.expand(values.shape[0], -1))


_logit = take


def class_targets(targets: Classes, logits: torch.Tensor) -> torch.Tensor:
    """The classes to explain for each image.

    Args:
        targets: None for the predicted class; an index for all images; `[B]` one index for each image; `[B, K]`
            several for each image (lists or a tensor); `"all"` for every class.
        logits: what the model returned, `[B, N]`.

    Returns:
        Class indices, `[B]` or `[B, K]`, long, on the logits' device.

    Raises:
        FuncamError: another shape or type, or an index that is no class.

    Example:
        >>> class_targets([[0, 2]], torch.zeros(1, 3))
        tensor([[0, 2]])
    """
    batch, classes = logits.shape
    if targets is None:
        return logits.detach().argmax(1)
    if isinstance(targets, str):
        if targets != "all":
            raise FuncamError(f"targets {targets!r} is not known; expected class indices, 'all', a function or None")
        return torch.arange(classes, device=logits.device).expand(batch, classes)
    indices = _as_indices(targets).to(logits.device)
    if indices.ndim == 0:
        indices = indices.expand(batch)
    if indices.ndim > 2 or indices.shape[0] != batch or 0 in indices.shape[1:]:
        raise FuncamError(
            f"targets have shape {list(indices.shape)} for {batch} image{'s' * (batch != 1)}; expected [{batch}], one "
            f"class for each image, or [{batch}, K], several for each (one image, two classes: [[281, 282]])"
        )
    if is_concrete(indices) and not bool(((indices >= 0) & (indices < classes)).all()):
        wrong = indices[(indices < 0) | (indices >= classes)][0].item()
        raise FuncamError(f"class {wrong} is out of range: the model has {classes} classes, 0 to {classes - 1}")
    return indices


def _as_indices(targets: Any) -> torch.Tensor:
    if isinstance(targets, list | tuple) and not targets:
        targets = torch.zeros(0, dtype=torch.long, device="cpu")
    try:
        indices = as_tensor(targets)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        alone = "; for functions give one of the whole batch's outputs" if _holds(targets, callable) else ""
        raise FuncamError(
            f"targets {shown(targets)} are no class indices ({reason}); expected whole numbers, [B] or [B, K]{alone}"
        ) from error
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool or _holds(targets, is_flag):
        kind = torch.bool if _holds(targets, is_flag) else indices.dtype
        without = "" if indices.numel() else "hold no number and "
        raise FuncamError(f"targets {without}have type {kind}; expected whole numbers, class indices")
    return indices.long()


def _holds(targets: Any, is_such: Callable[[Any], bool]) -> bool:
    """Whether one of the values in a list, or in the lists of a list, is such a one."""
    if isinstance(targets, list | tuple):
        return any(_holds(each, is_such) for each in targets)
    return is_such(targets)
