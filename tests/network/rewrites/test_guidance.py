"""Guided backpropagation against a recursion by hand, and its counts against the ReLUs that really run."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from small import Applied, Dense, randomised, small, state_of, tiny_densenet
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import funcam
from funcam import FuncamError
from funcam.methods.pixels import guided_backprop
from funcam.network.rewrites.guidance import guided_relu

IMAGES = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))


class Counting(TorchDispatchMode):
    """Counts the ReLU and ReLU6 calls that a run comes down to, by the names of torch's own operations."""

    def __init__(self):
        super().__init__()
        self.relus = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("relu", "relu_") or (name in ("hardtanh", "hardtanh_") and tuple(args[1:3]) == (0.0, 6.0)):
            self.relus += 1
        return func(*args, **(kwargs or {}))


def relus_run(model, size):
    with torch.no_grad(), Counting() as counting:
        copy.deepcopy(model).eval()(torch.zeros(1, 3, size, size))
    return counting.relus


# the networks of the script that funcam reimplements, and their families
SEED = {
    "vgg16": (15, 64),
    "vgg19": (18, 64),
    "resnet50": (49, 64),
    "resnet101": (100, 64),
    "densenet121": (121, 64),
    "inception_v3": (94, 96),
    "mobilenet_v2": (35, 64),
    "shufflenet_v2_x1_0": (37, 64),
    "squeezenet1_1": (26, 64),
    "resnet18": (17, 64),
    "googlenet": (57, 64),
    "alexnet": (7, 96),
    "resnext50_32x4d": (49, 64),
    "mnasnet0_5": (35, 64),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in ("inception_v3", "resnet101") else name for name in SEED],
)
def test_every_relu_that_runs_is_rewritten(name):
    expected, size = SEED[name]
    with torch.device("meta"):
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = torchvision.models.get_model(name, weights=None, **options).eval()
    with torch.no_grad(), Counting() as counting:  # on the meta device: operations are dispatched and not computed
        copy.deepcopy(model)(torch.zeros(1, 3, size, size, device="meta"))
    found = funcam.guided(model)
    assert len(found.rewritten) == counting.relus
    assert found.left == ()
    assert len(set(found.rewritten)) == len(found.rewritten)
    if name != "inception_v3":
        assert counting.relus == expected


def test_what_is_left_is_said():
    with torch.device("meta"):
        model = torchvision.models.mobilenet_v3_small().eval()
    found = funcam.guided(model)
    swishes = [m for m in model.modules() if isinstance(m, nn.Hardswish)]
    assert len(found.left) == len(swishes)
    assert len(found.rewritten) == sum(isinstance(m, nn.ReLU) for m in model.modules())
    assert set(found.left) <= set(dict(model.named_modules()))


@pytest.mark.parametrize("name", ["efficientnet_b0", "vit_b_16", "convnext_tiny", "swin_t"])
def test_a_network_without_relus_is_refused(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    with pytest.raises(FuncamError, match=r"undefined for \w+: it has no ReLU to rewrite.*use grad-cam") as caught:
        funcam.guided(model)
    if name == "efficientnet_b0":
        silus = sum(isinstance(m, nn.SiLU) for m in model.modules())
        assert f"({silus} other activations)" in str(caught.value)
    with pytest.raises(FuncamError, match="guided backpropagation is undefined"):
        funcam.explain(
            randomised(Applied(lambda m, x: functional.gelu(x))), IMAGES, layer="conv", method="guided-grad-cam"
        )


@pytest.mark.parametrize("activation", ["relu", functional.relu, nn.ReLU()])
def test_a_relu_inside_one_of_torchs_own_layers_is_refused(activation):
    class Encoded(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 4, stride=4)
            self.relu = nn.ReLU()
            self.encoder = nn.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True)
            self.fc = nn.Linear(8, 3)

        def forward(self, x):
            x = self.encoder(self.relu(self.conv(x)).flatten(2).transpose(1, 2))
            return self.fc(x.mean(1))

    with pytest.raises(
        FuncamError, match=r"can't reach the ReLU inside 'encoder' \(TransformerEncoderLayer\) of Encoded"
    ):
        funcam.guided(Encoded())
    A, head = funcam.split(Encoded().eval(), "relu")(torch.randn(1, 3, 16, 16))  # Grad-CAM goes on working
    assert head(A).shape == (1, 3)


# --- what it computes ------------------------------------------------------------------------------------------------


