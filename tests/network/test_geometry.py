"""What a model does with the whole image before a layer: its map lies where the image is, or it is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import funcam
from funcam import FuncamError

SIZE = (64, 96)
DELTA = F.pad(torch.ones(3, 1, 1, 1), (10, 10, 10, 10))  # a convolution that leaves an image as it is


class Before(nn.Module):
    """Cells of 4 x 4 pixels, of what is made of the image."""

    def __init__(self, made, channels: int = 3) -> None:
        super().__init__()
        self.made = made
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Identity()
        )
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(self.made(x)).mean((2, 3)))


def zoomed(x: Tensor) -> Tensor:
    """The middle half, sampled: no crop is seen in the operations."""
    grid = F.affine_grid(0.5 * torch.eye(2, 3)[None].expand(len(x), -1, -1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def on_canvas(x: Tensor) -> Tensor:
    canvas = x.new_zeros(*x.shape[:2], 128, 192)
    canvas[:, :, :64, :96] = x
    return canvas


CROPPED = {
    "the upper half": (lambda x: x[:, :, :32], "crops .* rows 0..31 of 64"),
    "the middle": (lambda x: x[..., 16:48, 24:72], "crops .* rows 16..47 of 64 and columns 24..71 of 96"),
    "a zoomed crop": (lambda x: F.interpolate(x[..., 16:48, 24:72], size=SIZE), "crops .* rows 16..47 of 64"),
    "a negative pad": (lambda x: F.pad(x, (-24, 0)), "crops .* columns 24..95 of 96"),
    "padding to a square": (lambda x: F.pad(x, (0, 0, 0, 32)), "pads .* rows 0..95 of 64"),
    "much padding": (lambda x: F.pad(x, (40, 40, 40, 40), mode="reflect"), "pads .* rows -40..103 of 64"),
}
ELSEWHERE = {
    "sampled": (zoomed, 3),
    "on a canvas": (on_canvas, 3),
    "halves as channels": (lambda x: torch.cat([x[..., :48], x[..., 48:]], 1), 6),
    "halves added": (lambda x: x[..., :48] + x[..., 48:], 3),
    "the mirror image added": (lambda x: x + x.flip(-1), 3),
    "rolled": (lambda x: torch.cat([x[..., 24:], x[..., :24]], -1), 3),
    "another shape": (lambda x: x.reshape(len(x), 3, 32, 192), 3),
}
NEAR = {
    "nothing": lambda x: x,
    "a pixel": lambda x: x[..., 1:-1, 1:-1],
    "padding to whole cells": lambda x: F.pad(x, (0, 2, 0, 2)),
    "padding that is cut off again": lambda x: F.pad(x, (0, 32, 32, 0))[..., 32:, :96],
    "padding for a convolution": lambda x: F.conv2d(F.pad(x, (10, 10, 10, 10)), DELTA, groups=3),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("how", CROPPED)
def test_a_map_of_another_region_is_refused_in_words(how, seed):
    torch.manual_seed(seed)
    made, said = CROPPED[how]
    model, images = Before(made).eval(), torch.randn(2, 3, *SIZE)
    for layer in (None, "body.4"):
        with pytest.raises(FuncamError, match=said):
            funcam.explain(model, images, 1, layer=layer)
    whole = funcam.explain(Before(lambda x: x).eval().requires_grad_(False), made(images), 1, layer="body.4")
    assert whole.maps.shape == funcam.explain(model, images, 1, layer="body.4", layout="channels-first").maps.shape


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("how", ELSEWHERE)
def test_a_map_of_other_places_is_undecided(how, seed):
    torch.manual_seed(seed)
    model, images = Before(*ELSEWHERE[how]).eval(), torch.randn(2, 3, *SIZE)
    with pytest.raises(FuncamError, match="undecided"):
        funcam.split(model, "body.4", example=images)


@pytest.mark.parametrize("how", NEAR)
def test_a_bright_patch_is_where_it_is_in_the_image(how):
    torch.manual_seed(0)
    model, images = Before(NEAR[how]).eval(), torch.randn(1, 3, *SIZE)
    cut = funcam.split(model, "body.4", example=images)
    for top, left in ((0, 0), (20, 60), (48, 8), (52, 84)):
        bright = images.clone()
        bright[..., top : top + 12, left : left + 12] += 20
        change = (cut(bright)[0] - cut(images)[0]).detach().abs().sum((0, 1))
        at = [
            float((change.sum(1 - axis) * (torch.arange(n) + 0.5)).sum() / change.sum() / n)
            for axis, n in enumerate(change.shape)
        ]
        assert abs(at[0] - (top + 6) / 64) * 16 < 1
        assert abs(at[1] - (left + 6) / 96) * 24 < 1


class Steps(nn.Module):
    """A small network for each frame, and a recurrent one over their means."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.steps, self.fc = nn.Conv2d(3, 16, 3, 2, 1), nn.GRU(16, 16, batch_first=True), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.stem(x.flatten(0, 1)).relu().mean((2, 3)).unflatten(0, x.shape[:2])
        return self.fc(self.steps(frames)[0].mean(1))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
@pytest.mark.parametrize("count", [12, 16])
def test_steps_in_time_are_no_rows_and_columns(count, seed):
    torch.manual_seed(seed)
    model, clips = Steps().eval(), torch.randn(1, count, 3, 16, 24)
    assert funcam.explain(model, clips, 0).maps.shape in ((1, count, 8, 12), (1, count, 1, 1))


class Mirrored(nn.Module):
    """The scores of an image and of its mirror image, added."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return sum(self.fc(self.body(y).mean((2, 3))) for y in (x, x.flip(-1)))


@pytest.mark.parametrize("seed", range(3))
def test_a_mirrored_pass_beside_the_explained_one_is_told(seed):
    torch.manual_seed(seed)
    with pytest.warns(funcam.FuncamWarning, match="branches meet behind their maps"):
        funcam.explain(Mirrored().eval(), torch.randn(2, 3, 32, 48), 0)
