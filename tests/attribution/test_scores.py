"""What a score is: one logit, a softmax or a sigmoid at the end, rows that add up to one, and what the caller says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import funcam
from funcam import metrics
from funcam.errors import FuncamError

IMAGES = torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))


def network(outputs: int, *ending: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    body = [nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(6, outputs), *ending).double().eval()


class ByHand(nn.Module):
    """A softmax that no operation is called."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network(4)

    def forward(self, x):
        e = self.body(x).exp()
        return e / e.sum(1, keepdim=True)


class Views(nn.Module):
    """The mean of the sigmoids of an image and its mirror image."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network(3)

    def forward(self, x):
        return torch.stack([self.body(x).sigmoid(), self.body(x.flip(-1)).sigmoid()]).mean(0)


class Answer(nn.Module):
    """Probabilities beside logits, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network(3)

    def forward(self, x):
        logits = self.body(x)
        return {"scaled": 3 * logits, "p": logits.sigmoid()[:, :2].float()}


images = IMAGES.double()


def by_hand(model, score, layer="1"):
    """Grad-CAM of a score of what the model returns, by autograd and a hook on the model itself."""
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, args, out: kept.append(out))
    values = score(model(images))
    handle.remove()
    (g,) = torch.autograd.grad(values.sum(), kept[0])
    return (g.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu().detach(), values.detach()


CASES = {
    "several logits": (lambda: network(4), lambda z: z.softmax(1)),
    "one logit": (lambda: network(1), torch.sigmoid),
    "a softmax at the end": (lambda: network(4, nn.Softmax(1)), lambda p: p),
    "a sigmoid of each": (lambda: network(4, nn.Sigmoid()), lambda p: p),
    "a sigmoid of one": (lambda: network(1, nn.Sigmoid()), lambda p: p),
    "a hard sigmoid": (lambda: network(4, nn.Hardsigmoid()), lambda p: p),
    "a sigmoid, then flattened": (lambda: network(4, nn.Sigmoid(), nn.Flatten()), lambda p: p),
}


@pytest.mark.parametrize("via", ["fx", "tap"])
@pytest.mark.parametrize("name", CASES)
def test_a_probability_is_what_the_model_means_by_it(name, via):
    make, meant = CASES[name]
    model = make()
    maps, values = by_hand(model, lambda outputs: meant(outputs)[:, 0])
    result = funcam.explain(funcam.split(model, "1", via=via), images, funcam.probability(0))
    torch.testing.assert_close(result.scores, values)
    torch.testing.assert_close(result.maps, maps)
    logs = funcam.explain(model, images, funcam.log_probability(0), layer="1")
    torch.testing.assert_close(logs.scores, values.log())


def test_it_is_found_where_no_module_says_it():
    hand, views = ByHand().eval(), Views().eval()
    torch.testing.assert_close(
        funcam.explain(hand, images, funcam.probability(2), layer="body.1").scores, hand(images)[:, 2].detach()
    )
    for layer in ("body.1", "body.0"):
        result = funcam.explain(views, images, funcam.probability(2), layer=layer)
        torch.testing.assert_close(result.scores, views(images)[:, 2].detach())


def test_of_several_outputs_the_one_that_is_meant_is_looked_at():
    model = Answer().eval()
    scaled = funcam.explain(model, images, funcam.probability(0), output="scaled", layer="body.1")
    torch.testing.assert_close(scaled.scores, (3 * model.body(images)).softmax(1)[:, 0].detach())
    p = funcam.explain(model, images, funcam.probability(0), output="p", layer="body.1")
    torch.testing.assert_close(p.scores, model.body(images).sigmoid()[:, 0].detach().float())


@pytest.mark.parametrize("said", ["softmax", "sigmoid", "none"])
def test_what_the_caller_says_is_used(said):
    model = network(4, nn.Sigmoid())
    meant = {"softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid, "none": lambda z: z}[said]
    result = funcam.explain(model, images, funcam.probability([1, 3]), scores=said, layer="1")
    torch.testing.assert_close(result.scores, meant(model(images)).detach()[[0, 1], [1, 3]])


def test_what_it_does_not_know_is_refused():
    with pytest.raises(FuncamError, match=r"scores is 'softmaxx'; expected 'softmax'.*nearest: 'softmax'"):
        funcam.explain(network(4), images, scores="softmaxx")
    with pytest.raises(FuncamError, match="negative; give scores='softmax' or 'sigmoid'"):
        funcam.explain(network(4), images, funcam.log_probability(0), scores="none")


def test_methods_made_of_probabilities_take_them_too():
    """Score-CAM's authors weigh by the probability: for one logit that is no softmax over one class, always 1."""
    one, none = network(1), network(1, nn.Sigmoid())
    ours = funcam.explain(one, images, method="score-cam-authors", layer="1").maps
    torch.testing.assert_close(ours, funcam.explain(none, images, method="score-cam-authors", layer="1").maps)
    assert ours.flatten(1).std(1).min() > 0


def test_a_counterfactual_is_the_negative_of_the_class():
    model = network(1)
    maps, values = by_hand(model, lambda z: -z[:, 0])
    result = funcam.explain(model, images, funcam.counterfactual(0), layer="1")
    torch.testing.assert_close(result.maps, maps)
    torch.testing.assert_close(result.scores, values)


def test_metrics_inherit_it():
    """The average drop of a network with one logit is not zero whatever is hidden."""
    model = network(1)
    maps = torch.rand(2, 12, 10, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    confidence = metrics.confidence(model, images, maps, 0)
    np.testing.assert_allclose(confidence.before, model(images).sigmoid().detach()[:, 0])
    big = metrics.prepared(maps, (12, 10))
    np.testing.assert_allclose(confidence.after, model(images * big[:, None]).sigmoid().detach()[:, 0], rtol=1e-3)
    ends = network(4, nn.Sigmoid())
    np.testing.assert_allclose(metrics.confidence(ends, images, maps, 1).before, ends(images).detach()[:, 1])
    rule = metrics.confidence(ends, images, maps, funcam.probability(1))
    np.testing.assert_allclose(rule.before, ends(images).detach()[:, 1])


def test_finer_cam_takes_the_classes_there_are():
    torch.manual_seed(3)
    model = network(2)
    A = model[1](model[0](images)).detach()
    weights = model[4].weight.detach()
    want = torch.einsum("c,chw->hw", (weights[0] - 0.6 * weights[1]), A[0]).relu() / A[0, 0].numel()
    ours = funcam.explain(model, images[:1], 0, method="finer-cam", layer="1").maps[0]
    torch.testing.assert_close(ours, want)
    with pytest.raises(FuncamError, match="contrasts classes and the model has one; use grad-cam"):
        funcam.explain(network(1), images, method="finer-cam", layer="1")


class Masks(nn.Module):
    """One class, a logit for each cell."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh())
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, x):
        return self.head(self.body(x))


def test_a_segmentation_of_one_class_counts_where_it_is_likelier_than_not():
    model = Masks().double().eval()
    result = funcam.explain(model, images, funcam.segmentation(0), layer="body")
    logits = model(images).detach()[:, 0]
    want = torch.stack([one[one > 0].mean() if (one > 0).any() else one.new_zeros(()) for one in logits])
    torch.testing.assert_close(result.scores, want)
    probabilities = nn.Sequential(model, nn.Sigmoid()).eval()
    p = probabilities(images).detach()[:, 0]
    found = funcam.explain(probabilities, images, funcam.segmentation(0), layer="0.body").scores
    torch.testing.assert_close(
        found, torch.stack([one[one > 0.5].mean() if (one > 0.5).any() else one.new_zeros(()) for one in p])
    )


def test_a_segmentation_without_classes_is_refused():
    model = Masks().double().eval()

    def without(x):
        return model(x)[:, 0]

    with pytest.raises(FuncamError, match=r"without an axis of classes give it one, \[B, 1, H, W\]"):
        funcam.segmentation(0)(without(images))
    assert funcam.segmentation(0, output=lambda out: out[:, None])(without(images)).shape == (2,)
