"""A GPU's throughput: `funcam.prepare` in bfloat16 and large batches, over the forward pass compiled in the same way.

Both are given the same float32 images. The forward pass is the fastest that torch compiles: weights inside (so that
BatchNorms are folded), channels_last, bfloat16, CUDA graphs. Peers run as their documentation says, and in bfloat16. A
quick run compiles nothing, whatever the names of its rows say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any

import torch
from torch import nn

import funcam
from benchmarks.suite import compiling
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import PEERS, forward, peer_case, there
from benchmarks.suite.roofline import forward_work

TITLE = "compiled Grad-CAM in half precision and large batches"
FOR = "cuda"
TAKES: tuple[str, ...] = ("nets", "batches")
BASELINE = "forward, compiled"
_DTYPE = torch.bfloat16


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50"):
        for batch in setting.batches_or(64, 256):
            number = 1 if setting.quick else batch
            yield Group(f"{name}, bfloat16, batch {number}", partial(_cases, setting, name, number), BASELINE)


def _cases(setting: Setting, name: str, batch: int) -> dict[str, Case]:
    whole, images = network(name, setting), setting.images(batch)
    model = network(name, setting).to(_DTYPE, memory_format=torch.channels_last)
    half = images.to(_DTYPE, memory_format=torch.channels_last)
    classes = torch.zeros(batch, dtype=torch.long, device=images.device)  # half precision may predict another
    layer = funcam.split(whole, example=images).layer
    fast = funcam.prepare(whole, example=images, dtype=_DTYPE, backend=None if setting.quick else "inductor")
    plain = partial(forward, model)
    cast = partial(_cast, plain)
    quickest = cast if setting.quick else compiling.fastest(cast)
    work, batches = forward_work(model, half), 4 if setting.quick else _BATCHES

    def case(run: Callable[[], object], **more: object) -> Case:
        settings: dict[str, Any] = {"images": batch, "work": work, "dtype": _DTYPE, **more}
        return Case(run, **settings)

    cases = {
        BASELINE: case(lambda: quickest(images), capture=False, compiles=True),
        "forward": case(lambda: plain(half)),
        "grad-cam": case(partial(_explained, model, half, classes), exact=partial(_explained, whole, images, classes)),
        "grad-cam, prepared": case(
            lambda: fast(images).maps, exact=lambda: _explained(whole, images, fast(images).targets), capture=False
        ),
        "grad-cam, prepared, a stream": case(lambda: _streamed(fast, images, batches), calls=batches, capture=False),
    }
    for peer in filter(there, PEERS):
        for what, network_, given in (("", whole, images), (", bfloat16", model, half)):
            run = peer_case(peer, "grad-cam", network_, layer)(given)
            cases[f"{peer} grad-cam{what}"] = case(run, capture=False, work=work if what else None)
    return cases


_BATCHES = 64
"""In a stream: its first batch and its last are waited for."""


def _cast(plain: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    return plain(images.to(_DTYPE, memory_format=torch.channels_last))


def _streamed(fast: funcam.Prepared, images: torch.Tensor, batches: int) -> None:
    """Maps of batch after batch."""
    for _ in fast.stream(repeat(images, batches)):
        pass


def _explained(model: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return funcam.explain(model, images, classes).maps
