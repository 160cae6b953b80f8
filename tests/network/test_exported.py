"""The way through torch.export: the same graph as by torch.fx, and models that torch.fx can't follow."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from graph_cases import IN_PLACE, VIEWS
from small import (
    Applied,
    features_and_gradients,
    small,
    state_of,
    tiny_densenet,
    tiny_vit,
)
from torch import nn
from torch.func import vjp

import funcam
from funcam import FuncamError
from funcam.network.exported import export
from funcam.network.graph import trace
from funcam.network.known import known_of

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def item_assigned(m: Any, x: torch.Tensor) -> torch.Tensor:
    x[:, 0] = 0
    x[:, 1:, ::2] += m.conv2(x)[:, 1:, ::2]
    return x


# --- the graph -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small, *(pytest.param(m, marks=pytest.mark.slow) for m in (tiny_densenet, tiny_vit))])
def test_an_exported_model_has_the_layers_of_the_traced_one(make: Any) -> None:
    """Each module's output is the same value in both graphs, at the first call, before what is written into it."""
    model = make().double()
    images = IMAGES.double()
    want, before = model(images), state_of(model.train())
    exported, traced = export(model, images[:1]), trace(model)
    assert state_of(model) == before
    assert {id(p) for p in exported.module.parameters()} <= {id(p) for p in model.parameters()}
    torch.testing.assert_close(exported.module(images), want)
    tensors = {path for path, node in traced.outputs.items() if node.op != "placeholder"}
    paths = tensors & set(exported.outputs)
    assert len(paths) > 0.9 * len(tensors)
    for path, got, expected in zip(paths, values(exported, paths, images), values(traced, paths, images), strict=True):
        torch.testing.assert_close(got, expected, msg=path)


def values(graph: Any, paths: set[str], images: torch.Tensor) -> list[torch.Tensor]:
    nodes = [graph.outputs[path] for path in paths]
    copied, placed = torch.fx.Graph(), {}
    copied.graph_copy(graph.module.graph, placed)
    copied.output([placed[node] for node in nodes])
    return torch.fx.GraphModule(graph.module, copied)(images)


# ``.data`` can't be followed, and a conversion to float32 is too coarse for differences
# Before torch 2.12 the exporter takes a dropout in evaluation mode for a copy.
_EXPORTER_KNOWS_DROPOUT = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 12)
OTHERS = ("data", "conversion_to_its_own_type")
FOLLOWED = [*IN_PLACE, *(middle for middle in VIEWS if middle.__name__ not in OTHERS), item_assigned]


# Other ways to write the same, alike once they are exported; tests/network/test_graph.py follows each of them by fx.
ALIKE = {
    *("method", "functional_inplace", "functional_inplace_by_position", "keywords_in_another_order", "module"),
    *("augmented", "skip_read_afterwards", "own_argument", "used_through_a_view", "used_through_a_view_of_a_view"),
    *("flatten_module", "functional_dropout_is_its_input"),
}


@pytest.mark.parametrize(
    "middle",
    [pytest.param(one, marks=pytest.mark.slow) if one.__name__ in ALIKE else one for one in FOLLOWED],
    ids=lambda middle: middle.__name__,
)
@torch.no_grad()
def test_writing_in_place_is_followed_also_where_fx_refuses(middle: Any) -> None:
    """The features are what the layer returned, and the derivative is that of differences of the model itself."""
    model, images = Applied(middle).double(), IMAGES[..., :6, :5].double()
    via = "export"
    if "dropout" in middle.__name__ and not _EXPORTER_KNOWS_DROPOUT:
        with pytest.raises(FuncamError, match=r"torch\.export .* makes another function of Applied"):
            funcam.split(model, "conv", example=images, via=via)
        return
    A, head = funcam.split(model, "conv", example=images, via=via)(images)
    before, want = model.conv(images), model(images.clone())
    torch.testing.assert_close(A, before)
    torch.testing.assert_close(head(A), want)
    torch.testing.assert_close(A, before)
    direction, cotangent = torch.randn_like(A), torch.randn_like(want)
    (g,) = vjp(head, A)[1](cotangent)
    step, scores = 1e-6, []
    for sign in (1, -1):
        moved = copy.deepcopy(model)
        moved.conv.register_forward_hook(lambda _m, _i, out, sign=sign: out + sign * step * direction)
        scores.append((moved(images.clone()) * cotangent).sum())
    torch.testing.assert_close((g * direction).sum(), (scores[0] - scores[1]) / (2 * step), rtol=1e-5, atol=1e-7)


