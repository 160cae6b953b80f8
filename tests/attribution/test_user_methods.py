"""A function as ``method=``: a method of A and g, and as good as a named one."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from explanation_cases import IMAGES, MODEL
from small import Dense, features_and_gradients, small
from torch.nn import functional

import funcam
from funcam import METHODS, FuncamError
from funcam.attribution import batch_run


def weighted(A, g):
    """Written out, unlike funcam's: an einsum of the mean gradient and the features."""
    return torch.einsum("c,c...->...", g.flatten(1).mean(1), A).clamp(min=0)


def branching(A, g):
    return weighted(A, g) if float(g.sum()) > -1e9 else A[0]


def through_numpy(A, g):
    return torch.from_numpy(np.maximum((g.numpy().mean((1, 2))[:, None, None] * A.numpy()).sum(0), 0))


def spoiling(A, g):
    result = weighted(A, g)
    A.zero_()
    g.zero_()
    return result


@pytest.mark.parametrize("targets", [None, [[0, 1], [2, 3], [4, 4]], "all"])
@pytest.mark.parametrize("function", [weighted, branching, through_numpy, spoiling])
def test_a_function_is_given_the_features_and_the_gradient(function, targets):
    result = funcam.explain(MODEL, IMAGES, targets, method=function)
    assert (result.method, result.layer) == (function.__name__, "blocks")
    classes = result.targets if result.targets.ndim == 2 else result.targets[:, None]
    maps = result.maps if result.targets.ndim == 2 else result.maps[:, None]
    for k in range(classes.shape[1]):
        A, g = features_and_gradients(MODEL, "blocks", IMAGES, classes[:, k])
        want = (g.mean((2, 3), keepdim=True) * A).sum(1).relu()
        torch.testing.assert_close(maps[:, k], want, rtol=1e-4, atol=1e-6)


def test_one_image_and_one_class():
    for function in (weighted, branching, through_numpy):
        found = funcam.explain(MODEL, IMAGES[:1], 2, method=function)
        torch.testing.assert_close(found.maps, funcam.explain(MODEL, IMAGES[:1], 2).maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"memory": 1},
        {"layer": ["stem", "blocks"], "combine": "product"},
        {"smooth": "aug"},
        {"layer": "blocks.0.conv1"},
        {"targets": funcam.contrast(1)},
        {"targets": lambda logits: logits[:, :2] ** 2},
    ],
)
@pytest.mark.parametrize("function", [weighted, branching])
def test_it_goes_with_everything_a_named_method_goes_with(function, settings):
    settings = {"targets": "all", **settings}
    found = funcam.explain(MODEL, IMAGES, method=function, **settings)
    want = funcam.explain(MODEL, IMAGES, method="grad-cam", **settings)
    torch.testing.assert_close(found.maps, want.maps, rtol=1e-3, atol=1e-5)
    assert found.layer == want.layer


def test_chunks_never_hold_all_classes(monkeypatch):
    sizes = []
    split = torch.split
    monkeypatch.setattr(torch, "split", lambda *args: [sizes.append(len(part)) or part for part in split(*args)])
    funcam.explain(MODEL, IMAGES, "all", method=weighted, memory=1)
    assert sizes == [1] * 5


