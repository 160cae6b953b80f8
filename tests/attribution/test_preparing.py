"""`funcam.prepare`: the fast path says what `explain` says, touches nothing, and notices that the model was changed."""

from __future__ import annotations

import pytest
import torch
from compiled import COMPILER, Branching
from small import randomised, small, state_of, tiny_densenet, tiny_vit
from torch import nn

import funcam
from funcam import FuncamError, FuncamWarning
from funcam.attribution.preparing import agreement

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Dense(nn.Module):
    """BatchNorms behind a convolution, a transposed one and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.up, self.norm2 = nn.ConvTranspose2d(4, 6, 3), nn.BatchNorm2d(6)
        self.grouped, self.norm4 = nn.ConvTranspose2d(6, 6, 3, groups=2), nn.BatchNorm2d(6)  # as it is
        self.fc, self.norm3 = nn.Linear(6, 5), nn.BatchNorm1d(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm2(self.up(torch.relu(self.norm1(self.conv(x))))))
        x = torch.relu(self.norm4(self.grouped(x)))
        return self.norm3(self.fc(x.mean((2, 3))))


class Shared(nn.Module):
    """What may not be folded: a convolution with two readers, one with a weight of another's, one read by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.one, self.norm1, self.other = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.other.weight = self.one.weight
        self.read, self.norm2, self.fc = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.conv(x)
        a = torch.relu(self.norm(a) + a)
        a = torch.relu(self.norm1(self.one(a)) + self.other(a))
        a = torch.relu(self.norm2(self.read(a)) + self.read.weight.sum())
        return self.fc(a.mean((2, 3)))


MODELS = {
    "small": (small, 5),
    "dense": (lambda: randomised(Dense()), 3),
    "shared": (lambda: randomised(Shared()), 0),
    "densenet": (tiny_densenet, None),
    "vit": (tiny_vit, 0),
}


# What "aot_eager" compiles goes through dynamo as well, which is all of "eager".
BACKENDS = [None, pytest.param("eager", marks=pytest.mark.slow), "aot_eager"]


# Of the compiled ones CI compiles a convnet and a transformer; what is folded of the others it sees uncompiled.
EACH = [
    *((name, None) for name in MODELS),
    *((name, "aot_eager") for name in ("small", "vit")),
    *(pytest.param(name, "aot_eager", marks=pytest.mark.slow) for name in ("dense", "shared", "densenet")),
    *(pytest.param(name, "eager", marks=pytest.mark.slow) for name in MODELS),
]


@pytest.mark.parametrize(("name", "backend"), EACH)
def test_it_is_what_explain_says(name, backend):
    make, count = MODELS[name]
    model = make().eval()
    fast = funcam.prepare(model, example=IMAGES, backend=backend)
    result, exact = fast(IMAGES), funcam.explain(model, IMAGES)
    assert count is None or fast.folded == count
    assert (fast.compiled, fast.layer, result.layer, result.method) == (
        backend is not None,
        exact.layer,
        exact.layer,
        "grad-cam",
    )
    torch.testing.assert_close(result.maps, exact.maps, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(result.outputs, exact.outputs, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(result.scores, exact.scores, rtol=1e-3, atol=1e-5)
    assert torch.equal(result.targets, exact.targets)
    assert fast.correlation > 0.9999
    assert 0 <= fast.difference < 1e-3


def test_methods_targets_and_layers():
    model = small().eval()
    for method in ("grad-cam++", "layer-cam", "xgrad-cam", "score-cam"):
        fast = funcam.prepare(model, "blocks.0", example=IMAGES, method=method, targets="all", backend=None)
        exact = funcam.explain(model, IMAGES, "all", layer="blocks.0", method=method)
        torch.testing.assert_close(fast(IMAGES).maps, exact.maps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("backend", [None, "eager"])
def test_classes_of_each_image_are_given_with_it(backend):
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, targets=[[0, 1], [2, 1]], backend=backend)
    other = [[1, 2], [0, 0]]
    torch.testing.assert_close(
        fast(IMAGES, other).maps, funcam.explain(model, IMAGES, other).maps, rtol=1e-3, atol=1e-5
    )
    for wrong, said in ((None, "give them"), ([0, 1], "shape"), ([[0, 1], [2, 99]], "out of range")):
        with pytest.raises(FuncamError, match=said):
            fast(IMAGES, wrong)
    with pytest.raises(FuncamError, match="settled when it was prepared"):
        funcam.prepare(model, example=IMAGES, targets=1, backend=None)(IMAGES, [1, 1])


def test_a_type_that_is_too_narrow_is_named():
    fast = funcam.prepare(small().eval(), example=IMAGES, dtype=torch.float16, backend=None)
    with pytest.raises(FuncamError, match=r"a wider type than torch.float16"):
        fast(IMAGES * 1e6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_number_of_images_where_it_is_dynamic(backend):
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, dynamic=True, backend=backend)
    for count in (0, 1, 2, 3, 5):
        images = torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(count))
        torch.testing.assert_close(fast(images).maps, funcam.explain(model, images).maps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        (None, torch.bfloat16),
        (None, torch.float16),
        ("aot_eager", torch.bfloat16),
        pytest.param("aot_eager", torch.float16, marks=pytest.mark.slow),
    ],
)
def test_in_half_precision_maps_are_float32_and_near(dtype, backend):
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, dtype=dtype, backend=backend)
    result = fast(IMAGES)
    exact = funcam.explain(model, IMAGES, result.targets)
    assert result.outputs.dtype == dtype
    assert result.maps.dtype == torch.float32
    assert 0 < (result.maps - exact.maps).abs().max() <= 0.1 * exact.maps.max()
    assert 0.95 < fast.correlation < 1