def by_hand(model, images, classes):
    """R_in = R_out [x > 0] [R_out > 0] at every ReLU, one layer at a time."""
    layers = [model.first, model.second, model.third]
    inputs, sums = [images], []
    for layer in layers:
        sums.append(layer(inputs[-1]))
        inputs.append(sums[-1].clamp(min=0))
    space = sums[-1].shape[2:]
    R = (model.fc.weight[classes] / space.numel()).reshape(*model.fc.weight[classes].shape, *[1] * len(space))
    R = R.expand_as(sums[-1])
    for layer, x, total in zip(reversed(layers), reversed(inputs[:-1]), reversed(sums), strict=True):
        R = R * (total > 0) * (R > 0)
        x = x.detach().requires_grad_()
        (R,) = torch.autograd.grad(layer(x), x, R)
    return R


RELUS = {
    "functional": functional.relu,
    "torch": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "functional in place": lambda x: functional.relu(x, inplace=True),
    "underscore": torch.relu_,
    "functional underscore": functional.relu_,
    "keyword": lambda x: functional.relu(input=x),
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
}


@pytest.mark.parametrize("kind", RELUS)
@pytest.mark.parametrize("dimensions", [1, 2])
def test_it_is_the_recursion_whatever_way_a_relu_is_spelt(kind, dimensions):
    model = Dense(dimensions, RELUS[kind]).double()
    images = torch.randn(2, 2, *[9, 7][:dimensions], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([1, 3])
    assert len(funcam.guided(model).rewritten) == 3
    maps = funcam.explain(model, images, classes, method="guided-backprop", layer="second").maps
    want = by_hand(Dense(dimensions).double(), images, classes)
    assert want.abs().max() > 0
    torch.testing.assert_close(maps, want)
    plain = images.clone().requires_grad_()
    model(plain).gather(1, classes[:, None]).sum().backward()
    assert (plain.grad - want).abs().max() > 1e-3  # and it isn't the plain gradient


SIXES = {
    "functional": functional.relu6,
    "functional in place": lambda x: functional.relu6(x, inplace=True),
    "module": nn.ReLU6(),
    "module in place": nn.ReLU6(inplace=True),
}


@pytest.mark.parametrize("kind", SIXES)
def test_relu6_stops_the_gradient_above_six_too(kind):
    model = Dense(2, SIXES[kind]).double()
    with torch.no_grad():
        model.first.weight.mul_(6)
    images = torch.randn(1, 2, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (model.first(images) > 6).any()
    found = funcam.guided(model)
    assert len(found.rewritten) == 3
    torch.testing.assert_close(found.network(images), model(images.clone()))
    inputs, sums = images, []
    for layer in (model.first, model.second, model.third):
        sums.append(layer(inputs))
        inputs = sums[-1].clamp(0, 6)
    R = (model.fc.weight[2] / 63).reshape(1, 6, 1, 1).expand_as(sums[-1])
    for layer, total, below in (
        (model.third, sums[2], sums[1]),
        (model.second, sums[1], sums[0]),
        (model.first, sums[0], images),
    ):
        R = R * (total > 0) * (total < 6) * (R > 0)
        x = (below if layer is model.first else below.clamp(0, 6)).detach().requires_grad_()
        (R,) = torch.autograd.grad(layer(x), x, R)
    torch.testing.assert_close(guided_backprop(found.network, images[0], 2), R[0])


@given(
    st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=6),
    st.lists(st.floats(-8, 8, width=32), min_size=6, max_size=6),
    st.sampled_from([6.0, float("inf")]),
)
def test_a_negative_gradient_never_passes(values, cotangents, ceiling):
    x, R = torch.tensor(values), torch.tensor(cotangents[: len(values)])
    out, pullback = torch.func.vjp(lambda x: guided_relu(x, ceiling), x)
    (found,) = pullback(R)
    want = [r if 0 < v < ceiling and r > 0 else 0.0 for v, r in zip(x.tolist(), R.tolist(), strict=True)]
    assert out.tolist() == [min(max(v, 0.0), ceiling) for v in x.tolist()]
    assert found.tolist() == want
    assert (found >= 0).all()


@pytest.mark.parametrize("make", [small, tiny_densenet])
def test_the_guided_network_is_the_model(make):
    model, images = make(), torch.randn(2, 3, 32, 32)
    want = model(images)
    model.train()
    before = state_of(model)
    torch.testing.assert_close(funcam.guided(model).network(images), want)
    assert state_of(model) == before


def test_it_sees_changes_of_the_model_and_is_made_once():
    model = small()
    first = funcam.guided(model)
    assert funcam.guided(model) is first
    model.blocks[0].relu = nn.SiLU()
    second = funcam.guided(model)
    assert second.left == ("blocks.0.relu", "blocks.0.relu_1")
    assert len(second.rewritten) == len(first.rewritten) - 2


def test_of_a_batch_is_that_of_each_image():
    model, images = small(), torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    maps = funcam.explain(model, images, [[0, 1], [2, 3], [4, 0]], method="guided-backprop").maps
    network = funcam.guided(model).network
    for b, k, target in [(0, 0, 0), (1, 1, 3), (2, 0, 4)]:
        torch.testing.assert_close(maps[b, k], guided_backprop(network, images[b], target), rtol=1e-4, atol=1e-6)


def test_guided_grad_cam_is_the_product():
    model, images = small(), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    cam, guided, both = funcam.explain_methods(
        model, images, [1, 2], methods=["grad-cam", "guided-backprop", "guided-grad-cam"], layer="blocks.0"
    )
    up = functional.interpolate(cam.maps[:, None], (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(both.maps, guided.maps * up)


SPELLINGS = {
    "clamp": lambda z: z.clamp(min=0),
    "clamp_": lambda z: (z * 1).clamp_(0.0),
    "clamp to 6": lambda z: z.clamp(0, 6),
    "clip": lambda z: torch.clip(z, 0),
    "clamp_min": lambda z: torch.clamp_min(z, 0),
    "maximum": lambda z: torch.maximum(torch.zeros_like(z), z),
    "max": lambda z: torch.max(z, torch.tensor(0.0)),
    "threshold": lambda z: functional.threshold(z, 0.0, 0.0),
    "module": nn.Threshold(0, 0),
    "leaky": lambda z: functional.leaky_relu(z, 0.0),
    "leaky module": nn.LeakyReLU(0.0),
    "aten": lambda z: torch.ops.aten.clamp_min(z, 0),
    "product with a mask": lambda z: z * (z > 0),
    "product with a mask in front": lambda z: z.gt(0).float() * z,
    "product with a mask of its type": lambda z: torch.mul(z, torch.ge(z, 0.0).to(z.dtype)),
    "where": lambda z: torch.where(z > 0, z, 0),
    "where not": lambda z: torch.where(z <= 0, torch.zeros_like(z), z),
    "method where": lambda z: z.where(z > 0, 0.0),
    "filled": lambda z: z.masked_fill(z < 0, 0),
    "filled in place": lambda z: (y := z * 1).masked_fill_(y < 0, 0.0),
}


def behind_a_relu(other):
    """Two layers, a ReLU behind the first and something else behind the second."""
    model = Applied(lambda self, x: self.other(self.conv2(self.relu(x))))
    model.other = other
    return model


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_relus_of_another_name_are_guided_beside_those_of_their_own(spelling):
    other = behind_a_relu(SPELLINGS[spelling])
    want = funcam.explain(behind_a_relu(nn.ReLU()), IMAGES, 2, method="guided-backprop")
    found = funcam.explain(other, IMAGES, 2, method="guided-backprop")
    torch.testing.assert_close(found.maps, want.maps)
    assert len(funcam.guided(other, IMAGES).rewritten) == 2


@pytest.mark.parametrize(
    "other",
    [
        lambda z: z.clamp(min=-1),
        lambda z: z.clamp(0, 1e-3),
        lambda z: torch.maximum(z, z.mean()),
        lambda z: torch.maximum(z, torch.zeros(2, 1, 1, 1)),
        lambda z: functional.threshold(z, 0.1, 0.0),
        lambda z: functional.leaky_relu(z),
        lambda z: z * (z > 0.1),
        lambda z: z * (z.flip(1) > 0),
        lambda z: z * (z < 0),
        lambda z: torch.where(z > 0, z, 0.1 * z),
        lambda z: torch.where(z > 0, 0, z),
        lambda z: z.masked_fill(z > 0, 0),
        lambda z: z.masked_fill(z < 0, -1),
    ],
)
def test_what_is_no_relu_keeps_its_gradient(other):
    model = behind_a_relu(other)
    assert funcam.guided(model).rewritten == ("relu",)


def test_indices_that_are_clamped_stay_whole_numbers():
    model = behind_a_relu(lambda z: z + torch.arange(9.0)[(z * 9).long().clamp(0, 6)])
    torch.testing.assert_close(funcam.guided(model).network(IMAGES), model(IMAGES))
