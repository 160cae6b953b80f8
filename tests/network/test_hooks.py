"""The caller's forward hooks: part of the function where they change it, else seen by nobody after one check."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from small import small, state_of
from torch import nn

import funcam
from funcam import FuncamError
from funcam.network.known import known_of

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
LAYER = "blocks.1"


def normalise(_module, given):
    return ((given[0] - 0.5) / 0.25,)


def without_channel(_module, _given, output):
    output = output.clone()
    output[:, 0] = 0
    return output


def hotter(_module, _given, logits):
    return logits / 3


def blocked(_module, _given, output):
    """The same values, half of the derivative."""
    return output / 2 + output.detach() / 2


def wider(_module, given, kwargs):
    return given, {**kwargs, "gain": 2.0}


class Gained(nn.Module):
    """A model whose part takes an argument by name."""

    def __init__(self):
        super().__init__()
        self.net, self.last = small(5), nn.Linear(5, 5)
        self.part = Part()

    def forward(self, x):
        return self.last(self.part(self.net(x), gain=1.0))


class Part(nn.Module):
    def forward(self, x, gain=1.0):
        return gain * x


def hooked(kind):
    model = (Gained() if kind == "keywords" else small(5)).eval()
    if kind == "keywords":
        model.part.register_forward_pre_hook(wider, with_kwargs=True)
    elif kind == "normalises":
        model.register_forward_pre_hook(normalise)
    elif kind == "before the layer":
        model.blocks[0].register_forward_hook(without_channel)
    elif kind == "at the layer":
        model.blocks[1].register_forward_hook(without_channel)
    elif kind == "behind the layer":
        model.fc.register_forward_pre_hook(lambda _m, given: (given[0] * torch.arange(given[0].shape[1]),))
    elif kind == "temperature":
        model.register_forward_hook(hotter)
    elif kind == "derivative alone":
        model.fc.register_forward_hook(blocked)
    elif kind == "derivative before the layer":
        model.stem.register_forward_hook(blocked)
    return model


KINDS = (
    *("normalises", "before the layer", "at the layer", "behind the layer", "temperature", "derivative alone"),
    *("keywords", "derivative before the layer"),
)


def by_autograd(model, layer, classes):
    """Logits, features and gradient on a deep copy, hooks included, by a further hook that is the last to run."""
    copied, kept = copy.deepcopy(model).eval(), []

    def keep(_module, _given, output):
        kept.append(output)
        output.retain_grad()

    copied.get_submodule(layer).register_forward_hook(keep)
    logits = copied(IMAGES)
    logits.gather(1, torch.tensor(classes)[:, None]).sum().backward()
    return logits.detach(), kept[0].detach(), kept[0].grad


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_that_change_the_function_are_part_of_it(kind):
    model = hooked(kind)
    layer = "net.blocks.1" if kind == "keywords" else LAYER
    before = state_of(model)
    logits, A, g = by_autograd(model, layer, [1, 2])
    made = funcam.split(model, layer)
    features, head = made(IMAGES)
    assert (made.way, made.why) == ("tap", "the caller's hooks are part of what it computes")
    torch.testing.assert_close(features, A)
    torch.testing.assert_close(head(features), logits)
    result = funcam.explain(model, IMAGES, [1, 2], layer=layer)
    weights = g.mean((2, 3), keepdim=True)
    torch.testing.assert_close(result.maps, (weights * A).sum(1).relu())
    torch.testing.assert_close(result.logits, logits)
    assert state_of(model) == before


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_are_left_out_where_that_is_asked_for(kind):
    model = hooked(kind)
    layer = "net.blocks.1" if kind == "keywords" else LAYER
    bare = copy.deepcopy(model)
    for module in bare.modules():
        for name in ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"):
            getattr(module, name).clear()
    for method in ("grad-cam", "guided-backprop", "full-grad", "ablation-cam", "finer-cam"):
        ours = funcam.explain(model, IMAGES, [1, 2], layer=layer, method=method, hooks=False)
        theirs = funcam.explain(bare, IMAGES, [1, 2], layer=layer, method=method)
        torch.testing.assert_close(ours.maps, theirs.maps)
    made = funcam.split(model, layer, hooks=False)
    A, head = made(IMAGES)
    assert made.way == "fx"
    torch.testing.assert_close(head(A), bare(IMAGES))
    several = funcam.explain(model, IMAGES, [1, 2], layer=[layer, layer.replace("1", "0")], hooks=False)
    torch.testing.assert_close(several.logits, bare(IMAGES))


def test_a_graph_of_a_model_whose_hooks_count_is_refused_with_a_way_out():
    model = hooked("temperature")
    for method in ("guided-backprop", "full-grad"):
        with pytest.raises(FuncamError, match=r"hooks that are part of what it computes.*hooks=False"):
            funcam.explain(model, IMAGES, method=method)


def test_hooks_see_one_check_for_each_kind_of_images_and_plain_tensors():
    model, seen = small(5), []

    def watch(_module, _given, output):
        seen.append(output.detach().numpy().shape)  # numbers, not a tracer's or functorch's

    model.blocks.register_forward_hook(watch)
    for layer in (None, "stem", "blocks.0"):
        for method in ("grad-cam", "ablation-cam", "guided-backprop"):
            funcam.explain(model, IMAGES, 1, layer=layer, method=method)
    assert len(seen) == 1
    funcam.explain(model, IMAGES[..., :24], 1)
    assert len(seen) == 2
    funcam.explain(model, IMAGES * 2, 1)
    assert len(seen) == 2
    model.fc = nn.Linear(model.fc.in_features, 5)
    funcam.explain(model, IMAGES, 1)
    assert len(seen) == 3, "a model that was changed is another one"


def test_a_hook_that_takes_the_place_of_another_is_seen():
    """Freed functions leave their address to the next: the maps must follow all the same."""
    model = small(5).eval()
    for number in range(1, 6):
        handle = model.register_forward_hook(lambda _m, _i, logits, number=number: logits * number)
        torch.testing.assert_close(funcam.explain(model, IMAGES, 1).logits, model(IMAGES))
        handle.remove()
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1).logits, model(IMAGES))


class Peer:
    """As torchcam and their like: an object whose method is the hook."""

    def breaks(self, _module, _given, _output):
        raise KeyError("no session")


def breaks(_session, _module, _given):
    raise KeyError("no session")


@pytest.mark.parametrize("name", ["Peer.breaks", "breaks"])
def test_a_hook_that_cannot_run_is_named(name):
    model = small(5).eval()
    model.stem.register_forward_hook(lambda *_: None)
    if name == "breaks":
        model.blocks.register_forward_pre_hook(partial(breaks, "none"))
    else:
        model.blocks.register_forward_hook(Peer().breaks)
    before = state_of(model)
    for call in (partial(funcam.explain, model, IMAGES), lambda: funcam.split(model, LAYER)(IMAGES)):
        with pytest.raises(FuncamError, match=f"the hook '{name}' at 'blocks' on .*no session.*hooks=False"):
            call()
    assert state_of(model) == before
    want = funcam.explain(small(5).eval(), IMAGES).maps
    torch.testing.assert_close(funcam.explain(model, IMAGES, hooks=False).maps, want)


def test_a_model_that_needs_its_hooks_is_run_with_them():
    class Leaning(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2)
            self.conv.register_forward_hook(lambda conv, _i, out: setattr(conv, "kept", out))

        def forward(self, x):
            self.conv(x)
            return self.fc(self.act(self.conv.kept).mean((2, 3)))

    model = Leaning().eval()
    A, head = funcam.split(model, "act")(IMAGES)
    torch.testing.assert_close(A, model.conv(IMAGES).relu())
    torch.testing.assert_close(head(A), model(IMAGES))


def test_hooks_go_with_a_module():
    with pytest.raises(FuncamError, match="give it to split"):
        funcam.explain(funcam.split(small(5)), IMAGES, hooks=False)


def clamped(_module, given, _taken):
    return (given[0].clamp(min=0),)


def turned(_module, taken):
    return (-taken[0],)


@pytest.mark.parametrize(
    ("kind", "hook"), [("register_full_backward_hook", clamped), ("register_full_backward_pre_hook", turned)]
)
def test_backward_hooks_are_part_of_the_derivative(kind, hook):
    model = small(5).eval()
    bare = copy.deepcopy(model)
    getattr(model.fc, kind)(hook)
    before = state_of(model)
    _, A, g = by_autograd(model, LAYER, [1, 2])
    _, _, plain = by_autograd(bare, LAYER, [1, 2])
    assert not torch.allclose(g, plain)
    for method in ("grad-cam", "grad-cam++"):
        ours = funcam.explain(model, IMAGES, [1, 2], layer=LAYER, method=method, hooks=False)
        theirs = funcam.explain(bare, IMAGES, [1, 2], layer=LAYER, method=method)
        torch.testing.assert_close(ours.maps, theirs.maps)
    result = funcam.explain(model, IMAGES, [1, 2], layer=LAYER)
    torch.testing.assert_close(result.maps, (g.mean((2, 3), keepdim=True) * A).sum(1).relu())
    assert funcam.split(model, LAYER, example=IMAGES).way == "tap"
    with pytest.raises(FuncamError, match="hooks=False"):
        funcam.explain(model, IMAGES, method="guided-backprop")
    assert state_of(model) == before


def test_backward_hooks_that_only_watch_leave_the_graph():
    model, seen = small(5).eval(), []
    model.fc.register_full_backward_hook(lambda *_: seen.append(1))
    assert funcam.split(model, LAYER, example=IMAGES).way == "fx"
    assert not seen


def test_a_hook_that_removes_itself_counts_and_stays():
    model, handles = small(5).eval(), []

    def once(_module, _given, output):
        handles[0].remove()
        return output * 2

    handles.append(model.blocks.register_forward_hook(once))
    results = [funcam.explain(model, IMAGES, 1, layer=LAYER) for _ in range(2)]
    assert len(model.blocks._forward_hooks) == 1
    outputs = model(IMAGES)  # the last of its calls that the hook sees
    for result in results:
        torch.testing.assert_close(result.outputs, outputs)


def test_graphs_outlive_what_a_hook_notes():
    """What a watching hook fills has no part in the graph, which isn't made anew."""
    model, seen = small(5).eval(), []
    model.register_forward_hook(lambda *_: seen.append(1))
    first = known_of(model).traced(model)
    funcam.explain(model, IMAGES, 1)
    model(IMAGES)
    funcam.explain(model, IMAGES, 1)
    assert known_of(model).traced(model) is first


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_hook_on_all_modules_that_comes_after_the_first_call():
    model = small(5).eval()
    expected = funcam.explain(model, IMAGES, 1, layer=LAYER)
    handle = nn.modules.module.register_module_full_backward_hook(lambda *_: None)
    try:
        for given in (model, copy.deepcopy(model)):
            torch.testing.assert_close(funcam.explain(given, IMAGES, 1, layer=LAYER).maps, expected.maps)
    finally:
        handle.remove()