def test_the_callers_modes_change_nothing():
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, backend="eager")
    expected = fast(IMAGES)
    with torch.inference_mode():
        inside = fast(IMAGES + 0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = fast(IMAGES)
    recorded = fast(IMAGES.clone().requires_grad_())
    for other in (inside, cast, recorded):
        assert torch.equal(other.maps, expected.maps)
        assert not other.maps.requires_grad
        assert not other.maps.is_inference()


def test_what_it_returns_is_the_callers():
    fast = funcam.prepare(small().eval(), example=IMAGES, backend="eager")
    first = fast(IMAGES)
    kept = first.maps.clone(), first.outputs.clone()
    second = fast(-IMAGES)
    assert torch.equal(first.maps, kept[0])
    assert torch.equal(first.outputs, kept[1])
    assert first.maps.data_ptr() != second.maps.data_ptr()


@pytest.mark.parametrize("backend", [None, "eager"])
def test_the_model_is_only_read(backend):
    model = small().train()
    model.blocks[0].eval()
    model.stem.requires_grad_(False)
    model(IMAGES).sum().backward()
    before, layout = state_of(model), [p.stride() for p in model.parameters()]
    fast = funcam.prepare(model, example=IMAGES, backend=backend, dtype=torch.bfloat16)
    fast(IMAGES)
    assert state_of(model) == before
    assert [p.stride() for p in model.parameters()] == layout


def _trained(model: nn.Module) -> None:
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    model(IMAGES).sum().backward()
    optimiser.step()


def _of_one_number(model: nn.Module) -> None:
    with torch.no_grad():
        model.fc.bias[1] += 1


CHANGES = {
    "one number": _of_one_number,
    "a step of an optimiser": _trained,
    "weights loaded": lambda m: m.load_state_dict(small(seed=1).state_dict()),
    "written through .data": lambda m: m.fc.weight.data.mul_(1.5),
    "other memory": lambda m: setattr(m.fc.weight, "data", m.fc.weight.data.clone()),
    "statistics": lambda m: m.train()(IMAGES),
    "a parameter replaced": lambda m: setattr(m.fc, "weight", nn.Parameter(m.fc.weight.detach().clone())),
    "a module replaced": lambda m: setattr(m, "fc", nn.Linear(m.fc.in_features, 3)),
    "a setting": lambda m: setattr(m.stem[1], "eps", 0.1),
    "a hook": lambda m: m.fc.register_forward_hook(lambda module, given, out: 2 * out),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_stale_when_the_model_is_changed(change):
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, backend=None)
    fast(IMAGES)
    CHANGES[change](model)
    with pytest.raises(FuncamError, match="prepare it again"):
        fast(IMAGES)
    if change != "a hook":  # (of which a graph has none)
        funcam.prepare(model, example=IMAGES, backend=None)(IMAGES)


def test_going_on_without_a_change_is_no_change():
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, backend=None)
    expected = fast(IMAGES).maps
    model.train()
    model.eval()
    model(IMAGES).sum().backward()
    funcam.explain(model, IMAGES)
    assert torch.equal(fast(IMAGES).maps, expected)


