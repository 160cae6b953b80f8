"""What pytorch-grad-cam and torchcam make of an entry by their defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks.models import reference as ref
from benchmarks.models.entry import Entry

NEAR = 0.02  # of a map in 0 to 1, resized by another library


def peers_of(entry: Entry, make: Callable[[], nn.Module], images: Tensor, right: ref.Reference) -> dict[str, str]:
    """For each peer `equal`, `another map`, `another layer NAME`, `error ...`, or `n/a` where it can't be said.

    pytorch-grad-cam has no default layer: it is given the expected one. Its default says nothing of tokens or channels
    (`reshape_transform=None`), and neither is it told here.
    """
    if entry.inputs or entry.target is not None or len(entry.grid) != 2 or "#" in entry.layers[0]:
        return {"grad-cam": "n/a", "torchcam": "n/a"}
    return {
        "grad-cam": _attempted(lambda: _grad_cam(entry, make(), images, right)),
        "torchcam": _attempted(lambda: _torchcam(entry, make(), images, right)),
    }


def _attempted(attempt: Callable[[], str]) -> str:
    try:
        return attempt()
    except Exception as error:
        return f"error {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"[:120]


def _in_unit(maps: Tensor) -> Tensor:
    low, high = maps.flatten(1).amin(1), maps.flatten(1).amax(1)
    return (maps - low.view(-1, 1, 1)) / (high - low).clamp(min=1e-12).view(-1, 1, 1)


def _compared(maps: Tensor, right: Tensor) -> str:
    if maps.shape != right.shape:
        return f"another map, of {list(maps.shape[1:])}"
    off = float((_in_unit(maps) - _in_unit(right)).abs().max())
    return "equal" if off < NEAR else f"another map, off by {off:.2f}"


def _grad_cam(entry: Entry, model: nn.Module, images: Tensor, right: ref.Reference) -> str:
    from pytorch_grad_cam import GradCAM

    with GradCAM(model, [model.get_submodule(entry.layers[0])]) as cam:
        maps = torch.from_numpy(cam(images.clone(), targets=None))
    size = tuple(images.shape[2:])
    return _compared(maps, interpolate(_in_unit(right.cam)[:, None], size, mode="bilinear")[:, 0])


def _torchcam(entry: Entry, model: nn.Module, images: Tensor, right: ref.Reference) -> str:
    from torchcam.methods import GradCAM

    with GradCAM(model, input_shape=entry.image) as extractor:
        outputs: Any = ref.logits_in(entry, model(images.clone()))
        (maps,) = extractor(outputs.argmax(1).tolist(), outputs)
        (layer,) = extractor.target_names
    return _compared(maps, right.cam) if layer in entry.layers else f"another layer {layer}"
