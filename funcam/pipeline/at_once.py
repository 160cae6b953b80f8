"""How many images of a folder are explained at once."""

from __future__ import annotations

import torch

from funcam.attribution.recorded import beside_a_layer, gradient_chunk
from funcam.attribution.whole import OF_IMAGE_GRADIENT
from funcam.methods import METHODS
from funcam.network.budget import MEMORY, most_images
from funcam.pipeline.recipes import ALL, CAMS, GUIDED
from funcam.recipe import Recipe
from funcam.zoo.nets import Net


def images_at_once(net: Net, recipe: Recipe, device: str | torch.device) -> int:
    """How many images are best explained at once.

    One, where an image takes many passes through the network by itself. Where the image's gradient is wanted, as many
    as one recorded pass may hold: it gives that, the predictions and the maps.

    Args:
        net: the network with the input that the recipe asks for.
        recipe: as in `explain_image`.
        device: where to compute.
    """
    if recipe.methods == (ALL,) or any(
        METHODS[name].whole and name not in OF_IMAGE_GRADIENT for name in recipe.methods
    ):
        return 1
    most = most_images(torch.device(device))
    if beside_a_layer([METHODS[name] for name in recipe.methods or (*CAMS, *GUIDED)]) is None:
        return most
    return min(most, gradient_chunk(torch.empty((1, *net.image_shape), device="meta"), MEMORY))
