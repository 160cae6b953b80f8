"""Augmentation and eigen smoothing, over any method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import double, small

import funcam
from funcam import METHODS, FuncamError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
MODEL = small()
WEIGHTED = (
    "cam",
    "grad-cam",
    "grad-cam++",
    "xgrad-cam",
    "hires-cam",
    "layer-cam",
    "shapley-cam",
    "finer-cam",
    "ablation-cam",
    "score-cam",
    "fem",
)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("le-grad", "ss-cam", "smooth-grad")])
def test_augmentation_is_the_mean_over_six_copies(method):
    classes = MODEL(IMAGES).argmax(1)
    result = funcam.explain(MODEL, IMAGES, method=method, smooth="aug").maps
    want = []
    for factor in (0.9, 1.0, 1.1):
        want.append(funcam.explain(MODEL, IMAGES * factor, classes, method=method).maps)
        want.append(funcam.explain(MODEL, (IMAGES * factor).flip(3), classes, method=method).maps.flip(-1))
    torch.testing.assert_close(result, torch.stack(want).mean(0), rtol=1e-4, atol=1e-5)


def test_a_target_that_knows_of_places_is_not_mirrored():
    seen = []
    funcam.explain(MODEL, IMAGES, lambda logits: seen.append(logits) or logits[:, 0], smooth="aug")
    plain, bright = MODEL(IMAGES * 0.9), MODEL(IMAGES.flip(3))
    assert any(torch.allclose(logits, plain, atol=1e-4) for logits in seen)
    assert not any(torch.allclose(logits, bright, atol=1e-4) for logits in seen)


def test_the_wrapper_takes_any_explainer():
    smooth = funcam.augmented(lambda images: funcam.explain(MODEL, images, 3, method="layer-cam").maps)
    torch.testing.assert_close(smooth(IMAGES), funcam.explain(MODEL, IMAGES, 3, method="layer-cam", smooth="aug").maps)


@pytest.mark.parametrize("method", WEIGHTED)
def test_eigen_smoothing_is_the_first_principal_component(method):
    """Of the terms whose sum the method is, for Grad-CAM's weights by NumPy's SVD; of the others that it runs."""
    result = funcam.explain(MODEL, IMAGES, 2, method=method, smooth="eigen").maps
    assert result.shape == (2, 8, 8)
    assert torch.isfinite(result).all()
    if method != "grad-cam":
        return
    A, head = funcam.split(MODEL)(IMAGES)
    (g,) = torch.autograd.grad(head(A.requires_grad_())[:, 2].sum(), A)
    for image in range(2):
        terms = (double(g)[image].mean((1, 2), keepdims=True) * double(A)[image]).reshape(6, 64).T
        terms = terms - terms.mean(0)
        projection = terms @ np.linalg.svd(terms)[2][0]
        found = double(result[image]).ravel()
        assert abs(np.corrcoef(found, projection)[0, 1]) > 0.9999
        assert np.corrcoef(found, terms.sum(1))[0, 1] >= 0


@pytest.mark.parametrize("method", ["eigen-cam", "dff", "kpca-cam"])
def test_a_method_without_weighted_channels_is_refused(method):
    with pytest.raises(FuncamError, match="no weighted channels to smooth"):
        funcam.explain(MODEL, IMAGES, method=method, smooth="eigen")


def test_an_unknown_smoothing():
    with pytest.raises(FuncamError, match="unknown smoothing 'blur'; expected aug or eigen"):
        funcam.explain(MODEL, IMAGES, smooth="blur")


@pytest.mark.parametrize("method", ["gradient", "guided-backprop", "full-grad"])
def test_eigen_smoothing_that_no_method_takes_note_of_is_refused(method):
    model, images = small(3), torch.rand(1, 3, 32, 32)
    with pytest.raises(FuncamError, match=f"weighted channels of a layer, and {method} has none"):
        funcam.explain(model, images, 1, method=method, smooth="eigen")
    both = funcam.explain_methods(model, images, 1, methods=["grad-cam", method], smooth="eigen")
    assert [one.method for one in both] == ["grad-cam", method]
