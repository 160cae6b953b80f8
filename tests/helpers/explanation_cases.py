"""What the tests of ``explain`` share: images, a small network, and the methods that it can have."""

from __future__ import annotations

import torch
from small import small

from funcam import METHODS

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
MODEL = small()
HERE = [name for name in METHODS if name != "le-grad"]  # MODEL has no attention
CAMS = ["cam", "grad-cam", "grad-cam++", "grad-cam++-normalised", "hires-cam", "layer-cam"]
