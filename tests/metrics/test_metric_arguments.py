"""Every parameter of every public metric: what is of the wrong kind is refused in one line, and nothing is ignored."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from metric_arguments import COUNT, FUNCTIONS, PARAMETERS, SIDE, TAKEN, argument, arguments, call, with_parameter

from funcam import metrics
from funcam.errors import FuncamError

NAN, INFINITE = float("nan"), float("inf")
NO_TENSOR = ("maps", {"a": 1}, object(), [[1.0], [1.0, 2.0]], torch.zeros(1, dtype=torch.complex64), None)
NO_COUNT = (1.5, 2.0, True, "8", 0, -1, None, [2], NAN, np.bool_(True), torch.tensor(2.5))
NO_NUMBER = ("0.5", True, None, NAN, INFINITE, [0.5], object(), np.bool_(False))
NO_NUMBERS = ("0.5", 0.5, [], [True], ["0.5"], [NAN], None, object())
NO_CLASSES = [True, [True, 1, 2], torch.tensor([True] * COUNT), 1.5, [1.0] * COUNT, "3", "all", [1], [1] * 4, -1, 5]
NO_CLASSES += [[[1]] * COUNT, [0, 1, 9], np.array([0.0, 1.0, 2.0]), object(), [None] * COUNT]

BAD = {
    **dict.fromkeys(("images", "maps", "attributions", "others", "again", "logits", "overlaps", "pixels"), NO_TENSOR),
    **dict.fromkeys(
        ("coherency", "complexity", "average_drop", "road"), (*NO_TENSOR, 0.5, (0.5,) * 4, (0.5, 0.5, 7.0))
    ),
    **dict.fromkeys(("masks", "valid", "hits", "missing"), (*NO_TENSOR, True, torch.ones(COUNT, 2, SIDE, SIDE))),
    "ignore": (*NO_TENSOR[:-1], True, torch.ones(COUNT, SIDE, SIDE)),
    "boxes": (*NO_TENSOR, [[1]], [[[0, 0, 1]]], torch.full((COUNT, 2, 4), NAN), -arguments()["boxes"]),
    "before": (*NO_TENSOR[:-1], 0.5, [0.5]),
    "counts": (*NO_TENSOR[:-1], 1.0, [1.0], [1.0, -1.0, 1.0], [1.0, NAN, 1.0]),
    "scores": (*NO_TENSOR, torch.zeros(COUNT), (torch.zeros(2), torch.zeros(3)), (0.5, 0.5)),
    "targets": NO_CLASSES,
    "labels": (*NO_CLASSES, None),
    **dict.fromkeys(("steps", "patch", "chunk", "samples", "n", "bins", "count"), NO_COUNT),
    "window": (*NO_COUNT, 1, SIDE + 1),
    "side": (*NO_COUNT, 4),
    **dict.fromkeys(("seed", "first"), (1.5, 2.0, True, "8", -1, None, NAN, [2])),
    **dict.fromkeys(("sigma", "spread"), (*NO_NUMBER, 0, -1.0)),
    **dict.fromkeys(("noise", "std", "tolerance"), (*NO_NUMBER, -1.0)),
    "share": (*NO_NUMBER, 0, -0.5, 1.5),
    "level": NO_NUMBER,
    "shares": (*NO_NUMBERS, [1.5], [-0.1]),
    "levels": NO_NUMBERS,
    "size": (8, "88", (8,), (8, 8, 8), (8, 1.5), (0, 8), (True, 8), None),
    "baseline": (
        *("blurred", True, [True], torch.tensor(True), [0.5, NAN, 0.5], INFINITE, metrics.blurred, object()),
        *map(torch.zeros, [(2,), (SIDE,), (COUNT, 3), (COUNT + 1, SIDE, SIDE), (2, 3, 1, 1), (1, 1, COUNT, 3, 1)]),
    ),
    "network": (None, "resnet50", torch.zeros(2)),
    "score": (None, "softmax", 1, lambda logits: logits[:, 0], lambda logits: 0.5),
    "perturb": ("noise", 0.5, lambda image, generator: image[0], lambda image, generator: 0.5),
    "generator": (0, "cpu"),
    "model": (None, "resnet18", torch.zeros(2), lambda images: images),
    "layers": ([], "nowhere", ["nowhere"], 3, [3], torch.nn.ReLU()),
    "device": ("nowhere", object()),
    "dtype": (torch.int64, float, "float32"),
}
BAD_OF = {
    ("box_hits", "least"): NO_NUMBERS,
    ("top1_localisation_error", "least"): NO_NUMBER,
    ("removed_square", "baseline"): NO_NUMBER,
    ("pad_boxes", "boxes"): ["boxes", None, 3, [[(0, 0, 1)]], [[(2, 0, 1, 1)]]],
}
ANYTHING = {"scaled"}  # true or false


@pytest.mark.parametrize(("name", "parameter"), [pair for pair in PARAMETERS if pair[1] not in ANYTHING])
def test_what_is_of_the_wrong_kind_is_refused_in_one_line(name, parameter):
    for bad in BAD_OF.get((name, parameter)) or BAD[parameter]:
        with pytest.raises(FuncamError) as refusal:
            call(name, **{parameter: bad})
        message = str(refusal.value)
        assert "\n" not in message, (name, parameter, bad)
        assert "expected" in message or "nearest" in message, (name, parameter, bad, message)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_takes_what_is_good(name):
    for parameter in TAKEN[name]:
        assert len(call(name, **{parameter: argument(name, parameter)})) > 0


@pytest.mark.parametrize("name", with_parameter("maps"))
def test_maps_are_arrays_lists_and_whole_numbers_too(name):
    whole = (arguments()["maps"] * 8).round()
    expected = call(name, maps=whole)
    for same in (whole.numpy(), whole.tolist(), whole.int(), whole.numpy().astype(np.uint8), whole.double()):
        for one, other in zip(call(name, maps=same), expected, strict=True):
            torch.testing.assert_close(one, other, check_dtype=False)
    masks = arguments()["masks"][:, 0]
    for one, other in zip(call(name, maps=masks), call(name, maps=masks.float()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", with_parameter("maps"))
def test_maps_of_another_number_or_size_are_refused(name):
    maps = arguments()["maps"]
    beside = set(TAKEN[name])
    others = [maps[:, :0]]
    others += [maps[:1]] if beside & {"images", "masks", "boxes", "others", "again"} else []
    others += [maps[:, :4], maps[:, :, :4]] if beside & {"images", "masks", "others", "again"} else []
    others += [] if name == "complexity" else [maps[0]]  # of signals it takes [B, L]
    for other in others:
        with pytest.raises(FuncamError, match="expected"):
            call(name, maps=other)


@pytest.mark.parametrize("name", with_parameter("images"))
def test_images_of_another_shape_or_kind_are_refused(name):
    images = arguments()["images"]
    for other in (images[0], images[:0], images.permute(0, 2, 3, 1), (images * 9).to(torch.uint8)):
        if name in ("blurred", "mean_colour") and other.shape[1:] == (SIDE, SIDE, 3):
            continue  # nothing tells these channels
        with pytest.raises(FuncamError, match="expected"):
            call(name, images=other)


BASELINES = {
    "a number": 0.5,
    "NumPy's number": np.float32(0.5),
    "one": torch.tensor([0.5]),
    "a colour": torch.tensor([0.1, 0.2, 0.3]),
    "a list": [0.1, 0.2, 0.3],
    "a column": torch.tensor([0.1, 0.2, 0.3])[:, None, None],
    "a colour for each": torch.arange(9.0).view(COUNT, 3, 1, 1),
    "an image": torch.arange(192.0).view(3, SIDE, SIDE) / 192,
    "images": torch.arange(576.0).view(COUNT, 3, SIDE, SIDE) / 576,
}


@pytest.mark.parametrize("name", with_parameter("images", "baseline"))
@pytest.mark.parametrize("kind", BASELINES)
def test_a_baseline_is_what_broadcasts_and_a_colour(name, kind):
    """What is expected is written out as whole images."""
    baseline = BASELINES[kind]
    colour = isinstance(baseline, list) or np.shape(baseline) == (3,)
    array = np.asarray(baseline, np.float32).reshape((3, 1, 1) if colour else np.shape(baseline))
    filled = torch.from_numpy(np.broadcast_to(array, (COUNT, 3, SIDE, SIDE)).copy())
    options = {"n": 3} if "n" in TAKEN[name] else {}
    for one, other in zip(
        call(name, baseline=baseline, **options), call(name, baseline=filled, **options), strict=True
    ):
        assert torch.equal(one, other)
    default = call(name, **options)
    assert any(not torch.equal(one, other) for one, other in zip(call(name, baseline=filled), default, strict=True))


def test_a_colour_is_one_where_images_are_as_wide_as_they_have_channels():
    images, maps = torch.ones(1, 3, 3, 3), torch.arange(9.0).view(1, 3, 3)
    seen = []

    def network(rows):
        seen.append(rows.clone())
        return rows.flatten(1)

    metrics.deletion(network, images, maps, 0, steps=1, baseline=[1.0, 2.0, 3.0])
    assert seen[0][1, :, 0, 0].tolist() == seen[0][1, :, 2, 1].tolist() == [1.0, 2.0, 3.0]


def test_every_parameter_has_bad_values_here():
    names = {parameter for _, parameter in PARAMETERS}
    assert names - ANYTHING <= set(BAD) | {parameter for _, parameter in BAD_OF}
    assert all(inspect.getdoc(function) for function in FUNCTIONS.values())
