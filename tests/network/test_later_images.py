"""What a model, and the hooks on it, do with some images only: found out with a tame one, right for a wild one."""

from __future__ import annotations

import copy

import pytest
import torch
from by_hand import Base
from torch import nn
from torch.nn import functional as F

import funcam

GENERATOR = torch.Generator().manual_seed(0)
TAME, WILD = torch.rand(1, 3, 16, 20, generator=GENERATOR), torch.randn(1, 3, 16, 20, generator=GENERATOR) * 9
WAYS = ("alone", "after a tame one", "behind a tame one", "by a split", "prepared")


def oracle(model, images):
    """Maps and outputs for class 1 by plain autograd on a deep copy, with its hooks."""
    own, kept = copy.deepcopy(model).eval(), []
    own.conv.register_forward_hook(lambda _m, _i, out: kept.append(out))
    with torch.enable_grad():
        outputs = own(images.clone())
        (A,) = kept
        (g,) = torch.autograd.grad(outputs[:, 1].sum(), A)
    return (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach(), outputs.detach()


def explained(model, way):
    """The images that were explained in some way, with their maps and outputs."""
    images = torch.cat([TAME, WILD]) if way == "behind a tame one" else WILD.clone()
    if way == "by a split":
        A, head = funcam.split(model, "conv", example=torch.zeros_like(TAME))(images)
        leaf = A.detach().requires_grad_()
        outputs = head(leaf)
        (g,) = torch.autograd.grad(outputs[:, 1].sum(), leaf)
        return images, (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach(), outputs.detach()
    if way == "prepared":
        made = funcam.prepare(model, "conv", example=TAME, targets=1, backend=None)(images)
    else:
        if way == "after a tame one":
            funcam.explain(model, TAME.clone(), 1, layer="conv")
        made = funcam.explain(model, images, 1, layer="conv")
    return images, made.maps, made.outputs


def state(model):
    """Every number of a model, and how many hooks stand on each of its modules."""
    plain = [vars(module)["plain"].clone() for module in model.modules() if "plain" in vars(module)]
    tensors = [tensor.detach().clone() for tensor in (*model.parameters(), *model.buffers())]
    return [*tensors, *plain], [len(module._forward_hooks) for module in model.modules()]


def check(model, way):
    tensors, hooks = state(model)
    maps, outputs = oracle(model, torch.cat([TAME, WILD]) if way == "behind a tame one" else WILD)
    images, ours, logits = explained(model, way)
    torch.testing.assert_close(logits, outputs)
    torch.testing.assert_close(ours, maps)
    after = state(model)
    assert after[1] == hooks
    assert all(map(torch.equal, after[0], tensors))
    assert torch.equal(images[-1:], WILD)


class Writing(Base):
    """Writes where an image has a large value, and computes with what it wrote."""

    def prepare(self):
        self.register_buffer("seen", torch.ones(6))
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("var", torch.ones(6))
        self.plain = torch.ones(6)

    def forward(self, x):
        if float(x.detach().max()) > 3:
            x = WRITES[self.kind](self, x)
        return self.fc(self.features(x).mean((2, 3)) * self.seen * self.plain + self.mean)


def written(function):
    """A write of a model's, after which it goes on with its image."""

    def write(model, x):
        with torch.no_grad():
            function(model, x)
        return x

    return write


def registered(model, x):
    model.fc.register_forward_hook(lambda _m, _i, out: 2 * out)
    return x


WRITES = {
    "a buffer": written(lambda m, x: m.seen.add_(1)),
    "a buffer by its data": written(lambda m, x: m.seen.data.mul_(2)),
    "an entry of a buffer": written(lambda m, x: m.seen.__setitem__(0, 3)),
    "a buffer by an array": written(lambda m, x: m.seen.numpy().fill(2)),
    "a buffer by out": written(lambda m, x: torch.mul(m.seen, 2, out=m.seen)),
    "running statistics": written(lambda m, x: F.batch_norm(x.tile(1, 2, 1, 1), m.mean, m.var, training=True)),
    "a plain tensor": written(lambda m, x: m.plain.add_(1)),
    "a weight": written(lambda m, x: m.conv.weight.clamp_(-0.05, 0.05)),
    "a weight by its data": written(lambda m, x: m.conv.weight.data.clamp_(-0.05, 0.05)),
    "a weight by an array": written(lambda m, x: m.fc.weight.detach().numpy().fill(0.1)),
    "a view of a weight": written(lambda m, x: m.fc.weight.view(-1)[:7].zero_()),
    "the images": lambda m, x: x.clamp_(max=3),
    "a view of the images": lambda m, x: x.unsqueeze(0).mul_(0.5)[0],
    "the images by an activation": lambda m, x: F.relu(x, inplace=True),
    "the images by an array": written(lambda m, x: x.detach().numpy().fill(0.5)),
    "a hook": registered,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.filterwarnings("ignore:the model isn't cut by its graph")
def test_what_is_written_for_some_images_only_stays_the_callers(kind, way):
    torch.manual_seed(0)
    model = Writing().eval()
    model.kind = kind
    check(model, way)


def test_a_run_that_is_stopped_draws_no_random_numbers():
    class Drawing(Base):
        def prepare(self):
            self.register_buffer("seen", torch.ones(6))

        def forward(self, x):
            noise = torch.rand(6)
            if float(x.detach().max()) > 3:
                self.seen += 1
            return self.fc(self.features(x).mean((2, 3)) * noise * self.seen)

    model = Drawing().eval()
    A, head = funcam.split(model, "conv", example=TAME)(WILD)
    torch.manual_seed(3)
    ours = head(A)
    torch.manual_seed(3)
    torch.testing.assert_close(ours, copy.deepcopy(model)(WILD))


class Hooked(Base):
    """A model without branches, which `torch.fx` can follow."""

    def prepare(self):
        self.body_ = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())

    def forward(self, x):
        return self.fc(self.body_(self.features(x)).mean((2, 3)))


def clipped(_module, _given, out):
    return out.clamp(max=2.0)


def conditional(_module, _given, out):
    if out.max() > 2:
        return out / 2
    return None


def in_place(_module, _given, out):
    out.clamp_(max=2.0)


def by_entry(_module, _given, out):
    out[out > 2] = 0


def by_another(_module, given, out):
    if out.max() > 2:
        in_place(_module, given, out)


def caught(_module, _given, out):
    try:
        assert out.max() <= 2
    except AssertionError:
        out.zero_()


def switched(module, _given, out):
    if out.max() > 2:
        module.slope = 0.5
    return out * getattr(module, "slope", 1.0)


HOOKS = (clipped, conditional, in_place, by_entry, by_another, caught, switched)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("hook", [*HOOKS, lambda _m, _i, out: out.clamp(max=2.0)])
@pytest.mark.filterwarnings("ignore:the model isn't cut by its graph")
def test_hooks_that_act_on_some_images_only_are_part_of_the_model(hook, way):
    torch.manual_seed(0)
    model = Hooked().eval()
    assert model.features(TAME).max() < 2 < model.body_[0](model.features(WILD)).max()
    model.body_[0].register_forward_hook(hook)
    check(model, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:the model isn't cut by its graph")
def test_pre_hooks_that_act_on_some_images_only_are_part_of_the_model(way):
    torch.manual_seed(0)
    model = Hooked().eval()
    model.body_[1].register_forward_pre_hook(lambda _m, given: (given[0].clamp(max=2.0),))
    check(model, way)


def test_hooks_act_once_the_weights_have_grown():
    torch.manual_seed(0)
    model = Hooked().eval()
    model.body_[0].register_forward_hook(clipped)
    funcam.explain(model, TAME, 1, layer="conv")
    with torch.no_grad():
        model.body_[0].weight.mul_(50)
    maps, outputs = oracle(model, TAME)
    made = funcam.explain(model, TAME, 1, layer="conv")
    torch.testing.assert_close(made.outputs, outputs)
    torch.testing.assert_close(made.maps, maps)


def test_graphs_are_refused_where_a_hook_may_act():
    model = Hooked().eval()
    model.body_[0].register_forward_hook(clipped)
    with pytest.raises(funcam.FuncamError, match=r"may be for other images.*hooks=False"):
        funcam.explain(model, TAME, 1, layer="conv", method="guided-backprop")
