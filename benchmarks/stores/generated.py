"""Images and a network that cost little, so that a hundred thousand of them show what the rest costs."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

SHARD = 10_000


def tiny() -> nn.Module:
    """Two convolutions, with the same weights each time: what is measured is what lies around them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 16, 3, 2, 1)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), head).eval()


def write_shards(folder: Path, count: int, side: int = 64) -> list[Path]:
    """Tar shards of JPEGs of noise, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for start in range(0, count, SHARD):
        paths.append(folder / f"train-{start // SHARD:04d}.tar")
        with tarfile.open(paths[-1], "w") as tar:
            for number in range(start, min(start + SHARD, count)):
                member = tarfile.TarInfo(f"{number:06d}.jpg")
                data = _jpeg(rng, side)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return paths


def _jpeg(rng: np.random.Generator, side: int) -> bytes:
    stream = io.BytesIO()
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()
