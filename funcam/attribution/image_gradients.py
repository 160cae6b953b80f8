"""Methods that are a function of the image's gradient, of several images at once.

Where the images don't mix, the gradient of the sum of their scores is each image's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch.func import vjp

from funcam.attribution.batch_run import BatchRun
from funcam.attribution.quantities import explained, guided_rows, module_of
from funcam.attribution.rows import full_precision
from funcam.attribution.whole import OF_IMAGE_GRADIENT
from funcam.methods import METHODS, Method
from funcam.network.believed import graph_of
from funcam.network.casting import cast_as_now, uncast
from funcam.network.rewrites.batchnorm import fused
from funcam.network.rewrites.channels_last import channels_last, in_channels_last
from funcam.network.rewrites.guidance import guided
from funcam.targets.target import Target

_Network = Callable[[torch.Tensor], torch.Tensor]


def images_at_once(run: BatchRun, method: Method) -> int:
    """How many images' gradients are had in one pass; 1 where each is to be had for itself.

    Several scores of one image fill a pass. Where something else than classes is explained, its function may look at
    all images; inputs besides the images may not have a row for each.

    Args:
        run: the batch run.
        method: any method.
    """
    alike = METHODS.get(method.name) is method and method.name in OF_IMAGE_GRADIENT
    if not alike or run.scores.shape[1] > 1 or run.target.class_score is None or run.given.has_others:
        return 1
    return min(len(run.images), run.gradient_chunk)


def gradient_maps(run: BatchRun, method: Method, at_once: int) -> torch.Tensor:
    """The method's maps of one score, `[B, 1, channels, *size]`, for so many images at a time.

    Args:
        run: the batch run.
        method: one of `OF_IMAGE_GRADIENT`.
        at_once: as `images_at_once` says.
    """
    kind, function = OF_IMAGE_GRADIENT[method.name]
    target = explained(run, method)
    rows_of = _guided_rows(run) if kind == "guided image" else partial(BatchRun.network, run)
    maps = []
    for start in range(0, len(run.images), at_once):
        rows = slice(start, start + at_once)
        images = run.images[rows]
        network = cast_as_now(rows_of(rows, target), images.device)
        with uncast(images.device):
            maps.append(full_precision(function(_gradients(network, images), images[:, None])))
    return torch.cat(maps)


def _guided_rows(run: BatchRun) -> Callable[[slice, Target], _Network]:
    """As `guided_rows`, for images that nobody else differentiates: with BatchNorms folded, in channels_last."""
    if torch.is_grad_enabled() or run.cuts[0].way != "fx":
        return partial(guided_rows, run)
    model = module_of(run, "guided backpropagation rewrites the whole network")
    rewritten = replace(graph_of(model, run.images), module=guided(model, run.images).network)
    network = in_channels_last(fused(rewritten))

    def rows_of(rows: slice, target: Target) -> _Network:
        score = target.of_image(rows)
        return lambda images: full_precision(score(network(channels_last(images.to(run.images.dtype)))))

    return rows_of


def _gradients(network: _Network, images: torch.Tensor) -> torch.Tensor:
    """`[B, 1, channels, *size]`."""
    scores, pullback, *_ = vjp(network, images)
    gradients: torch.Tensor = pullback(torch.ones_like(scores))[0]
    return gradients[:, None]
