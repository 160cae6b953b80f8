"""Detectors: the head's detections are the model's, and its gradients those of plain autograd with a hook."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from small import small, state_of
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator

from funcam import FuncamError
from funcam.network.detection import detector
from funcam.targets.boxes import box_score

IMAGES = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
BARE = {"weights": None, "weights_backbone": None, "num_classes": 4}


def faster_rcnn(**options):
    options = {"box_score_thresh": 0.0, "box_detections_per_img": 6, "rpn_post_nms_top_n_test": 40} | options
    return detection.fasterrcnn_mobilenet_v3_large_320_fpn(**BARE, min_size=96, max_size=128, **options)


def plain_rcnn():
    backbone = torchvision.models.squeezenet1_1().features
    backbone.out_channels = 512
    anchors = AnchorGenerator(((32, 64),), ((1.0,),))
    pool = torchvision.ops.MultiScaleRoIAlign(["0"], 3, 2)
    options = {"min_size": 96, "max_size": 128, "box_score_thresh": 0.0, "box_detections_per_img": 6}
    return detection.FasterRCNN(backbone, 4, rpn_anchor_generator=anchors, box_roi_pool=pool, **options)


def ssdlite():
    return detection.ssdlite320_mobilenet_v3_large(**BARE, score_thresh=0.0, detections_per_img=6)


def retinanet():
    return detection.retinanet_resnet50_fpn(**BARE, score_thresh=0.0, detections_per_img=6, min_size=96, max_size=128)


def made(make):
    """Random weights; a class head of some size, so that scores differ."""
    torch.manual_seed(0)
    model = make()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "cls_score" in name:
                parameter.normal_(0, 0.02)
    return model.eval()


MODELS = {"faster rcnn": faster_rcnn, "plain": plain_rcnn, "ssdlite": ssdlite, "retinanet": retinanet}
# the module whose output is the default level, for the hook of the oracle
LAYERS = {"faster rcnn": "body.16", "plain": "12", "ssdlite": "features.0.13", "retinanet": "body.layer4"}


def by_hook(model, layer, images, score):
    """The gradient of a score with respect to what a module of the backbone returns, by a zero that is added to it."""
    model = copy.deepcopy(model).requires_grad_(False)
    deltas = []

    def add(_module, _inputs, output):
        deltas.append(torch.zeros_like(output, requires_grad=True))
        return output + deltas[0]

    model.backbone.get_submodule(layer).register_forward_hook(add)
    with torch.enable_grad():
        return torch.autograd.grad(score(model(list(images))), deltas[0])[0]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "retinanet" else name for name in MODELS]
)
def test_it_detects_what_the_model_detects_and_differentiates_as_autograd(name):
    model = made(MODELS[name])
    with torch.no_grad():
        want = model(list(IMAGES))
    model.train()
    before = state_of(model)
    features, head = detector(model)
    with torch.no_grad():
        A, rest = features(IMAGES)
        found = head(A, rest)
        assert A.ndim == 4
        for a, b in zip(found, want, strict=True):
            assert len(a["scores"]) > 0
            for key in ("boxes", "labels", "scores"):
                torch.testing.assert_close(a[key], b[key])
        score = box_score(want[0]["boxes"][:2], want[0]["labels"][:2])
        values, pullback = torch.func.vjp(lambda A: score(head(A, rest)), A)
        torch.testing.assert_close(values[0], want[0]["scores"][:2])
        both = torch.eye(2)[:, None] * torch.tensor([1.0, 0.0])[:, None]  # each box, in the first image
        g = torch.func.vmap(pullback)(both)[0]
    assert state_of(model) == before
    model.eval()
    for k in range(2):
        by_hand = by_hook(model, LAYERS[name], IMAGES, lambda out, k=k: out[0]["scores"][k])
        assert by_hand.abs().max() > 0
        torch.testing.assert_close(g[k], by_hand, rtol=1e-4, atol=1e-7)


def test_a_mask_rcnn_and_a_level_of_its_pyramid():
    torch.manual_seed(0)
    options = {"box_score_thresh": 0.0, "box_detections_per_img": 2, "rpn_post_nms_top_n_test": 20}
    model = detection.maskrcnn_resnet50_fpn(**BARE, **options, min_size=64, max_size=64).eval()
    features, head = detector(model, "0")
    with torch.no_grad():
        A, rest = features(IMAGES[:1])
        assert A.shape == (1, 256, 16, 16)  # a stride of 4, padded to a square
        (found,), (want,) = head(A, rest), model(list(IMAGES[:1]))
        torch.testing.assert_close(found["scores"], want["scores"])
        torch.testing.assert_close(found["masks"], want["masks"])
        torch.testing.assert_close(detector(model, "body.layer2")[0](IMAGES[:1])[0].shape, torch.Size([1, 512, 8, 8]))
        changed = head(torch.zeros_like(A), rest)[0]
    assert not torch.equal(changed["boxes"], found["boxes"])


def test_images_are_explained_each_by_itself():
    model = made(faster_rcnn)
    features, head = detector(model)
    with torch.no_grad():
        A, rest = features(IMAGES)
        want = head(A, rest)
        box, label = want[1]["boxes"][0], int(want[1]["labels"][0])
        g = torch.func.grad(lambda A: box_score(box, label)(head(A, rest))[1])(A)
    assert g[0].abs().max() == 0
    assert g[1].abs().max() > 0


boxes = st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 20)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@given(
    found=st.lists(st.tuples(boxes, st.integers(1, 2), st.floats(0.125, 1, width=32)), max_size=5),
    wanted=st.lists(st.tuples(boxes, st.integers(1, 2)), min_size=1, max_size=3),
    iou=st.sampled_from([0.1, 0.5]),
)
def test_the_detection_of_the_label_that_overlaps_best_answers(found, wanted, iou):
    detections = {
        "boxes": torch.tensor([row[0] for row in found], dtype=torch.float32).view(-1, 4),
        "labels": torch.tensor([row[1] for row in found], dtype=torch.long),
        "scores": torch.tensor([row[2] for row in found]),
    }
    scores = box_score([row[0] for row in wanted], [row[1] for row in wanted], iou=iou)([detections])
    assert scores.shape == (1, len(wanted))
    for (box, label), score in zip(wanted, scores[0].tolist(), strict=True):
        rivals = [(overlap(box, row[0]), row[2]) for row in found if row[1] == label]
        best = max((o for o, _ in rivals), default=0)
        allowed = {s for o, s in rivals if o > best - 1e-6} if best >= iou + 1e-6 else {0.0}
        if abs(best - iou) > 1e-6:
            assert score in allowed


def test_where_none_answers_the_score_and_its_gradient_are_zero():
    scores = torch.tensor([0.5, 0.25])

    def score(scores, wanted, label):
        found = {
            "boxes": torch.tensor([[0.0, 0, 8, 8], [1, 0, 8, 8]]),
            "labels": torch.tensor([1, 2]),
            "scores": scores,
        }
        return box_score(wanted, label)([found])[0]

    assert torch.func.grad(score)(scores, [0, 0, 8, 8], 1).tolist() == [1, 0]
    assert torch.func.grad(score)(scores, [0, 0, 8, 8], 2).tolist() == [0, 1]
    assert torch.func.grad(score)(scores, [0, 0, 8, 8], 3).tolist() == [0, 0]
    assert torch.func.grad(score)(scores, [9, 9, 12, 12], 1).tolist() == [0, 0]
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "scores": torch.zeros(0)}
    assert box_score([0, 0, 8, 8], 1)([nothing]).tolist() == [0]
    assert box_score([[0, 0, 8, 8]], 1)([nothing, nothing]).tolist() == [[0], [0]]


@pytest.mark.parametrize(
    ("boxes", "labels", "words"),
    [
        ([0, 0, 8], 1, r"boxes have shape \[3\]; expected \[4\] or \[n, 4\]"),
        ([[[0, 0, 8, 8]]], 1, r"boxes have shape \[1, 1, 4\]"),
        (torch.zeros(0, 4), 1, r"boxes have shape \[0, 4\]"),
        ([0, 0, 8, 8], [1, 2], r"labels have shape \[2\]"),
        ([[0, 0, 8, 8]] * 2, [1, 2, 3], r"labels have shape \[3\]"),
        ([0, 0, 8, 8], 1.5, "expected whole numbers"),
    ],
)
def test_boxes_and_labels_of_another_shape_are_refused(boxes, labels, words):
    with pytest.raises(FuncamError, match=words):
        box_score(boxes, labels)


def test_other_models_levels_and_images_are_refused():
    with pytest.raises(FuncamError, match=r"Small is no detector of torchvision's .*give a pair of functions"):
        detector(small())
    model = faster_rcnn()
    with pytest.raises(FuncamError, match="FasterRCNN has no level '7': its backbone returns '0', '1', 'pool'"):
        detector(model, "7")
    with pytest.raises(FuncamError, match=r"images have shape \[3, 8, 8\]; a detector takes float images"):
        detector(model)[0](torch.rand(3, 8, 8))


def test_replaced_parts_and_hooks_are_seen_and_left():
    model = made(faster_rcnn)
    features, head = detector(model)
    calls = []
    model.roi_heads.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        first = head(*features(IMAGES))
        model.roi_heads.box_predictor.cls_score = nn.Linear(1024, 4)
        model.backbone.fpn.layer_blocks[0][0] = nn.Conv2d(256, 256, 3, padding=1)
        second = head(*features(IMAGES))
        assert not calls
        want = model(list(IMAGES))
    assert calls == [1]
    torch.testing.assert_close(second[0]["scores"], want[0]["scores"])
    assert not torch.equal(first[0]["scores"], second[0]["scores"])
