"""What is traced in one thread is seen by nobody else: not by models, not by other tracers, not afterwards."""

from __future__ import annotations

import math
import sys
import threading
from contextlib import suppress
from functools import partial

import pytest
import torch
from small import small, state_of, tiny_densenet, tiny_swin
from torch import fx, nn
from torch.fx import _symbolic_trace

import funcam
from funcam import FuncamError
from funcam.network.graph import trace

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def globals_of_torch():
    namespaces = [(name, namespace) for (_, name), namespace in _symbolic_trace._wrapped_fns_to_patch.items()]
    wrapped = [namespace[name] for name, namespace in namespaces if name in namespace]
    root = sys.modules["math"].sqrt  # not by a name that a shadow may hold
    return [nn.Module.__call__, nn.Module.__getattr__, root, *wrapped]


def state_of_torch():
    """What belongs to the process, and must be left as it is."""
    functional = [getattr(nn.functional, name) for name in dir(nn.functional)]
    root = [getattr(math, name) for name in dir(math) if not name.startswith("_")]
    flags = [torch.backends.mha.get_fastpath_enabled(), torch.compiler.is_compiling(), torch.compiler.is_exporting()]
    return [*globals_of_torch(), *functional, *[one for one in root if callable(one)], sys.stderr, *flags]


SEEN: list[list[object]] = []


class Looking(nn.Module):
    """A module that looks at torch's globals while it is traced."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        SEEN.append(globals_of_torch())
        return self.fc(self.conv(x).relu().mean((2, 3)) * math.sqrt(4))


def same(one, other):
    return all(a is b for a, b in zip(one, other, strict=True))


def test_nothing_is_patched_while_a_model_is_traced():
    before = globals_of_torch()
    SEEN.clear()
    trace(Looking())
    assert len(SEEN) == 1
    assert same(SEEN[0], before)
    assert same(globals_of_torch(), before)


CALLS = {
    "several layers": lambda m: funcam.explain(m, IMAGES, 1, layer=["stem", "blocks"]),
    "prototype-cam": lambda m: funcam.explain(m, IMAGES, 1, method="prototype-cam"),
    "guided": lambda m: funcam.explain(m, IMAGES, 1, method="guided-backprop"),
    "grad-cam": lambda m: funcam.explain(m, IMAGES, 1),
}


def in_threads(*functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


OFTEN = pytest.mark.parametrize("often", [2, pytest.param(10, marks=pytest.mark.slow)])
"""How often each call is made in each of four threads: more find more of what threads seldom do to each other."""


@OFTEN
def test_four_threads_trace_their_own_models_at_once(often):
    """Each calls another kind four times as often: each is right, and torch is as it was."""
    before, right = globals_of_torch(), []
    want = {name: call(small(3)).maps for name, call in CALLS.items()}

    def explaining(name):
        for _ in range(4 * often):
            right.append(torch.equal(CALLS[name](small(3)).maps, want[name]))

    in_threads(*(partial(explaining, name) for name in CALLS))
    assert right.count(True) == 16 * often
    assert same(globals_of_torch(), before)


def alike(maps, others):
    """Equal but for rounding: which kernel torch takes is another matter while other threads compute."""
    return torch.allclose(maps, others, rtol=1e-5, atol=1e-5 * float(others.abs().max()))


class Moody(nn.Module):
    """Control flow on values: its code is tapped."""

    def __init__(self, seed):
        super().__init__()
        self.net = small(seed)

    def forward(self, x):
        return self.net(x) if x.sum() > -1e9 else -self.net(x)


TAPPED = {
    "several layers": lambda m: funcam.explain(m, IMAGES, 1, layer=["net.stem", "net.blocks"]),
    "prototype-cam": lambda m: funcam.explain(m, IMAGES, 1, method="prototype-cam"),
    "ablation-cam": lambda m: funcam.explain(m, IMAGES, 1, method="ablation-cam"),
    "grad-cam": lambda m: funcam.explain(m, IMAGES, 1),
}


@OFTEN
@pytest.mark.parametrize(("make", "calls"), [(small, CALLS), (Moody, TAPPED)])
@pytest.mark.parametrize("shared", [False, True])
def test_four_threads_of_each_kind_of_call(make, calls, shared, often):
    """4 threads x 4 kinds of call on models of their own, or on one model: as many right maps."""
    before, right, trouble = state_of_torch(), [], []
    want = {name: call(make(3)).maps for name, call in calls.items()}
    one = make(3)
    unchanged = state_of(one)

    def explaining():
        try:
            for _ in range(often):
                for name, call in calls.items():
                    right.append(alike(call(one if shared else make(3)).maps, want[name]))
        except Exception as error:
            trouble.append(error)

    in_threads(*[explaining] * 4)
    assert trouble == []
    assert right.count(True) == 16 * often
    assert same(state_of_torch(), before)
    assert state_of(one) == unchanged


def test_the_users_own_fx_and_compile_go_on_in_another_thread():
    """Whatever we do, the user's trace is the same and so is what his compiled model returns."""
    before, done = state_of_torch(), threading.Event()
    model, compiled = small(4).eval(), torch.compile(small(4).eval(), backend="aot_eager")
    code, want = fx.symbolic_trace(model).code, model(IMAGES)
    codes, right, trouble = set(), [], []

    def theirs():
        try:
            while not done.is_set():
                codes.add(fx.symbolic_trace(model).code)
                torch.compiler.reset()
                right.append(torch.allclose(compiled(IMAGES), want, atol=1e-5))
        except Exception as error:
            trouble.append(error)

    def ours():
        for _ in range(10):
            with suppress(FuncamError):  # while fx's own patch is there it takes our twin for its own
                trace(Looking())
        done.set()

    in_threads(theirs, ours)
    assert trouble == []
    assert codes == {code}
    assert right
    assert all(right)
    assert same(state_of_torch(), before)


