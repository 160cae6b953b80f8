"""What a model's own code does while it is explained: it works, by hand's measure, or is told with its place."""

from __future__ import annotations

import copy
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint_sequential

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.a, self.b = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 2, 1)
            self.fc = nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.behind(self.b(torch.relu(self.a(x)))).mean((2, 3)))

    def behind(self, x):
        return torch.relu(x)


def by_hand(model, layer, images=IMAGES, target=0):
    """Grad-CAM by autograd, on a copy whose layer's output is added to."""
    model, seen = copy.deepcopy(model).eval(), []

    def hook(_module, _given, out):
        seen.append((out.detach(), torch.zeros_like(out, requires_grad=True)))
        return out + seen[-1][1]

    handle = model.get_submodule(layer).register_forward_hook(hook)
    outputs = model(images)
    handle.remove()
    ((A, delta),) = seen
    (gradient,) = torch.autograd.grad(outputs[:, target].sum(), delta)
    return (gradient.mean((2, 3), keepdim=True) * A).sum(1).relu()


def assert_as_by_hand(model, layer, **options):
    expected = by_hand(model, layer)
    assert expected.any()
    maps = funcam.explain(model, IMAGES, 0, layer=layer, **options).maps
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-7)
    assert not maps.requires_grad


def refused(model, **options):
    with pytest.raises(FuncamError) as caught:
        funcam.explain(model, IMAGES, options.pop("targets", 0), **options)
    return str(caught.value)


BY_TORCH = pytest.mark.skipif(
    torch.__version__ < "2.12", reason="torch 2.11's compiler fails in its own code, in what the model calls"
)
doubled = torch.compile(lambda x: torch.relu(x) * 2, backend="eager", fullgraph=True)


class CompiledGlobal(Net):
    def behind(self, x):
        return doubled(x)


class CompiledAttribute(Net):
    def __init__(self):
        super().__init__()
        self.own = torch.compile(lambda x: torch.relu(x) * 3, backend="eager")

    def behind(self, x):
        return self.own(x)


class Cond(Net):
    def behind(self, x):
        return torch.cond(x.sum() > 1e9, lambda z: z.tanh(), lambda z: z.relu(), (x,))


class ByType(Net):
    def forward(self, x):
        for module in self.children():
            if type(module) is nn.Conv2d:
                x = torch.relu(module(x))
        return self.fc(x.mean((2, 3)))


class ByTypeAndValue(ByType):
    def forward(self, x):
        return super().forward(x if x.sum().item() < 1e9 else 2 * x)


class Making(Net):
    def behind(self, x):
        if not hasattr(self, "extra"):
            self.extra = nn.ReLU()
        return self.extra(x)


class Tutorial(Net):
    """The Grad-CAM tutorial's: a hook on a tensor keeps its gradient."""

    def behind(self, x):
        x.register_hook(self.keep)
        return torch.relu(x)

    def keep(self, gradient):
        self.gradient = gradient


class Inner(Net):
    """A derivative is a part of what it computes."""

    def behind(self, x):
        with torch.enable_grad():
            return x * torch.autograd.grad((x**3).sum(), x, create_graph=True)[0]


class Threads(Net):
    """A module in another thread."""

    def forward(self, x):
        with ThreadPoolExecutor(1) as pool:
            x = pool.submit(lambda: self.b(torch.relu(self.a(x)))).result()
        return self.fc(torch.relu(x).mean((2, 3)) * (1 + 0 * x.sum().item()))


class HalfInThreads(Net):
    """One of two ways to the outputs goes through another thread, without a module."""

    def behind(self, x):
        with ThreadPoolExecutor(1) as pool:
            return torch.relu(x) + pool.submit(lambda: x * x).result()


class OwnCall(Net):
    class Conv(nn.Conv2d):
        def __call__(self, x):
            return 2 * super().__call__(x)

    def __init__(self):
        super().__init__()
        self.b = self.Conv(6, 6, 3, 2, 1)


class HookWhileRunning(Net):
    def forward(self, x):
        self.b.register_forward_hook(lambda _m, _g, out: out * 3)
        x = self.b(torch.relu(self.a(x)))
        return self.fc(torch.relu(x).mean((2, 3)) * (1 + 0 * x.sum().item()))


OF_COMPILED, OF_COND = (pytest.param(kind, marks=BY_TORCH) for kind in (CompiledGlobal, Cond))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch.compile looks at it
@pytest.mark.parametrize("layer", ["a", "b"])
@pytest.mark.parametrize(
    "kind",
    [OF_COMPILED, CompiledAttribute, OF_COND, ByType, ByTypeAndValue, Making, Tutorial, Inner, Threads, HalfInThreads],
)
def test_it_is_explained_as_by_hand(kind, layer):
    model = kind()
    assert_as_by_hand(model, layer)


