"""A small timm model whose random weights let something through: the images differ at the end, no branch is silent."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models.entry import Entry

SILENT = 1e-3  # LayerScale starts at 1e-5 or 1e-6, the last norm of a residual branch and some heads at zero
NOT_GAINS = ("bias", "pos_embed", "token", "table")  # near zero by nature, and nothing is multiplied by them


def timm_entry(
    model: str,
    image: tuple[int, ...],
    layers: str,
    grid: tuple[int, ...],
    why: str,
    *,
    args: dict[str, Any] | None = None,
    layout: str = "channels-first",
    prefix: int = 0,
    leaf: tuple[int | str, ...] = (),
) -> Entry:
    """An entry for a timm model.

    Args:
        model: the name that timm has registered.
        image: the shape of one image.
        layers: the names of the right layers, best first, separated by blanks.
        grid: the extent of the map at the first.
        why: the line of the source.
        args: further arguments for the model, to make it small.
        layout: see `Entry`.
        prefix: see `Entry`.
        leaf: see `Entry`.

    Returns:
        The entry; its model has ten classes.
    """
    return Entry(
        name=f"timm/{model}",
        make=lambda: small(model, image, **(args or {})),
        image=image,
        layers=tuple(layers.split()),
        grid=grid,
        layout=layout,
        prefix=prefix,
        leaf=leaf,
        why=why,
    )


def small(model: str, image: tuple[int, ...], **args: Any) -> nn.Module:
    """The model with random weights, gains of usual size and norms that know the images' statistics.

    Args:
        model: the name that timm has registered.
        image: the shape of one image.
        **args: further arguments for the model.

    Returns:
        The model in evaluation mode, with ten classes.
    """
    import timm

    network: nn.Module = timm.create_model(model, pretrained=False, num_classes=10, **args).eval()
    waken(network)
    settle(network, torch.randn(8, *image))
    return network


@torch.no_grad()
def waken(network: nn.Module) -> None:
    """Give gains, heads and last layers of branches that start at (nearly) zero a usual size.

    Args:
        network: the model, changed in place.
    """
    for name, weight in network.named_parameters():
        own = name.split(".")[-1]
        if weight.numel() and weight.abs().max() <= SILENT and not any(part in own for part in NOT_GAINS):
            if weight.squeeze().ndim < 2:
                weight.uniform_(0.5, 1.0)
            else:
                weight.normal_(std=weight[0].numel() ** -0.5)


@torch.no_grad()
def settle(network: nn.Module, images: Tensor) -> None:
    """Set the running statistics of batch norms from one batch: as they start (0, 1), deep networks forget the image.

    Args:
        network: the model, changed in place; no other module leaves evaluation mode.
        images: the batch.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum
        if norm.running_var is not None:  # a channel that was dead in that batch may live in another
            norm.running_var.clamp_(min=0.1 * norm.running_var.mean().item())