def test_what_can_not_be_compiled_runs_as_it_is_and_says_so():
    def broken(graph, example):
        raise RuntimeError("no compiler here")

    model = small().eval()
    with pytest.warns(FuncamWarning, match=r"not compiled.*no compiler here"):
        fast = funcam.prepare(model, example=IMAGES, backend=broken)
    assert not fast.compiled
    assert fast.folded == 5
    torch.testing.assert_close(fast(IMAGES).maps, funcam.explain(model, IMAGES).maps, rtol=1e-3, atol=1e-5)


def test_a_model_that_is_not_cut_by_its_graph_is_as_it_is_and_says_so():
    model = Branching().eval()
    with pytest.warns(FuncamWarning, match="neither folded nor compiled"):
        fast = funcam.prepare(model, example=IMAGES)
    assert (fast.folded, fast.compiled) == (0, False)
    torch.testing.assert_close(fast(IMAGES).maps, funcam.explain(model, IMAGES).maps, rtol=1e-3, atol=1e-5)


def test_maps_that_are_others_are_refused():
    def wrong(graph, example):  # a compiler that makes another function
        def run(*given):
            first, *rest = graph(*given)
            return (first.flip(-1), *rest)

        return run

    with pytest.raises(FuncamError, match=r"not those of explain.*correlation"):
        funcam.prepare(small().eval(), example=IMAGES, backend=wrong)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES[:1], "dynamic=True"),
        (IMAGES[..., :16], "example of that kind"),
        (IMAGES.double(), "float64"),
        ([1], "a tensor"),
    ],
)
def test_images_of_another_kind_are_refused(images, said):
    fast = funcam.prepare(small().eval(), example=IMAGES, backend=None)
    with pytest.raises(FuncamError, match=said):
        fast(images)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": torch.float64}, "bfloat16"),
        ({"dynamic": 1}, "True or False"),
        ({"layer": ["stem", "blocks"]}, "one layer"),
        ({"differentiable": True}, "differentiable"),
        ({"inputs": [1]}, "inputs"),
        ({"samples": 3}, "no option 'samples'"),
        ({"layer": "nowhere"}, "nearest"),
        ({"example": [1]}, "tensor"),
        ({"example": IMAGES[:0]}, "at least one"),
    ],
)
def test_what_can_not_be_prepared_is_refused(options, said):
    with pytest.raises(FuncamError, match=said):
        funcam.prepare(small().eval(), **{"example": IMAGES, "backend": None, **options})
    with pytest.raises(FuncamError, match="copy of a module"):
        funcam.prepare(funcam.split(small().eval()), example=IMAGES)


@pytest.mark.slow
@torch._dynamo.config.patch(recompile_limit=2)
def test_many_models_can_be_prepared():
    """torch compiles the code of one function only so often: here twice."""
    for seed in range(4):
        layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
        model = randomised(nn.Sequential(*layers), seed).eval()
        fast = funcam.prepare(model, example=IMAGES, backend="eager")
        torch.testing.assert_close(fast(IMAGES).maps, funcam.explain(model, IMAGES).maps, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(
    not COMPILER, reason="torch.compile needs a C++ compiler and Python's headers, and they aren't here"
)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_it_is_what_explain_says(dtype, dynamic):
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, dtype=dtype, dynamic=dynamic)
    assert fast.compiled
    for images in (-IMAGES, torch.cat([IMAGES, -IMAGES, IMAGES]) if dynamic else IMAGES):
        result = fast(images)
        exact = funcam.explain(model, images, result.targets)
        tolerance = 1e-4 if dtype is None else 0.1
        assert (result.maps - exact.maps).abs().max() <= tolerance * exact.maps.max()


