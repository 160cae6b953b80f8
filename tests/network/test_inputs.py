"""Models that take more than one tensor of images, and images without a channel axis: against autograd by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import funcam
from funcam import FuncamError
from funcam.network.inputs import inputs_for
from funcam.network.samples import kind_of

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Masked(nn.Module):
    """A mask in front of the cut and an age behind it, each with a row for each image; and a scale for all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(5, 4)

    def forward(self, x: Tensor, mask: Tensor, age: Tensor, scale: Tensor | float = 1.0) -> Tensor:
        v = self.conv(x * mask).relu().mean((2, 3)) * age[:, None]
        return self.fc(v.tanh()) * scale


class TextFirst(Masked):
    """As many texts as images, and the images by name: the texts are the classes, and no image's own."""

    def forward(self, text: Tensor, pixel_values: Tensor) -> Tensor:
        return self.conv(pixel_values).relu().mean((2, 3)).tanh() @ text.T


def others(count: int = 3) -> dict[str, Tensor]:
    mask = torch.ones(count, 1, 16, 16)
    mask[1, :, :8] = 0
    return {"mask": mask, "age": torch.linspace(1, 3, count)}


def seeded(make: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def by_hand(model: nn.Module, *args: Tensor, **kwargs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features at `conv`, the gradient of the predicted class there, and the logits."""
    held: list[Tensor] = []
    handle = model.conv.register_forward_hook(
        lambda module, given, A: held.append(A.detach().requires_grad_()) or held[0]
    )
    logits = model(*args, **kwargs)
    handle.remove()
    (g,) = torch.autograd.grad(logits.max(1).values.sum(), held[0])
    return held[0].detach(), g, logits.detach()


def cam(A: Tensor, g: Tensor) -> Tensor:
    return torch.einsum("bc,bchw->bhw", g.mean((2, 3)), A).relu()


def test_further_inputs_by_name_and_by_position():
    model = seeded(Masked)
    A, g, logits = by_hand(model, IMAGES, **others())
    split = funcam.split(model, "conv")
    features, head = split(IMAGES, **others())
    torch.testing.assert_close(features, A)
    torch.testing.assert_close(head(features), logits)
    for inputs in (others(), list(others().values())):
        result = funcam.explain(model, IMAGES, layer="conv", inputs=inputs)
        torch.testing.assert_close(result.maps, cam(A, g))
        torch.testing.assert_close(result.outputs, logits)
    torch.testing.assert_close(funcam.explain(split, IMAGES, inputs=others()).maps, cam(A, g))


def test_a_setting_of_another_value_is_another_kind():
    model = seeded(Masked)
    one = funcam.explain(model, IMAGES, 0, layer="conv", inputs=others())
    two = funcam.explain(model, IMAGES, 0, layer="conv", inputs={**others(), "scale": 2.0})
    torch.testing.assert_close(two.maps, 2 * one.maps)


class Turned(nn.Module):
    """A flag says where the channels of the layer are, and a number of what is counted in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.turn, self.fc = nn.Conv2d(3, 8, 3, padding=1), Turn(), nn.Linear(8, 5)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor, flag: Any) -> Tensor:
        on = bool(flag[0] if isinstance(flag, list | tuple) else flag["on"] if isinstance(flag, dict) else flag)
        if on:
            self.seen += 1
        y = self.turn(self.conv(x).relu(), on)
        return self.fc(y.mean((1, 2)) if on else y.mean((2, 3)))


class Turn(nn.Module):
    def forward(self, y: Tensor, on: bool) -> Tensor:
        return y.permute(0, 2, 3, 1).contiguous() if on else y * 1


FLAGS: dict[str, Callable[[bool], Any]] = {
    "bool": bool,
    "int": int,
    "a word": lambda on: "on" * on,
    "none": lambda on: 1 if on else None,
    "list": lambda on: [on],
    "tuple": lambda on: (on, 0),
    "dict": lambda on: {"on": on},
    "nested": lambda on: {"on": [on] * on},
    "np.bool_": np.bool_,
    "np.float32": np.float32,
    "array": lambda on: np.array([on]),
    "bool tensor": torch.tensor,
    "int tensor": lambda on: torch.tensor(int(on)),
    "several numbers": lambda on: {"on": torch.tensor([0.0] * 9 + [float(on)]).sum()},
    "Fraction": lambda on: Fraction(int(on), 2),
}


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", FLAGS)
def test_what_was_found_out_for_one_value_is_not_taken_for_another(kind: str, named: bool) -> None:
    """The images are 8 by 8 and the channels 8: the wrong layout fits as well."""
    model, images = seeded(Turned), IMAGES[..., :8, :8]
    for on in (False, True, False):
        flag = FLAGS[kind](on)
        result = funcam.explain(model, images, 1, layer="turn", inputs={"flag": flag} if named else (flag,))
        fresh = seeded(Turned)
        A = fresh.conv(images).relu().detach().requires_grad_()
        logits = fresh.fc(A.mean((2, 3)))
        (g,) = torch.autograd.grad(logits[:, 1].sum(), A)
        torch.testing.assert_close(result.outputs, logits.detach())
        torch.testing.assert_close(result.maps, cam(A.detach(), g))
    assert float(model.seen) == 0


def test_values_of_one_kind_that_are_equal_are_found_out_once() -> None:
    one, other = ({"flag": [1, {"a": np.ones(3)}], "mask": torch.rand(3, 1, 9, 9)} for _ in range(2))
    assert kind_of(inputs_for(IMAGES, (), one)) == kind_of(inputs_for(IMAGES, (), other))
    one["age"], other["age"] = torch.rand(3, 1), torch.rand(3, 1)  # data: a number for each image
    assert kind_of(inputs_for(IMAGES, (), one)) == kind_of(inputs_for(IMAGES, (), other))
    other["flag"] = [True, {"a": np.ones(3)}]
    assert kind_of(inputs_for(IMAGES, (), one)) != kind_of(inputs_for(IMAGES, (), other))


def test_the_images_by_name_behind_others():
    model, text = seeded(TextFirst), torch.rand(3, 5)
    A, g, logits = by_hand(model, text, IMAGES)
    named = funcam.explain(model, IMAGES, layer="conv", inputs={"text": text}, wrt="pixel_values")
    placed = funcam.explain(model, IMAGES, layer="conv", inputs=[text], wrt=1)
    split = funcam.split(model, "conv", wrt="pixel_values")
    for result in (named, placed, funcam.explain(split, IMAGES, inputs={"text": text})):
        torch.testing.assert_close(result.outputs, logits)
        torch.testing.assert_close(result.maps, cam(A, g))
    with pytest.raises(FuncamError, match="the split takes the images as wrt='pixel_values' and wrt=1 was given"):
        funcam.explain(split, IMAGES, inputs=[text], wrt=1)


@pytest.mark.parametrize("method", ["ablation-cam", "score-cam", "is-cam", "gradient", "smooth-grad", "dff"])
def test_methods_of_one_image_take_its_own_rows(method):
    """Each image of a batch is explained as it is alone, whatever belongs to it and whatever belongs to all."""
    model = seeded(Masked)
    batch = funcam.explain(model, IMAGES, 1, layer="conv", method=method, inputs=others())
    for i in range(3):
        own = {name: value[i : i + 1] for name, value in others().items()}
        alone = funcam.explain(model, IMAGES[i : i + 1], 1, layer="conv", method=method, inputs=own)
        torch.testing.assert_close(batch.maps[i], alone.maps[0], rtol=1e-3, atol=1e-5)
    model, text = seeded(TextFirst), torch.rand(3, 5)
    call = {"layer": "conv", "method": method, "inputs": {"text": text}, "wrt": "pixel_values"}
    batch = funcam.explain(model, IMAGES, 1, **call)
    for i in range(3):
        alone = funcam.explain(model, IMAGES[i : i + 1], 1, **call)
        torch.testing.assert_close(batch.maps[i], alone.maps[0], rtol=1e-3, atol=1e-5)


def test_ablation_cam_by_hand():
    model, others_ = seeded(Masked), others()
    A, _, logits = by_hand(model, IMAGES, **others_)
    weights = []
    for channel in range(5):

        def ablate(module: nn.Module, args: object, out: Tensor, channel: int = channel) -> Tensor:
            out = out.clone()
            out[:, channel] = 0
            return out

        handle = model.conv.register_forward_hook(ablate)
        weights.append((logits - model(IMAGES, **others_))[:, 2].detach())
        handle.remove()
    right = torch.einsum("cb,bchw->bhw", torch.stack(weights), A).relu()
    ours = funcam.explain(model, IMAGES, 2, layer="conv", method="ablation-cam", inputs=others_).maps
    flat = [m.flatten(1) / m.flatten(1).norm(dim=1, keepdim=True) for m in (ours, right)]
    torch.testing.assert_close(*flat, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "wrt", "message"),
    [
        ((), 0, r"takes several inputs \(x, mask, age\).*inputs=\{'mask': \.\.\., 'age': \.\.\.\}"),
        ({"mask": 1}, 0, "missing a required argument: 'age'"),
        ({**others(), "colour": 1}, 0, "unexpected keyword argument 'colour'.*it takes \\(x, mask, age, scale\\)"),
        ([1, 2, 3, 4], 0, "too many positional arguments"),
        ({"x": 1, **others()}, 0, "multiple values for argument 'x'"),
        (others(), "pixels", "can't be called so"),
        (others(), 1, "wrt=1 puts the images behind 1 others"),
        (others(), -1, "wrt=-1"),
        (others(), 1.5, "wrt is 1.5; expected the position or the name"),
        (5, 0, "inputs is 5; expected what else the model takes"),
        (torch.ones(3), 0, "expected what else the model takes"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, wrt, message):
    with pytest.raises(FuncamError, match=message):
        funcam.explain(seeded(Masked), IMAGES, layer="conv", inputs=inputs, wrt=wrt)


@pytest.mark.parametrize(
    "given", [{"wrt": value} for value in (False, 1.5, [], None)] + [{"hooks": value} for value in ("", 0, [], "left")]
)
def test_what_says_nothing_is_not_taken_for_the_default(given):
    name, value = next(iter(given.items()))
    with pytest.raises(FuncamError, match=rf"^{name} is {re.escape(repr(value))}; expected"):
        funcam.split(seeded(Masked), "conv", **given)
    with pytest.raises(FuncamError, match=rf"^{name} is {re.escape(repr(value))}; expected"):
        funcam.explain(seeded(Masked), IMAGES, layer="conv", inputs=others(), **given)


def test_what_can_not_go_with_further_inputs_is_refused():
    model = seeded(Masked)
    with pytest.raises(FuncamError, match="smooth='aug' flips the images"):
        funcam.explain(model, IMAGES, layer="conv", inputs=others(), smooth="aug")
    with pytest.raises(FuncamError, match="close over it in the functions"):
        funcam.explain((lambda x: x, lambda A: A.mean((2, 3))), IMAGES, inputs=others())
    A, head = funcam.split(model, "conv")(IMAGES, **others())
    with pytest.raises(FuncamError, match=r"6 feature maps for 3 images.*give 3 at a time"):
        head(torch.cat([A, A]))


class Wave(nn.Module):
    """A waveform `[B, T]`, given its channel axis inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv1d(1, 6, 5, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x[:, None]).relu().mean(2).tanh())


def test_waveforms_without_a_channel_axis():
    model, waves = seeded(Wave), torch.rand(3, 80)
    A, g, logits = by_hand(model, waves)
    right = torch.einsum("bc,bct->bt", g.mean(2), A).relu()
    features, head = funcam.split(model, "conv", example=waves)(waves)
    torch.testing.assert_close(features, A)
    torch.testing.assert_close(head(features), logits)
    result = funcam.explain(model, waves, layer="conv")
    torch.testing.assert_close(result.maps, right)
    torch.testing.assert_close(result.outputs, logits)
    assert funcam.explain(model, waves).maps.shape[0] == 3
    for method in ("ablation-cam", "score-cam"):
        maps = funcam.explain(model, waves, 1, layer="conv", method=method).maps
        alone = funcam.explain(model, waves[1:2], 1, layer="conv", method=method).maps
        torch.testing.assert_close(maps[1], alone[0], rtol=1e-3, atol=1e-5)


def test_a_convolution_that_would_take_the_batch_for_channels_is_refused():
    model = nn.Sequential(nn.Conv1d(1, 6, 5, 3), nn.ReLU(), nn.Conv1d(6, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    for waves in (torch.rand(1, 80), torch.rand(2, 80)):
        with pytest.raises(FuncamError, match=r"expected a float tensor \[B, channels, \*size\]"):
            funcam.explain(model, waves)
