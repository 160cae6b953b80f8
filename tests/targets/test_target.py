"""Targets: which classes are explained."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import Small, randomised, small

import funcam
from funcam.errors import FuncamError
from funcam.targets.class_scores import similar_classes
from funcam.targets.target import bind, class_targets

LOGITS = torch.tensor([[0.0, 3.0, 1.0, 2.0], [5.0, 4.0, 6.0, 1.0]])


@given(batch=st.integers(1, 4), classes=st.integers(1, 6), data=st.data())
def test_targets_have_the_shape_that_was_asked_for(batch, classes, data):
    logits = torch.zeros(batch, classes)
    index = st.integers(0, classes - 1)
    one = data.draw(index)
    each = data.draw(st.lists(index, min_size=batch, max_size=batch))
    several = data.draw(st.lists(st.lists(index, min_size=3, max_size=3), min_size=batch, max_size=batch))
    for given_targets, want in [(one, [one] * batch), (each, each), (several, several)]:
        for form in (given_targets, torch.tensor(given_targets), np.array(given_targets, dtype=np.int32)):
            found = class_targets(form, logits)
            assert found.dtype == torch.long
            assert found.tolist() == want
    assert class_targets(tuple(each), logits).tolist() == each
    assert class_targets("all", logits).tolist() == [list(range(classes))] * batch


def test_the_predicted_class_is_the_default():
    assert class_targets(None, LOGITS).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0], r"shape \[1\] for 2 images; expected \[2\]"),
        ([0, 1, 2], r"shape \[3\] for 2 images; expected \[2\]"),
        ([[0, 1]], r"shape \[1, 2\] for 2 images"),
        (torch.zeros(2, 1, 1, dtype=torch.long), r"shape \[2, 1, 1\]"),
        ([[], []], "type torch.float32; expected whole numbers"),
        (torch.zeros(2, 0, dtype=torch.long), r"shape \[2, 0\]"),
        ([0.0, 1.0], "type torch.float32; expected whole numbers"),
        (torch.tensor([0.5, 1.0], dtype=torch.bfloat16), "type torch.bfloat16"),
        (torch.tensor([True, False]), "type torch.bool"),
        ([1j, 2j], "type torch.complex64"),
        ([0, 4], "class 4 is out of range: the model has 4 classes, 0 to 3"),
        (4, "class 4 is out of range"),
        (-1, "class -1 is out of range"),
        ([[0, 1], [2, -3]], "class -3 is out of range"),
        ("cat", r"targets 'cat' is not known; expected class indices, 'all', a function or None"),
        ([[0, 1], [2]], "are no class indices"),
        (["a", "b"], "are no class indices"),
        ({1: 2}, "are no class indices"),
        (2**70, "are no class indices"),
    ],
)
def test_other_targets_are_refused(targets, message):
    with pytest.raises(FuncamError, match=message) as caught:
        class_targets(targets, LOGITS)
    assert "\n" not in str(caught.value)


def test_one_image_is_spelt_in_the_singular():
    with pytest.raises(FuncamError, match=r"for 1 image; expected \[1\]"):
        class_targets([0, 1], LOGITS[:1])


def test_values_are_not_looked_at_inside_a_transform():
    found = torch.func.vmap(lambda t: class_targets(t[None], LOGITS[:1]))(torch.tensor([1, 99]))
    assert found.tolist() == [[1], [99]]


# --- rules: functions of the logits -----------------------------------------------------------------------------------


def nearest_first(z, c):
    """The other classes by how near their logits are, of equals the first first."""
    return np.argsort([np.inf if k == c else abs(v - z[c]) for k, v in enumerate(z)], kind="stable")


@pytest.mark.parametrize(
    ("class_score", "formula"),
    [
        (funcam.probability, lambda z, c: np.exp(z)[c] / np.exp(z).sum()),
        (funcam.log_probability, lambda z, c: z[c] - np.log(np.exp(z).sum())),
        (lambda c: funcam.contrast(c, 3, gamma=0.5), lambda z, c: z[c] - 0.5 * z[3]),
        (lambda c: funcam.contrast(c), lambda z, c: z[c] - max(np.delete(z, c))),
        (
            lambda c: funcam.contrast(c, similar=2),
            lambda z, c: z[c] - z[nearest_first(z, c)[:2]].mean(),
        ),
    ],
    ids=["probability", "log-probability", "class", "runner-up", "similar"],
)
@given(data=st.data())
def test_rules_are_their_formulas(class_score, formula, data):
    numbers = st.floats(-5, 5, allow_nan=False, width=32)
    values = data.draw(st.lists(st.lists(numbers, min_size=4, max_size=4, unique=True), min_size=2, max_size=2))
    logits = torch.tensor(values, dtype=torch.float64)
    classes = data.draw(st.lists(st.integers(0, 2), min_size=2, max_size=2))
    target = bind(class_score(classes), logits, 2)
    want = [formula(row, c) for row, c in zip(logits.numpy(), classes, strict=True)]
    np.testing.assert_allclose(target(logits)[:, 0], want, rtol=1e-6, atol=1e-9)
    assert target.indices.tolist() == classes
    rows = torch.cat([logits[1:], logits[1:]])
    np.testing.assert_allclose(target.of_image(1)(rows)[:, 0], [want[1]] * 2, rtol=1e-6, atol=1e-9)


def test_what_is_contrasted_with_is_settled_once():
    """A perturbed image may have another runner-up; the question stays the same."""
    target = bind(funcam.contrast(0), torch.tensor([[3.0, 2.0, 1.0]]), 1)
    changed = torch.tensor([[3.0, 0.0, 2.5]])
    assert target(changed).item() == 3.0
    assert target.of_image(0)(changed).item() == 3.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: funcam.contrast(0, "second"), "contrast against 'second' is not known; expected a class index or"),
        (lambda: funcam.contrast(0, 9), "class 9 is out of range"),
        (lambda: funcam.contrast(2, 2), "class 2 is contrasted with itself"),
        (lambda: funcam.contrast(0, similar=4), "4 similar classes were asked for; the model has 3 others"),
        (lambda: lambda logits: logits, r"returned shape \[2, 4, 1\] for 2 images; expected \[2\], or \[2, K\]"),
        (lambda: lambda logits: logits[0], r"returned shape \[4, 1\] for 2 images"),
        (lambda: lambda logits: 3.0, r"returned a float for 2 images; expected \[2\]"),
    ],
)
def test_wrong_rules_and_functions_are_refused(make, message):
    logits = LOGITS if "class" in message or "second" in message or "similar" in message else LOGITS[..., None]
    with pytest.raises(FuncamError, match=message):
        bind(make(), logits, 2)


# --- where the logits are ---------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


@pytest.mark.parametrize(
    ("outputs", "output"),
    [
        (LOGITS, None),
        (Output(LOGITS), None),
        (Output(LOGITS * 2, LOGITS), "hidden"),
        ({"logits": LOGITS, "aux": LOGITS * 2}, None),
        ({"out": LOGITS}, None),
        ({"a": LOGITS * 2, "b": LOGITS}, "b"),
        ((LOGITS, LOGITS * 2), None),
        ([LOGITS * 2, LOGITS], 1),
        ({"x": (LOGITS,)}, lambda outputs: outputs["x"][0]),
    ],
)
def test_logits_are_found(outputs, output):
    assert funcam.logits_of(outputs, output) is LOGITS


@pytest.mark.parametrize(
    ("outputs", "output"),
    [({"a": LOGITS, "b": LOGITS}, None), ((), None), (None, None), ((LOGITS,), 1), ({"a": LOGITS}, "c"), (LOGITS, 0)],
)
def test_logits_that_are_nowhere(outputs, output):
    with pytest.raises(FuncamError, match=r"expected logits \[B, N\] in it: name them with output='KEY'"):
        funcam.logits_of(outputs, output)


# --- other tasks, through a whole model -------------------------------------------------------------------------------

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))


class Answers(Small):
    """A model that says the same in several ways: ``kind`` picks one."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x):
        features = self.blocks(self.pool(self.stem(x)))
        logits = self.fc(features.mean((2, 3)))
        if self.kind == "dict":
            return {"out": torch.einsum("bchw,nc->bnhw", features, self.fc.weight), "logits": logits}
        return (logits, features) if self.kind == "tuple" else Output(logits, features)


