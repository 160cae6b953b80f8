"""Curves, confidence behind a map and ADCC's parts, against loops in NumPy and torchcam on the same maps."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_cases import Bend, photos, softmax
from scipy.ndimage import gaussian_filter
from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric

from funcam import metrics
from funcam.errors import FuncamError

TARGETS = torch.tensor([3, 1])


class GivenMaps:
    """What torchcam's metrics ask of an extractor, with maps that are given."""

    def __init__(self, model: torch.nn.Module, maps: torch.Tensor) -> None:
        self.model, self.maps = model.eval(), maps

    def __call__(self, *_, **__):
        return [self.maps]

    def fuse_cams(self, maps):
        return maps[0]

    def _hooks_off(self):
        return nullcontext()


def curve_in_numpy(network, before, after, saliency, target, steps):
    """One pixel after the other is replaced, in the order of the map; the score is looked at after each step."""
    order = sorted(range(saliency.size), key=lambda pixel: -saliency.flat[pixel])  # stable: ties in reading order
    image, scores, done = before.copy(), [], 0
    for step in range(steps + 1):
        for pixel in order[done : round(step * saliency.size / steps)]:
            image.reshape(len(image), -1)[:, pixel] = after.reshape(len(after), -1)[:, pixel]
        done = round(step * saliency.size / steps)
        scores.append(softmax(network.in_numpy(image))[target])
    return np.array(scores)


@given(st.integers(0, 99), st.sampled_from([1, 4, 50, 64]), st.sampled_from([1, 7, 300]))
def test_curves_follow_the_order_of_the_map(seed, steps, chunk):
    images, maps = photos(seed=seed)
    maps = (maps * 9).round()  # with ties
    network = Bend(images[0].numel())
    colour = metrics.mean_colour(images)
    inserted = metrics.insertion(network, images, maps, TARGETS, steps=steps, chunk=chunk)
    deleted = metrics.deletion(network, images, maps, TARGETS, steps=steps, baseline=colour, chunk=chunk)
    blurred = metrics.blurred(images)
    for index, target in enumerate(TARGETS.tolist()):
        given_ = [one[index].detach().numpy() for one in (images, blurred, colour.expand_as(images), maps)]
        expected = curve_in_numpy(network, given_[1], given_[0], given_[3], target, steps)
        np.testing.assert_allclose(inserted.scores[index], expected, atol=1e-5)
        expected = curve_in_numpy(network, given_[0], given_[2], given_[3], target, steps)
        np.testing.assert_allclose(deleted.scores[index], expected, atol=1e-5)
        assert deleted.area[index] == pytest.approx(np.trapezoid(expected, deleted.shares.numpy()), abs=1e-5)


def test_curves_agree_with_torchcam():
    """Where the steps divide the pixels evenly; torchcam's are rounded up otherwise, and fewer."""
    images, maps = photos()
    network = Bend(images[0].numel())
    peer = DeletionInsertionMetric(GivenMaps(network, maps), partial(torch.softmax, dim=-1), steps=16)
    peer.update(images, TARGETS.tolist())
    zeros = torch.zeros(1)
    inserted = metrics.insertion(network, images, maps, TARGETS, steps=16, baseline=zeros)
    deleted = metrics.deletion(network, images, maps, TARGETS, steps=16)
    found = {"deletion_auc": deleted.area.mean().item(), "insertion_auc": inserted.area.mean().item()}
    assert found == pytest.approx(peer.summary(), abs=1e-6)


def test_patches_appear_whole_in_the_order_of_their_mean():
    images = torch.arange(1.0, 26.0).view(1, 1, 5, 5)
    maps = torch.zeros(1, 5, 5)
    maps[0, 4, 4], maps[0, 0, 3], maps[0, 2, 0] = 0.5, 1.0, 0.9  # means 0.5 (a patch of one pixel), 0.25, 0.225
    seen = []

    def network(rows):
        seen.append(rows.clone())
        return rows.flatten(1)

    found = metrics.deletion(network, images, maps, torch.tensor([0]), steps=9, patch=2)
    gone = [set(images[0, 0][row[0] == 0].long().tolist()) for row in seen[0]]
    assert gone[:4] == [set(), {25}, {25, 3, 4, 8, 9}, {25, 3, 4, 8, 9, 11, 12, 16, 17}]
    assert gone[9] == set(range(1, 26))
    assert found.shares.tolist() == pytest.approx([step / 9 for step in range(10)])


def test_curves_cost_one_pass_more_than_their_steps():
    images, maps = photos()
    counted = []

    def network(rows):
        counted.append(len(rows))
        return rows.flatten(1)[:, :5]

    metrics.insertion(network, images, maps, TARGETS, steps=50, chunk=40)
    assert sum(counted) == 2 * 51
    assert max(counted) == 40


