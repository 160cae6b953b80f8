"""Code that minds how its tensors lie in memory, or what its weights are made of: no faster copy stands for it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

import funcam

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.Linear(6, 5)
        nn.init.uniform_(self.norm.running_mean)
        self.prepare()

    def prepare(self):
        """Whatever else the model holds."""

    def forward(self, x):
        return self.fc(self.seen(self.norm(self.conv(x)).relu()).mean(2))

    def seen(self, x):
        return x.flatten(2)


class Views(Base):
    def seen(self, x):
        return x.view(x.size(0), x.size(1), -1)


class AllViewed(Base):
    def prepare(self):
        self.fc = nn.Linear(6 * 64, 5)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu()
        return self.fc(x.view(x.size(0), -1))


class Strides(Base):
    def seen(self, x):
        return torch.as_strided(x, (x.shape[0], 6, 32), (384, 64, 2))


class Complex(Base):
    def prepare(self):
        self.weight = nn.Parameter(torch.rand(6, 8, 5, 2))

    def seen(self, x):
        spectrum = torch.fft.rfft2(x) * torch.view_as_complex(self.weight)
        return torch.fft.irfft2(spectrum, s=x.shape[-2:]).flatten(2)


class Pruned(Base):
    def prepare(self):
        prune.random_unstructured(self.conv, "weight", 0.5)


class Normalised(Base):
    def prepare(self):
        nn.utils.spectral_norm(self.conv)


MODELS = [Views, AllViewed, Strides, Complex, Pruned, Normalised]


def made(make):
    torch.manual_seed(3)
    model = make().eval()
    with torch.no_grad():
        model(IMAGES)  # old `spectral_norm` has a weight that can be copied from then on
    return model


def score_cam(model, images, class_):
    """By plain passes of a copy, channel after channel."""
    own, kept = copy.deepcopy(model), []
    own.norm.register_forward_hook(lambda _module, _given, out: kept.append(out.clone()))
    with torch.no_grad():
        own(images)
        A = kept[0]
        masks = functional.interpolate(A, images.shape[2:], mode="bilinear").flatten(2)
        low, high = masks.amin(2, keepdim=True), masks.amax(2, keepdim=True)
        masks = ((masks - low) / (high - low)).view(*A.shape[:2], *images.shape[2:])
        scores = [own(images * masks[:, k : k + 1])[:, class_] for k in range(A.shape[1])]
    return torch.einsum("bc,bchw->bhw", torch.stack(scores, 1).softmax(1), A).relu()


@pytest.mark.parametrize("make", MODELS)
def test_masked_images_pass_through_what_the_model_is(make, capfd):
    model = made(make)
    found = funcam.explain(model, IMAGES, 1, method="score-cam", layer="norm")
    torch.testing.assert_close(found.maps, score_cam(model, IMAGES, 1), rtol=1e-3, atol=1e-5)
    assert capfd.readouterr() == ("", "")  # torch prints a traceback where a graph fails


@pytest.mark.parametrize("make", MODELS)
def test_what_is_prepared_says_what_explain_says(make, capfd):
    model = made(make)
    fast = funcam.prepare(model, "norm", example=IMAGES, targets=1, backend=None)
    exact = funcam.explain(model, IMAGES.flip(0), 1, layer="norm")
    torch.testing.assert_close(fast(IMAGES.flip(0)).maps, exact.maps, rtol=1e-3, atol=1e-5)
    assert capfd.readouterr() == ("", "")
