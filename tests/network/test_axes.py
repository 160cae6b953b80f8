"""Which axes of a layer's tensor are the image's: every arrangement is read right or refused, and may be said."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import randomised
from tokens import H, W, cells
from torch import Tensor, nn

import funcam
from funcam import FuncamError
from funcam.network.axes import parsed
from funcam.network.layout import Layout, readings

C = 8


class Arranged(nn.Module):
    """A stem of 4 x 6 cells, a layer that holds them in some arrangement, and a head that takes them back."""

    def __init__(self, there, back, channels: int = 3) -> None:
        super().__init__()
        self.there, self.back = there, back
        self.stem, self.layer, self.fc = nn.Conv2d(channels, C, 8, 8), nn.Identity(), nn.Linear(C, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.there(self.stem(x).tanh()))
        return self.fc(self.back(y).tanh().mean((2, 3)))


def grid(y: Tensor, h: int = H, w: int = W) -> Tensor:
    return y.transpose(1, 2).unflatten(2, (h, w))


def beside(y: Tensor, front: int, behind: int) -> Tensor:
    some = y.new_ones(len(y), 1, C)
    return torch.cat([some.expand(-1, front, -1), cells(y), some.expand(-1, behind, -1)], 1)


ARRANGEMENTS = {
    "channels first": (lambda y: y, lambda y: y, "channels-first"),
    "channels last": (lambda y: y.permute(0, 2, 3, 1), lambda y: y.permute(0, 3, 1, 2), "channels-last"),
    "turned": (lambda y: y.transpose(2, 3), lambda y: y.transpose(2, 3), "channels-first, axes in the order (1, 0)"),
    "tokens": (cells, grid, "tokens, 4x6"),
    "tokens of columns": (
        lambda y: cells(y.transpose(2, 3)),
        lambda y: grid(y, W, H).transpose(2, 3),
        "tokens, 4x6, axes in the order (1, 0)",
    ),
    "a class token": (lambda y: beside(y, 1, 0), lambda y: grid(y[:, 1:]), "tokens, 4x6, 1 in front"),
    "a class token behind": (lambda y: beside(y, 0, 1), lambda y: grid(y[:, :-1]), "tokens, 4x6, 1 behind"),
    "registers": (lambda y: beside(y, 5, 0), lambda y: grid(y[:, 5:]), "tokens, 4x6, 5 in front"),
    "tokens first": (
        lambda y: cells(y).transpose(0, 1),
        lambda y: grid(y.transpose(0, 1)),
        "tokens-first, 4x6",
    ),
    "tokens last": (lambda y: y.flatten(2), lambda y: y.unflatten(2, (H, W)), "tokens-last, 4x6"),
}


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_every_arrangement_is_read_as_it_is(name):
    there, back, said = ARRANGEMENTS[name]
    model = randomised(Arranged(there, back)).eval()
    images = torch.randn(2, 3, 32, 48)
    cut = funcam.split(model, "layer", example=images)
    A, head = cut(images)
    torch.testing.assert_close(A, model.stem(images).tanh())
    torch.testing.assert_close(head(A), model(images))
    assert str(cut._latest[0].layout) == said


SHUFFLED = torch.randperm(H * W, generator=torch.Generator().manual_seed(3))
UNKNOWN = {
    "shuffled tokens": (lambda y: cells(y)[:, SHUFFLED], lambda y: grid(y[:, SHUFFLED.argsort()])),
    "a mirror image": (lambda y: y.flip(-1), lambda y: y.flip(-1)),
    "upside down": (lambda y: cells(y.flip(-2)), lambda y: grid(y).flip(-2)),
    "windows": (
        lambda y: cells(y).reshape(len(y), 2, 2, 2, 3, C).transpose(2, 3).reshape(len(y), H * W, C),
        lambda y: grid(y.reshape(len(y), 2, 2, 2, 3, C).transpose(2, 3).reshape(len(y), H * W, C)),
    ),
}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_in_another_order_is_undecided_and_two_functions_say_it(name, seed):
    there, back = UNKNOWN[name]
    model = randomised(Arranged(there, back)).eval()
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(seed))
    with pytest.raises(
        FuncamError, match=r"layer 'layer' holds .*undecided.*layout='channels-first'.*pair of functions"
    ):
        funcam.split(model, "layer", example=images)
    A, head = funcam.split(model, "layer", layout=(back, there))(images)
    torch.testing.assert_close(A, model.stem(images).tanh())
    torch.testing.assert_close(head(A), model(images))
    want = funcam.explain(randomised(Arranged(*ARRANGEMENTS["channels first"][:2])).eval(), images, 1, layer="layer")
    result = funcam.explain(model, images, 1, layer="layer", layout=(back, there))
    torch.testing.assert_close(result.maps, want.maps)


def test_by_default_an_undecided_layer_gives_way_to_one_that_is_known():
    model = randomised(Arranged(*UNKNOWN["shuffled tokens"])).eval()
    result = funcam.explain(model, torch.randn(2, 3, 32, 48))
    assert result.layer in ("stem", "tanh_1", "tanh")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("tokens 4x6 prefix=1", Layout("tokens", 1, 0, (H, W))),
        ("tokens 4x6, prefix=1, suffix=0", Layout("tokens", 1, 0, (H, W))),
        ("tokens prefix=1", Layout("tokens", 1, 0, (H, W))),
        (Layout("tokens", prefix=1, grid=(H, W)), Layout("tokens", 1, 0, (H, W))),
    ],
)
def test_a_layout_may_be_said(said, expected):
    there, back, _ = ARRANGEMENTS["a class token"]
    model = randomised(Arranged(there, back)).eval()
    images = torch.randn(2, 3, 32, 48)
    cut = funcam.split(model, "layer", layout=said)
    torch.testing.assert_close(cut(images)[0], model.stem(images).tanh())
    assert cut._latest[0].layout == expected


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("rows", "layout='rows' is unknown; expected layout='channels-first'"),
        ("tokens prefix=-1", "is unknown"),
        ("channels-last prefix=1", "is unknown"),
        ("tokens 5x6", "doesn't fit layer 'layer', which holds [1, 25, 8]"),
        ("tokens prefix=3", "no grid of tokens, 3 in front"),
        ((lambda t: t.mean((1, 2)), lambda m: m), "expected [B, C, *S]"),
        ((lambda t: grid(t[:, 1:]), cells), "doesn't undo its first"),
        ((lambda t: grid(t[:, 1:]), lambda m: m[:, 99]), "can't bring a map back"),
        (3, "layout=3 is unknown"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(layout, said):
    there, back, _ = ARRANGEMENTS["a class token"]
    model = randomised(Arranged(there, back)).eval()
    with pytest.raises(FuncamError, match=re.escape(said)):
        funcam.split(model, "layer", layout=layout)(torch.randn(1, 3, 32, 48))


def test_a_layout_goes_with_a_module():
    model = randomised(Arranged(*ARRANGEMENTS["tokens"][:2])).eval()
    images = torch.randn(1, 3, 32, 48)
    with pytest.raises(FuncamError, match="goes with a module"):
        funcam.explain(funcam.split(model, "layer"), images, layout="tokens")
    with pytest.raises(FuncamError, match="was given with a pair"):
        funcam.split((model.stem, lambda A: model.fc(A.mean((2, 3)))), layout="tokens")


class Clips(nn.Module):
    """Clips `[B, T, C, H, W]`; each frame by itself, folded into the batch or kept."""

    def __init__(self, *, folded: bool) -> None:
        super().__init__()
        self.folded = folded
        self.stem, self.layer, self.fc = nn.Conv2d(3, C, 8, 8), nn.Identity(), nn.Linear(C, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x.flatten(0, 1)).tanh()
        y = self.layer(y if self.folded else y.unflatten(0, x.shape[:2]))
        y = y.unflatten(0, x.shape[:2]) if self.folded else y
        return self.fc(y.tanh().mean((1, 3, 4)))


@pytest.mark.parametrize("folded", [False, True])
def test_frames(folded):
    model = randomised(Clips(folded=folded)).eval()
    clips = torch.randn(2, 5, 3, 32, 48)
    A, head = funcam.split(model, "layer", example=clips)(clips)
    torch.testing.assert_close(A, model.stem(clips.flatten(0, 1)).tanh().unflatten(0, (2, 5)).transpose(1, 2))
    torch.testing.assert_close(head(A), model(clips))
    assert funcam.explain(model, clips, 1, layer="layer").maps.shape == (2, 5, H, W)


def test_several_layers_in_other_arrangements_at_once():
    there, back, _ = ARRANGEMENTS["tokens first"]
    model = randomised(Arranged(there, back)).eval()
    images = torch.randn(2, 3, 32, 48)
    both = funcam.explain_methods(model, images, 1, methods="layer-cam", layer=["stem", "layer"])
    for result in both:
        alone = funcam.explain(model, images, 1, method="layer-cam", layer=result.layer)
        torch.testing.assert_close(result.maps, alone.maps)


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 3), st.integers(0, 2))
def test_a_reading_and_back_is_the_tensor(h, w, front, behind):
    image = (2, 3, 8 * h, 8 * w)
    for shape in ((2, front + h * w + behind, 4), (2, h, w, 4), (2, 4, h, w), (front + h * w, 2, 4)):
        tensor = torch.rand(shape)
        for reading in readings(shape, image):
            features = reading.to_map(tensor)
            assert (len(features), *features.shape[2:]) == (2, *reading.spatial(shape))
            assert torch.equal(reading.from_map(features, tensor), tensor)


def test_what_is_parsed_is_what_was_said():
    assert parsed("tokens-first 2x3x4 prefix=1 suffix=2") == Layout("tokens-first", 1, 2, (2, 3, 4))
