"""One image put before a network: what it predicts, why, and where on the image that is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from funcam.errors import FuncamError
from funcam.imaging.fit import onto_image
from funcam.imaging.reading import Pixels
from funcam.pipeline.explaining import explain_image
from funcam.pipeline.recipes import CAMS, GUIDED
from funcam.recipe import Recipe
from funcam.zoo.nets import Net, build_net

CELL = 4


class Brightness(nn.Module):
    """Two classes, "bright" and "dark": the mean of a map that is exactly the image's brightness, and its opposite."""

    def __init__(self, answer: tuple[float, float] = (1.0, -1.0)) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 1, CELL, stride=CELL, bias=False)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.say = nn.Linear(1, 2, bias=False)
        nn.init.constant_(self.look.weight, 1 / (3 * CELL**2))
        self.say.weight = nn.Parameter(torch.tensor(answer)[:, None])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = self.say(self.pool(self.relu(self.look(images))).flatten(1))
        return answers


def brightness_net(**changes: object) -> Net:
    net = Net(
        name="brightness",
        model=Brightness().eval(),
        classes=("bright", "dark"),
        weights="made by hand",
        input_size=256,
        resize_size=292,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        interpolation="bilinear",
        fixed_size=False,
        min_size=CELL,
    )
    return replace(net, **changes)  # type: ignore[arg-type]


