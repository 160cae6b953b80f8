"""Where the cells of a map lie after convolutions and pooling with too little padding, or too much."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import funcam
from funcam.network.provenance import Provenance

IMAGES = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.fc = nn.Sequential(*layers), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3)))


class Own(Net):
    """The same in code that nobody traces."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else x.mean((2, 3))


def conv(given: int = 8, *args: int, **kwargs: int) -> nn.Conv2d:
    return nn.Conv2d(given, 8, *args, **kwargs)


def many(count: int, *args: int, **kwargs: int) -> list[nn.Module]:
    return [conv(3 if n == 0 else 8, *args, **kwargs) for n in range(count)]


FAR = {
    "valid convolutions": many(10, 5),
    "dilated ones": many(2, 3, dilation=8),
    "strided ones": many(2, 13, stride=2),
    "strided ones, taken apart again": [*many(3, 5, stride=2), nn.ConvTranspose2d(8, 8, 2, 2)],
    "transposed ones that grow": [conv(3, 1), *(nn.ConvTranspose2d(8, 8, 7) for _ in range(4))],
    "too much padding": many(4, 3, padding=8),
    "average pooling": [conv(3, 1), *(nn.AvgPool2d(9, 1) for _ in range(3))],
    "largest values": [conv(3, 1), *(nn.MaxPool2d(9, 1) for _ in range(3))],
    "LeNet's": [conv(3, 13), nn.MaxPool2d(2), conv(8, 13)],
    "padding at one end": [nn.ZeroPad2d((16, 0, 16, 0)), conv(3, 9), conv(8, 9)],
}
NEAR = {
    "padded convolutions": many(10, 5, padding=2),
    "padding before": [nn.ReflectionPad2d(20), *many(10, 5)],
    "one valid convolution": many(1, 5),
    "a strided stem": [conv(3, 3, 2), conv(8, 3), nn.MaxPool2d(3, 2), conv(8, 3), nn.MaxPool2d(3, 2), conv(8, 3, 2)],
    "patches": [conv(3, 8, 8)],
    "patches taken apart": [conv(3, 8, 8), nn.ConvTranspose2d(8, 8, 4, 4)],
    "strided and padded": many(4, 3, stride=2, padding=1),
    "enlarged": [*many(3, 3, stride=2, padding=1), nn.Upsample(scale_factor=4)],
}


@pytest.mark.parametrize("kind", [Net, Own])
@pytest.mark.parametrize("case", FAR)
def test_a_map_that_is_drawn_far_beside_what_its_cells_see_is_told(case: str, kind: type[Net]) -> None:
    model = kind(*FAR[case]).eval()
    with pytest.warns(funcam.FuncamWarning, match="pixels beside them") as told:
        result = funcam.explain(model, IMAGES, 1, layer="body", method="eigen-cam")
    (said,) = (str(one.message) for one in told)
    rows = re.search(r"rows (-?\d+)\.\.(-?\d+) of 64", said)
    assert rows is not None
    assert "layer 'body'" in said
    middles = _middles(FAR[case], 64)
    pitch = middles[1] - middles[0]
    assert len(middles) == result.maps.shape[1]
    assert int(rows[1]) == pytest.approx(middles[0] - pitch / 2, abs=0.51)
    assert int(rows[2]) + 1 == pytest.approx(middles[-1] + pitch / 2, abs=0.51)


def _middles(layers: list[nn.Module], size: int) -> list[float]:
    """The middle of what each row of cells sees, in pixels: the mean of the middles of what it is made of."""
    middles = {row: row + 0.5 for row in range(-200, size + 200)}
    for layer in layers:
        if isinstance(layer, nn.ZeroPad2d):
            front, behind = layer.padding[2:]
            middles, size = {row + front: at for row, at in middles.items()}, size + front + behind
            continue
        kernel, stride, padding, dilation = map(_first, (getattr(layer, name, 0) for name in _NAMES))
        made_of: dict[int, list[float]] = {}
        if isinstance(layer, nn.ConvTranspose2d):
            size = (size - 1) * stride + kernel
            for row, at in middles.items():
                for tap in range(kernel):
                    inside = (tap - (stride - 1) / 2) / stride if stride == kernel else 0.0
                    made_of.setdefault(row * stride + tap, []).append(at + inside * (middles[1] - middles[0]))
        else:
            size = (size + 2 * padding - (dilation or 1) * (kernel - 1) - 1) // stride + 1
            for row in range(-100, size + 100):
                taps = [row * stride - padding + (dilation or 1) * tap for tap in range(kernel)]
                if all(tap in middles for tap in taps):
                    made_of[row] = [middles[tap] for tap in taps]
        middles = {row: sum(all_) / len(all_) for row, all_ in made_of.items()}
    return [middles[row] for row in range(size)]


_NAMES = ("kernel_size", "stride", "padding", "dilation")


def _first(value: Any) -> int:
    return value[0] if isinstance(value, tuple) else value


@pytest.mark.parametrize("kind", [Net, Own])
@pytest.mark.parametrize("case", NEAR)
def test_what_usual_networks_do_at_the_borders_is_not_told(case: str, kind: type[Net]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        funcam.explain(kind(*NEAR[case]).eval(), IMAGES, 1, layer="body", method="eigen-cam")


def test_a_signal_of_which_too_little_is_left_is_told() -> None:
    body = nn.Sequential(nn.Conv1d(2, 8, 65), nn.Conv1d(8, 8, 65))
    model = nn.Sequential(body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3)).eval()
    with pytest.warns(funcam.FuncamWarning, match=r"columns 64\.\.191 of 256 .* up to 6\d pixels beside"):
        funcam.explain(model, torch.rand(1, 2, 256), 1, layer="0", method="eigen-cam")


def test_who_says_the_layout_is_not_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        funcam.explain(Net(*many(10, 5)).eval(), IMAGES, 1, layer="body", method="eigen-cam", layout="channels-first")


def test_methods_without_a_layer_are_drawn_where_they_are() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        funcam.explain(Net(*many(10, 5)).eval(), IMAGES, 1, method="gradient")


def test_a_slice_of_every_other_row_lies_where_these_are() -> None:
    with torch.no_grad(), Provenance(IMAGES) as followed:
        tensor = conv(3, 33, padding=16)(IMAGES)[..., 1::2, :]
        smaller = conv(3, 33)(IMAGES)
    assert followed.parts_of(tensor) == {}
    assert set(followed.parts_of(smaller)) == {0, 1}
