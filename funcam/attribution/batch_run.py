"""One batch before one model: run once, cut at one or several layers, its target settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from funcam.attribution.belonging import belonging
from funcam.attribution.by_place import by_place
from funcam.attribution.cuts import places_of, told_of
from funcam.attribution.meaning import meaning_of
from funcam.attribution.recorded import Recorded, gradient_chunk, record
from funcam.attribution.rows import full_precision, one_by_one_where_vmap_fails
from funcam.attribution.tails import Pullback, Tail, Tensors, as_they_are, run_by_rows, run_tail, tail_of, vjp_of
from funcam.attribution.whole import Kind, Whole, whole
from funcam.errors import FuncamError
from funcam.network import budget
from funcam.network.budget import bytes_of
from funcam.network.checks import difference
from funcam.network.class_rows import class_rows
from funcam.network.cut_runs import run_cut
from funcam.network.cutting import USUAL, CutOptions
from funcam.network.derivative import may_be_plain
from funcam.network.finer import finer_beside
from funcam.network.inputs import of_image
from funcam.network.linear_head import linear_head
from funcam.network.mixing import refuse_mixed, rows_mix
from funcam.network.rewrites.attention import AttentionRun
from funcam.network.settled import LinearHead, Settled, TapCut
from funcam.network.tap import Inputs
from funcam.network.tap import run as run_model
from funcam.recipe import Scores
from funcam.targets.kinds import names_classes, of_classes
from funcam.targets.target import Meaning, Output, Target, Targets, logits_of, placed, read_by, scored


@dataclass(eq=False, kw_only=True)
class BatchRun:
    """What `run_batch` returns.

    Attributes:
        cuts: where it is cut, and how.
        source: the model as it is now; None for a pair of functions.
        given: the images, `[B, channels, *size]`, and whatever else the model takes.
        inputs: what the tail is differentiated with respect to, one tensor `[B, C, *S]` for each layer.
        tail: `(*inputs) -> (outputs, features of each layer)`.
        features: A of each layer, `[B, C, *S]`.
        beside: for each layer the cut at the last layer with the next larger grid; None unless it was asked for.
        finer: the features there.
        outputs: what the model returned.
        target: what is explained.
        scores: its values, `[B, K]`.
        plain: whether plain autograd has to differentiate the tail.
        pullback: cotangents of the scores `[B, K]` -> the gradient at each layer; None if it was not asked for, or may
            never be needed.
        linear: the linear layer, where the head is the mean over space and that layer alone.
        by_logits: there, cotangents of the scores -> what the logits get of them; None if no gradient was asked for, or
            logits are what is explained.
        whole: how it was run where it was cut nowhere; the inputs are the image, or none, and there are no features.
        recorded: the pass from the image on, where one was recorded.
        attention: the blocks of a Vision Transformer, once they were run.
        memory: about how many bytes a chunk may take.
        output: where the logits are in the outputs.
        meaning: what the logits mean.
        left: what is to be said of layers that were left out.
    """

    cuts: tuple[Settled, ...]
    source: Callable[[], nn.Module] | None
    given: Inputs
    inputs: Tensors
    tail: Tail
    features: Tensors
    beside: tuple[Settled | None, ...]
    finer: tuple[torch.Tensor | None, ...]
    outputs: Any
    target: Target
    scores: torch.Tensor
    plain: bool
    pullback: Pullback | None
    linear: LinearHead | None
    by_logits: Pullback | None
    whole: Whole | None
    recorded: Recorded | None
    attention: AttentionRun | None
    memory: int
    output: Output
    meaning: Meaning
    left: tuple[str, ...] = ()

    @property
    def images(self) -> torch.Tensor:
        """The images, `[B, channels, *size]`."""
        return self.given.images

    @property
    def tapped(self) -> bool:
        """Whether the model's own code is run, not a graph of it."""
        return isinstance(self.cuts[0].cut, TapCut)

    @property
    def logits(self) -> torch.Tensor:
        """The logits in what the model returned."""
        return logits_of(self.outputs, self.output)

    def own_pullback(self) -> Pullback:
        """The pullback of the target's scores."""
        if self.pullback is None:
            self.pullback = self.differentiated(self.target)
        return self.pullback

    def differentiated(self, target: Target) -> Pullback:
        """The pullback of another target's scores through the tail."""

        def scores(*inputs: torch.Tensor) -> tuple[torch.Tensor, tuple[()]]:
            return target(self.tail(*inputs)[0]), ()

        return vjp_of(scores, self.inputs, self.tapped, self.plain)[1]

    def pullback_of(self, function: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor) -> Pullback:
        """The pullback of some function of changed features."""
        return vjp_of(lambda given: (function(given), ()), (features,), self.tapped, self.plain)[1]

    def at(self, layer: int, index: int | None = None) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        """Features and head at one layer, of one image or of all; run again only where they aren't there yet."""
        direct = len(self.cuts) == 1 and self.finer[0] is None and not self.tapped
        if direct and (index is None or len(self.images) == 1):
            return self.inputs[0], lambda A: self.tail(A)[0]
        given = self.given if index is None else self.of_image(index)
        return run_cut(self.cuts[layer], self.source, given)

    def of_image(self, index: int) -> Inputs:
        """What goes into the model for one image alone: of what has a row for each image, its own.

        Raises:
            FuncamError: neither so nor with all rows the model says of the image what it says of it among the others.
        """
        candidates = list(of_image(self.given, index))
        if len(candidates) == 1:
            return candidates[0]
        for given in candidates:
            try:
                A, head = run_cut(self.cuts[0], self.source, given)
                scores = self.target.of_image(index)(head(A))
            except (RuntimeError, ValueError, TypeError, LookupError):  # (a FuncamError is a ValueError)
                continue
            if not difference([scores], [self.scores[index : index + 1]]):
                return given
        raise FuncamError(
            f"image {index} can't be explained alone: whichever rows of the other inputs go with it, the model says "
            "another thing of it than in the batch; give one image at a time, or take grad-cam"
        )

    def at_images(self, layer: int, images: torch.Tensor) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        """Features and head at one layer of other images."""
        return run_cut(self.cuts[layer], self.source, replace(self.given, images=images))

    def head(self, layer: int, index: int, target: Target) -> Callable[[torch.Tensor], torch.Tensor]:
        """The scores of one image as a pure function of rows of changed features, `[n, C, *S] -> [n, K]`.

        `vmap` over the rows gives each of them the values that skip the cut; where the model's own code runs, the image
        is repeated for them.
        """
        A, head = self.at(layer, index)
        score = target.of_image(index)
        if self.given.has_others:
            return lambda rows: torch.cat([full_precision(score(head(row[None].to(A.dtype)))) for row in rows])
        if self.tapped:
            return lambda rows: full_precision(score(head(rows.to(A.dtype))))

        def one(row: torch.Tensor) -> torch.Tensor:
            return full_precision(score(head(row[None].to(A.dtype))))[0]

        return one_by_one_where_vmap_fails(one)

    def network(self, index: int | slice, target: Target) -> Callable[[torch.Tensor], torch.Tensor]:
        """The scores of one image as a pure function of rows of changed images, `[n, channels, *size] -> [n, K]`.

        With a slice those of some images, a row for each; where images are all that the model takes.
        """
        score = target.of_image(index)

        def rows(images: torch.Tensor) -> torch.Tensor:
            A, head = self.at_images(0, images.to(self.images.dtype))
            return full_precision(score(head(A)))

        if not self.tapped:
            return rows
        if not self.given.has_others:
            return lambda images: full_precision(score(self._outputs(replace(self.given, images=images))))
        assert isinstance(index, int)
        given = self.of_image(index)
        return lambda images: torch.cat(
            [full_precision(score(self._outputs(replace(given, images=image[None])))) for image in images]
        )

    def _outputs(self, given: Inputs) -> Any:
        """What the model's own code returns for changed images."""
        cut = self.cuts[0].cut
        assert isinstance(cut, TapCut)
        assert self.source is not None
        return run_model(
            self.source(),
            replace(given, images=given.images.to(self.images.dtype)),
            {},
            cut.manner,
            torch.is_grad_enabled(),
        )

    def head_chunk(self, layer: int) -> int:
        """How many rows of changed features may pass the head at once."""
        if self.rows_mix:
            return 1
        row = bytes_of(self.features[layer][:1]) * budget.OF_FEATURES
        return self.image_chunk if self.tapped else budget.chunk_size(self.memory, row, most=budget.MOST_ROWS)

    @property
    def rows_mix(self) -> bool:
        """Whether what the model says of an image depends on those beside it: then each passes alone."""
        return self.source is not None and rows_mix(self.source(), self.given)

    @property
    def image_chunk(self) -> int:
        """How many images may pass the network at once."""
        if self.rows_mix:
            return 1
        image = bytes_of(self.images[:1]) * budget.OF_IMAGES_WITHOUT_GRADIENT
        most = budget.most_images(self.images.device, self.images[:1].numel())
        return budget.chunk_size(self.memory, image, most=most)

    @property
    def gradient_chunk(self) -> int:
        """How many images may pass the network at once and be differentiated."""
        if self.rows_mix:
            return 1
        return gradient_chunk(self.images, self.memory)


