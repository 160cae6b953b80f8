"""Where bodies make some of the scores each, the default layer is the one that makes what is asked."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import funcam

IMAGES = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
IMAGES[0] *= 0.5
IMAGES[1] = 1 - 0.5 * IMAGES[1]


class Body(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())


class Bodies(nn.Module):
    """Two bodies with a head each; what is made of them is a function."""

    def __init__(self, join, *scores: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.bodies = nn.ModuleList([Body() for _ in scores])
        self.heads = nn.ModuleList([nn.Linear(8, n) for n in scores])
        self.join = join

    def forward(self, x: Tensor) -> object:
        return self.join([head(body(x).mean((2, 3))) for body, head in zip(self.bodies, self.heads, strict=True)], x)


def sliced(parts, x):
    logits = x.new_zeros(len(x), 5)
    logits[:, :2], logits[:, 2:] = parts
    return logits


def by_own_code(parts, x):
    return torch.cat(parts, 1) if x.sum() > 0 else None


def masked(parts, x):
    return parts[0] * torch.tensor([1.0, 1, 0, 0, 0]) + parts[1] * torch.tensor([0.0, 0, 1, 1, 1])


JOINED = {
    "side by side": ((2, 3), lambda parts, x: torch.cat(parts, 1)),
    "in a dict": ((2, 3), lambda parts, x: {"logits": torch.cat(parts, 1)}),
    "written into zeros": ((2, 3), sliced),
    "by own code": ((2, 3), by_own_code),
    "by masks": ((5, 5), masked),
    "a body a class": ((1,) * 5, lambda parts, x: torch.stack([part[:, 0] for part in parts], 1)),
}


def gradient(model: Bodies, body: int, class_: int, images: Tensor = IMAGES) -> Tensor:
    """The mean gradient times the features at a body's end, by autograd and a hook."""
    kept = []
    hook = model.bodies[body].register_forward_hook(lambda module, given, A: kept.append(A))
    outputs = model(images)
    hook.remove()
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs
    (g,) = torch.autograd.grad(logits[:, class_].sum(), kept[0])
    return (g.mean((2, 3), keepdim=True) * kept[0]).sum(1).detach()


@pytest.mark.parametrize("join", JOINED)
@pytest.mark.parametrize("class_", [0, 1, 4])
@pytest.mark.parametrize("asked", ["class", "function"])
def test_the_default_layer_is_in_the_body_that_makes_the_class(join, class_, asked):
    scores, joined = JOINED[join]
    model = Bodies(joined, *scores).eval()
    body = class_ if len(scores) == 5 else int(class_ > 1)

    def score(outputs):
        return (outputs["logits"] if isinstance(outputs, dict) else outputs)[:, class_]

    result = funcam.explain(model, IMAGES, class_ if asked == "class" else score, method="hires-cam")
    assert result.layer.split(".")[:2] == ["bodies", str(body)]
    assert result.maps.shape[-2:] == (8, 12)
    expected = funcam.explain(model, IMAGES, class_, method="hires-cam", layer=f"bodies.{body}").maps
    torch.testing.assert_close(result.maps, expected)
    cam = funcam.explain(model, IMAGES, class_).maps
    torch.testing.assert_close(cam, gradient(model, body, class_).relu())


@pytest.mark.parametrize("join", JOINED)
def test_features_alone_are_those_of_the_body_that_makes_the_class(join):
    scores, joined = JOINED[join]
    model = Bodies(joined, *scores).eval()
    assert funcam.explain(model, IMAGES, 0, method="eigen-cam").layer.startswith("bodies.0")


@pytest.mark.parametrize("join", JOINED)
@pytest.mark.parametrize("targets", [[[0, 4], [0, 4]], [0, 4], "all"])
def test_classes_of_different_bodies_are_told_apart(join, targets):
    scores, joined = JOINED[join]
    model = Bodies(joined, *scores).eval()
    with pytest.raises(funcam.FuncamError, match=r"'bodies.4|'bodies.1") as told:
        funcam.explain(model, IMAGES, targets)
    assert "no layer leads to all of the scores" in str(told.value)
    assert "class 0 of image 0" in str(told.value)
    names = str(told.value).split("layer=[")[1].split("]")[0].replace("'", "").split(", ")
    assert funcam.explain(model, IMAGES, targets, layer=names).maps.any()


