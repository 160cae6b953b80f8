"""The score of many changed images, in chunks: what every faithfulness metric asks of a network.

What is scored of an image is told as `funcam.explain` is told what to explain: a class, a rule for one, or a function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from funcam.errors import FuncamError, shown
from funcam.metrics.checks import as_floats, check_callable, class_indices, is_indices
from funcam.metrics.scalars import whole
from funcam.network.ending import Ending as EndingMode
from funcam.network.failures import reason_of
from funcam.network.outputs import mapped
from funcam.network.row_by_row import are_rows, told_alone
from funcam.targets.probabilities import Ending, as_probabilities, find_scores
from funcam.targets.target import ClassScore, PerImage, Target, class_targets, logits_of

Network = Callable[[torch.Tensor], Any]
Score = Callable[[torch.Tensor], torch.Tensor]
Targets = int | Sequence[int] | torch.Tensor | ClassScore | PerImage | Target | Callable[[Any], torch.Tensor] | None


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """The probabilities of classes, the score of most faithfulness metrics: `[n, N] -> [n, N]`.

    They are the softmax over classes, the sigmoid of a single logit, or the rows themselves where they add up to one.
    A metric that is given this function asks its network, too: what ends in a softmax or a sigmoid stays as it is.

    Example:
        >>> probabilities(torch.zeros(1, 4)), probabilities(torch.zeros(1, 1))
        (tensor([[0.2500, 0.2500, 0.2500, 0.2500]]), tensor([[0.5000]]))
    """
    values = as_floats("logits", logits)
    return as_probabilities(values, find_scores(values, lambda: None))


def identity(logits: torch.Tensor) -> torch.Tensor:
    """The logits themselves as the score: `[n, N] -> [n, N]`.

    Example:
        >>> identity(torch.ones(1, 2))
        tensor([[1., 1.]])
    """
    return as_floats("logits", logits)


@dataclass(frozen=True, eq=False)
class ImageScore:
    """One score of each image, for any rows that stand for images of the batch.

    Attributes:
        network: images `[n, C, H, W]` -> its outputs.
        of: `(outputs of n rows, *constants of their images) -> [n]`.
        constants: what belongs to the images, `[B, ...]`, or `[1, ...]` for all of them.
        chunk: how many rows go through the network at a time.
    """

    network: Network
    of: Callable[..., torch.Tensor]
    constants: tuple[torch.Tensor, ...]
    chunk: int

    def __call__(self, rows: Callable[[slice], torch.Tensor], count: int, repeats: int = 1) -> torch.Tensor:
        """The scores of `repeats` rows for each of `count` images, which are made when their turn comes.

        No gradients are kept.

        Args:
            rows: a slice of the rows, image by image -> their pixels `[n, C, H, W]`; the next may overwrite them.
            count: B, how many images.
            repeats: how many rows stand for an image.

        Returns:
            `[B * repeats]`, in single precision at least.
        """
        scores: list[torch.Tensor] = []
        with torch.no_grad():
            for first in range(0, count * repeats, self.chunk):
                part = slice(first, min(first + self.chunk, count * repeats))
                outputs = self.network(rows(part))
                images = torch.arange(part.start, part.stop, device="cpu") // repeats
                constants = (one[images.to(one.device)] if len(one) == count else one for one in self.constants)
                values = self.of(outputs, *constants)
                scores.append(_checked(values, self.of, part.stop - part.start))
        return torch.cat(scores)


def image_score(
    network: Network, images: torch.Tensor, targets: Targets, score: Score, chunk: int, *, usual: Score = probabilities
) -> ImageScore:
    """What is scored of each image.

    Args:
        network: images `[n, C, H, W]` -> logits `[n, N]`, or whatever holds them.
        images: `[B, C, H, W]`.
        targets: a class for each image or for all, None for the predicted ones; a rule such as
            `funcam.probability(3)`; or a function of the outputs, `[n]`. A rule and None cost a pass of the images.
        score: what is made of the logits, `[n, N] -> [n, N]`, where classes are given.
        chunk: how many rows go through the network at a time.
        usual: the metric's own score; a rule or a function is a score already, and takes no other.

    Raises:
        FuncamError: one of these is something else.
    """
    check_callable("network", network, "a function or module, images [n, C, H, W] -> logits [n, N]")
    check_callable("score", score, "a function of the logits, such as funcam.metrics.probabilities or identity")
    chunk = whole("chunk", chunk)
    network = _Watched(network)
    ending = network.ending
    if score is probabilities:
        score = _probabilities_of(ending)
        usual = score if usual is probabilities else usual
    if is_indices(targets):
        classes = class_indices(targets, len(images))
        return ImageScore(network, _class_score(score, classes), (classes,), chunk)
    if targets is None:
        classes = _predicted(network, images, chunk).argmax(1)
        return ImageScore(network, _class_score(score, classes), (classes,), chunk)
    if not callable(targets) and not isinstance(targets, ClassScore):
        raise FuncamError(
            f"targets are {shown(targets)}; expected [B], a class for each image (one number for all, None for the "
            "predicted ones), a rule such as funcam.probability(3), or a function of the outputs, [n]"
        )
    if score not in (usual, identity):
        raise FuncamError(
            "targets are a function or a rule, which is the score already, and another score was given; expected one "
            "of them: leave score out, or give classes"
        )
    if isinstance(targets, ClassScore):
        return ImageScore(network, *_rule_score(targets, _predicted(network, images, chunk), ending), chunk)
    if isinstance(targets, PerImage | Target):
        return ImageScore(network, targets.score, targets.constants, chunk)
    return ImageScore(network, _RowByRow(targets), (), chunk)


class _RowByRow:
    """A function of the caller's, which was seen, when it was first called, to know no row by its place."""

    def __init__(self, function: Callable[[Any], torch.Tensor]) -> None:
        self._function = function
        self._tried = False
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, outputs: Any) -> torch.Tensor:
        if self._tried:
            return self._function(outputs)
        kept = mapped(outputs, torch.Tensor.clone)  # it may write into them
        try:
            values = self._function(outputs)
        except (FuncamError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            said = f"failed on what the network gave: {type(error).__name__}: {reason_of(error)}"
            raise FuncamError(f"the target {self.__name__!r} {said}; {_TOGETHER}") from error
        if isinstance(values, torch.Tensor) and values.ndim and are_rows(kept, len(values)):
            self._tried = True
            if not told_alone(self._function, kept, values):
                said = "says another thing of a row when other rows stand beside it"
                raise FuncamError(f"the target {self.__name__!r} {said}; {_TOGETHER}")
        return values


_TOGETHER = (
    "rows of several changed images are scored together here: where it holds something for each image, give a class "
    "for each, or measure one image at a time, each with a function of its own"
)


class _Watched:
    """A network that was seen, when it first ran, to end in something: that holds for all rows."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._ran = False
        self._ending: str | None = None

    def __call__(self, images: torch.Tensor) -> Any:
        if self._ran:
            return self._network(images)
        with EndingMode() as seen:
            outputs = self._network(images)
        with suppress(FuncamError):  # what a function of the outputs is for
            self._ending = seen.of(logits_of(outputs))
        self._ran = True
        return outputs

    def ending(self) -> str | None:
        """What its outputs are made of, as `funcam.network.ending` says it."""
        return self._ending


def _probabilities_of(ending: Ending) -> Score:
    return lambda logits: as_probabilities(logits, find_scores(logits, ending))


def _class_score(score: Score, classes: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The score of each row's class; that there is such a class is looked at once."""
    low, high = int(classes.min()), int(classes.max())

    def of(outputs: Any, own: torch.Tensor) -> torch.Tensor:
        logits = _logits(outputs, len(own))
        if not 0 <= low <= high < logits.shape[1]:
            raise FuncamError(f"targets go from {low} to {high}; expected classes 0 to {logits.shape[1] - 1}")
        values = score(logits)
        if not isinstance(values, torch.Tensor) or values.shape != logits.shape:
            kind = f"shape {list(values.shape)}" if isinstance(values, torch.Tensor) else f"a {type(values).__name__}"
            raise FuncamError(f"score made {kind} of logits {list(logits.shape)}; expected the same shape")
        return values.gather(1, own.to(values.device)[:, None])[:, 0]

    return of


def _rule_score(
    rule: ClassScore, logits: torch.Tensor, ending: Ending
) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]:
    """The score of a rule (a probability, a contrast), and what it found out about the images themselves."""
    rule = rule.read_as(lambda: find_scores(logits, ending))
    classes = class_targets(rule.classes, logits)
    if classes.ndim != 1:
        raise FuncamError(
            f"the rule's classes have shape {list(classes.shape)}; expected [{len(logits)}], one for each image and map"
        )
    columns = classes[:, None]

    def of(outputs: Any, own: torch.Tensor, *constants: torch.Tensor) -> torch.Tensor:
        return rule.of(_logits(outputs, len(own)), own, *constants)

    return of, (columns, *rule.fix(logits, columns))


