"""Traps in structure: several branches, inputs and outputs, modules run several times or for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.models.entry import Entry
from benchmarks.models.traps import Small, trap


class TwoHeads(Small):
    """A branch for classes and a branch for boxes on one stem; the logits come from the first."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes, self.box = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.stem(x)
        logits: Tensor = self.fc(self.hidden(self.features(y).mean((2, 3))).tanh())
        return {"logits": logits, "boxes": self.box(self.boxes(y).mean((2, 3)))}


class AuxiliaryFirst(TwoHeads):
    """A tuple whose first element is not what is explained."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        both = super().forward(x)
        return both["boxes"], both["logits"]


@dataclass
class Output:
    loss: Tensor | None
    logits: Tensor
    embedding: Tensor


class Dataclass(TwoHeads):
    def forward(self, x: Tensor) -> Output:  # type: ignore[override]
        both = super().forward(x)
        return Output(None, both["logits"], both["boxes"])


class Named(NamedTuple):
    embedding: Tensor
    scores: Tensor


class NamedOutput(TwoHeads):
    def forward(self, x: Tensor) -> Named:  # type: ignore[override]
        both = super().forward(x)
        return Named(both["boxes"], both["logits"])


class ListOutput(TwoHeads):
    """Deep supervision: a list, the last one counts."""

    def forward(self, x: Tensor) -> list[Tensor]:  # type: ignore[override]
        both = super().forward(x)
        return [both["boxes"], both["logits"]]


class Sum(Small):
    """Two branches that meet in a sum: neither is all that the score depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.other, self.join = nn.Conv2d(8, 16, 1, 2), nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        joined = self.join(self.features(y) + self.other(y))
        return self.fc(self.hidden(joined.mean((2, 3))).tanh())


class Against(Small):
    """Features of the images less those of a fixed one: the layers are called twice, only once with the images."""

    other: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("other", torch.randn(1, 3, 32, 48))

    def embed(self, x: Tensor) -> Tensor:
        return self.hidden(self.features(self.stem(x)).mean((2, 3))).tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.embed(x) - self.embed(self.other))


class SharedBlock(Small):
    """One block run three times, the last run in front of the pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(x))
        for _ in range(3):
            y = self.block(y)
        return self.fc(self.hidden(y.mean((2, 3))).tanh())


class SharedActivation(Small):
    """One ReLU module for all, as old code has it: in front of the pooling and between the linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        del self.features

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.conv(self.relu(self.stem(x))))
        return self.fc(self.relu(self.hidden(y.mean((2, 3)))))


class Ignored(Small):
    """A module behind the features whose return nobody uses, later in the code and deeper than the right one."""

    def __init__(self) -> None:
        super().__init__()
        self.probe = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(x))
        self.probe(y)
        return self.fc(self.hidden(y.mean((2, 3))).tanh())


class Gated(Small):
    """Squeeze and excitation behind the features: its convolutions are last in order and hold one cell."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.Sigmoid())
        self.post = nn.Sequential(nn.Conv2d(16, 16, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(x))
        return self.fc(self.hidden(self.post(y * self.gate(y)).mean((2, 3))).tanh())


class DropoutInside(Small):
    def behind(self, v: Tensor) -> Tensor:
        v = nn.functional.dropout(v, 0.5, training=self.training)
        return nn.functional.dropout(v, 0.5, training=False)


class Fourier(Small):
    """A global filter in the frequencies (complex numbers) in front of the cut."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.rand(8, 16, 13))

    def before(self, y: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(y) * self.filter, s=y.shape[2:])


class AnyArguments(Small):
    def forward(self, *args: Tensor, **options: Any) -> Any:
        return super().forward(args[0] * options.get("scale", 1.0))


class Masked(Small):
    """Needs a second input by name, in front of the cut and behind it."""

    def forward(self, x: Tensor, *, mask: Tensor, age: Tensor) -> Any:
        v = self.features(self.stem(x * mask)).mean((2, 3))
        return self.fc(self.hidden(v).tanh() * age[:, None])