def answers(kind):
    return randomised(Answers(kind)).eval()


def by_hand(score, model=None):
    """Grad-CAM at ``blocks`` of a score of the outputs, by plain autograd."""
    model = copy.deepcopy(model or small())
    kept = []
    model.blocks.register_forward_hook(lambda _m, _i, output: kept.append(output))
    total = score(model(IMAGES))
    (g,) = torch.autograd.grad(total.sum(), kept[0])
    return (g.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu().detach()


EMBEDDING = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])


@pytest.mark.parametrize(
    ("targets", "score"),
    [
        (funcam.probability(2), lambda z: z.softmax(1)[:, 2]),
        (funcam.log_probability([1, 4]), lambda z: z.log_softmax(1)[[0, 1], [1, 4]]),
        (funcam.contrast(2, 0, gamma=0.3), lambda z: z[:, 2] - 0.3 * z[:, 0]),
        (lambda z: z[:, 1] ** 2, lambda z: z[:, 1] ** 2),
        (funcam.regression(3), lambda z: z[:, 3]),
        (funcam.similarity(EMBEDDING), lambda z: (z @ EMBEDDING) / z.norm(dim=1) / EMBEDDING.norm()),
        (
            funcam.similarity(torch.stack([EMBEDDING, EMBEDDING.flip(0)])),
            lambda z: (z * torch.stack([EMBEDDING, EMBEDDING.flip(0)])).sum(1) / z.norm(dim=1) / EMBEDDING.norm(),
        ),
    ],
    ids=["probability", "log-probability", "contrast", "callable", "regression", "similarity", "each its own"],
)
def test_explaining_another_score_is_plain_autograd_of_it(targets, score):
    result = funcam.explain(small(), IMAGES, targets)
    torch.testing.assert_close(result.maps, by_hand(score), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(result.scores, score(small()(IMAGES)).detach())
    several = funcam.explain(small(), IMAGES, targets, method="ablation-cam").maps  # and its values at changed features
    assert several.shape == (2, 8, 8)


@pytest.mark.parametrize("kind", ["tuple", "dataclass", "dict"])
@pytest.mark.parametrize("method", ["grad-cam", "ablation-cam", "score-cam", "guided-grad-cam", "shapley-cam"])
def test_models_that_return_more_than_logits(kind, method):
    model = answers(kind)
    want = funcam.explain(small(), IMAGES, [1, 2], method=method)
    found = funcam.explain(model, IMAGES, [1, 2], method=method, layer="blocks")
    torch.testing.assert_close(found.maps, want.maps, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.logits, want.logits)
    assert isinstance(found.outputs, {"tuple": tuple, "dict": dict, "dataclass": Output}[kind])


@pytest.mark.parametrize("mask", [None, torch.eye(8), torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))])
def test_segmentation_is_the_mean_over_the_mask(mask):
    def score(outputs):
        scores = outputs["out"]
        counted = mask if mask is not None else (scores.argmax(1) == 2).float()
        counted = counted.expand(2, 8, 8)
        return (scores[:, 2] * counted).sum((1, 2)) / counted.sum((1, 2)).clamp(min=1)

    result = funcam.explain(answers("dict"), IMAGES, funcam.segmentation(2, mask), layer="blocks")
    torch.testing.assert_close(result.maps, by_hand(score, answers("dict")), rtol=1e-3, atol=1e-6)
    for index in range(2):  # each image keeps its own mask where features are changed
        alone = None if mask is None else mask if mask.ndim == 2 else mask[index]
        both = funcam.explain(
            answers("dict"), IMAGES, funcam.segmentation(2, mask), layer="blocks", method="ablation-cam"
        )
        one = funcam.explain(
            answers("dict"),
            IMAGES[index : index + 1],
            funcam.segmentation(2, alone),
            layer="blocks",
            method="ablation-cam",
        )
        torch.testing.assert_close(both.maps[index], one.maps[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (funcam.segmentation(9), r"class 9 is not in scores of shape \[2, 5, 8, 8\]"),
        (funcam.segmentation(0, torch.ones(4, 4)), r"the mask is \[4, 4\]; the model's scores are \[8, 8\]"),
        (funcam.similarity(torch.ones(3), output="logits"), r"embedding has shape \[2, 5\], the other one \[1, 3\]"),
        (funcam.regression(7, output="logits"), r"column 7 is not in an output of shape \[2, 5\]"),
    ],
)
def test_targets_of_other_tasks_that_do_not_fit(target, message):
    with pytest.raises(FuncamError, match=message):
        funcam.explain(answers("dict"), IMAGES, target, layer="blocks")


def test_of_equally_similar_classes_the_first_is_taken():
    logits = torch.tensor([[0.0, 1.0, 2.0, 1.5], [0.0, 1.0, 2.0, -2.0]])
    assert similar_classes(logits, torch.tensor([[0], [0]]), 2).tolist() == [[[1, 3]], [[1, 2]]]
