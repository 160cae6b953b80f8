"""The layer that is explained where none is named belongs to the score: the deepest that all of it passes."""

from __future__ import annotations

import pytest
import torch
from small import randomised
from torch import Tensor, nn
from torch.nn import functional

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Branched(nn.Module):
    """A stem and two heads with convolutions of their own; what is returned differs."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.classes = nn.Sequential(nn.Conv2d(8, 6, 3, 2, 1), nn.ReLU())
        self.boxes = nn.Sequential(nn.Conv2d(8, 6, 3, 1, 1), nn.ReLU())
        self.fc, self.regress, self.answer = nn.Linear(6, 5), nn.Linear(6, 4), answer

    def forward(self, x: Tensor):
        y = self.stem(x)
        logits, boxes = self.fc(self.classes(y).mean((2, 3))), self.regress(self.boxes(y).mean((2, 3)))
        return self.answer(logits, boxes)


def layer_for(model: nn.Module, target=None, **options) -> str:
    return funcam.explain(randomised(model).eval(), IMAGES, target, **options).layer


@pytest.mark.parametrize(
    ("answer", "target", "options", "layer"),
    [
        (lambda logits, boxes: (logits, boxes), None, {}, "classes"),
        (lambda logits, boxes: (boxes, logits), None, {"output": 1}, "classes"),
        (lambda logits, boxes: {"boxes": boxes, "logits": logits}, None, {}, "classes"),
        (lambda logits, boxes: {"boxes": boxes, "logits": logits}, lambda out: out["boxes"][:, 0], {}, "boxes"),
        (lambda logits, boxes: torch.cat([boxes, logits], 1)[:, None], lambda out: out[:, 0, 0], {}, "boxes"),
        (lambda logits, boxes: torch.cat([boxes, logits], 1)[:, None], lambda out: out[:, 0, 5], {}, "classes"),
        (lambda logits, boxes: (logits, boxes), lambda out: out[0][:, 0] + out[1][:, 0], {}, "stem"),
    ],
)
def test_the_layer_is_in_the_branch_of_the_score(answer, target, options, layer):
    name = layer_for(Branched(answer), target, **options)
    assert name == layer or name.startswith(f"{layer}.")


@pytest.mark.parametrize("target", [lambda z: z[:, 0].detach(), lambda z: (z > 0).float()[:, 0]])
def test_a_target_that_depends_on_nothing_is_refused(target):
    model = randomised(Branched(lambda logits, boxes: (logits, boxes))).eval()
    with pytest.raises(FuncamError, match="depends on nothing that Branched returns"):
        funcam.explain(model, IMAGES, lambda out: target(out[0]))


class Against(nn.Module):
    """What is seen, compared with a fixed picture: that branch holds a map and sees no image."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.other = nn.Parameter(torch.randn(1, 3, 32, 32))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        seen, known = self.body(x), self.body(self.other.expand_as(x))
        return self.fc((seen - known).relu().mean((2, 3)))


def test_the_layer_sees_the_image():
    model = randomised(Against()).eval()
    result = funcam.explain(model, IMAGES)
    A = funcam.split(model, result.layer, example=IMAGES)(IMAGES)[0]
    assert not torch.equal(A[0], A[1])


class Headless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(self.last(self.first(x)), 1).flatten(1)


def test_a_network_without_a_head_is_cut_at_its_last_map():
    assert layer_for(Headless(), lambda z: z[:, 0]) == "last"


def test_a_head_of_zeros_is_no_reason_to_look_elsewhere():
    model = randomised(Branched(lambda logits, boxes: (logits, boxes))).eval()
    with torch.no_grad():
        model.fc.weight.zero_()
    assert funcam.explain(model, IMAGES).layer.startswith("classes")


class Drawing(nn.Module):
    """Code without a graph that draws random numbers whenever it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if y.detach().sum() > 1e9:
            y = y * 0
        return self.fc(y.mean((2, 3))) + 0 * torch.rand(5)


@pytest.mark.parametrize("layer", [None, "body"])
def test_finding_a_layer_leaves_the_random_state(layer):
    model, before = randomised(Drawing()).eval(), torch.get_rng_state()
    assert funcam.split(model, layer, example=IMAGES).way == "tap"
    funcam.list_layers(model, IMAGES)
    assert torch.equal(torch.get_rng_state(), before)
