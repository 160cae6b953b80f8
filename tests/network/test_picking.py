"""Cells that are picked by their numbers, or sampled elsewhere, stand in no grid: none is guessed for them."""

from __future__ import annotations

import pytest
import torch
from small import randomised
from tokens import cells
from torch import Tensor, nn
from torch.nn import functional as F

import funcam
from funcam import FuncamError
from funcam.network.provenance import Provenance

IMAGES = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
KEPT = torch.randperm(24, generator=torch.Generator().manual_seed(1))[:16].sort()[0]


class Picks(nn.Module):
    """24 tokens, of which some go on, with a class token beside them or not."""

    def __init__(self, pick) -> None:
        super().__init__()
        self.patch, self.kept, self.norm = nn.Conv2d(3, 16, 16, 16), nn.Identity(), nn.LayerNorm(16)
        self.pick, self.fc = pick, nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.kept(self.pick(cells(self.patch(x))))).relu().mean(1))


def strongest(y: Tensor) -> Tensor:
    return y.norm(dim=2).topk(16, 1)[1].sort(1)[0]


def gather(y: Tensor, index: Tensor) -> Tensor:
    return y.gather(1, index[..., None].expand(len(y), -1, y.shape[2]))


PICKED = {
    "the strongest of each image": lambda y: gather(y, strongest(y)),
    "in the order of strength": lambda y: gather(y, y.norm(dim=2).argsort(1)),
    "the same of all images": lambda y: y[:, KEPT],
    "by a mask": lambda y: y[:, torch.zeros(24, dtype=torch.bool).index_fill(0, KEPT, True)],
    "selected": lambda y: y.index_select(1, KEPT),
    "gathered, the same of all": lambda y: gather(y, KEPT[None].expand(len(y), -1)),
    "behind a class token": lambda y: torch.cat([y.mean(1, keepdim=True), y[:, KEPT]], 1),
    "mixed afterwards": lambda y: (z := y[:, KEPT]) + F.scaled_dot_product_attention(z, z, z),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", PICKED)
def test_tokens_that_are_picked_are_no_grid(how, seed):
    torch.manual_seed(seed)
    model = Picks(PICKED[how]).eval()
    with pytest.raises(FuncamError, match=r"undecided.*cells picked"):
        funcam.explain(model, IMAGES, 1, layer="kept")
    assert funcam.explain(model, IMAGES, 1).maps.shape == (2, 4, 6)


IN_PLACE = {
    "all, in their order": lambda y: y.index_select(1, torch.arange(24)),
    "each twice": lambda y: y.unflatten(1, (4, 6))[:, :, torch.arange(12) // 2].flatten(1, 2),
    "every other column": lambda y: y.unflatten(1, (4, 6))[:, :, torch.tensor([0, 2, 4])].flatten(1, 2),
}


@pytest.mark.parametrize("how", IN_PLACE)
def test_cells_that_are_picked_in_their_places_are_where_they_were(how):
    model = randomised(Picks(IN_PLACE[how])).eval()
    image = IMAGES[:1].clone()
    with Provenance(image) as followed:
        A = model.pick(cells(model.patch(image)))
    layout = followed.layout_of(A)
    assert layout is not None
    grid = {"all, in their order": (4, 6), "each twice": (4, 12), "every other column": (4, 3)}[how]
    assert layout.grid == grid
    assert funcam.explain(model, IMAGES, 1, layer="kept").maps.shape == (2, *grid)


def affine(x: Tensor, theta) -> Tensor:
    theta = torch.as_tensor(theta).expand(len(x), 2, 3)
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


class Warps(nn.Module):
    """A network that warps its images by a matrix, its own or one that it makes of the image."""

    def __init__(self, theta, of_image: float = 0.0) -> None:
        super().__init__()
        self.theta, self.of_image = torch.tensor(theta), of_image
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.theta + self.of_image * x.mean((1, 2, 3), keepdim=True)[:, 0]
        return self.fc(self.body(affine(x, theta)).mean((2, 3)))


WARPS = {
    "a part beside the middle": [[0.5, 0.0, 0.2], [0.0, 0.5, -0.2]],
    "turned a little": [[0.9, -0.4, 0.0], [0.4, 0.9, 0.0]],
    "moved": [[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]],
    "smaller": [[1.6, 0.0, 0.0], [0.0, 1.6, 0.0]],
}


@pytest.mark.parametrize("of_image", [0.0, 1e-3])
@pytest.mark.parametrize("how", WARPS)
def test_a_warped_image_has_no_map_of_the_image(how, of_image):
    for seed in range(3):
        torch.manual_seed(seed)
        model = Warps(WARPS[how], of_image).eval()
        with pytest.raises(FuncamError, match="undecided"):
            funcam.explain(model, IMAGES, 1, layer="body")
        said = funcam.explain(model, IMAGES, 1, layer="body", layout="channels-first")
        torch.testing.assert_close(said.maps, by_hand(model))


def test_an_image_that_is_sampled_at_its_own_places_has_a_map():
    torch.manual_seed(0)
    model = Warps([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).eval()
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1, layer="body").maps, by_hand(model))


def by_hand(model: Warps) -> Tensor:
    theta = model.theta + model.of_image * IMAGES.mean((1, 2, 3), keepdim=True)[:, 0]
    A = model.body(affine(IMAGES, theta)).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.fc(A.mean((2, 3)))[:, 1].sum(), A)
    return (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()
