"""What a model's outputs mean, as the caller says it or as it is found where it is plain."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from funcam.network.believed import manner_for
from funcam.network.cut_runs import run_cut
from funcam.network.ending import ending_of
from funcam.network.known import known_of
from funcam.network.samples import kind_of, sample_of
from funcam.network.settled import Settled
from funcam.network.tap import Inputs
from funcam.network.tap import run as run_model
from funcam.network.tracing import is_compiled
from funcam.recipe import Scores
from funcam.targets.probabilities import Ending, find_scores
from funcam.targets.target import ClassScore, Meaning, Output, Targets, logits_of

Source = Callable[[], nn.Module]


def meaning_of(
    scores: Scores | None, targets: Targets, cut: Settled, source: Source | None, given: Inputs, output: Output
) -> Meaning:
    """What the logits mean, as a function of them.

    Args:
        scores: what the caller says; None to find out.
        targets: what is explained. If it is made of probabilities, what the model ends in is found at once: once the
            model is differentiated it can't be seen any more.
        cut: where the model is cut.
        source: the model as it is now; None for a pair of functions.
        given: what goes into it.
        output: where the logits are in what it returns.
    """
    if scores is not None:
        said = scores
        return lambda _logits: said
    ending: Ending = partial(_ending, cut, source, given, output)
    if isinstance(targets, ClassScore) and targets.by is not None:
        found = ending()
        return lambda logits: find_scores(logits, lambda: found)
    return lambda logits: find_scores(logits, ending)


def _ending(cut: Settled, source: Source | None, given: Inputs, output: Output) -> str | None:
    if is_compiled():  # the compiler can't run the model meanwhile
        return None
    if source is None:
        return ending_of(lambda: _through(cut, given), partial(logits_of, output=output))
    return _of_model(source(), given, output)


def _through(cut: Settled, given: Inputs) -> Any:
    A, head = run_cut(cut, None, given)
    return head(A)


def _of_model(model: nn.Module, given: Inputs, output: Output) -> str | None:
    """What the model's own code ends in, found once for inputs of a kind."""

    def find() -> str | None:
        sample = sample_of(given)
        manner = manner_for(model, sample)
        return ending_of(lambda: run_model(model, sample, {}, manner), partial(logits_of, output=output))

    if callable(output):
        return find()
    found: str | None = known_of(model).fact(("ending", kind_of(given), output), find)
    return found