def test_it_is_differentiable_compiled_and_mapped():
    model = Dense(2, functional.softplus).double()
    images = torch.randn(1, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def energy(images, method):
        return funcam.explain(model, images, [2], layer="second", method=method, differentiable=True).maps.pow(2).sum()

    gradients = [torch.func.grad(functools.partial(energy, method=m))(images) for m in (weighted, "grad-cam")]
    assert gradients[1].abs().max() > 1e-8
    torch.testing.assert_close(*gradients)
    cut = funcam.split(MODEL)
    mapped = torch.vmap(lambda image: funcam.explain(cut, image[None], [1], method=weighted).maps[0])(IMAGES)
    want = funcam.explain(cut, IMAGES, 1).maps
    torch.testing.assert_close(mapped, want, rtol=1e-4, atol=1e-6)
    torch.compiler.reset()
    compiled = torch.compile(lambda x: funcam.explain(cut, x, 1, method=weighted).maps, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(IMAGES), want, rtol=1e-4, atol=1e-6)


def test_its_keywords_are_options():
    def power(A, g, *, p=1, samples="any"):
        return weighted(A, g) ** p

    squared = funcam.explain(MODEL, IMAGES, 1, method=power, p=2, samples="these").maps
    torch.testing.assert_close(squared, funcam.explain(MODEL, IMAGES, 1).maps ** 2, rtol=1e-3, atol=1e-6)
    for key in (power, "power"):
        (result,) = funcam.explain_methods(MODEL, IMAGES, 1, methods=[power], options={key: {"p": 2}})
        assert torch.equal(result.maps, squared)
    with pytest.raises(FuncamError, match=r"power\(A, g.*unexpected keyword argument 'q'"):
        funcam.explain(MODEL, IMAGES, method=power, q=2)


def test_eigen_smoothing_needs_a_reduction():
    signed = functools.partial(funcam.grad_cam, reduce=funcam.signed_sum)
    A, g = features_and_gradients(MODEL, "blocks", IMAGES, torch.tensor([1, 1, 1]))
    found = funcam.explain(MODEL, IMAGES, 1, method=signed)
    assert found.method == "grad_cam"
    torch.testing.assert_close(found.maps, (g.mean((2, 3), keepdim=True) * A).sum(1), rtol=1e-4, atol=1e-6)
    want = funcam.explain(MODEL, IMAGES, 1, smooth="eigen").maps
    torch.testing.assert_close(funcam.explain(MODEL, IMAGES, 1, method=signed, smooth="eigen").maps, want)
    with pytest.raises(FuncamError, match="weighted has no weighted channels to smooth"):
        funcam.explain(MODEL, IMAGES, method=weighted, smooth="eigen")


@pytest.mark.parametrize("name", ["grad-cam", "xgrad-cam", "finer-cam", "shapley-cam", "ablation-cam", "score-cam"])
def test_a_public_function_and_a_line_of_the_table_are_the_method(name):
    want = funcam.explain(MODEL, IMAGES, [[0, 1], [2, 3], [4, 4]], method=name)
    for method in (METHODS[name], METHODS[name].function()):
        found = funcam.explain(MODEL, IMAGES, [[0, 1], [2, 3], [4, 4]], method=method)
        assert found.method == name
        assert torch.equal(found.maps, want.maps)


def test_both_gradients_are_recognised():
    results = funcam.explain_methods(
        MODEL, IMAGES, 1, methods=[funcam.gradient, funcam.guided_backprop, weighted, "fem", METHODS["cam"]]
    )
    assert [r.method for r in results] == ["gradient", "guided-backprop", "weighted", "fem", "cam"]
    for result in results[:2]:
        assert torch.equal(result.maps, funcam.explain(MODEL, IMAGES, 1, method=result.method).maps)
    (alone,) = funcam.explain_methods(MODEL, IMAGES, 1, methods=weighted)
    assert torch.equal(alone.maps, results[2].maps)


def test_no_forward_pass_is_added(monkeypatch):
    calls = []
    tail = batch_run.run_tail
    monkeypatch.setattr(batch_run, "run_tail", lambda *args: calls.append(1) or tail(*args))
    funcam.explain_methods(MODEL, IMAGES, "all", methods=[weighted, branching, "grad-cam"])
    assert calls == [1]


def test_integers_and_booleans_become_numbers():
    found = funcam.explain(MODEL, IMAGES, 1, method=lambda A, g: weighted(A, g) > 0).maps
    assert found.dtype == torch.float32
    assert torch.equal(found, (funcam.explain(MODEL, IMAGES, 1).maps > 0).float())
    assert found.unique().tolist() == [0, 1]


class GradCAM:
    def __init__(self, model, target_layers): ...


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda A, g: A * g, r"returned torch.float32 \[6, 8, 8\].*expected a map, a tensor of real numbers \[8, 8\]"),
        (lambda A, g: weighted(A, g)[None], r"returned torch.float32 \[1, 8, 8\]"),
        (lambda A, g: 3.0, "returned a float"),
        (lambda A, g: weighted(A, g).numpy(), "returned a ndarray"),
        (lambda A, g: weighted(A, g) * 1j, "returned torch.complex64"),
        (lambda A, g: A.nonsense, r"failed on A and g of shape \[6, 8, 8\]: AttributeError"),
        (lambda A, g: A @ torch.ones(3), "failed on A and g of shape"),
        (lambda A: A.sum(0), r"can't be called as <lambda>\(A, g\).*expected a function of the features A"),
        (lambda A, g, h: A.sum(0), "missing a required argument: 'h'"),
        (lambda A, g, *, p: A.sum(0), "missing a required.*'p'"),
        (torch.mul, r"'mul' returned torch.float32 \[6, 8, 8\]"),
        (GradCAM, r"the class GradCAM was given as a method.*nearest: 'grad-cam'"),
        (None, "method None is no name"),
        (3, "method 3 is no name"),
        (["grad-cam"], "expected one method .several: explain_methods"),
        (funcam.deep_feature_factorization, "too many positional arguments"),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_no_method_is_refused(method, message, count):
    with pytest.raises(FuncamError, match=message) as caught:
        funcam.explain(small(), IMAGES[:count], method=method)
    assert "\n" not in str(caught.value)
