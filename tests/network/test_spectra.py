"""Signals whose spectrum goes through convolutions over frequencies and times: the map is of both."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import funcam


def conv(channels, out):
    return nn.Sequential(nn.Conv2d(channels, out, 3, 2, 1), nn.ReLU())


class Spectrogram(nn.Module):
    def __init__(self, bare):
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("window", torch.hann_window(64))
        self.first, self.second, self.fc, self.bare = conv(1, 8), conv(8, 8), nn.Linear(8, 4), bare

    def forward(self, x):
        x = x if self.bare else x[:, 0]
        spectrum = torch.stft(x, 64, 16, window=self.window, return_complex=True).abs().log1p()
        return self.fc(self.second(self.first(spectrum[:, None])).mean((2, 3)))


class Column(nn.Module):
    """A signal as an image of one column."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, (5, 1), padding=(2, 0)), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(8, 8, (5, 1), (2, 1)), nn.ReLU())
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(self.second(self.first(x[..., None])).mean((2, 3)))


CASES = {
    "a signal": (lambda: Spectrogram(bare=True), (2, 1024), (9, 17)),
    "a signal with a channel": (lambda: Spectrogram(bare=False), (2, 1, 1024), (9, 17)),
    "a column": (Column, (2, 3, 64), (30, 1)),
}


@pytest.mark.parametrize("layer", [None, "second", "first"])
@pytest.mark.parametrize("case", CASES)
def test_the_map_is_that_of_the_convolutions(case, layer):
    make, shape, grid = CASES[case]
    model, x = make().eval(), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    kept = []
    handle = model.get_submodule(layer or "second").register_forward_hook(lambda module, args, out: kept.append(out))
    logits = model(x)
    handle.remove()
    (g,) = torch.autograd.grad(logits[:, 1].sum(), kept[0])
    expected = (g.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu().detach()
    result = funcam.explain(model, x, 1, layer=layer)
    assert result.layer == (layer or "second")
    assert layer == "first" or result.maps.shape[1:] == grid
    torch.testing.assert_close(result.maps, expected)