def test_the_users_own_tracer_is_left_alone():
    """fx itself patches what all threads see, so that nobody else may run a module meanwhile: we only trace here."""
    before, codes, done = globals_of_torch(), set(), threading.Event()
    plain = fx.symbolic_trace(small(3)).code

    def tracing():
        while not done.is_set():
            codes.add(fx.symbolic_trace(small(3)).code)

    def ours():
        for _ in range(20):
            with suppress(FuncamError):  # while fx's patch is there it takes our twin for its own
                trace(Looking())
        done.set()

    in_threads(tracing, ours)
    assert codes == {plain}
    assert same(globals_of_torch(), before)


def test_functions_that_are_recorded_as_one_operation_are_so_in_the_twin_alone():
    """torchvision's Swin calls functions of `torch.fx.wrap`: they are nodes, as in torchvision's own trace."""
    names = {getattr(node.target, "__name__", "") for node in trace(tiny_swin()).module.graph.nodes}
    assert "shifted_window_attention" in names
    assert trace(tiny_densenet()).module(IMAGES).shape == tiny_densenet()(IMAGES).shape


class Curved(nn.Module):
    """Activations that aren't piecewise linear, which full-grad and shapley-cam differentiate once more."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.SiLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU6()),
            *(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()),
        )
        self.fc = nn.Linear(6, 4)

    def forward(self, x):
        return self.fc(torch.tanh(self.body(x).mean((2, 3))))


# One of each way to go through a network: of the others only what is made of the features and gradients differs.
WAYS = {
    *("grad-cam", "finer-cam", "shapley-cam", "ablation-cam", "score-cam", "prototype-cam", "smooth-grad-cam++"),
    *("gradient", "guided-grad-cam", "full-grad"),
}


@pytest.mark.parametrize(
    "method",
    [
        name if name in WAYS else pytest.param(name, marks=pytest.mark.slow)
        for name in funcam.METHODS
        if name not in ("cam", "le-grad")
    ],
)
def test_every_method_is_right_in_four_threads(method):
    model, images, wrong = Curved().eval(), IMAGES[..., ::2, ::2], []

    def maps():
        return funcam.explain(model, images, 1, method=method).maps

    want = maps()

    def explaining():
        try:
            wrong.extend(1 for _ in range(3) if not alike(maps(), want))
        except Exception as error:
            wrong.append(error)

    in_threads(*[explaining] * 4)
    assert wrong == []