def run_batch(
    model: Any,
    given: Inputs,
    targets: Targets,
    layers: Sequence[str | None],
    *,
    memory: int,
    output: Output,
    scores: Scores | None = None,
    gradient: bool,
    finer: bool = False,
    needs_layer: bool = True,
    made_of: Kind | None = None,
    of_image: Kind | None = None,
    options: CutOptions = USUAL,
) -> BatchRun:
    """Run the model once on the images and settle what is explained.

    Args:
        model: a module, a split of one, or a pair `(features, head)`.
        given: the images, `[B, channels, *size]`, and whatever else the model takes.
        targets: see `funcam.targets.target.bind`.
        layers: where to cut; one or several.
        memory: about how many bytes a chunk may take.
        output: where the logits are in what the model returns.
        scores: what the logits mean; None to find out where it matters.
        gradient: whether the gradient at the layers will be needed.
        finer: whether the features of the layers with the next larger grids will be needed.
        needs_layer: whether one of the methods is made of features.
        made_of: what all methods are made of, if it is one thing of the whole network and nothing else.
        of_image: whose gradient at the image is wanted beside what is had at one layer.
        options: how the model is to be cut, besides where.

    Raises:
        FuncamError: the model can't be cut there, or the targets don't fit.
    """
    targets = placed(targets, output)
    places = places_of(model, given, layers, read_by(targets, output), options, needed=needs_layer)
    cuts, source, given = places.cuts, places.source, places.given
    if source is not None:
        refuse_mixed(source(), given, cuts)
    meaning = meaning_of(scores, targets, cuts[0], source, given, output)
    settled = _bound(targets, given, output, meaning)
    if needs_layer and isinstance(model, nn.Module) and list(layers) == [None] and source and not options.layout:
        cuts = (belonging(cuts[0], source, given, output, of_classes(targets), lambda outputs: settled(outputs)[0]),)
    beside = tuple(finer_beside(cut, source, given) if finer else None for cut in cuts)
    uncut = whole(made_of, cuts[0], source, given)
    left = (*places.left, *(told_of(cuts) if needs_layer else ()))
    recorded = None if any(beside) else record(of_image, cuts, source, given, targets, settled, memory)
    found = _Found(cuts, source, beside, meaning, memory, output, left=left)
    return _run_found(found, given, targets, gradient, uncut or recorded)