def test_a_class_with_a_call_of_its_own_is_tapped_behind_it():
    model = OwnCall()
    with torch.no_grad():
        A, head = funcam.split(model, "b", via="tap")(IMAGES)
        torch.testing.assert_close(A, model.b(torch.relu(model.a(IMAGES))))
        torch.testing.assert_close(head(2 * A), model.fc(torch.relu(2 * A).mean((2, 3))))


def test_hooks_hung_up_while_the_model_runs_are_before_the_tap():
    model = HookWhileRunning()
    with torch.no_grad():
        A, _ = funcam.split(model, "b")(IMAGES)
        torch.testing.assert_close(A, 3 * model.b(torch.relu(model.a(IMAGES))))


@pytest.mark.parametrize("method", ["ablation-cam", "smooth-grad", "grad-cam++"])
@pytest.mark.parametrize("kind", [OF_COMPILED, Tutorial, HalfInThreads])
def test_other_methods_go_the_same_way(kind, method):
    maps = funcam.explain(kind(), IMAGES, 0, layer="b", method=method).maps
    assert maps.isfinite().all()
    assert maps.any()
    assert not maps.requires_grad


def test_retain_grad_in_a_hook_beside_one_that_computes():
    model = Net()
    model.b.register_forward_hook(lambda _m, _g, out: out * 2)
    model.a.register_forward_hook(lambda _m, _g, out: out.retain_grad())
    assert_as_by_hand(model, "a")


class Late(Net):
    error: Exception | None = None

    def behind(self, x):
        if self.error is not None:
            raise self.error
        return torch.relu(x if x.sum().item() < 1e9 else 2 * x)


class Own(Exception):
    """An error of the user's."""


