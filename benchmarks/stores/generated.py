"""Images and a network that cost little, so that a hundred thousand of them show what the rest costs."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SHARD = 10_000
NETWORK = '''
"""Two convolutions: what is measured is what lies around them."""
from torch import nn


def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    )
'''


def write_network(folder: Path) -> str:
    """A file with a network, as the command line takes it; its weights are the same each time it is loaded."""
    path = folder / "tiny.py"
    path.write_text(NETWORK.replace("    return", "    import torch\n\n    torch.manual_seed(0)\n    return"))
    return f"{path}:tiny"


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
