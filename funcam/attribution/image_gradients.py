"""Methods that are a function of the image's gradient, of several images at once.

Where the images don't mix, the gradient of the sum of their scores is each image's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from funcam.attribution.batch_run import BatchRun
from funcam.attribution.quantities import explained, guided_rows
from funcam.attribution.rows import full_precision
from funcam.attribution.whole import OF_IMAGE_GRADIENT
from funcam.methods import METHODS, Method
from funcam.network.casting import cast_as_now, uncast
from funcam.network.derivative import may_be_plain, vjp


def images_at_once(run: BatchRun, method: Method) -> int:
    """How many images' gradients are had in one pass, passes being of about one size; 1 where each is had for itself.

    Several scores of one image fill a pass. Where something else than classes is explained, its function may look at
    all images; inputs besides the images may not have a row for each.

    Args:
        run: the batch run.
        method: any method.
    """
    alike = METHODS.get(method.name) is method and method.name in OF_IMAGE_GRADIENT
    if not alike or run.scores.shape[1] > 1 or run.target.class_score is None or run.given.has_others:
        return 1
    passes = math.ceil(len(run.images) / run.gradient_chunk)
    return math.ceil(len(run.images) / max(1, passes))


def gradient_maps(run: BatchRun, method: Method, at_once: int) -> torch.Tensor:
    """The method's maps of one score, `[B, 1, channels, *size]`, for so many images at a time.

    Args:
        run: the batch run.
        method: one of `OF_IMAGE_GRADIENT`.
        at_once: as `images_at_once` says.
    """
    kind, function = OF_IMAGE_GRADIENT[method.name]
    target = explained(run, method)
    plain = may_be_plain(run.images)
    rows_of = partial(guided_rows, plain=plain) if kind == "guided image" else BatchRun.network
    maps = []
    for start in range(0, len(run.images), at_once):
        rows = slice(start, start + at_once)
        images = run.images[rows]
        network = cast_as_now(rows_of(run, rows, target), images.device)
        with uncast(images.device):
            maps.append(full_precision(function(_gradients(network, images, plain), images[:, None])))
    return torch.cat(maps)


def _gradients(network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, plain: bool) -> torch.Tensor:
    """`[B, 1, channels, *size]`."""
    scores, pullback, *_ = vjp(lambda images: (network(images), None), [images], plain)
    (gradients,) = pullback(torch.ones_like(scores))
    return gradients[:, None]