@pytest.mark.parametrize(
    "error",
    [
        *(AttributeError("late"), KeyError("late"), OSError("late"), StopIteration("late"), RuntimeError("late")),
        *(TypeError("late"), AssertionError("late"), Own("late"), NotImplementedError("late"), IndexError("late")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_its_code_raises_at_a_later_call_is_told_with_its_place(error):
    model = Late()
    funcam.explain(model, IMAGES, 0, layer="b")
    model.error = error
    said = refused(model, layer="b")
    assert "the code of Late fails on images of shape [1, 3, 32, 40]" in said
    assert f"{type(error).__name__}: " in said
    assert re.search(r"late.*test_raw_errors.py:\d+ in behind", said)
    assert "can't take" not in said
    with pytest.raises(FuncamError, match="late"):
        funcam.split(model, "b")(IMAGES)


def test_images_are_blamed_for_their_shape_alone():
    class Fixed(Net):
        def behind(self, x):
            return x.reshape(len(x), 6, 8, 8)

    assert "can't take images of shape [1, 3, 32, 40]" in refused(Fixed(), layer="b")
    funcam.explain(Fixed(), IMAGES[..., :32], 0, layer="b")


class Out:
    def __init__(self, logits):
        self.logits = logits


class Custom(Net):
    def forward(self, x):
        return Out(super().forward(x))


def test_outputs_of_a_class_that_nobody_knows():
    for call in (
        lambda: funcam.split(Custom(), example=IMAGES),
        lambda: funcam.split(Custom(), "b", example=IMAGES),
        lambda: funcam.explain(Custom(), IMAGES),
    ):
        with pytest.raises(
            FuncamError, match=r"Custom returns a Out, in which no tensor is found.*register_pytree_node"
        ):
            call()
    pytree.register_pytree_node(Out, lambda out: ([out.logits], None), lambda parts, _: Out(*parts))
    maps = funcam.explain(Custom(), IMAGES, 0, layer="b", output="logits").maps
    torch.testing.assert_close(maps, by_hand(Net(), "b"), rtol=1e-4, atol=1e-7)


def test_outputs_without_a_derivative():
    class Chosen(Net):
        def forward(self, x):
            return super().forward(x).argmax(1)

    assert "Chosen returns torch.int64 only" in refused(Chosen(), targets=None)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.b, self.fc = nn.Conv2d(3, 6, 3, 2, 1).to(torch.complex64), nn.Linear(6, 5)

    def forward(self, x):
        return self.fc(self.b(x.to(torch.complex64)).abs().mean((2, 3)))


@pytest.mark.filterwarnings("ignore:Complex modules")
def test_complex_features_are_refused_with_a_layout_that_works():
    model = Complex()
    for method in ("grad-cam", "ablation-cam", "eigen-cam", "dff"):
        said = refused(model, layer="b", method=method)
        assert f"layer 'b' holds complex numbers, of which {method} makes no map" in said
    layout = eval(re.search(r"layout=(\(lambda.*\))$", said)[1])
    result = funcam.explain(model, IMAGES, 0, layer="b", layout=layout)
    A = model.b(IMAGES.to(torch.complex64)).detach()
    parts = torch.stack([A.real, A.imag], 2).flatten(1, 2).requires_grad_()
    size = torch.stack([parts[:, ::2], parts[:, 1::2]], -1).square().sum(-1).sqrt()
    (gradient,) = torch.autograd.grad(model.fc(size.mean((2, 3)))[:, 0].sum(), parts)
    expected = (gradient.mean((2, 3), keepdim=True) * parts).sum(1).relu()
    torch.testing.assert_close(result.maps, expected.detach(), rtol=1e-4, atol=1e-7)


def test_sparse_logits_are_logits():
    class Sparse(Net):
        def forward(self, x):
            return super().forward(x).to_sparse()

    maps = funcam.explain(Sparse(), IMAGES, 0, layer="b").maps
    torch.testing.assert_close(maps, by_hand(Net(), "b"), rtol=1e-4, atol=1e-7)
    assert funcam.explain(Sparse(), IMAGES).layer == funcam.explain(Sparse(), IMAGES, layer="b").layer


class Deep(Net):
    def __init__(self):
        super().__init__()
        self.seq = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1))

    def behind(self, x):
        return self.seq(torch.relu(x))


class WithoutGradients(Deep):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize("layer", ["a", "seq.0", None])
def test_a_model_without_gradients_is_told_as_such_and_helped(layer):
    model = WithoutGradients()
    assert "its code runs without gradients" in refused(model, layer=layer)
    model.forward = type(model).forward.__wrapped__.__get__(model)
    funcam.explain(model, IMAGES, 0, layer=layer)


def test_layers_are_named_that_work():
    class Frozen(Deep):
        def behind(self, x):
            with torch.no_grad():
                x = self.seq[0](x)
            return self.seq[2](torch.relu(x))

    said = refused(Frozen(), layer="a")
    assert "don't depend on layer 'a'" in said
    for named in re.findall(r"'([^']+)'", said.partition("name one on which they do")[2]):
        funcam.explain(Frozen(), IMAGES, 0, layer=named)


def test_layers_inside_a_reentrant_checkpoint():
    class Reentrant(Deep):
        def behind(self, x):
            return checkpoint_sequential(self.seq, 2, torch.relu(x), use_reentrant=True)

    assert "use_reentrant=False" in refused(Reentrant(), layer="seq.0")
    assert "name one that is: 'seq." in refused(Reentrant(), layer="seq")


def test_weights_made_while_it_runs():
    class Lazy(Net):
        def behind(self, x):
            if not hasattr(self, "more"):
                self.more = nn.Conv2d(6, 6, 1)
            return torch.relu(self.more(x))

    model = Lazy()
    assert "run it once before: model(images)" in refused(model, layer="b")
    model(IMAGES)
    assert_as_by_hand(model, "b")


def test_what_a_model_takes_beside_images_is_named():
    class Two(Net):
        def forward(self, x, age=None):
            return super().forward(x) * age.mean()

    assert "it takes (x, age): give what it needs beside the images by inputs=" in refused(Two(), layer="b")
    funcam.explain(Two(), IMAGES, 0, layer="b", inputs={"age": torch.ones(1)})


def test_detectors_are_sent_to_the_detector():
    model = torchvision.models.detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None)
    assert "funcam.detector(model)" in refused(model)


def test_bytes_may_be_what_a_model_takes():
    class Bytes(Net):
        def forward(self, x):
            return super().forward(x.float() / 255)

    images = (IMAGES.abs() * 60).to(torch.uint8)
    with pytest.raises(FuncamError, match=r"images\.float\(\) where the model scales them itself"):
        funcam.explain(Bytes(), images)
    assert funcam.explain(Bytes(), images.float(), 0, layer="b").maps.shape == (2, 8, 10)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_backward_hook_that_needs_the_gradient_before_its_layer():
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), *pooled)
    plain = copy.deepcopy(model)
    model[2].register_full_backward_hook(lambda _module, given, _made: (2 * given[0],))
    with pytest.raises(FuncamError, match=r"a backward hook.* fails: TypeError: .*name an earlier layer, or"):
        funcam.explain(model, IMAGES, 1, layer="2")
    want = funcam.explain(plain, IMAGES, 1, layer="2").maps
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1, layer="2", hooks=False).maps, want)
    earlier = funcam.explain(plain, IMAGES, 1, layer="0").maps
    torch.testing.assert_close(funcam.explain(model, IMAGES, 1, layer="0").maps, 2 * earlier)