def test_a_part_without_gradient_stays_without() -> None:
    def stopped(m: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y = m.conv2(x)
        return x + y

    model = Applied(stopped)
    A, head = funcam.split(model, "conv", example=IMAGES, via="export")(IMAGES)
    torch.testing.assert_close(head(A), model(IMAGES))
    _, by_hand = features_and_gradients(model, "conv", IMAGES, torch.tensor([0, 3]))
    torch.testing.assert_close(vjp(head, A.detach())[1](torch.eye(5)[[0, 3]])[0], by_hand)


def test_item_assignment_is_tapped_or_exported() -> None:
    model = Applied(item_assigned)
    cut = funcam.split(model, "conv")
    A, head = cut(IMAGES)
    torch.testing.assert_close(head(A), model(IMAGES.clone()))
    assert cut.way in ("tap", "export")  # its code may be differentiable as it is, or not
    assert "item assignment" in cut.why
    with pytest.raises(FuncamError, match=r"Applied can't be traced: .*item assignment.*test_exported\.py.*leave via"):
        funcam.split(model, "conv", example=IMAGES, via="fx")


def test_names_shapes_and_the_default_layer() -> None:
    model = small()
    shape = (1, 3, 32, 48)
    graph = known_of(model).exported(model, shape, "").graph
    assert {"stem.0", "stem.2", "blocks.1.relu", "blocks.1.add", "blocks.1.relu_1", "mean", "fc"} <= set(graph.nodes)
    assert graph.outputs["stem"] is graph.nodes["stem.2"]
    assert graph.inputs["blocks.1"] is graph.outputs["blocks.0"]
    by_fx = {layer.name: layer.shape for layer in funcam.list_layers(small(), shape)}
    assert {layer: tuple(graph.shapes[graph.outputs[layer]]) for layer in by_fx if layer in graph.outputs} == {
        layer: size for layer, size in by_fx.items() if layer in graph.outputs
    }
    images = torch.randn(3, *shape[1:])
    for layer in (None, "last-conv"):
        cut = funcam.split(model, layer, example=images, via="export")
        assert cut.layer == funcam.split(model, layer).layer
        torch.testing.assert_close(cut(images)[0], funcam.split(model, layer)(images)[0])
    with pytest.raises(FuncamError, match=r"layer 'block' is not in Small; nearest: 'blocks'"):
        funcam.split(model, "block", example=images, via="export")


class Returning(nn.Module):
    """What a model may return besides a tensor, and arguments with defaults."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 5)
        self.scale = torch.tensor([1.0, 2, 3, 4, 5])  # neither parameter nor buffer

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None, *, factor: float = 2.0) -> Any:
        features = self.conv(x)
        logits = self.fc(features.mean((2, 3))) * self.scale * factor
        loss = None if labels is None else logits[labels].sum()
        ones = torch.ones(x.shape[0], 1)
        return OrderedDict(out=logits, both=(features, [ones, 3]), loss=loss, text="yes")


@pytest.mark.parametrize("via", ["fx", "export"])
def test_outputs_of_any_structure_and_arguments_with_defaults(via: str) -> None:
    model = Returning().eval()
    if via == "fx":  # a size has no value while fx traces
        model.forward = (lambda self, x, labels=None, factor=2.0: {"out": (factor, self.conv(x))}).__get__(model)
    want = model(IMAGES)
    A, head = funcam.split(model, "conv", example=IMAGES, via=via)(IMAGES)
    got = head(A)
    assert list(got) == list(want)
    flat, spec = torch.utils._pytree.tree_flatten(want)
    found, found_spec = torch.utils._pytree.tree_flatten(got)
    assert found_spec == spec
    for a, b in zip(found, flat, strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b)
        else:
            assert a == b


# --- one graph for each size and type, kept as long as the model ------------------------------------------------------


def test_a_model_is_exported_once_for_each_size_and_type(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "funcam.network.exported.export", lambda m, images: seen.append(images.shape) or export(m, images)
    )
    model = Applied(item_assigned)
    cut = funcam.split(model, "conv", example=IMAGES, via="export")
    for batch in (1, 2, 5):
        cut(torch.randn(batch, 3, 32, 32))
    assert len(seen) == 1
    wide = torch.randn(2, 3, 8, 10)
    A, head = cut(wide)
    torch.testing.assert_close(head(A), model(wide.clone()))
    cut(IMAGES)
    assert len(seen) == 2
    model.double()
    A, head = cut(wide.double())
    torch.testing.assert_close(head(A), model(wide.double()))
    assert len(seen) == 3


def test_changes_of_the_model_are_seen() -> None:
    model = Applied(item_assigned)
    cut = funcam.split(model, "conv", example=IMAGES, via="export")
    A, head = cut(IMAGES)
    old = head(A)
    with torch.no_grad():
        model.fc.weight.mul_(2)
        model.conv.bias.add_(1)
    A, head = cut(IMAGES)
    assert (head(A) - old).abs().max() > 1e-3
    torch.testing.assert_close(head(A), model(IMAGES.clone()))
    model.fc = nn.Linear(4, 7)
    A, head = cut(IMAGES)
    torch.testing.assert_close(head(A), model(IMAGES.clone()))


def test_nothing_keeps_an_exported_model_alive() -> None:
    model = Applied(item_assigned)
    cut = funcam.split(model, "conv", example=IMAGES, via="export")
    A, head = cut(IMAGES)
    want, gone, weight = head(A), weakref.ref(model), weakref.ref(model.fc)
    del model
    gc.collect()
    assert gone() is None
    assert weight() is None
    torch.testing.assert_close(head(cut(IMAGES)[0]), want)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode", ["inference", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("train", "no_grad", "frozen"))]
)
def test_export_in_any_mode_of_the_model_and_of_autograd(mode: str) -> None:
    model = tiny_vit()
    want = model(IMAGES).detach()
    model.train(mode == "train").requires_grad_(mode != "frozen")
    before = state_of(model)
    with torch.inference_mode(mode == "inference"), torch.set_grad_enabled(mode != "no_grad"):
        cut = funcam.split(model, "encoder.layers.encoder_layer_0", example=IMAGES, via="export")
        A, head = cut(IMAGES)
    torch.testing.assert_close(head(A), want)
    _, by_hand = features_and_gradients(model, cut.layer, IMAGES, torch.tensor([0, 1]))
    single = vjp(head, A.detach())[1](torch.eye(5)[:2])[0]
    torch.testing.assert_close(single, by_hand[:, 1:].transpose(1, 2).reshape(A.shape), rtol=1e-4, atol=1e-6)
    assert state_of(model) == before


def test_a_model_runs_in_another_thread_while_one_is_exported_here() -> None:
    plain = small(3)
    want = plain(IMAGES)
    stop, runs, trouble = threading.Event(), [], []

    def run() -> None:
        while not stop.is_set():
            try:
                runs.append(torch.allclose(plain(IMAGES), want, atol=1e-5))
            except Exception as error:
                trouble.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for seed in range(2):
            model = small(seed)
            A, head = funcam.split(model, example=IMAGES, via="export")(IMAGES)
            torch.testing.assert_close(head(A), model(IMAGES))
    finally:
        stop.set()
        thread.join()
    assert not trouble
    assert len(runs) > 5
    assert all(runs)


# --- what is refused -------------------------------------------------------------------------------------------------


class Unknown:
    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits


REFUSED = {
    "a branch": (lambda m, x: x if x.sum() > 0 else -x, r"control flow depends on the values.*test_exported\.py:\d+"),
    "a number": (lambda m, x: x * int(x.sum().item()), r"test_exported\.py:\d+ in <lambda>"),
    "a fixed batch": (lambda m, x: x.expand(len(x), -1, -1, -1), r"number of images for fixed \(use x\.shape\[0\]"),
    "numpy": (lambda m, x: torch.from_numpy(x.detach().numpy()), r"NumPy \(.*test_exported\.py:\d+"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_torch_export_cannot_follow(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    middle, reason = REFUSED[name]
    model = Applied(middle)
    before = state_of(model)
    with pytest.raises(FuncamError, match=rf"torch.export can't follow Applied: .*{reason}.*\(features, head\)") as e:
        funcam.split(model, "conv", example=IMAGES, via="export")
    assert "\n" not in str(e.value)
    assert state_of(model) == before
    assert capfd.readouterr().err == ""  # torch prints the graph so far


def test_a_return_type_that_torch_does_not_know() -> None:
    model = small()
    model.forward = (lambda self, x: Unknown(self.fc(self.stem(x).mean((2, 3))))).__get__(model)
    with pytest.raises(FuncamError, match=r"it returns a type that torch.export does not know.*\(features, head\)"):
        funcam.split(model, "stem", example=IMAGES, via="export")


def test_via_is_one_of_two() -> None:
    with pytest.raises(FuncamError, match="via='jit' is unknown; expected 'fx', 'tap', 'export' or None"):
        funcam.split(small(), via="jit")


def test_a_failed_export_prints_nothing_and_leaves_torch_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return (x * 2 if x.sum() > 0 else x).mean((2, 3))

    before = (nn.Module.__call__, sys.stderr, torch.backends.mha.get_fastpath_enabled())
    with pytest.raises(FuncamError, match=r"depends on the values of a tensor \(.*test_exported.py:\d+ in forward\)"):
        export(Moody(), torch.zeros(1, 3, 8, 8))
    assert capfd.readouterr() == ("", "")
    assert (nn.Module.__call__, sys.stderr, torch.backends.mha.get_fastpath_enabled()) == before


def test_exports_in_several_threads() -> None:
    """One after the other: torch's patches would get mixed up."""
    call, models = nn.Module.__call__, [nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()) for _ in range(3)]
    images = torch.randn(2, 3, 8, 8)
    with ThreadPoolExecutor(3) as threads:
        graphs = list(threads.map(lambda model: export(model, images), models))
    for graph, model in zip(graphs, models, strict=True):
        torch.testing.assert_close(graph.module(images), model(images))
    assert nn.Module.__call__ is call


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("ask", ["guided-backprop", "full-grad", "via"])
def test_what_the_exporter_says_of_a_models_code_is_not_heard(inside: bool, ask: str) -> None:
    """Warnings are errors here: torch warns of tensors that the code keeps as attributes."""

    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            A = self.conv(x).relu()
            for _ in range(len(A.shape)):  # nobody traces that
                (self.conv if inside else self).last = A
            return self.fc(A.mean((2, 3)))

    torch.manual_seed(0)  # of some weights no positive gradient comes through the ReLU
    model, images = Keeping().eval(), torch.rand(1, 3, 8, 8)
    if ask == "via":
        assert funcam.split(model, "conv", via="export", example=images)(images)[0].shape == (1, 4, 6, 6)
    else:
        assert funcam.explain(model, images, 1, method=ask).maps.any()
    assert not hasattr(model, "last")
    assert not hasattr(model.conv, "last")