def mask_and_age(images: Tensor) -> dict[str, Tensor]:
    mask = torch.ones(len(images), 1, *images.shape[2:])
    mask[..., :4] = 0.5
    return {"mask": mask, "age": torch.linspace(1, 2, len(images))}


def normalised_by_a_transform() -> nn.Module:
    from torchvision.transforms import v2

    return nn.Sequential(v2.Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.2]), Small())


def resized_by_a_transform() -> nn.Module:
    from torchvision.transforms import v2

    return nn.Sequential(v2.Resize((64, 96)), Small())


class HalfResolution(nn.Module):
    """A model inside a model that takes lists: nested lists and dicts between modules."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fc = TwoMaps(), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.inner({"image": [x]})
        fine, coarse = maps["maps"][0], maps["maps"][1]
        return self.fc(torch.cat([fine.mean((2, 3)), coarse.mean((2, 3))], 1))


class TwoMaps(nn.Module):
    """Returns a dict of a list of maps; the coarse one comes from the fine one."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())

    def forward(self, inputs: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        fine = self.fine(inputs["image"][0])
        return {"maps": [fine, self.coarse(fine)]}


def entries() -> list[Entry]:
    """The traps of this file."""
    return [*_outputs(), *_modules(), *_inputs()]


def _outputs() -> list[Entry]:
    return [
        trap("two_heads", TwoHeads, 'returns {"logits", "boxes"}: the boxes come from another branch', output="logits"),
        trap("auxiliary_first", AuxiliaryFirst, "returns (boxes, logits)", output=1),
        trap("dataclass", Dataclass, "returns a dataclass with loss None, logits, embedding", output="logits"),
        trap("named_tuple", NamedOutput, "returns a NamedTuple (embedding, scores)", output="scores"),
        trap("list_output", ListOutput, "returns [boxes, logits], the last one counts", output=-1),
    ]


def _modules() -> list[Entry]:
    return [
        trap("two_branches_summed", Sum, "join(features(y) + other(y)).mean", layers=("join.1", "join")),
        trap(
            "against_a_fixed_image", Against, "embed(x) - embed(other): call 1 sees the images", layers=("features#1",)
        ),
        trap("shared_block", SharedBlock, "block is run three times; mean follows", layers=("block#3", "block.1#3")),
        trap(
            "shared_activation",
            SharedActivation,
            "relu is run three times; the mean follows the second",
            layers=("relu#2",),
        ),
        trap("ignored_return", Ignored, "self.probe(y) is dropped; y.mean follows"),
        trap("gate_of_one_cell", Gated, "post(y * gate(y)).mean: gate's Conv2d holds 1 x 1", layers=("post.1", "post")),
        trap("dropout_functional", DropoutInside, "F.dropout(training=self.training), F.dropout(training=False)"),
        trap("fourier", Fourier, "irfft2(rfft2(y) * filter) in front of the cut"),
        trap(
            "nested_maps",
            HalfResolution,
            'inner({"image": [x]})["maps"][1] comes from [0], and both are read: fine is what all passes through',
            layers=("inner.fine.1", "inner.fine", "inner.coarse.1", "inner.coarse"),
            grid=(16, 24),
        ),
    ]


def _inputs() -> list[Entry]:
    inside, transform = (
        ("1.features.1", "1.features"),
        "nn.Sequential(transform, model): torchvision.transforms are no ",
    )
    return [
        trap("any_arguments", AnyArguments, "forward(*args, **options)"),
        trap("second_input", Masked, "forward(x, *, mask, age), both needed", inputs=mask_and_age),
        trap("transform_normalise", normalised_by_a_transform, transform + "operations to torch.fx", layers=inside),
        trap("transform_resize", resized_by_a_transform, transform + "leaves", layers=inside, grid=(16, 24)),
    ]
