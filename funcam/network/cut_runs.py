"""A cut that is settled, run: features, and the head as a function of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.network.axes import checked_map
from funcam.network.blame import called
from funcam.network.cuts import Cut
from funcam.network.derivative import recordable
from funcam.network.pair import check_features
from funcam.network.settled import Settled, TapCut
from funcam.network.tap import Inputs, run
from funcam.network.tracing import is_compiled

Head = Callable[..., Any]


def run_cut(settled: Settled, source: Callable[[], nn.Module] | None, inputs: Inputs) -> tuple[torch.Tensor, Head]:
    """Features and head for some inputs; where a graph was cut, a part of the head may be asked for in its place."""
    cut, images = settled.cut, inputs.images
    if isinstance(cut, TapCut):
        assert source is not None
        return _run_tap(cut, settled, source(), inputs)
    tensor, *crossing = run_features(cut, inputs.taken)
    layout = settled.of_layer
    if settled.way == "functions":
        check_features(tensor, images)

    def head(features: torch.Tensor, rest: Callable[..., Any] = cut.rest) -> Any:
        given = layout.from_map(features, tensor)
        if is_compiled():
            return rest(given, *crossing)
        return called(rest, lambda: rest(given, *crossing), images)

    return checked_map(settled.layer, layout, tensor, images), head


def _run_tap(cut: TapCut, settled: Settled, model: nn.Module, inputs: Inputs) -> tuple[torch.Tensor, Head]:
    recording = torch.is_grad_enabled()
    inputs = inputs if recording else replace(inputs, images=inputs.images.detach())
    seen: list[torch.Tensor] = []

    def read(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor.clone())
        return tensor

    run(model, inputs, {cut.place: read}, cut.manner, recording)
    tensor = seen[0]
    layout = settled.of_layer

    def head(features: torch.Tensor) -> Any:
        rows = len(features) // max(1, len(inputs.images))
        given = inputs if rows == 1 else _repeated(inputs, rows)
        visits = {cut.place: lambda tensor: layout.from_map(features, tensor).clone()}  # its code may write into it
        return run(model, given, visits, cut.manner, recording)

    return checked_map(settled.layer, layout, tensor, inputs.images), head


def _repeated(inputs: Inputs, rows: int) -> Inputs:
    """The inputs with each image so many times: for rows of changed features."""
    if inputs.has_others:  # who knows which of them are to be repeated
        count = len(inputs.images)
        raise FuncamError(
            f"the head was given {rows * count} feature maps for {count} images, and the model takes more than images; "
            f"give {count} at a time"
        )
    images = inputs.images.repeat_interleave(rows, 0)
    return replace(inputs, images=images)


def run_features(cut: Cut, images: torch.Tensor) -> list[Any]:
    """The values that cross the cut, the layer's own first."""
    if cut.image is not None and images.shape[1:] != cut.image[1:]:
        raise FuncamError(f"the cut was made by torch.export for images of {list(cut.image)}, not {list(images.shape)}")
    values = cut.features(images) if is_compiled() else _reporting(cut, images)
    return [values[name] for name in cut.names]


def _reporting(cut: Cut, images: torch.Tensor) -> Any:
    recording = torch.is_grad_enabled()

    def features() -> Any:
        # (leaving inference mode would switch recording on)
        with torch.inference_mode(False), torch.set_grad_enabled(recording):
            return cut.features(recordable(images))

    return called(cut.features, features, images)
