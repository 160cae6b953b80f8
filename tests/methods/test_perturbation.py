"""Perturbation methods against their equations in NumPy, one channel and one class at a time, on small random heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.func import grad

from funcam import FuncamError
from funcam.methods.perturbation import ablation_cam, is_cam, score_cam, score_cam_authors, ss_cam
from funcam.methods.reduce import first_component, signed_sum

seeds = st.integers(0, 2**32 - 1)
chunks = st.sampled_from([1, 2, 3, 64])
grids = hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4)  # C and one to three dimensions
SPACES = [((3,), (7,)), ((2, 3), (5, 6)), ((2, 1, 2), (3, 4, 3))]
MASKED = [score_cam, score_cam_authors, ss_cam, is_cam]


def random_scores(shape, classes, seed):
    """A head or network with a hidden layer, for torch and for NumPy."""
    rng = np.random.default_rng(seed)
    inner = rng.normal(size=(6, int(np.prod(shape)))) / np.sqrt(np.prod(shape))
    outer = rng.normal(size=(classes, 6))

    def in_torch(rows):
        W, V = (torch.from_numpy(matrix).to(rows.dtype) for matrix in (inner, outer))
        return (rows.flatten(1) @ W.T).tanh() @ V.T

    return in_torch, lambda row: outer @ np.tanh(inner @ row.flatten())


def upsampled(grid, size):
    """Linear along each axis, cell centres aligned."""
    for axis, length in enumerate(size):
        places = (np.arange(length) + 0.5) * grid.shape[axis] / length - 0.5
        grid = np.apply_along_axis(lambda line, p=places: np.interp(p, np.arange(len(line)), line), axis, grid)
    return grid


def mask_of(A_k, size):
    mask = upsampled(A_k, size)
    return (mask - mask.min()) / (mask.max() - mask.min())


def softmax(scores):
    powers = np.exp(scores - scores.max(0))
    return powers / powers.sum(0)


def weighted(w, A):
    """[C, K] and [C, *S] -> relu of the weighted sums, [K, *S]."""
    return np.maximum(np.tensordot(w.T, A, 1), 0)


@settings(max_examples=80)
@given(grids, st.integers(1, 3), seeds, chunks, st.booleans())
def test_ablation_cam_is_its_equation(shape, classes, seed, chunk, recording):
    A = np.random.default_rng(seed).normal(size=shape)
    head, score = random_scores(shape, classes, seed)
    S = score(A)
    assume(np.abs(S).min() > 1e-3)
    w = []
    for k in range(len(A)):
        without = A.copy()
        without[k] = 0
        w.append((S - score(without)) / np.abs(S))  # for S > 0 the paper's
    with torch.set_grad_enabled(recording):
        found = ablation_cam(head, torch.from_numpy(A), chunk=chunk)
    np.testing.assert_allclose(found, weighted(np.array(w), A), atol=1e-9 / np.abs(S).min())


def test_ablation_cam_weighs_a_needed_channel_positively_whatever_the_sign_of_the_score():
    A = torch.tensor([[1.0, 3.0], [0.0, 1.0]])

    def head(rows):  # both channels raise the score, which the constant makes positive, negative or zero
        raised = rows.sum((1, 2))
        return torch.stack([raised + 1, raised - 10, raised - 5], 1)

    found = ablation_cam(head, A, reduce=signed_sum)
    want = torch.tensordot(torch.tensor([4.0, 1.0])[None] / torch.tensor([[6.0], [5.0], [1.0]]), A, 1)
    torch.testing.assert_close(found, want)


def test_ablation_cam_leaves_the_features_alone_and_keeps_scores_that_are_a_view_of_the_rows():
    A = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    before = A.clone()
    with torch.no_grad():
        found = ablation_cam(lambda rows: rows[:, :, 0], A, chunk=2, reduce=signed_sum)
    assert torch.equal(A, before)
    torch.testing.assert_close(found, A[:, 0].sign()[:, None] * A)


def test_ablation_cam_refuses_a_head_that_works_in_place():
    A = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    before = A.clone()
    with torch.no_grad(), pytest.raises(FuncamError, match=r"^the head changes its argument in place, .*inplace=True"):
        ablation_cam(lambda rows: rows.relu_().sum(2), A, chunk=2)
    assert torch.equal(A, before)


def test_ablation_cam_never_builds_more_than_a_chunk_of_features():
    seen = []

    def head(rows):
        seen.append(len(rows))
        return rows.flatten(1)[:, :1]

    for recording in (False, True):
        seen.clear()
        with torch.set_grad_enabled(recording):
            ablation_cam(head, torch.rand(10, 2, 2), chunk=4)
        assert seen == [1, 4, 4, 2]


def test_ablation_cam_can_be_differentiated():
    shape = (3, 2, 2)
    head, _ = random_scores(shape, 1, 3)
    A = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def brightness(features):
        return ablation_cam(head, features, chunk=2, reduce=signed_sum).pow(2).sum()

    slope = grad(brightness)(A)
    direction = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-6 * direction
    want = (brightness(A + step) - brightness(A - step)) / 2e-6
    torch.testing.assert_close((slope * direction).sum(), want, rtol=1e-5, atol=1e-7)


def masked_scores(A, image, score, masks_of):
    """[C, K]: for each channel the mean score behind its masks."""
    return np.array([np.mean([score(image * mask) for mask in masks_of(k, A_k)], 0) for k, A_k in enumerate(A)])


@pytest.mark.parametrize(("space", "size"), SPACES)
@settings(max_examples=20)
@given(seed=seeds, chunk=chunks, classes=st.integers(1, 3))
def test_score_cam_and_its_variants_are_their_equations(space, size, seed, chunk, classes):
    rng = np.random.default_rng(seed)
    A, image = rng.normal(size=(4, *space)), rng.normal(size=(2, *size))
    A[2] = 0.7  # constant: no mask, in neither the softmax nor the sum
    network, score = random_scores(image.shape, classes, seed)
    kept = A[[0, 1, 3]]
    tensors = torch.from_numpy(image), torch.from_numpy(A)

    plain = masked_scores(kept, image, score, lambda k, A_k: [mask_of(A_k, size)])
    found = score_cam(network, *tensors, chunk=chunk)
    np.testing.assert_allclose(found, weighted(softmax(plain), kept), atol=1e-6)
    found = score_cam_authors(network, *tensors, chunk=chunk)
    np.testing.assert_allclose(found, weighted(plain, kept), atol=1e-6)

    scaled = masked_scores(kept, image, score, lambda k, A_k: [mask_of(A_k, size) * i / 3 for i in (1, 2, 3)])
    found = is_cam(network, *tensors, samples=3, chunk=chunk)
    np.testing.assert_allclose(found, weighted(softmax(scaled), kept), atol=1e-6)

    generator = torch.Generator().manual_seed(7)
    noise = [torch.randn(size, generator=generator).double().numpy() for _ in range(6)]
    noisy = masked_scores(
        kept, image, score, lambda k, A_k: [mask_of(A_k, size) + 0.5 * noise[2 * k + i] for i in (0, 1)]
    )
    found = ss_cam(network, *tensors, samples=2, noise=0.5, seed=7, chunk=chunk)
    np.testing.assert_allclose(found, weighted(softmax(noisy), kept), atol=1e-6)


@pytest.mark.parametrize("method", MASKED)
def test_the_strongest_channels_alone_are_those_with_the_largest_spread(method):
    rng = np.random.default_rng(0)
    A = torch.from_numpy(rng.normal(size=(6, 3, 3)) * np.array([3, 1, 4, 1, 5, 9]).reshape(-1, 1, 1))
    image = torch.from_numpy(rng.normal(size=(2, 5, 5)))
    network, _ = random_scores(image.shape, 2, 0)
    strongest = A.flatten(1).std(1).argsort(descending=True)[:3].sort().values
    want = method(network, image, A[strongest])
    torch.testing.assert_close(method(network, image, A, strongest=3), want)
    torch.testing.assert_close(method(network, image, A, strongest=60), method(network, image, A))


@pytest.mark.parametrize("method", MASKED)
def test_without_a_channel_that_can_mask_the_map_is_zero(method):
    network, _ = random_scores((3, 4, 4), 2, 0)
    for A in (torch.zeros(5, 2, 2), torch.full((5, 2, 2), 0.1), torch.rand(5, 1, 1)):
        assert torch.equal(method(network, torch.rand(3, 4, 4), A), torch.zeros(2, *A.shape[1:]))


@pytest.mark.parametrize(("method", "passes"), list(zip(MASKED, [4, 4, 12, 12], strict=True)))
def test_the_network_sees_each_mask_once_and_a_chunk_at_a_time(method, passes):
    seen = []

    def network(rows):
        seen.append(len(rows))
        return rows.flatten(1)[:, :1]

    more = {"samples": 3} if passes == 12 else {}
    method(network, torch.rand(1, 4, 4), torch.rand(4, 2, 2), chunk=3, **more)
    assert sum(seen) == passes
    assert max(seen) <= 3


def test_ss_cam_depends_on_the_seed_alone():
    A, image = torch.rand(4, 3, 3), torch.rand(2, 6, 6)
    network, _ = random_scores(image.shape, 2, 0)
    before = torch.get_rng_state()
    found = ss_cam(network, image, A, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(ss_cam(network, image, A, seed=3), found)
    assert not torch.allclose(ss_cam(network, image, A, seed=4), found)


@pytest.mark.parametrize("method", [ablation_cam, *MASKED])
def test_eigen_smoothing_and_half_precision(method):
    A, image = torch.rand(4, 3, 3), torch.rand(2, 6, 6)
    network, _ = random_scores(image.shape, 2, 0)
    head, _ = random_scores(A.shape, 2, 0)
    arguments = (head, A) if method is ablation_cam else (network, image, A)
    smooth = method(*arguments, reduce=first_component)
    assert smooth.shape == (2, 3, 3)
    torch.testing.assert_close(smooth.mean((1, 2)), torch.zeros(2), atol=1e-6, rtol=0)
    halves = [tensor.bfloat16() if isinstance(tensor, torch.Tensor) else tensor for tensor in arguments]
    assert torch.isfinite(method(*halves)).all()


@pytest.mark.parametrize("method", MASKED)
@pytest.mark.parametrize("option", ["chunk", "strongest"])
def test_counts_less_than_one_are_refused(method, option):
    with pytest.raises(FuncamError, match=f"^{option} is 0; expected a whole number of at least 1$"):
        method(lambda rows: rows, torch.rand(1, 4, 4), torch.rand(2, 2, 2), **{option: 0})
