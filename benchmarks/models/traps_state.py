"""Traps in Python and in state: control flow on values, caches, counters, containers, weights that are computed."""

from __future__ import annotations

import functools
import os

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from benchmarks.models.entry import Entry
from benchmarks.models.traps import Small, trap


class ValueBranch(Small):
    def before(self, y: Tensor) -> Tensor:
        return y if y.mean() > 10 else y.flip(1)

    def behind(self, v: Tensor) -> Tensor:
        return -v if v.sum() > -1000 else v


class ItemBranch(Small):
    def behind(self, v: Tensor) -> Tensor:
        scale = v.abs().max().item()
        return v * 3 if scale < 100 else v


class EachImage(Small):
    """A decision for each image of the batch, as early exits are written."""

    def behind(self, v: Tensor) -> Tensor:
        rows = [row * 2 if float(row.detach().sum()) > 0 else -row for row in v]
        return torch.stack(rows)


class NumpyInside(Small):
    def behind(self, v: Tensor) -> Tensor:
        scale = v.detach().cpu().numpy().std() + 1.0
        return v * torch.from_numpy(scale.reshape(1)).to(v)


class LoopOverShape(Small):
    def before(self, y: Tensor) -> Tensor:
        for step in range(y.shape[-1] // 8):
            y = y * (1 + step / 10)
        return y


class EmptyContainers(LoopOverShape):
    """Empty containers are false: `if self.skip` and `copy or original` take the wrong way."""

    def __init__(self) -> None:
        super().__init__()
        self.skip, self.list, self.dict = nn.Sequential(), nn.ModuleList(), nn.ModuleDict()
        self.parameters_too = nn.ParameterList()

    def before(self, y: Tensor) -> Tensor:
        y = self.skip(super().before(y))
        for module in self.list:
            y = module(y)
        return y


class DictCache(LoopOverShape):
    """As LeViT's and EfficientFormer's attention biases: a dict keyed by device."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.cache = nn.Parameter(torch.randn(8)), dict[object, Tensor]()

    def before(self, y: Tensor) -> Tensor:
        if y.device not in self.cache:
            self.cache[y.device] = self.bias * 2
        return super().before(y) + self.cache[y.device][:, None, None]


class SetCache(Small):
    def __init__(self) -> None:
        super().__init__()
        self.seen = set[tuple[int, ...]]()

    def before(self, y: Tensor) -> Tensor:
        self.seen.add(tuple(y.shape[1:]))
        return y * len(self.seen)


class ListCache(Small):
    """Keeps what it computed, as code does that shows its features afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def before(self, y: Tensor) -> Tensor:
        self.kept.append(y)
        return self.kept[-1]


class AttributeCache(Small):
    """A position grid made at the first call and kept as an attribute."""

    grid: Tensor | None = None

    def before(self, y: Tensor) -> Tensor:
        if self.grid is None or self.grid.shape != y.shape[2:]:
            self.grid = torch.linspace(0, 1, y.shape[-1], device=y.device).expand(y.shape[2:])
        return y + self.grid


class CounterBuffer(Small):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def before(self, y: Tensor) -> Tensor:
        self.calls += 1
        return y


class AverageBuffer(Small):
    """A running average that evaluation goes on with: assigned, not added in place; the outputs don't read it."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(16))

    def behind(self, v: Tensor) -> Tensor:
        self.average = 0.9 * self.average + 0.1 * v.detach().mean(0)
        return v


class OwnPickle(Small):
    """Can't be pickled (a lambda), but copied."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = lambda v: v * torch.sigmoid(v)

    def behind(self, v: Tensor) -> Tensor:
        return self.activation(v)


class ReadsWeights(Small):
    """Reads its layers' weights and never calls them: `hidden` and `stem` aren't run as modules."""

    def forward(self, x: Tensor) -> Tensor:
        conv = self.stem[0]
        y = self.features(nn.functional.conv2d(x, conv.weight, conv.bias, 2, 1).relu())
        return self.fc(nn.functional.linear(y.mean((2, 3)), self.hidden.weight).tanh())


class Tied(Small):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(16, 16)
        self.again.weight = self.hidden.weight

    def behind(self, v: Tensor) -> Tensor:
        return self.again(v).tanh()


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


def parametrised() -> nn.Module:
    model = Small()
    parametrize.register_parametrization(model.hidden, "weight", Symmetric())
    parametrizations.spectral_norm(model.fc)
    parametrizations.weight_norm(model.features[0])
    return model


def weight_normed() -> nn.Module:
    """The old weight_norm: a pre-hook computes `weight`, which is an attribute that is no parameter."""
    import warnings

    model = Small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(model.features[0])
        nn.utils.weight_norm(model.hidden)
    return model


def partial_forward() -> nn.Module:
    """`forward` replaced on the instance, as accelerators and patches do."""
    model = Small()
    model.forward = functools.partial(_doubled, model)  # type: ignore[method-assign]
    return model


def _doubled(model: Small, x: Tensor) -> Tensor:
    return 2 * Small.forward(model, x)


class BatchStatistics(Small):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(8, track_running_stats=False)

    def before(self, y: Tensor) -> Tensor:
        return self.norm(y)


class Environment(Small):
    """Asks the process, tries and catches: what no tracer follows and nothing depends on."""

    def before(self, y: Tensor) -> Tensor:
        try:
            return y * float(os.environ["NO_SUCH_SCALE_OF_FUNCAM"])
        except KeyError:
            assert y.dim() == 4, f"{y.shape} has no channels"
            return y


class OwnCall(Small):
    """`__call__` itself is overridden."""

    def __call__(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().__call__(x) / 2
        return outputs


class InputInPlace(Small):
    """Normalises the caller's own images in place."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().forward(x.sub_(0.5))
        return outputs


class Frozen(Small):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Recurrent(nn.Module):
    """`[B, 4, 40]` -> convolution over time -> GRU or LSTM -> the mean over time."""

    def __init__(self, kind: type[nn.GRU | nn.LSTM]) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(4, 8, 5, 2, 2), nn.ReLU())
        self.rnn, self.fc = kind(8, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.rnn(self.features(x).transpose(1, 2))[0]
        return self.fc(states.mean(1))


def entries() -> list[Entry]:
    """The traps of this file."""
    time = {"image": (4, 40), "layers": ("features.1", "features", "rnn"), "grid": (20,)}
    rnn = "rnn(features(x).transpose(1, 2))[0].mean(1): behind features, time is the middle axis; torch's CPU kernel "
    return [
        trap("value_branch", ValueBranch, "if y.mean() > 10, if v.sum() > -1000: one way is taken, before and behind"),
        trap("item_branch", ItemBranch, "v.abs().max().item() decides behind the cut"),
        trap("each_image", EachImage, "for row in v: if float(row.sum()) > 0, an early exit's way of writing"),
        trap("numpy_inside", NumpyInside, "v.detach().cpu().numpy() behind the cut gives a constant"),
        trap("loop_over_shape", LoopOverShape, "for step in range(y.shape[-1] // 8)"),
        trap("empty_containers", EmptyContainers, "self.skip = nn.Sequential() is false; it returns what it is given"),
        trap("dict_cache", DictCache, "self.cache[y.device] = self.bias * 2 at the first call"),
        trap("set_cache", SetCache, "self.seen.add(shape): its size is a factor"),
        trap("list_cache", ListCache, "self.kept.append(y)"),
        trap("attribute_cache", AttributeCache, "self.grid = linspace(...) at the first call"),
        trap("counter_buffer", CounterBuffer, "self.calls += 1, a buffer, in place"),
        trap("average_buffer", AverageBuffer, "self.average = 0.9 * self.average + ..., a buffer, assigned"),
        trap("cannot_be_pickled", OwnPickle, "self.activation = lambda: torch.save fails before and after"),
        trap("reads_weights", ReadsWeights, "conv2d(x, self.stem[0].weight): stem and hidden are never called"),
        trap("tied_weights", Tied, "self.again.weight = self.hidden.weight"),
        trap("parametrised", parametrised, "features.0, hidden and fc have weights that are computed"),
        trap("weight_norm", weight_normed, "a pre-hook computes features.0.weight and hidden.weight"),
        trap("partial_forward", partial_forward, "forward is a functools.partial on the instance that doubles"),
        trap("batch_statistics", BatchStatistics, "no running statistics: each image's logits depend on the other's"),
        trap("environment", Environment, "try, os.environ, except, assert with an f-string"),
        trap("own_call", OwnCall, "__call__ halves what forward returns"),
        trap("input_in_place", InputInPlace, "x.sub_(0.5): a second call on the same images sees other ones"),
        trap("frozen", Frozen, "no weight requires a gradient"),
        trap("conv_gru", functools.partial(Recurrent, nn.GRU), rnn + "keeps no workspace without grad mode", **time),
        trap("conv_lstm", functools.partial(Recurrent, nn.LSTM), rnn + "keeps no workspace without grad mode", **time),
    ]
