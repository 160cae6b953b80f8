"""Many scores at once behind the mean over space and one linear layer, where the gradient is the same in every cell."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch.func import vjp, vmap

from funcam.attribution.batch_run import BatchRun
from funcam.attribution.products import OF_UNIFORM
from funcam.attribution.quantities import Chunk, Options, similar_target
from funcam.attribution.rows import full_precision, one_by_one_where_vmap_fails, unit_cotangents
from funcam.attribution.tails import Pullback
from funcam.methods import Method
from funcam.methods.reduce import positive_sum
from funcam.network.casting import uncast
from funcam.network.derivative import pull
from funcam.targets.target import Target, explains_logits

_COPIES = 3
"""How many tensors like the rows are held at once: the rows, and what a method makes of them."""


def is_uniform(run: BatchRun, method: Method) -> bool:
    """Whether the gradient is the same in every cell, and the method is products of matrices then."""
    noisy = "noisy_g" in method.takes  # of a logit it is the same for all copies of the image, else it has to be found
    return run.linear is not None and method.name in OF_UNIFORM and (not noisy or _picks(run, run.target))


def uniform_maps(chunk: Chunk, method: Method, options: Options, own: Options) -> torch.Tensor:
    """A method's maps of a chunk, `[B, k, *S]`, without a gradient of the features' size for each score.

    Args:
        chunk: the scores.
        method: one for which `is_uniform` holds.
        options: all of its options.
        own: those that its function takes.
    """
    made: dict[str, Callable[[], torch.Tensor]] = {
        "g": lambda: _rows(chunk),
        "noisy_g": lambda: _rows(chunk),
        "similar_g": lambda: _similar_rows(chunk, options),
    }
    A = full_precision(chunk.run.features[0])
    rows = [made[name]() for name in method.takes if name != "A"]
    of_image = partial(OF_UNIFORM[method.name], **own)
    with uncast(A.device):
        if A.shape[0] == 1:  # spared the cost of batching
            return of_image(A[0], *(each[:, 0] for each in rows))[None]
        return vmap(of_image, in_dims=(0, *[1] * len(rows)))(A, *rows)


def bytes_each(run: BatchRun, method: Method, options: Options) -> int:
    """About how many bytes one score takes: rows, and not features."""
    A = run.features[0]
    copies = _COPIES + (options["similar"] if "similar_g" in method.takes else 0)
    numbers = copies * A.shape[1] + A[0, 0].numel() + run.logits.shape[1] + run.scores.shape[1]
    return A.shape[0] * numbers * max(4, A.element_size())


def _picks(run: BatchRun, target: Target) -> bool:
    """Whether the target's gradients are rows of the linear layer."""
    return explains_logits(target) and run.output is None


def _rows(chunk: Chunk) -> torch.Tensor:
    """What the gradient of each score is in every cell, `[k, B, C]`."""
    run = chunk.run
    rows: torch.Tensor = chunk.get("rows", lambda: _divided(run, run.target, chunk.columns, run.by_logits))
    return rows


def _similar_rows(chunk: Chunk, options: Options) -> torch.Tensor:
    """The same of the classes most similar to each explained one, `[k, B, similar, C]`."""
    run, target = chunk.run, similar_target(chunk, options)
    every = torch.arange(target.indices.shape[1], device=chunk.columns.device)
    rows = _divided(run, target, every, None if _picks(run, target) else vjp(target, run.outputs)[1])
    return rows.view(len(chunk.columns), -1, *rows.shape[1:]).transpose(1, 2)


def _divided(run: BatchRun, target: Target, columns: torch.Tensor, by_logits: Pullback | None) -> torch.Tensor:
    """The derivative of some of a target's scores by the logits, times the rows of weights; a cell's share of it."""
    assert run.linear is not None
    weight, cells = run.linear.weight, math.prod(run.features[0].shape[2:])
    if _picks(run, target):  # no product with mostly zeros
        return full_precision(weight[target.constants[0][:, columns].T].div_(cells))
    assert by_logits is not None
    like = run.scores if target is run.target else target.indices.to(run.scores.dtype)
    (derivative,) = pull(by_logits, unit_cotangents(columns, like))
    with uncast(derivative.device):
        return full_precision((derivative.to(weight.dtype) @ weight).div_(cells))


def ablates_means(run: BatchRun, method: Method) -> bool:
    """Whether the method sets channels to zero, of which the head reads nothing but the means."""
    return run.linear is not None and method.name == "ablation-cam"


def ablated_map(run: BatchRun, index: int, ablation: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Ablation-CAM of one image, `[K, *S]`: its channels' means are what is ablated, and its features are weighted.

    Args:
        run: a batch run for which `ablates_means` holds.
        index: which image.
        ablation: the method's function.
    """
    assert run.linear is not None
    A, weight, score = run.features[0][index], run.linear.weight, run.target.of_image(index)
    logits = run.tail(run.inputs[0][index : index + 1])[0][0]  # (what is explained may have written into the outputs)
    if _picks(run, run.target):  # of the others no logit is computed
        classes = run.target.constants[0][index]
        weight, logits, score = weight[classes], logits[classes], lambda picked: picked
    A, weight = full_precision(A), full_precision(weight)
    with uncast(A.device):
        means = A.flatten(1).mean(1)
        bias = full_precision(logits) - weight @ means

        def one(ablated: torch.Tensor) -> torch.Tensor:
            return full_precision(score((weight @ ablated + bias)[None]))[0]

        def of_features(_means: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
            return positive_sum(A.to(weights.dtype), weights)

        return ablation(one_by_one_where_vmap_fails(one), means, reduce=of_features)
