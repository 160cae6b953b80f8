"""Well-known photos: what is on them, where the dog and the cat are, and the original's published pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import NETWORKS, network_input
from torch import nn

import funcam
from funcam.imaging.reading import read_image
from funcam.imaging.render import COLORMAPS

Box = tuple[float, float, float, float]
Network = Callable[[str], nn.Module]

BULL_MASTIFF, TIGER_CAT, WARPLANE, CRASH_HELMET, GO_KART, MOTOR_SCOOTER = 243, 282, 895, 518, 573, 670
GOLDEN_RETRIEVER, LABRADOR, KUVASZ, TABBY, FOX_TERRIER, COLLIE = 207, 208, 222, 281, 188, 231

# photo -> classes of which each network predicts one
OBVIOUS = {
    "seed/pic1.jpg": {BULL_MASTIFF, TIGER_CAT},
    "seed/pic2.jpg": {WARPLANE},
    "seed/multiple_dogs.jpg": {FOX_TERRIER, COLLIE},
    "peer/dog_cat.jfif": {GOLDEN_RETRIEVER, KUVASZ},
    "peer/puppies.jpg": {LABRADOR, GOLDEN_RETRIEVER},
}
# photo -> (class, where it is), looked up on the photo: x0, y0, x1, y1 as shares of its width and height
DOG_AND_CAT: dict[str, tuple[tuple[int, Box], tuple[int, Box]]] = {
    "seed/pic1.jpg": ((BULL_MASTIFF, (0.34, 0.06, 0.74, 0.67)), (TIGER_CAT, (0.20, 0.53, 0.90, 1.00))),
    "peer/dog_cat.jfif": ((GOLDEN_RETRIEVER, (0.00, 0.04, 0.58, 1.00)), (TABBY, (0.51, 0.24, 0.87, 0.97))),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("photo", OBVIOUS)
def test_the_obvious_class_is_predicted(photo: str, network: str, assets: Path, real_network: Network) -> None:
    result = funcam.explain(real_network(network), network_input(assets / "photos" / photo))
    assert result.targets.item() in OBVIOUS[photo]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_kart_is_among_the_first_five(network: str, assets: Path, real_network: Network) -> None:
    logits = funcam.explain(real_network(network), network_input(assets / "photos/seed/pic3.jpg")).logits
    assert {CRASH_HELMET, GO_KART} <= set(logits[0].topk(5).indices.tolist())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("photo", DOG_AND_CAT)
def test_grad_cam_peaks_on_the_dog_and_on_the_cat(
    photo: str, network: str, assets: Path, real_network: Network
) -> None:
    (dog, on_dog), (cat, on_cat) = DOG_AND_CAT[photo]
    maps = funcam.explain(real_network(network), network_input(assets / "photos" / photo), [[dog, cat]]).maps[0]
    of_dog, of_cat = (_peak(one) for one in maps)
    assert _inside(of_dog, on_dog)
    assert not _inside(of_dog, on_cat)
    assert _inside(of_cat, on_cat)
    assert not _inside(of_cat, on_dog)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("photo", DOG_AND_CAT)
def test_grad_cam_pp_moves_towards_what_is_explained(
    photo: str, network: str, assets: Path, real_network: Network
) -> None:
    """Grad-CAM++ drops negative gradients and tells classes apart less: its map moves, its peak may stay on the dog."""
    (dog, on_dog), (cat, on_cat) = DOG_AND_CAT[photo]
    image = network_input(assets / "photos" / photo)
    of_dog, of_cat = funcam.explain(real_network(network), image, [[dog, cat]], method="grad-cam++").maps[0]
    assert _inside(_peak(of_dog), on_dog)
    assert _energy(of_dog, on_dog) > _energy(of_cat, on_dog)
    assert _energy(of_cat, on_cat) > _energy(of_dog, on_cat)


@pytest.mark.parametrize(
    ("network", "name", "least"),
    [("shufflenet_v2_x1_0", "shufflenet_v2", 0.99), ("mobilenet_v2", "mobilenet_v2", 0.97)],
)
@pytest.mark.parametrize("photo", ["pic1", "multiple_dogs"])
def test_the_published_pictures_of_the_seed(
    photo: str, network: str, name: str, least: float, assets: Path, real_network: Network
) -> None:
    folder = assets / "photos" / "seed"
    result = funcam.explain(real_network(network), network_input(folder / f"{photo}.jpg"), layer="last-conv")
    published = _from_jet(read_image(folder / "published" / f"{photo}-{name}-heatmap.jpg"))
    ours = funcam.upsample(result.maps, published.shape)[0].numpy()
    assert np.corrcoef(ours.ravel(), published.ravel())[0, 1] >= least


def _peak(saliency: torch.Tensor) -> tuple[float, float]:
    """Where the map, brought to the image's size, is largest: (x, y) as shares of the width and the height."""
    whole = funcam.upsample(saliency[None], (224, 224))[0]
    y, x = np.unravel_index(int(whole.argmax()), whole.shape)
    return (x + 0.5) / 224, (y + 0.5) / 224


def _inside(point: tuple[float, float], box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _energy(saliency: torch.Tensor, box: Box) -> float:
    """The share of the map that lies in the box."""
    whole = funcam.upsample(saliency[None], (224, 224))[0]
    x0, y0, x1, y1 = (round(224 * share) for share in box)
    return float(whole[y0:y1, x0:x1].sum() / whole.sum())


def _from_jet(picture: np.ndarray) -> np.ndarray:
    """The map behind a picture in OpenCV's JET: for each pixel the level whose colour is nearest."""
    colours = COLORMAPS["jet"][:, 0].astype(int)
    distance = ((picture[:, :, None].astype(int) - colours) ** 2).sum(-1)
    levels: np.ndarray = distance.argmin(-1) / 255
    return levels