def run_again(run: BatchRun, images: torch.Tensor, targets: Targets) -> BatchRun:
    """The same of other images of that kind: nothing is found out any more, so that it may be traced.

    Args:
        run: a batch run of a model that was cut.
        images: any number of images like its own.
        targets: as in `run_batch`.
    """
    found = _Found(run.cuts, run.source, run.beside, run.meaning, run.memory, run.output, linear=(run.linear,))
    gradient = run.pullback is not None or run.by_logits is not None
    return _run_found(found, replace(run.given, images=images), targets, gradient, None)


@dataclass(frozen=True, eq=False)
class _Found:
    """What was found out of a model and the kind of its images: attributes of `BatchRun`."""

    cuts: tuple[Settled, ...]
    source: Callable[[], nn.Module] | None
    beside: tuple[Settled | None, ...]
    meaning: Meaning
    memory: int
    output: Output
    linear: tuple[LinearHead | None] | None = None  # None before it was looked for
    left: tuple[str, ...] = ()


def _bound(
    targets: Targets, given: Inputs, output: Output, meaning: Meaning
) -> Callable[[Any], tuple[Target, torch.Tensor]]:
    """What the model returned -> what is explained of it, and the scores."""
    return lambda outputs: scored(targets, outputs, given.images.shape[0], output, meaning)