def square(height: int, width: int) -> tuple[Pixels, NDArray[np.bool_]]:
    """A bright square on black, left of and below the middle, and where it is."""
    side = min(height, width)
    top, left = height // 2 - side // 8, width // 2 - 3 * side // 8
    truth = np.zeros((height, width), bool)
    truth[top : top + side // 2, left : left + side // 2] = True
    return np.where(truth[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2), truth


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def random_image(height: int = 40, width: int = 56) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Where the map lies


@pytest.mark.parametrize("fit", ["squash", "crop", "pad", "native"])
@pytest.mark.parametrize("size", [(200, 200), (120, 360), (400, 132), (64, 64), (900, 1200)])
@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_a_map_lands_on_what_the_network_saw(fit: str, size: tuple[int, int], method: str) -> None:
    image, truth = square(*size)
    explanation = explain_image(brightness_net(), image, fit=fit)

    drawn = onto_image(explanation.maps[method][0], explanation.view)

    assert explanation.explained[0].name == "bright"
    assert drawn.shape == size
    assert overlap(np.nan_to_num(drawn) > np.nanmax(drawn) / 2, truth) > 0.8
    assert truth.flat[np.nanargmax(drawn)]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad", "native"])
def test_guided_gradients_lie_where_the_map_lies(fit: str) -> None:
    image, truth = square(120, 360)
    explanation = explain_image(brightness_net(), image, fit=fit)

    drawn = onto_image(explanation.maps["guided-grad-cam"][0], explanation.view).sum(axis=2)

    assert overlap(np.nan_to_num(drawn) > np.nanmax(drawn) / 2, truth) > 0.8


def test_what_a_crop_cuts_away_is_not_seen() -> None:
    image, _ = square(100, 300)
    explanation = explain_image(brightness_net(), image, fit="crop")
    seen = ~np.isnan(onto_image(explanation.maps["grad-cam"][0], explanation.view))

    # torchvision's preset: the shorter side to 292, then the middle 256: 88 of 100 pixels, in both directions.
    assert seen.any(axis=1).sum() == 88
    assert seen.any(axis=0).sum() == 88
    assert seen[50, 150]


# What is said


def test_predictions_are_the_softmax_of_the_networks_own_logits() -> None:
    image = random_image(256, 256)
    logit = float(image.mean() / 255)
    explanation = explain_image(brightness_net(), image)

    assert [prediction.index for prediction in explanation.predictions] == [0, 1]
    assert explanation.predictions[0].logit == pytest.approx(logit, rel=1e-4)
    assert explanation.predictions[0].probability == pytest.approx(1 / (1 + np.exp(-2 * logit)), rel=1e-4)
    assert sum(prediction.probability for prediction in explanation.predictions) == pytest.approx(1)


def test_the_input_is_normalised_as_the_network_wants_it() -> None:
    image = np.full((8, 8, 3), (51, 102, 204), np.uint8)
    net = brightness_net(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    expected = ((0.2 - 0.1) / 0.5 + (0.4 - 0.2) / 0.25 + (0.8 - 0.3) / 0.125) / 3

    assert explain_image(net, image).predictions[0].logit == pytest.approx(expected, rel=1e-4)


def test_padding_is_what_normalisation_turns_into_zero() -> None:
    net = brightness_net(mean=(0.2, 0.4, 0.6))
    net.model.look.weight.data.neg_()  # so that black, which lies below the mean, would count
    image = np.full((32, 256, 3), (51, 102, 153), np.uint8)

    assert explain_image(net, image, fit="pad").predictions[0].logit == pytest.approx(0, abs=1e-6)


def test_classes_are_explained_in_the_order_asked_for() -> None:
    explanation = explain_image(brightness_net(), random_image(), [1, 0])

    assert [prediction.name for prediction in explanation.explained] == ["dark", "bright"]
    assert explanation.predictions[0].name == "bright"
    assert not explanation.maps["grad-cam"][0].any()
    assert explanation.maps["grad-cam"][1].any()


def test_several_classes_at_once_have_the_maps_of_each_alone() -> None:
    net = build_net("squeezenet1_1", num_classes=5)
    image = random_image()
    together = explain_image(net, image, [3, 1], fit="native")

    for row, index in enumerate([3, 1]):
        alone = explain_image(net, image, [index], fit="native")
        for method in (*CAMS, *GUIDED):
            assert alone.maps[method].any(), method
            np.testing.assert_allclose(together.maps[method][row], alone.maps[method][0], rtol=1e-4, atol=1e-6)


def test_a_study_leaves_the_network_and_the_image_as_they_were() -> None:
    net, image = brightness_net(), random_image()
    before = image.copy()
    state = {name: value.clone() for name, value in net.model.state_dict().items()}

    explain_image(net, image)

    assert (image == before).all()
    for name, value in net.model.state_dict().items():
        assert torch.equal(value, state[name])
        assert value.grad is None
    assert not net.model._forward_hooks


def test_a_map_of_nothing_is_said_to_be_one() -> None:
    explanation = explain_image(brightness_net(), random_image(), [1])

    assert not explanation.maps["grad-cam"].any()
    assert [note for note in explanation.notes if note.startswith("grad-cam at relu is zero everywhere for class 1")]
    assert not explain_image(brightness_net(), random_image(), [0]).notes


@pytest.mark.parametrize(("methods", "idle"), [(("gradient",), True), (("gradient", "grad-cam"), False)])
def test_a_layer_that_no_method_takes_note_of_is_told(methods: tuple[str, ...], idle: bool) -> None:
    explanation = explain_image(brightness_net(), random_image(), [0], recipe=Recipe(methods, ("relu",)))
    told = "the layer relu changes nothing: gradient is of the whole network"
    assert (told in explanation.notes) is idle


@pytest.mark.parametrize(
    ("name", "methods", "note"),
    [
        ("scenes", (*CAMS, *GUIDED), None),
        ("mobilenet_v3_small", (*CAMS, *GUIDED), r"a part of mobilenet_v3_small: \d+ ReLUs .* \d+ other activations"),
        ("efficientnet_b0", CAMS, "guided backpropagation is undefined for EfficientNet"),
    ],
)
def test_the_guided_methods_need_relus(name: str, methods: tuple[str, ...], note: str | None) -> None:
    explanation = explain_image(build_net(name), random_image(64, 64), fit="native")

    assert tuple(explanation.maps) == methods
    notes = [text for text in explanation.notes if "guided backpropagation" in text]
    assert len(notes) == (note is not None)
    assert note is None or re.search(note, notes[0])


# What is refused


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        (lambda: brightness_net(), (3, 90), "90x3 pixels and brightness needs at least 4"),
        (lambda: brightness_net(fixed_size=True), (30, 90), "256x256 only, this one has 90x30"),
        (lambda: brightness_net(), (2001, 2000), "more than the 4 megapixels"),
    ],
)
def test_images_that_native_refuses(net: Callable[[], Net], size: tuple[int, int], message: str) -> None:
    with pytest.raises(FuncamError, match=message) as caught:
        explain_image(net(), np.zeros((*size, 3), np.uint8), fit="native")

    assert "--fit squash" in str(caught.value)
    for fit in ("squash", "crop", "pad"):
        assert explain_image(net(), np.zeros((*size, 3), np.uint8), fit=fit).view.input_size == (256, 256)


def test_a_network_of_one_size_takes_that_size_native() -> None:
    assert explain_image(brightness_net(fixed_size=True), random_image(256, 256), fit="native").maps["grad-cam"].any()


def test_an_answer_beyond_all_numbers_is_refused() -> None:
    """Class 0 has a sound map, but where class 1 has an infinite logit there are no probabilities."""
    net = brightness_net(model=Brightness((1.0, 3e38)).eval())
    net.model.look.weight.data.mul_(100)
    with pytest.raises(FuncamError, match="brightness returns NaN or infinity for 1 of 2 classes"):
        explain_image(net, random_image(), [0])


def test_a_map_that_is_not_finite_is_refused() -> None:
    model = Brightness((1e30, 0.0)).eval()
    model.look.weight.data.fill_(1e30)
    with pytest.raises(FuncamError, match=r"^grad-cam at '\w+' is not finite"):
        explain_image(brightness_net(model=model), random_image(), [0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": Recipe(layers=("lok",))}, "nearest: 'look'"),
        ({"recipe": Recipe(layers=("say",))}, "'say'"),
        ({"recipe": Recipe(scale=2), "fit": "native"}, "512 pixels and fit='native'"),
        ({"fit": "stretch"}, "'stretch'"),
        ({"classes": [2]}, "2"),
    ],
)
def test_wrong_words_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(FuncamError, match=message):
        explain_image(brightness_net(), random_image(), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_recipe_that_enlarges_predicts_at_the_networks_own_size(fit: str) -> None:
    """Weights that answer by size: 256 pixels are "bright" to it, 512 are "dark"."""
    net = brightness_net()
    look = net.model.look
    net.model.say.register_forward_pre_hook(lambda _, given: (given[0] * (1 if cells[-1] == 256 // CELL else -1),))
    cells: list[int] = []
    look.register_forward_hook(lambda _, __, out: cells.append(out.shape[-1]))
    image, _ = square(300, 400)
    small = explain_image(net, image, None, Recipe(("grad-cam",)), fit=fit)
    large = explain_image(net, image, None, Recipe(("grad-cam",), scale=2), fit=fit)
    asked = explain_image(net, image, None, Recipe(("grad-cam",), input_size=512), fit=fit)
    assert large.predictions == small.predictions
    assert [one.name for one in (*small.explained, *large.explained, *asked.explained)] == ["bright", "bright", "dark"]
    assert large.maps["grad-cam"].shape[-2:] == (128, 128)
    assert "predicted at 256 pixels, explained at 512" in large.notes
    assert not any("predicted at" in note for note in (*small.notes, *asked.notes))


def test_methods_that_mislead_say_when() -> None:
    image, _ = square(300, 400)
    said = explain_image(brightness_net(), image, None, Recipe(("prototype-cam", "grad-cam"))).notes
    (beware,) = [note for note in said if note.startswith("prototype-cam ")]
    assert "take grad-cam" in beware
