"""Models that take their images with the channels last, or clips with the frames first: the same maps."""

from __future__ import annotations

import copy

import pytest
import torch
from by_hand import Base
from torch import nn
from torch.nn import functional

import funcam
from funcam import METHODS

IMAGES = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(1))
DRAWING = ("smooth-grad", "smooth-grad-cam++", "ss-cam", "le-grad", "cam")
"""Methods that draw noise for the images as they lie, or ask for another network."""


class First(Base):
    def prepare(self):
        self.before = nn.Conv2d(3, 3, 3, 1, 1)

    def features(self, x):
        return super().features(self.before(x).relu())


class Last(First):
    def body(self, x):
        return super().body(x.permute(0, 3, 1, 2))


class Clips(First):
    def body(self, x):
        return super().body(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)


def made(make):
    torch.manual_seed(1)
    return make().eval()


@pytest.mark.parametrize("smooth", [(), "aug"])
@pytest.mark.parametrize("method", [name for name in METHODS if name not in DRAWING])
def test_channels_last(method, smooth):
    options = {"method": method, "smooth": smooth, **({"layer": "conv"} if METHODS[method].at_layer else {})}
    want = funcam.explain(made(First), IMAGES, [[1, 2], [0, 2]], **options).maps
    found = funcam.explain(made(Last), IMAGES.permute(0, 2, 3, 1).contiguous(), [[1, 2], [0, 2]], **options).maps
    pixels = METHODS[method].gives == "pixels"
    assert want.any()
    torch.testing.assert_close(found.movedim(-1, 2) if pixels else found, want, rtol=1e-3, atol=1e-6)


def test_score_cam_of_clips_with_the_frames_first():
    model, clips, kept = made(Clips), torch.rand(1, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1)), []
    own = copy.deepcopy(model)
    own.conv.register_forward_hook(lambda _module, _given, out: kept.append(out.clone()))
    with torch.no_grad():
        own(clips)
        A = kept[0].transpose(0, 1)  # [C, T, h, w]
        masks = functional.interpolate(A[:, None], clips.shape[1:2] + clips.shape[3:], mode="trilinear")
        low, high = masks.amin((2, 3, 4), keepdim=True), masks.amax((2, 3, 4), keepdim=True)
        scores = own(clips * ((masks - low) / (high - low)).transpose(1, 2))[:, 1]
    want = torch.einsum("c,cthw->thw", scores.softmax(0), A).relu()
    found = funcam.explain(model, clips, 1, method="score-cam", layer="conv").maps[0]
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-6)
