"""An explanation shows itself: in words, in a notebook, as pictures, files and plain values."""

from __future__ import annotations

import base64
import copy
import functools
import html
import io
import json
import pickle
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import funcam
from funcam import FuncamError
from funcam.scenes import scene

NET = funcam.load_net("scenes")
SCENE = scene(7, labels=["star"])
WIDE = np.pad(SCENE.image, ((0, 0), (64, 64), (0, 0)))
ONE = funcam.explain(NET, SCENE.image)
FOUR = funcam.explain(NET, [SCENE.image, scene(8).image], [["star", 0], [4, "disk"]])
PLAIN = funcam.explain(NET.model, funcam.fit_images(NET, SCENE.image).tensor)


class Volumes(nn.Module):
    """The mean of each half of a volume: class 0 is the front, class 1 the back."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 2, 1)
        self.pool = nn.AvgPool3d(2)
        self.head = nn.Flatten()
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, 1.0]).view(2, 1, 1, 1, 1))
            self.features.bias.zero_()

    def forward(self, x):
        cells = self.pool(self.features(x).relu())
        half = cells.shape[2] // 2
        return torch.stack([cells[:, 0, :half].mean((1, 2, 3)), cells[:, 1, half:].mean((1, 2, 3))], 1)


class Signals(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Conv1d(1, 4, 5, stride=2), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.features(x).relu().mean(2))


def volume():
    values = torch.rand(1, 1, 16, 8, 8)
    values[:, :, 12:14] += 5
    return values


# --- words and values -------------------------------------------------------------------------------------------------


def test_its_repr_is_short_and_says_what_was_explained():
    share = float(ONE.logits[0].softmax(0)[ONE.targets[0]])
    assert repr(ONE) == (f"Explanation(grad-cam at trunk_output, star {100 * share:.1f} %, maps [1, 16, 16])")
    many = funcam.explain(NET, [SCENE.image] * 9, "all")
    assert len(repr(many)) < 300
    assert "star" in repr(FOUR)
    assert "class 8" in repr(PLAIN)
    assert "no images" in repr(funcam.explain(NET.model, torch.zeros(0, 3, 64, 64)))


def five(logits):
    return logits[:, :5].sum(1)


ASKED = [
    (funcam.contrast(8, 0), "star against {0}", False),
    (funcam.contrast(8), "star against runner-up", False),
    (funcam.contrast([8], [4]), "star against disk", False),
    (funcam.contrast(8, similar=2, gamma=0.5), "star against 2 similar classes (gamma 0.5)", False),
    (funcam.counterfactual(8), "not star", False),
    (funcam.probability(8), "probability of star", True),
    (funcam.log_probability(8), "log-probability of star", False),
    (five, "five", False),
    (functools.partial(five), "five", False),
    (lambda logits: logits[:, 3:5], "<lambda>, score 1", False),
    (funcam.regression(2), "output 2", False),
    (funcam.similarity(torch.ones(10)), "similarity", False),
]


@pytest.mark.parametrize(("target", "words", "probable"), ASKED, ids=[words for _, words, _ in ASKED])
def test_what_was_asked_is_shown_without_a_made_up_probability(target, words, probable):
    words = words.format(*NET.classes)
    share = float(ONE.logits[0].softmax(0)[8])
    result = funcam.explain(NET, SCENE.image, target)
    shown = words + f" {100 * share:.1f} %" * probable
    assert f"{shown}," in repr(result)
    assert f"{html.escape(shown)}<" in result._repr_html_()
    entry = result.to_dict()["images"][0]["explained"][-1]
    assert entry["name"] == words
    assert (entry["probability"] is not None) == probable
    assert result.to_dict()["images"][0]["predictions"][0]["name"] == "star"
    assert words in repr(pickle.loads(pickle.dumps(result)))


def test_each_image_has_its_own_class_in_a_contrast():
    result = funcam.explain(NET, [SCENE.image] * 2, funcam.contrast(8, [0, 4]))
    names = [image["explained"][0]["name"] for image in result.to_dict()["images"]]
    assert names == [f"star against {NET.classes[0]}", "star against disk"]


def test_what_was_asked_is_shown_of_what_was_prepared():
    tensor = funcam.fit_images(NET, SCENE.image).tensor
    assert "class 8 against class 0," in repr(funcam.explain(NET.model, tensor, funcam.contrast(8, 0)))
    fast = funcam.prepare(NET.model, example=tensor, targets=five, backend=None)
    assert ", five," in repr(fast(tensor))


def test_its_repr_inside_a_transformation():
    seen = []

    def maps(images):
        result = funcam.explain(NET.model, images)
        seen.append(repr(result))
        return result.maps

    torch.func.vmap(maps)(funcam.fit_images(NET, [SCENE.image] * 2).tensor[:, None])
    assert seen == ["Explanation(grad-cam at trunk_output, maps [1, 16, 16])"]


def test_its_values_are_plain_and_true():
    told = json.loads(json.dumps(FOUR.to_dict(maps=True)))
    assert told["targets"] == FOUR.targets.tolist() == [[8, 0], [4, 4]]
    assert (told["method"], told["layer"], told["net"]) == ("grad-cam", "trunk_output", "scenes")
    np.testing.assert_allclose(told["maps"], FOUR.maps)
    assert "maps" not in FOUR.to_dict()
    for image, logits, maps in zip(told["images"], FOUR.logits, FOUR.maps, strict=True):
        probabilities = logits.double().softmax(0)
        assert image["predictions"][0]["index"] == int(logits.argmax())
        for entry in (*image["predictions"], *image["explained"]):
            assert entry["name"] == NET.classes[entry["index"]]
            assert entry["probability"] == pytest.approx(float(probabilities[entry["index"]]))
            assert entry["score"] == pytest.approx(float(logits[entry["index"]]), abs=1e-5)
        for entry, values in zip(image["explained"], maps.numpy(), strict=True):
            row, column = np.unravel_index(values.argmax(), values.shape)
            assert entry["peak"] == pytest.approx([(row + 0.5) / 16, (column + 0.5) / 16], abs=1e-4)


def test_the_peak_lies_on_the_star():
    down, across = ONE.to_dict()["images"][0]["explained"][0]["peak"]
    x0, y0, x1, y1 = SCENE.things[0].box
    assert x0 <= across * SCENE.image.shape[1] <= x1
    assert y0 <= down * SCENE.image.shape[0] <= y1


def test_numbers_that_are_no_probabilities_are_not_called_so():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = funcam.own_net(model, input_size=16, scores="none")
    entry = funcam.explain(net, 5 + np.zeros((20, 20), np.uint8), 1).to_dict()["images"][0]["explained"][0]
    assert entry["probability"] is None or 0 <= entry["score"] <= 1


def test_it_is_copied_and_pickled_with_its_pictures():
    for again in (copy.deepcopy(FOUR), pickle.loads(pickle.dumps(FOUR)), copy.copy(FOUR)):
        assert again.panel() == FOUR.panel()


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_the_overlay_is_the_map_on_the_picture():
    want = funcam.overlay(SCENE.image, funcam.onto_image(ONE.maps[0], SCENE.image.shape[:2]), "viridis", 0.65)
    np.testing.assert_array_equal(ONE.overlay(), want)
    np.testing.assert_array_equal(PLAIN.overlay(Image.fromarray(SCENE.image)), want)
    np.testing.assert_array_equal(PLAIN.overlay(torch.from_numpy(SCENE.image).permute(2, 0, 1)), want)


def test_a_cropped_picture_keeps_what_the_network_did_not_see_out():
    result = funcam.explain(NET, funcam.fit_images(NET, WIDE, "crop"))
    picture = np.asarray(result.heatmap())
    assert picture.shape == WIDE.shape
    assert (picture[:, :32] == 128).all()
    np.testing.assert_array_equal(result.overlay(WIDE), result.overlay())


def test_each_image_and_class_has_its_own():
    pictures = {(i, k): FOUR.overlay(index=i, target=k).tobytes() for i in (0, 1) for k in (0, 1)}
    assert pictures[1, 0] == pictures[1, 1]  # class 4 is the disk
    assert len(set(pictures.values())) == 3
    assert FOUR.overlay(index=-1, target=-1).tobytes() == pictures[1, 1]


@pytest.mark.parametrize("method", ["full-grad", "guided-backprop", "eigen-cam"])
def test_every_kind_of_map_is_drawn(method):
    result = funcam.explain(NET, SCENE.image, method=method)
    assert result.overlay().size == result.heatmap().size == SCENE.image.shape[1::-1]
    assert result.panel().width > 500


def test_functions_of_ones_own_are_drawn():
    result = funcam.explain(NET, SCENE.image, method=lambda A, g: (A * g).sum(0))
    assert result.panel().size[0] > 500


def test_a_volume_is_shown_by_its_slices_and_its_hottest_one():
    values = volume()
    result = funcam.explain(Volumes(), values, 1, layer="pool")
    hottest = np.asarray(result.overlay(values[0]))
    np.testing.assert_array_equal(hottest, result.overlay(values[0], at=13))
    assert (hottest != np.asarray(result.overlay(values[0], at=0))).any()
    assert result.panel(values[0]).width > result.panel(values[0]).height
    assert result.panel().size == result.panel(values).size
    with pytest.raises(FuncamError, match="at=16 is out of range"):
        result.overlay(values[0], at=16)
    with pytest.raises(FuncamError, match="which picture"):
        result.overlay()


def test_slices_share_one_scale():
    values = volume()
    result = funcam.explain(Volumes(), values, 1, layer="pool")
    faint = np.asarray(result.overlay(np.zeros((16, 8, 8)), at=9)).max()
    assert faint < np.asarray(result.overlay(np.zeros((16, 8, 8)), at=13)).max()


def test_a_clip_is_shown_by_its_frames():
    class Frames(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.head = nn.Conv3d(3, 4, 3, padding=1), nn.Linear(4, 2)

        def forward(self, clips):
            return self.head(self.features(clips.transpose(1, 2)).relu().mean((2, 3, 4)))

    net = funcam.own_net(Frames(), input_size=16, frames=4)
    result = funcam.explain(net, SCENE.image)
    assert result.maps.shape == (1, 4, 16, 16)
    assert result.overlay(at=2).size == SCENE.image.shape[1::-1]
    assert result.panel().width > 4 * 250
    assert funcam.explain(net, SCENE.image, method="gradient").overlay().size == SCENE.image.shape[1::-1]


def test_a_signal_is_a_strip_under_its_curve():
    signal = torch.sin(torch.linspace(0, 40, 200))
    result = funcam.explain(Signals(), signal[None, None])
    assert result.overlay(signal) != result.overlay()
    assert result.panel(signal).width > 200


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PLAIN.overlay(), "which picture .*own_net"),
        (lambda: PLAIN.overlay(PLAIN.maps.new_zeros(1, 3, 8, 8) - 1), "normalised"),
        (lambda: ONE.overlay(index=1), r"index=1 is out of range: there are 1"),
        (lambda: FOUR.heatmap(target=2), r"target=2 is out of range: there are 2"),
        (lambda: FOUR.panel(SCENE.image), "1 pictures were given for 2"),
        (lambda: ONE.overlay(colormap="jett"), "nearest: 'jet'"),
        (lambda: ONE.overlay(alpha=2), "alpha"),
        (lambda: ONE.save("cam.tiff"), r"\.png.*\.json"),
        (lambda: ONE.save(3), "a path was expected"),
        (lambda: ONE.save("no-such-folder/cam.png"), "make the folder first"),
        (lambda: funcam.explain(NET.model, torch.zeros(0, 3, 64, 64)).panel(), "no image"),
        (lambda: funcam.explain(NET, SCENE.image, "unicorn"), "class 'unicorn' is unknown"),
        (lambda: funcam.explain(NET.model, "dog.jpg"), "own_net"),
        (lambda: funcam.explain(NET, SCENE.image, "not disk"), r"'not disk' is none; give funcam.counterfactual\(\d\)"),
        (lambda: funcam.explain(NET, SCENE.image, [["star", "not sta7"]]), "class 'sta7' is unknown"),
        (lambda: ONE.panel(tile=10**6), "at most 2,048 pixels"),
    ],
    ids=range(16),
)
def test_what_cant_be_drawn_is_said(call, message):
    with pytest.raises(FuncamError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# --- notebooks, figures and files -------------------------------------------------------------------------------------


def test_a_notebook_shows_a_panel_and_no_script():
    page = FOUR._repr_html_()
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert picture.size == FOUR.panel(tile=192).size
    assert re.search('alt="[^"]*star', page)
    assert "<script" not in page
    assert "disk" in page
    assert funcam.explain(NET.model, torch.zeros(0, 3, 64, 64))._repr_html_() is None


@pytest.fixture
def drawings(monkeypatch):
    """The places of maps that were coloured, as often as they were."""
    from funcam.attribution import drawing

    places, coloured = [], drawing.coloured

    def counted(explanation, index, target, colormap):
        places.append((index, target))
        return coloured(explanation, index, target, colormap)

    monkeypatch.setattr(drawing, "coloured", counted)
    return places


@pytest.mark.parametrize(
    ("count", "targets", "places", "told"),
    [
        (1, "all", [(0, 0), (0, 1), (0, 2), (0, 3)], "6 more classes of each image: <code>.overlay(target=4)</code>"),
        (9, None, [(0, 0), (1, 0), (2, 0), (3, 0)], "5 more images: <code>.overlay(index=4)</code>"),
        (3, "all", [(0, 0), (1, 0), (2, 0)], "9 more classes of each image: <code>.overlay(index=3, target=1)</code>"),
        (2, [[0, 1], [2, 3]], [(0, 0), (0, 1), (1, 0), (1, 1)], ""),
    ],
)
def test_a_notebook_draws_the_first_rows_and_says_how_many_more_there_are(drawings, count, targets, places, told):
    result = funcam.explain(NET, [SCENE.image] * count, targets)
    page = result._repr_html_()
    assert drawings == places
    assert told.replace("index=3, ", "") in page
    assert (" more " in page) == bool(told)
    assert page.count("<tr>") == 1 + len({index for index, _ in places})


def test_a_notebook_names_a_call_that_shows_the_rest():
    result = funcam.explain(NET.model, funcam.fit_images(NET, [SCENE.image] * 5).tensor, "all")
    call = re.search("<code>.(heatmap)[(]index=([0-9]+), target=([0-9]+)[)]</code>", result._repr_html_())
    assert getattr(result, call[1])(index=int(call[2]), target=int(call[3])).size[0] > 1
    result.panel()


@pytest.fixture
def low_bounds(monkeypatch):
    """Bounds as a thousand classes meet them, for ten."""
    from funcam.attribution import sizing

    monkeypatch.setattr(sizing, "PLAIN", sizing.PLAIN._replace(pixels=1_500_000))
    monkeypatch.setattr(sizing, "LONGEST", {".webp": 2500})


def test_a_panel_too_large_is_refused_before_it_is_drawn(drawings, low_bounds, tmp_path):
    every = funcam.explain(NET, SCENE.image, "all")
    for refused in (every.panel, lambda: every.save(tmp_path / "cam.png")):
        with pytest.raises(
            FuncamError, match=r"10 rows has .* x .* pixels, and 1,500,000 .*; give tile=128, .*target="
        ) as caught:
            refused()
    assert len(drawings) == 2
    width, height = (
        int(side.replace(",", "")) for side in re.search("has (.*) x (.*) pixels", str(caught.value)).groups()
    )
    every.save(tmp_path / "cam.png", tile=128)  # the ways out
    every.heatmap(index=0, target=9)
    with pytest.raises(FuncamError, match=r"\.webp holds at most 2,500 a side; give tile=96, "):
        every.save(tmp_path / "cam.webp", tile=192)
    every.save(tmp_path / "cam.webp", tile=96)
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["cam.png", "cam.webp"]
    assert width > 700
    assert height > 3000


def test_a_panels_size_is_reckoned_as_it_is_drawn(monkeypatch):
    from funcam.attribution import sizing

    for result, tile in ((FOUR, 256), (FOUR, 100), (funcam.explain(NET, WIDE, "all"), 64), (PLAIN, 192)):
        found = []
        monkeypatch.setattr(sizing, "_too_large", lambda *size, found=found: found.append(size) or "")
        width, height = result.panel(tile=tile).size
        (reckoned, across, _), *_ = found
        assert across == width
        assert 0 <= height - reckoned < 0.5 * tile  # the first line


def test_a_figure_too_large_is_refused(monkeypatch):
    from funcam.attribution import showing

    monkeypatch.setattr(showing, "_FIGURE_ROWS", 9)
    with pytest.raises(FuncamError, match=r"a figure of 10 rows .*at most 9.*heatmap"):
        funcam.explain(NET, SCENE.image, "all").figure()


def test_names_in_a_notebook_are_text():
    names = [f"<script>{number}" for number in range(10)]
    net = funcam.own_net(NET.model, input_size=128, mean=(0.5,) * 3, std=(0.25,) * 3, classes=names)
    page = funcam.explain(net, SCENE.image)._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;8" in page


def test_a_figure_has_an_axis_for_each_picture():
    figure = FOUR.figure()
    assert len(figure.axes) == 4 * 3
    assert "star" in figure.axes[0].get_title()


def test_figures_without_matplotlib_say_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(FuncamError, match=r"pip install .funcam\[figures\]."):
        ONE.figure()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_panel_is_saved(tmp_path, suffix):
    ONE.save(tmp_path / f"cam{suffix}")
    with Image.open(tmp_path / f"cam{suffix}") as picture:
        assert picture.size == ONE.panel().size


def test_values_and_maps_are_saved(tmp_path):
    FOUR.save(str(tmp_path / "cam.json"))
    FOUR.save(tmp_path / "cam.npz")
    assert json.loads((tmp_path / "cam.json").read_text()) == FOUR.to_dict()
    with np.load(tmp_path / "cam.npz") as arrays:
        np.testing.assert_array_equal(arrays["maps"], FOUR.maps)
        np.testing.assert_array_equal(arrays["targets"], FOUR.targets)
