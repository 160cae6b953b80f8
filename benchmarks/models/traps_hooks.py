"""Traps in hooks and in autograd: hooks that compute, `no_grad`, autocast, checkpoints, operations in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.models.entry import Entry
from benchmarks.models.traps import Small, trap


def _normalise(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return ((args[0] - 0.5) / 0.25,)


def _cool(module: nn.Module, args: tuple[Any, ...], outputs: Tensor) -> Tensor:
    return outputs / 0.25


def _ablate(module: nn.Module, args: tuple[Any, ...], outputs: Tensor) -> Tensor:
    return outputs * (torch.arange(outputs.shape[1]) % 2 == 0).view(1, -1, 1, 1).to(outputs)


def _scale(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (args[0] * 2, *args[1:]), kwargs


def _keep(module: nn.Module, args: tuple[Any, ...], outputs: Tensor) -> None:
    module.__dict__["kept_by_a_hook"] = outputs.detach()


def _look(module: nn.Module, above: Any, below: Any) -> None:
    """A peer's backward hook, left behind."""


def normalised() -> nn.Module:
    model = Small()
    model.register_forward_pre_hook(_normalise)
    return model


def cooled() -> nn.Module:
    model = Small()
    model.fc.register_forward_hook(_cool)
    return model


def ablated(where: str) -> nn.Module:
    model = Small()
    model.get_submodule(where).register_forward_hook(_ablate)
    return model


def ablated_before() -> nn.Module:
    return ablated("stem")


def ablated_at() -> nn.Module:
    return ablated("features.1")


def with_keywords() -> nn.Module:
    model = Small()
    model.hidden.register_forward_pre_hook(_scale, with_kwargs=True)
    return model


def watched() -> nn.Module:
    """Hooks that only look, as another library leaves behind."""
    model = Small()
    model.features.register_forward_hook(_keep)
    model.features.register_full_backward_hook(_look)
    return model


class NoGradGate(Small):
    """A gate without a gradient: the outputs equal those with one, the gradient doesn't."""

    def behind(self, v: Tensor) -> Tensor:
        with torch.no_grad():
            gate = torch.sigmoid(3 * v)
        return v * gate


class NoGradBackbone(Small):
    """A frozen backbone, as linear probing writes it: the features themselves are made under no_grad."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.features(self.stem(x))
        return self.fc(self.hidden(y.mean((2, 3))).tanh())


class Detached(Small):
    def behind(self, v: Tensor) -> Tensor:
        return v - v.detach().mean(1, keepdim=True) * v


class Autocast(Small):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            y = self.features(self.stem(x))
        return self.fc(self.hidden(y.float().mean((2, 3))).tanh())


class DoubleInside(Small):
    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().forward(x.double())
        return outputs.float()


class Checkpointed(Small):
    """Checkpoints before, at and behind the cut."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = checkpoint(self.stem, x, use_reentrant=self.reentrant)
        y = self.features(y)
        v: Tensor = checkpoint(self.hidden, y.mean((2, 3)), use_reentrant=self.reentrant)
        return self.fc(v.tanh())


class Reentrant(Checkpointed):
    reentrant = True


class OldSwish(torch.autograd.Function):
    """Without setup_context, which torch.func asks for; with half the true gradient, so that a bypass shows."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(v)
        return v * torch.sigmoid(v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (v,) = ctx.saved_tensors
        gate = torch.sigmoid(v)
        return gradient * 0.5 * (gate + v * gate * (1 - gate))


class OldFunction(Small):
    def behind(self, v: Tensor) -> Tensor:
        result: Tensor = OldSwish.apply(v)
        return result


class Reversal(torch.autograd.Function):
    """A gradient reversal, written for torch.func, without vmap."""

    @staticmethod
    def forward(v: Tensor) -> Tensor:  # type: ignore[override]
        return v.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return -gradient


class Reversed(Small):
    def behind(self, v: Tensor) -> Tensor:
        result: Tensor = Reversal.apply(v)
        return result


class NormThenInPlace(nn.Module):
    """As DenseNet: the last module is a norm, and a functional ReLU in place overwrites what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, 4, 1), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        nn.functional.relu_(y)
        return self.fc(y.mean((2, 3)))


class InPlaceSum(Small):
    """An in-place addition right at the layer's output; the sum is the map that is pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.skip = nn.Conv2d(8, 16, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        z = self.features(y)
        z += self.skip(y)
        return self.fc(self.hidden(z.mean((2, 3))).tanh())


class Overwritten(Small):
    """Some channels of the layer's output are overwritten behind it, by indexing."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(x))
        y[:, :4] = y[:, 4:8] * 2
        return self.fc(self.hidden(y.mean((2, 3))).tanh())


class InPlaceModules(Small):
    """In place at the cut and behind it, by modules."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(inplace=True))
        self.act = nn.Hardswish(inplace=True)

    def behind(self, v: Tensor) -> Tensor:
        return self.act(v + 0.5).mul_(2).add_(1)


def entries() -> list[Entry]:
    """The traps of this file."""
    return [
        trap("hook_normalises", normalised, "a forward pre-hook of the model: (x - 0.5) / 0.25"),
        trap("hook_temperature", cooled, "a forward hook of fc divides the logits by 0.25"),
        trap("hook_ablates_before", ablated_before, "a forward hook of stem zeroes every second channel"),
        trap("hook_ablates_at", ablated_at, "a forward hook of the layer itself zeroes every second channel"),
        trap("hook_with_keywords", with_keywords, "a forward pre-hook of hidden, with_kwargs, doubles its input"),
        trap("hooks_that_look", watched, "a forward hook keeps the features, a backward hook does nothing"),
        trap("no_grad_gate", NoGradGate, "with no_grad: gate = sigmoid(3 v); v * gate: the gate has no gradient"),
        trap("no_grad_backbone", NoGradBackbone, "with no_grad: y = features(stem(x)): the head has a gradient to y"),
        trap("detach", Detached, "v - v.detach().mean(1) * v"),
        trap("autocast_inside", Autocast, "with autocast: features(stem(x)) in bfloat16, then y.float()"),
        trap("double_inside", DoubleInside, "weights in float64, x.double() in forward, float32 out"),
        trap("checkpoint", Checkpointed, "checkpoint(stem, x), checkpoint(hidden, ...), use_reentrant=False"),
        trap("checkpoint_reentrant", Reentrant, "the same with use_reentrant=True: an old autograd.Function"),
        trap("old_function", OldFunction, "autograd.Function without setup_context, half the true gradient"),
        trap("gradient_reversal", Reversed, "autograd.Function with setup_context, without vmap, minus the gradient"),
        trap(
            "in_place_behind", NormThenInPlace, "relu_(norm(conv(x))): the ReLU has no module", layers=("norm", "relu_")
        ),
        trap(
            "in_place_sum",
            InPlaceSum,
            "z = features(y); z += skip(y); mean: the sum has no module, features is the last that the cut can name",
            layers=("features.1", "features", "iadd", "add", "stem"),
        ),
        trap(
            "in_place_slice",
            Overwritten,
            "y[:, :4] = y[:, 4:8] * 2 right behind the layer: what is written then has no module",
            layers=("features.1", "features", "setitem", "slice_scatter_1"),
        ),
        trap(
            "in_place_modules", InPlaceModules, "ReLU(inplace=True) is the layer; Hardswish(inplace=True), mul_, add_"
        ),
    ]
