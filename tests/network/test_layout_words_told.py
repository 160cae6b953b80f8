"""What is said of a layout: in the words in which it may be given, for as many images as the caller has."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


class Views(nn.Module):
    """An image and its mirror image, in one batch; the mean of what is said of both."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.fc = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), nn.Linear(8, 5)

    def logits(self, A):
        return self.fc(A.mean((2, 3)))

    def forward(self, x):
        z = self.logits(self.body(torch.cat([x, x.flip(3)])))
        return (z[: x.shape[0]] + z[x.shape[0] :]) / 2


@pytest.mark.parametrize("layer", [None, "body"])
def test_views_in_the_batch_have_a_way_out_that_works(layer):
    model = Views().eval()
    with pytest.raises(FuncamError, match=r"2 maps.* of each image, one after the other in the batch") as told:
        funcam.explain(model, IMAGES, 1, layer=layer)
    words = str(told.value)
    layout = eval(re.search(r"layout=(\(.*\)) takes the first", words).group(1))
    name = layer or re.search(r"layer='([^']*)'", words).group(1)
    assert name.startswith("body")
    result = funcam.explain(model, IMAGES, 1, layer=name, layout=layout)
    A = model.body(IMAGES).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.logits(A)[:, 1].sum() / 2, A)
    torch.testing.assert_close(result.maps, (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach())


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.mix, self.fc = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.fc(self.mix(torch.cat([x.mean(1, keepdim=True), x], 1)).mean(1))


@pytest.mark.parametrize("words", ["tokens 8x12", "tokens 6x6 prefix=1", "tokens-last 8x12 suffix=2"])
def test_a_layout_that_does_not_fit_is_told_as_it_was_given(words):
    with pytest.raises(FuncamError, match=f"layout='{words}' doesn't fit layer 'mix', which holds") as told:
        funcam.explain(Tokens().eval(), IMAGES, 1, layer="mix", layout=words)
    assert "expected layout='channels-first', 'channels-last', 'tokens 14x14 prefix=1'" in str(told.value)


class Pair(nn.Module):
    """Two images in one batch, or one after the other."""

    def __init__(self, together):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.fc = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), nn.Linear(8, 5)
        self.together = together

    def forward(self, one, other):
        if self.together:
            features = self.body(torch.cat([one, other])).mean((2, 3)).chunk(2)
        else:
            features = self.body(one).mean((2, 3)), self.body(other).mean((2, 3))
        return self.fc(features[0] * features[1])


def by_hand(model, images, other):
    A = model.body(images).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.fc(A.mean((2, 3)) * model.body(other).mean((2, 3)))[:, 1].sum(), A)
    return (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()


@pytest.mark.parametrize("wrt", ["one", "other"])
@pytest.mark.parametrize("count", [1, 2])
def test_of_two_inputs_in_one_batch_the_way_out_takes_the_images_own(wrt, count):
    model, images, beside = Pair(True).eval(), IMAGES[:count], IMAGES.flip(0)[:count] * 2
    question = {"inputs": {"other" if wrt == "one" else "one": beside}, "wrt": wrt, "layer": "body"}
    with pytest.raises(FuncamError, match=r"holds 2 maps \[8, 16, 24\] of each image") as told:
        funcam.explain(model, images, 1, **question)
    words = str(told.value)
    layout = eval(re.search(r"layout=(\(.*\)) takes ", words).group(1))
    result = funcam.explain(model, images, 1, layout=layout, **question)
    torch.testing.assert_close(result.maps, by_hand(model, images, beside))
    first, second = "lambda A: A.chunk(2)[0]", "lambda A: A.chunk(2)[1]"
    assert (first if wrt == "one" else second) in words


def test_a_map_of_another_input_is_refused_whatever_is_said_of_its_layout():
    beside = {"inputs": {"one": IMAGES.flip(0)}, "wrt": "other"}
    wrong = (lambda A: A.chunk(2)[0], lambda f, A: torch.cat([f, A.chunk(2)[1]]))
    with pytest.raises(FuncamError, match=r"in which the images have no part.*takes what the images make") as told:
        funcam.explain(Pair(True).eval(), IMAGES, 1, layer="body", layout=wrong, **beside)
    layout = eval(re.search(r"layout=(\(.*\)) takes ", str(told.value)).group(1))
    want = by_hand(Pair(True).eval(), IMAGES, IMAGES.flip(0))
    found = funcam.explain(Pair(True).eval(), IMAGES, 1, layer="body", layout=layout, **beside)
    torch.testing.assert_close(found.maps, want)
    with pytest.raises(FuncamError, match="in which the images have no part"):
        funcam.explain(Pair(False).eval(), IMAGES, 1, layer="body", layout="channels-first", **beside)
    second = funcam.explain(Pair(False).eval(), IMAGES, 1, layer="body#2", layout="channels-first", **beside)
    torch.testing.assert_close(second.maps, want)
