"""The network as methods run it that mask an image: for very many copies of it, which nobody differentiates."""

from __future__ import annotations

from collections.abc import Callable

import torch

from funcam.attribution.batch_run import BatchRun
from funcam.attribution.rows import full_precision
from funcam.network.believed import quiet, structure_of
from funcam.network.casting import type_now
from funcam.network.checks import difference, why_not_run
from funcam.network.layout import of_images
from funcam.network.random_numbers import own_random_numbers
from funcam.network.rewrites.batchnorm import fused
from funcam.network.rewrites.channels_last import channels_last, in_channels_last
from funcam.targets.target import Target

Rows = Callable[[torch.Tensor], torch.Tensor]


def maskable(run: BatchRun, index: int) -> torch.Tensor:
    """An image, `[channels, *size]` however the model takes it, so that masks `[*size]` lie over it.

    Args:
        run: the batch run.
        index: which image.
    """
    return of_images(run.images.shape).to_map(run.images[index : index + 1])[0]


def masked_network(run: BatchRun, index: int, target: Target) -> Rows:
    """As `BatchRun.network`, of images as `maskable` makes them: with BatchNorms folded, in channels_last.

    That is another computation, and code may fail in it (`x.view(len(x), -1)`), or see how its tensors lie in memory:
    it is taken where it says of the image itself what the model says.

    Args:
        run: the batch run.
        index: which image.
        target: what is explained.
    """
    network = run.network(index, target)
    faster = _folded(run, index, target)
    if faster is not None and _is_the_same(faster, network, run.images[index : index + 1]):
        network = faster
    own = of_images(run.images.shape)
    return lambda images: network(own.from_map(images, run.images))


def _folded(run: BatchRun, index: int, target: Target) -> Rows | None:
    if torch.is_grad_enabled() or run.cuts[0].way != "fx" or run.source is None:
        return None
    network = quiet(in_channels_last(fused(structure_of(run.source(), run.images).graph)))
    score = target.of_image(index)
    return lambda images: full_precision(score(network(channels_last(images.to(run.images.dtype)))))


def _is_the_same(faster: Rows, network: Rows, image: torch.Tensor) -> bool:
    with own_random_numbers(image):
        dtype = type_now(image)
        said, _ = why_not_run(lambda: faster(image.clone()).to(dtype))
        return said is not None and not difference([said], [network(image.clone()).to(dtype)])