def _run_found(
    found: _Found, given: Inputs, targets: Targets, gradient: bool, first: Whole | Recorded | None
) -> BatchRun:
    cuts, source, beside = found.cuts, found.source, found.beside
    here = [cut.layer for cut in cuts]
    more = {cut.layer: cut for cut in beside if cut and cut.layer not in here}
    if isinstance(first, Whole):
        inputs, tail, here, gradient = first.inputs, first.tail, [], bool(first.inputs)
        plain = gradient and may_be_plain(given.images)
    elif isinstance(first, Recorded):
        inputs, tail, plain = first.inputs, first.tail, False
    else:
        inputs, tail, plain = tail_of(cuts, list(more.values()), source, given)
    run = first.again if isinstance(first, Recorded) else tail
    tapped = isinstance(cuts[0].cut, TapCut)
    settled = _bound(targets, given, found.output, found.meaning)
    linear = pullback = by_logits = None
    if found.linear is not None:
        (linear,) = found.linear
    elif len(cuts) == 1 and not more and not isinstance(first, Whole):
        linear = linear_head(cuts[0], source, given.images, inputs[0], lambda A: tail(A)[0])
    of_logits = found.output is None and names_classes(targets)  # whose derivative is known
    by_rows = gradient and linear is None and of_logits and len(cuts) == 1 and not more and first is None
    rows = class_rows(cuts[0], source, given.images) if by_rows and not isinstance(targets, str) else None
    if rows is not None:
        features, outputs, target, values, pullback = run_by_rows(inputs, tail, rows, settled)
    elif linear is None or not gradient or of_logits:
        differentiated = gradient and linear is None
        once = tail if differentiated else run
        own = tapped or plain
        features, outputs, target, values, pullback = run_tail(inputs, once, settled, differentiated, own, plain)
    else:
        logits, features = run(*inputs)
        _, outputs, target, values, by_logits = run_tail((logits,), as_they_are, settled, True, False, False)
    by_name = dict(zip([*here, *more], features, strict=True))
    return BatchRun(
        cuts=cuts,
        source=source,
        given=given,
        inputs=inputs,
        tail=tail,
        features=features[: len(cuts)],
        beside=beside,
        finer=tuple(by_name[cut.layer] if cut else None for cut in beside),
        outputs=outputs,
        target=by_place(target, targets, values, outputs, lambda: tail(*inputs)[0], gradient),
        scores=values,
        plain=plain,
        pullback=pullback,
        linear=linear,
        by_logits=by_logits,
        whole=first if isinstance(first, Whole) else None,
        recorded=first if isinstance(first, Recorded) else None,
        attention=first.attention if isinstance(first, Whole) else None,
        memory=found.memory,
        output=found.output,
        meaning=found.meaning,
        left=found.left,
    )
