"""What is explained, given in other kinds than it should be: taken where it means something, else refused in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import small

import funcam
from funcam import FuncamError

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
MODEL = small()


def refused(call, message):
    with pytest.raises(FuncamError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "targets",
    [
        [1, 2, 0],
        (1, 2, 0),
        np.array([1, 2, 0]),
        np.array([1, 2, 0], np.uint8),
        [np.int64(1), np.int32(2), 0],
        [torch.tensor(1), torch.tensor(2), torch.tensor(0)],
        torch.tensor([1, 2, 0], dtype=torch.int16),
    ],
    ids=lambda t: type(t).__name__,
)
def test_whole_numbers_of_any_kind(targets):
    result = funcam.explain(MODEL, IMAGES, targets)
    assert result.targets.tolist() == [1, 2, 0]
    assert torch.equal(result.maps, funcam.explain(MODEL, IMAGES, torch.tensor([1, 2, 0])).maps)


def test_ranges_and_numbers_alone():
    assert funcam.explain(MODEL, IMAGES, range(3)).targets.tolist() == [0, 1, 2]
    assert funcam.explain(MODEL, IMAGES, np.int64(4)).targets.tolist() == [4, 4, 4]
    assert funcam.explain(MODEL, IMAGES, torch.tensor(4)).targets.tolist() == [4, 4, 4]
    assert funcam.explain(MODEL, IMAGES[:0], []).maps.shape == (0, 8, 8)
    assert funcam.explain(MODEL, IMAGES[:0], torch.zeros(0, dtype=torch.long)).maps.shape == (0, 8, 8)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (True, "targets have type torch.bool; expected whole numbers"),
        ([True, False, True], "targets have type torch.bool"),
        ([True, 1, 2], "targets have type torch.bool"),
        ([[1, True], [1, 2], [3, 4]], "targets have type torch.bool"),
        (np.array([True, False, True]), "targets have type torch.bool"),
        (np.bool_(True), "targets have type torch.bool"),
        (1.0, "targets have type torch.float"),
        ([1.0, 2.0, 0.0], "targets have type torch.float32"),
        (np.array([1.5, 2, 0]), "targets have type torch.float64"),
        ([], r"targets have shape \[0\] for 3 images; expected \[3\]"),
        ({1, 2, 3}, "targets {1, 2, 3} are no class indices"),
        ({1: 2}, "are no class indices"),
        (object(), "are no class indices"),
        ("1", "targets '1' is not known"),
        ([None, 1, 2], "are no class indices"),
        ([lambda z: z[:, 0]] * 3, "are no class indices.*for functions give one of the whole batch's outputs"),
        (lambda z: z[:, 99], r"the target '<lambda>' failed on what the model returned, shape \[3, 5\]: IndexError"),
        (lambda z, w: z[:, 0], "the target '<lambda>' failed .*TypeError"),
        (lambda z: z.logits, "the target '<lambda>' failed"),
        (funcam.probability, r"the target 'probability' returned a ClassScore for 3 images; expected \[3\]"),
        (funcam.probability(2.5), "targets have type torch.float32"),
        (funcam.log_probability(True), "targets have type torch.bool"),
        (funcam.probability(funcam.probability(1)), "are no class indices"),
        (
            funcam.contrast(1, [[0, 2]] * 3),
            r"contrast against classes of shape \[3, 2\]; expected one class, or one for",
        ),
        (funcam.contrast(1, [0, 2]), r"targets have shape \[2\] for 3 images"),
        (funcam.similarity(torch.ones(2, 5)), r"the other one \[2, 5\].*one for each image or one for all"),
        (funcam.box_score([0, 0, 9, 9], 1), r"box_score reads detections.*returned a Tensor; give it a detector"),
    ],
)
def test_what_is_no_target(targets, message):
    refused(lambda: funcam.explain(MODEL, IMAGES, targets), message)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: funcam.contrast(1, 2.5), "contrast against is 2.5; expected a whole number"),
        (lambda: funcam.contrast(1, True), "contrast against is True"),
        (lambda: funcam.contrast(1, None), "contrast against is None"),
        (lambda: funcam.contrast(1, "second"), "contrast against 'second' is not known"),
        (lambda: funcam.contrast(similar=-1), "similar is -1; expected a whole number of at least 0"),
        (lambda: funcam.contrast(similar=1.5), "similar is 1.5"),
        (lambda: funcam.contrast(similar="1"), "similar is '1'"),
        (lambda: funcam.contrast(similar=True), "similar is True"),
        (lambda: funcam.contrast(1, 2, similar=2), "against 2 and similar=2 exclude each other; give one of them"),
        (lambda: funcam.contrast(gamma="x"), "gamma is 'x'; expected a number"),
        (lambda: funcam.contrast(gamma="0.5"), "gamma is '0.5'"),
        (lambda: funcam.contrast(gamma=None), "gamma is None"),
        (lambda: funcam.contrast(gamma=True), "gamma is True"),
        (lambda: funcam.contrast(gamma=float("nan")), "gamma is nan"),
        (lambda: funcam.segmentation(1.5), "category is 1.5; expected a whole number"),
        (lambda: funcam.segmentation("cat"), "category is 'cat'"),
        (lambda: funcam.segmentation(True), "category is True"),
        (lambda: funcam.segmentation(-1), "category is -1"),
        (lambda: funcam.segmentation(1, "mask"), "the mask is 'mask'; expected a tensor, an array"),
        (lambda: funcam.segmentation(1, torch.ones(4)), r"the mask has shape \[4\]"),
        (lambda: funcam.segmentation(1, torch.ones(4, 4) * 1j), "the mask has type torch.complex64"),
        (lambda: funcam.segmentation(1, output=2.5), "output is 2.5"),
        (lambda: funcam.similarity("text"), "the embedding is 'text'; expected a tensor"),
        (lambda: funcam.similarity(torch.tensor(1.0)), r"the embedding has shape \[\]"),
        (lambda: funcam.similarity(torch.ones(5) > 0), "type torch.bool"),
        (lambda: funcam.regression(1.5), "index is 1.5; expected a whole number"),
        (lambda: funcam.regression(True), "index is True"),
        (lambda: funcam.regression("age"), "index is 'age'"),
        (lambda: funcam.regression(-1), "index is -1"),
        (lambda: funcam.box_score("box", 1), "boxes are 'box'; expected numbers"),
        (lambda: funcam.box_score([[0, 0, 1, 1], [0, 0]], 1), "boxes are .*; expected numbers"),
        (lambda: funcam.box_score(None, 1), "boxes are None"),
        (lambda: funcam.box_score([0, 0, 1, 1], "dog"), "labels are 'dog'; expected numbers"),
        (lambda: funcam.box_score([0, 0, 1, 1], True), "labels have shape .* type torch.bool"),
        (lambda: funcam.box_score([0, 0, 1, 1], 1.0), "labels have .* type torch.float32"),
        (lambda: funcam.box_score([0, 0, 1, 1], 1, iou="half"), "iou is 'half'; expected a number"),
        (lambda: funcam.box_score([0, 0, 1, 1], 1, iou=50), "iou is 50; expected a share from 0 to 1"),
    ],
)
def test_arguments_of_another_kind_are_refused_where_they_are_given(make, message):
    refused(make, message)


def test_what_a_contrast_takes():
    logits = MODEL(IMAGES).detach()
    for against in (2, np.int64(2), torch.tensor(2), [2, 2, 2], np.array([2, 2, 2])):
        scores = funcam.explain(MODEL, IMAGES, funcam.contrast(1, against, gamma=np.float32(0.5))).scores
        torch.testing.assert_close(scores, logits[:, 1] - 0.5 * logits[:, 2])
    each = funcam.explain(MODEL, IMAGES, funcam.contrast([0, 1, 2], torch.tensor([4, 3, 1]))).scores
    torch.testing.assert_close(each, logits[range(3), [0, 1, 2]] - logits[range(3), [4, 3, 1]])


def test_masks_and_embeddings_may_be_arrays_and_lists():
    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2] = True
    want = scores[:, 1, 1:3, 2].mean(1)
    for form in (mask, mask.tolist(), torch.from_numpy(mask), mask.astype(np.uint8)):
        target = funcam.segmentation(1, form)
        torch.testing.assert_close(target.score({"out": scores}, *target.constants), want)
    embedding = [1, -2, 0, 0, 3]
    want = torch.nn.functional.cosine_similarity(MODEL(IMAGES), torch.tensor(embedding).float()[None]).detach()
    for other in (embedding, np.array(embedding), torch.tensor(embedding)):
        torch.testing.assert_close(funcam.explain(MODEL, IMAGES, funcam.similarity(other)).scores, want)


def test_a_mask_for_another_number_of_images():
    target = funcam.segmentation(1, torch.ones(3, 4, 5))
    refused(
        lambda: target({"out": torch.ones(2, 3, 4, 5)}), "one for each of the 2 images or one for all .3 were given"
    )


class Maps(torch.nn.Module):
    """Scores `[B, H, W]` of one class, and several outputs by name."""

    def __init__(self, end):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.end = torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Conv2d(8, 2, 1), end

    def forward(self, x):
        return self.end(self.head(self.conv(x).relu()))


@pytest.mark.parametrize(
    ("end", "target", "output", "score"),
    [
        (
            lambda z: z[:, 0],
            funcam.segmentation(0, torch.ones(8, 8)),
            lambda out: out[:, None],
            lambda z: z[:, 0].mean((1, 2)),
        ),
        (
            lambda z: {"a": z, "b": -z},
            funcam.segmentation(1, torch.ones(8, 8)),
            "b",
            lambda z: -z[:, 1].mean((1, 2)),
        ),
        (
            lambda z: {"a": z.mean((2, 3)), "b": -z.mean((2, 3))},
            funcam.similarity([1.0, 0.0]),
            "b",
            lambda z: torch.nn.functional.normalize(-z.mean((2, 3)), dim=1)[:, 0],
        ),
        (
            lambda z: {"a": z.mean((2, 3)), "b": -z.mean((2, 3))},
            funcam.regression(1),
            "b",
            lambda z: -z.mean((2, 3))[:, 1],
        ),
    ],
    ids=["an axis of classes", "a segmentation of several", "an embedding of several", "a number of several"],
)
def test_a_score_of_its_own_is_read_where_explain_is_told(end, target, output, score):
    model, x = Maps(end).eval(), torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    result = funcam.explain(model, x, target, output=output)
    torch.testing.assert_close(result.scores.flatten(), score(model.head(model.conv(x).relu())).detach())


def test_a_place_that_is_told_twice():
    model, x = Maps(lambda z: {"a": z, "b": -z}).eval(), torch.randn(2, 3, 16, 16)
    with pytest.raises(FuncamError, match=r"output='b' was given, and the target says itself.*say it once"):
        funcam.explain(model, x, funcam.segmentation(0, output="a"), output="b")


@pytest.mark.parametrize("shape", [(2, 8), (2, 8, 1, 1), (8, 1, 1), (8,), (1, 8, 1, 1)])
@pytest.mark.parametrize("flat", [False, True])
def test_embeddings_may_be_left_as_they_were_pooled(shape, flat):
    torch.manual_seed(0)
    parts = [torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.AdaptiveAvgPool2d(1), *[torch.nn.Flatten()] * flat]
    model, x = torch.nn.Sequential(*parts).eval(), torch.randn(2, 3, 16, 16)
    other = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = funcam.explain(model, x, funcam.similarity(other)).scores.flatten()
    wanted = torch.nn.functional.cosine_similarity(model(x).flatten(1), other.flatten().view(-1, 8))
    torch.testing.assert_close(found, wanted.detach())
