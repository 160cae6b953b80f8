"""What the metrics measure: the maps of one batch of images, of one network, with everything they are held against."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from funcam import metrics
from funcam.comparison.instances import LocatedObjects
from funcam.comparison.plan import BASELINES, Plan, Rival
from funcam.methods import METHODS
from funcam.pipeline.explain_recipe import explain_recipe
from funcam.targets.probabilities import as_probabilities
from funcam.targets.target import logits_of


@dataclass(frozen=True)
class MethodMaps:
    """The maps of one layer and method for a batch.

    Attributes:
        layer: the layer; "" for a baseline and for a method without one.
        method: the method, or the baseline.
        maps: `[B, h, w]`, or the gradient of the image `[B, C, H, W]`.
        big: as they are measured: cut at zero, divided by the maximum, at the network's input size, `[B, H, W]`.
    """

    layer: str
    method: str
    maps: torch.Tensor
    big: torch.Tensor

    @property
    def pixels(self) -> bool:
        """Whether it is a gradient of the image."""
        return self.maps.ndim == 4


@dataclass(frozen=True)
class Batch:
    """Images of one size before one network, and their maps.

    Attributes:
        rival: the network.
        plan: what is computed.
        images: as the network takes them, `[B, C, H, W]`.
        classes: the explained ones, `[B]`.
        method_maps: the maps of each layer and method.
        truth: where the objects are; None where nothing is held against them.
    """

    rival: Rival
    plan: Plan
    images: torch.Tensor
    classes: torch.Tensor
    method_maps: tuple[MethodMaps, ...]
    truth: LocatedObjects | None

    def network(self, rows: torch.Tensor) -> torch.Tensor:
        """The logits of changed images."""
        with torch.no_grad():
            return logits_of(self.rival.net.model(rows), self.rival.net.output)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """What the network's logits mean as probabilities."""
        return as_probabilities(logits, self.rival.net.scores)


def explained(
    rival: Rival,
    plan: Plan,
    images: torch.Tensor,
    targets: torch.Tensor | None,
    *,
    model: torch.nn.Module | None = None,
) -> tuple[tuple[MethodMaps, ...], torch.Tensor, torch.Tensor]:
    """One forward pass for all layers and methods.

    Args:
        rival: the network.
        plan: its recipe, and each network's layers.
        images: `[B, C, H, W]`.
        targets: classes `[B]`, or None for what the network says.
        model: a copy of the network with other weights.

    Returns:
        The maps, the classes `[B]`, the probabilities `[B, N]`.
    """
    net = rival.net
    recipe = plan.recipe_for(rival.label)
    results = explain_recipe(model or net.model, images, targets, recipe, output=net.output, scores=net.scores)
    method_maps = tuple(MethodMaps(r.layer, r.method, r.maps, _big(r.maps, r.method, images)) for r in results)
    return method_maps, results[0].targets, as_probabilities(results[0].logits.double(), net.scores)


def baselines(names: Sequence[str], images: torch.Tensor) -> tuple[MethodMaps, ...]:
    """Maps that know nothing: a Gaussian in the centre, the same value everywhere, random numbers on a 7 x 7 grid.

    Args:
        names: of the images, from which the random numbers start.
        images: `[B, C, H, W]`.
    """
    count, size, device = len(images), images.shape[2:], images.device
    seeds = [sum(os.fsencode(name)) for name in names]
    grids = {
        "centre-gaussian": metrics.centre_gaussian(count, size, device=device),
        "uniform": metrics.uniform_maps(count, size, device=device),
        "random": torch.cat([metrics.random_maps(1, (7, 7), seed=seed, device=device) for seed in seeds]),
    }
    return tuple(MethodMaps("", name, grids[name], metrics.prepared(grids[name], size)) for name in BASELINES)


def _big(maps: torch.Tensor, method: str, images: torch.Tensor) -> torch.Tensor:
    flat = maps.abs().amax(1) if METHODS[method].gives == "pixels" else maps
    return metrics.prepared(flat, images.shape[2:])