class InSteps(nn.Module):
    """A linear layer whose rows are no images: the BatchNorm behind it is over the steps, as many as it has outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.mixed, self.of_steps = nn.Linear(64, 4), nn.BatchNorm1d(4)
        self.fc, self.of_rows = nn.Linear(16, 5), nn.BatchNorm1d(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.norm(self.conv(x)))
        steps = torch.nn.functional.adaptive_avg_pool2d(a, 8).flatten(2)
        return self.of_rows(self.fc(torch.relu(self.of_steps(self.mixed(steps))).flatten(1)))


def test_a_norm_over_steps_is_not_folded_into_rows():
    model = randomised(InSteps()).eval()
    fast = funcam.prepare(model, example=IMAGES, backend=None)
    assert fast.folded == 2
    torch.testing.assert_close(fast(IMAGES).outputs, model(IMAGES).detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast(IMAGES).maps, funcam.explain(model, IMAGES).maps, rtol=1e-3, atol=1e-5)


class Graphs:
    """A compiler that keeps what it is given and compiles nothing."""

    def __init__(self) -> None:
        self.graphs: list[torch.fx.GraphModule] = []

    def __call__(self, graph: torch.fx.GraphModule, example: list[torch.Tensor]) -> torch.fx.GraphModule:
        self.graphs.append(graph)
        return graph

    def largest(self) -> int:
        """The most numbers in a value of the graphs."""
        values = [node.meta.get("example_value") for graph in self.graphs for node in graph.graph.nodes]
        return max(value.numel() for value in values if isinstance(value, torch.Tensor))


@pytest.mark.parametrize(
    "targets",
    [
        "all",
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ([[0, 1], [2, 1]], funcam.probability([[0, 1], [2, 1]]))
        ),
    ],
)
def test_it_is_compiled_once(targets):
    model, compiler = small().eval(), Graphs()
    fast = funcam.prepare(model, example=IMAGES, targets=targets, backend=compiler)
    own = (targets,) if isinstance(targets, list) else ()
    for images in (IMAGES, -IMAGES):
        fast(images, *own)
    assert len(compiler.graphs) == 1


@pytest.mark.parametrize(
    "method",
    ["grad-cam++", "layer-cam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("grad-cam", "xgrad-cam"))],
)
def test_many_classes_are_products_when_they_are_compiled(method):
    layers = (nn.Conv2d(3, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 200))
    model = randomised(nn.Sequential(*layers)).eval()
    compiler = Graphs()
    fast = funcam.prepare(model, example=IMAGES, targets="all", method=method, backend=compiler)
    A = funcam.split(model, example=IMAGES)(IMAGES)[0]
    assert compiler.largest() < 200 * A.numel(), "no gradient of the features' size for each class"
    exact = funcam.explain(model, IMAGES, "all", method=method)
    torch.testing.assert_close(fast(IMAGES).maps, exact.maps, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("maps", "exact", "expected"),
    [
        ([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], (1.0, 0.0)),
        ([[3.0, 2.0, 1.0]], [[1.0, 2.0, 3.0]], (-1.0, 2 / 3)),
        ([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], [[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], (1.0, 1.0)),  # constant: by its size
        ([[[0.0, 1.0], [1e-3, 0.0]]], [[[0.0, 1.0], [0.0, 1e-3]]], (1.0, 1e-3)),  # beside another map it is nothing
        ([[[0.0, 1.0], [0.5, 0.0]]], [[[0.0, 1.0], [0.0, 0.5]]], (-1.0, 0.5)),
        ([[1.0, 2.0]], [[0.0, 0.0]], (1.0, 2.0)),
    ],
)
def test_agreement(maps, exact, expected):
    found = agreement(torch.tensor(maps), torch.tensor(exact))
    assert found == pytest.approx(expected)


def test_a_layer_in_front_of_a_batchnorm_returns_what_it_did() -> None:
    """With the BatchNorm folded into it it would be another layer."""
    model = randomised(Dense()).eval()
    every = funcam.prepare(model, "norm2", example=IMAGES, backend=None).folded
    fast = funcam.prepare(model, "up", example=IMAGES, backend=None)
    assert fast.folded == every - 1
    want = funcam.explain(model, IMAGES, layer="up").maps
    torch.testing.assert_close(fast(IMAGES).maps, want, rtol=1e-4, atol=1e-5 * float(want.max()))