def test_classes_of_one_body_are_explained_together():
    model = Bodies(JOINED["side by side"][1], 2, 3).eval()
    result = funcam.explain(model, IMAGES, [[0, 1], [1, 0]])
    assert result.layer.startswith("bodies.0")
    first = gradient(model, 0, 0).relu()
    torch.testing.assert_close(torch.stack([result.maps[0, 0], result.maps[1, 1]]), first)


@pytest.mark.filterwarnings("ignore:no layer carries all")
@pytest.mark.filterwarnings("ignore:grad-cam at")
@pytest.mark.parametrize(
    "gate",
    [
        lambda parts, x: torch.where((x.mean((1, 2, 3)) > 0.5)[:, None], *parts),
        lambda parts, x: parts[0] * (w := (x.mean((1, 2, 3)) > 0.5).float()[:, None]) + parts[1] * (1 - w),
    ],
)
def test_where_a_gate_picks_a_body_it_is_the_one_that_is_picked(gate):
    model = Bodies(gate, 3, 3).eval()
    for image, body in ((0, 1), (1, 0), (0, 1)):
        images = IMAGES[image : image + 1]
        result = funcam.explain(model, images, 0)
        assert result.layer.startswith(f"bodies.{body}")
        torch.testing.assert_close(result.maps, gradient(model, body, 0, images).relu())
    with pytest.raises(funcam.FuncamError, match=r"'bodies.*class 0 of image 0.*'bodies.*class 0 of image 1"):
        funcam.explain(model, IMAGES, 0)


def test_a_class_of_one_body_is_not_said_to_be_of_several():
    model = Bodies(JOINED["side by side"][1], 2, 3).eval()
    with pytest.warns(funcam.FuncamWarning, match="no layer carries all of the score"):
        funcam.explain(model, IMAGES, funcam.probability(4))
    funcam.explain(model, IMAGES, 4, method="eigen-cam")


class Maps(Bodies):
    """A map of scores from two bodies."""

    def forward(self, x: Tensor) -> Tensor:
        parts = [body(x).movedim(1, -1) for body in self.bodies]
        scores = [head(part).movedim(-1, 1) for head, part in zip(self.heads, parts, strict=True)]
        return torch.cat(scores, 1)


@pytest.mark.parametrize("class_", [0, 1, 4])
def test_classes_of_a_map_have_their_bodies_too(class_):
    model = Maps(None, 2, 3).eval()
    everywhere = funcam.segmentation(class_, mask=torch.ones(2, 8, 12, dtype=torch.bool))
    result = funcam.explain(model, IMAGES, everywhere, method="eigen-cam")
    assert result.layer.startswith(f"bodies.{int(class_ > 1)}")


@pytest.mark.filterwarnings("ignore:grad-cam at")
def test_a_head_of_zeros_leaves_the_default_layer_as_it_is():
    model = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32).eval()
    nn.init.zeros_(model.heads.head.weight)
    assert funcam.explain(model, IMAGES[..., :32], 1).layer.endswith("ln_1")


@pytest.mark.filterwarnings("ignore:grad-cam at")
def test_a_head_of_zeros_that_is_trained_costs_a_pass_once():
    model, images = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32).eval(), IMAGES[..., :32]
    nn.init.zeros_(model.heads.head.weight)
    assert not funcam.explain(model, images).maps.any()
    with torch.no_grad():
        model.heads.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    (trained, expected), passes = [funcam.explain(each, images) for each in (model, copy.deepcopy(model))], []

    class Counted(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            passes.extend([function] * (function is torch.ops.aten.convolution.default))
            return function(*args, **(kwargs or {}))

    with Counted():
        again = funcam.explain(model, images)
    assert expected.maps.any()
    assert torch.equal(trained.maps, expected.maps)
    assert torch.equal(again.maps, expected.maps)
    assert len(passes) == 1


def test_methods_without_a_layer_take_classes_of_all_bodies():
    model = Bodies(JOINED["side by side"][1], 2, 3).eval()
    assert funcam.explain(model, IMAGES, "all", method="gradient").maps.any()


def test_what_is_prepared_is_of_the_body_that_makes_the_class():
    model = Bodies(JOINED["side by side"][1], 2, 3).eval()
    fast = funcam.prepare(model, example=IMAGES, targets=0, backend=None)
    assert fast.layer.startswith("bodies.0")
    torch.testing.assert_close(fast(IMAGES).maps, funcam.explain(model, IMAGES, 0).maps)
    with pytest.raises(funcam.FuncamError, match="no layer leads to all of the scores"):
        funcam.prepare(model, example=IMAGES, backend=None)