def test_gradients_asked_for_elsewhere_are_in_nobodys_way():
    images, maps = photos()
    network = Bend(images[0].numel())
    for metric, options in (
        (metrics.insertion, {"steps": 4}),
        (metrics.deletion, {"steps": 4}),
        (metrics.confidence, {}),
        (metrics.road, {}),
        (metrics.infidelity, {}),
        (metrics.sensitivity_n, {"n": 3}),
    ):
        plain = metric(network, images, maps, TARGETS, **options)
        found = metric(network, images.clone().requires_grad_(), maps.clone().requires_grad_(), TARGETS, **options)
        for one, other in zip(found, plain, strict=True):
            assert not one.requires_grad, metric
            assert torch.equal(one, other), metric


def test_the_blur_is_a_gaussian():
    images, _ = photos(side=16)
    expected = gaussian_filter(images.numpy(), 1.5, axes=(2, 3), mode="nearest", radius=5)
    np.testing.assert_allclose(metrics.blurred(images, side=11, sigma=1.5), expected, atol=1e-5)


def test_drop_increase_and_gain_agree_with_the_formulas_and_with_torchcam():
    images, maps = photos(count=12, seed=3)
    network, targets = Bend(images[0].numel()), torch.arange(12) % 5
    found = metrics.confidence(network, images, maps, targets)
    rows = [
        (softmax(network.in_numpy(one.numpy())), softmax(network.in_numpy((one * m).numpy())))
        for one, m in zip(images, maps, strict=True)
    ]
    before, after = (np.array([row[side][t] for row, t in zip(rows, targets, strict=True)]) for side in (0, 1))
    np.testing.assert_allclose(metrics.average_drop(found), np.maximum(before - after, 0) / before, atol=1e-5)
    np.testing.assert_allclose(metrics.average_gain(found), np.maximum(after - before, 0) / (1 - before), atol=1e-5)
    assert metrics.increase_in_confidence(found).tolist() == (after > before).tolist()
    peer = ClassificationMetric(GivenMaps(network, maps), partial(torch.softmax, dim=-1))
    peer.update(images, targets.tolist())
    assert metrics.average_drop(found).mean().item() == pytest.approx(peer.summary()["avg_drop"], abs=1e-5)
    assert metrics.increase_in_confidence(found).mean().item() == pytest.approx(peer.summary()["conf_increase"])
    again = metrics.confidence(network, images, maps, targets, before=found.before, score=metrics.identity)
    assert again.before is found.before
    assert not torch.equal(again.after, found.after)


def test_confidence_at_its_ends_divides_by_nothing():
    found = metrics.Confidence(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))
    assert metrics.average_drop(found).tolist() == metrics.average_gain(found).tolist() == [0, 0]


def test_complexity_and_coherency():
    _, maps = photos(count=3)
    _, again = photos(count=3, seed=1)
    pairs = zip(maps.flatten(1).numpy(), again.flatten(1).numpy(), strict=True)
    expected = [(1 + np.corrcoef(a, b)[0, 1]) / 2 for a, b in pairs]
    np.testing.assert_allclose(metrics.coherency(maps, again), expected, atol=1e-6)
    np.testing.assert_allclose(metrics.complexity(maps), np.abs(maps.numpy()).mean((1, 2)), atol=1e-6)
    assert metrics.coherency(maps, torch.full_like(maps, 0.3)).tolist() == [0.5] * 3


@pytest.mark.parametrize("metric", [metrics.insertion, metrics.deletion, metrics.confidence, metrics.road])
def test_what_does_not_belong_together_is_refused(metric):
    images, maps = photos()
    network = Bend(images[0].numel())
    with pytest.raises(FuncamError, match=r"maps \[2, 4, 4\].*`prepared` resizes"):
        metric(network, images, maps[:, :4, :4], TARGETS)
    with pytest.raises(FuncamError, match=r"maps \[2, 3, 8, 8\].*expected \[B, C, H, W\], \[B, H, W\]"):
        metric(network, images, images, TARGETS)
    with pytest.raises(FuncamError, match=r"targets \[1\]"):
        metric(network, images, maps, TARGETS[:1])
    with pytest.raises(FuncamError, match=r"targets go from 1 to 5; expected classes 0 to 4"):
        metric(network, images, maps, torch.tensor([5, 1]))
    with pytest.raises(FuncamError, match=r"the network gave .* expected logits"):
        metric(lambda rows: rows, images, maps, TARGETS)
    with pytest.raises(FuncamError, match=r"chunk is 0"):
        metric(network, images, maps, TARGETS, chunk=0)
