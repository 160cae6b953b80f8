"""Where what a model says of one image depends on another of its batch, in either direction, it is found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import funcam
from funcam import FuncamError


class Rows(nn.Module):
    """A small network that does something with the rows of its images, or of its scores."""

    def __init__(self, images, scores) -> None:
        super().__init__()
        self.images, self.scores = images, scores
        self.stem, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(self.fc(self.stem(self.images(x)).relu().mean((2, 3))))


def same(y: Tensor) -> Tensor:
    return y


MIXED = {
    "less the first image": (lambda x: x - x[:1] / 2, same),
    "less the last image": (lambda x: x - x[-1:] / 2, same),
    "the first one's scores": (same, lambda o: o + o[:1]),
    "sums": (same, lambda o: o.cumsum(0)),
    "sums from behind": (same, lambda o: o.flip(0).cumsum(0).flip(0)),
    "the mean image": (lambda x: x - x.mean(0, keepdim=True), same),
    "the mean scores": (same, lambda o: o + o.mean(0, keepdim=True)),
    "the mean scores by columns": (same, lambda o: o + o.transpose(0, 1).mean(1)),
    "the mean scores by another order of axes": (
        same,
        lambda o: o + o.permute(1, 0).mean(1, keepdim=True).permute(1, 0),
    ),
    "halves of the batch": (same, lambda o: o + o.chunk(2, 0)[0]),
    "all as one": (same, lambda o: (o.view(1, -1) + o.flatten().mean(0)).reshape(o.size(0), -1)),
    "attention over the batch": (same, lambda o: o + nn.functional.softmax(o @ o.transpose(0, 1), 1) @ o),
}


@pytest.mark.parametrize("how", MIXED)
def test_images_that_depend_on_one_another_are_refused(how):
    torch.manual_seed(0)
    model, images = Rows(*MIXED[how]).eval(), torch.randn(2, 3, 16, 24)
    alone = torch.cat([model(images[:1]), model(images[1:])])
    assert not torch.allclose(model(images), alone)
    with pytest.raises(FuncamError, match="one at a time"):
        funcam.explain(model, images, 1)
    assert funcam.explain(model, images[:1], 1).maps.shape == (1, 8, 12)


APART = {
    "nothing": (same, same),
    "all of them": (lambda x: x[:2], lambda o: o[: len(o)]),
    "one after the other": (lambda x: torch.cat([x[i : i + 1] for i in range(len(x))]), same),
}


@pytest.mark.parametrize("how", APART)
def test_images_that_keep_apart_are_explained(how):
    torch.manual_seed(0)
    model, images = Rows(*APART[how]).eval(), torch.randn(2, 3, 16, 24)
    maps = funcam.explain(model, images, 1).maps
    torch.testing.assert_close(maps, torch.cat([funcam.explain(model, one[None], 1).maps for one in images]))


@pytest.mark.parametrize("batch_first", [False, True])
def test_an_attention_lets_images_meet_where_their_axis_is_the_tokens(batch_first):
    torch.manual_seed(0)

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.conv(x).flatten(2).permute(0, 2, 1)
            return self.fc(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    model, images = Attending().eval(), torch.randn(2, 3, 16, 16)
    if batch_first:
        maps = funcam.explain(model, images, 1, layer="conv").maps
        torch.testing.assert_close(maps[1:], funcam.explain(model, images[1:], 1, layer="conv").maps)
    else:
        with pytest.raises(FuncamError, match="one at a time"):
            funcam.explain(model, images, 1, layer="conv")


WITHOUT_DERIVATIVE = {
    "less the first image's scores": lambda o: o - o[:1].detach(),
    "less the last image's scores": lambda o: o - o[-1:].detach(),
    "over the largest": lambda o: o / o.abs().amax(0, keepdim=True).detach(),
    "rounded sums": lambda o: o + (1e4 * o.detach().sum(0)).round() / 1e4,
}


@pytest.mark.parametrize("how", WITHOUT_DERIVATIVE)
def test_images_that_depend_on_one_another_without_a_derivative_are_refused(how):
    torch.manual_seed(0)
    model, images = Rows(same, WITHOUT_DERIVATIVE[how]).eval(), torch.randn(3, 3, 16, 24)
    with pytest.raises(FuncamError, match="one at a time"):
        funcam.explain(model, images, 1)
    assert funcam.explain(model, images[1:2], 1).maps.shape == (1, 8, 12)


class Switched(Rows):
    """A branch on the values of the whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if y.sum() > 0 else 2 * y


def test_a_branch_on_the_values_of_a_batch_is_no_dependence():
    torch.manual_seed(0)
    model, images = Switched(same, same).eval(), torch.randn(2, 3, 16, 24)
    assert funcam.explain(model, images, 1).maps.shape == (2, 8, 12)