def _predicted(network: Network, images: torch.Tensor, chunk: int) -> torch.Tensor:
    """The logits of the images as they are, `[B, N]`."""
    with torch.no_grad():
        return torch.cat([_logits(network(part), len(part)) for part in torch.split(images, chunk)])


def _logits(outputs: Any, rows: int) -> torch.Tensor:
    """The logits `[rows, N]` in what a network gave, in single precision at least."""
    try:
        logits = logits_of(outputs)
    except FuncamError:
        known = f" with {', '.join(map(repr, outputs))}" if isinstance(outputs, dict) else ""
        raise FuncamError(
            f"the network gave a {type(outputs).__name__}{known}; expected logits [n, N] in it: give a function that "
            "takes them out, lambda images: network(images)['KEY'], or a function of the outputs as the target"
        ) from None
    if logits.ndim != 2 or len(logits) != rows:
        raise FuncamError(
            f"the network gave {list(logits.shape)} for {rows} images; expected logits [{rows}, N] (for anything else "
            "give a function of the outputs as the target)"
        )
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _checked(values: Any, of: Callable[..., torch.Tensor], rows: int) -> torch.Tensor:
    """One score a row, `[n]`; a column `[n, 1]` is one."""
    tensor = isinstance(values, torch.Tensor)
    if tensor and values.shape in ((rows,), (rows, 1)):
        single: torch.Tensor = values.detach().reshape(rows)
        return single.to(torch.promote_types(single.dtype, torch.float32))
    kind = f"shape {list(values.shape)}" if tensor else f"a {type(values).__name__}"
    name = getattr(of, "__name__", type(of).__name__)
    raise FuncamError(f"the target {name!r} gave {kind} for {rows} images; expected [{rows}], one score an image")
