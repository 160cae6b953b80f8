"""Which axis is the channels' of inputs with three axes, and what becomes of images that meet in a batch."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import funcam
from funcam.errors import FuncamError

STEPS = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def seeded(make):
    torch.manual_seed(0)
    return make().double().eval()


class Steps(nn.Module):
    """Features in steps, `[B, T, C]`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(1))


class Signal(nn.Module):
    """A signal, `[B, C, T]`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(9, 8, 1), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(2))


class Spectrogram(nn.Module):
    """A spectrogram without a channel axis, `[B, T, F]`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x[:, None].transpose(2, 3)).mean((2, 3)))


FORMS = {
    "steps": (Steps, lambda A: A.transpose(1, 2)),
    "a signal": (Signal, lambda A: A),
    "a spectrogram": (Spectrogram, lambda A: A.transpose(2, 3)),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_map_lies_over_the_axes_that_are_no_channels(name):
    make, to_map = FORMS[name]
    model = seeded(make)
    kept = []
    handle = model.body.register_forward_hook(lambda module, args, out: kept.append(out))
    score = model(STEPS)[:, 1].sum()
    (g,) = torch.autograd.grad(score, kept[0])
    handle.remove()
    A, g = to_map(kept[0].detach()), to_map(g)
    axes = tuple(range(2, A.ndim))
    want = (g.mean(axes, keepdim=True) * A).sum(1).relu()
    result = funcam.explain(model, STEPS, 1, layer="body")
    torch.testing.assert_close(result.maps, want)
    cut, head = funcam.split(model, "body")(STEPS)
    torch.testing.assert_close(cut, A)
    torch.testing.assert_close(head(cut), model(STEPS))
    assert result.maps.shape == funcam.explain(model, STEPS, 1).maps.shape


IMAGES = torch.randn(3, 3, 10, 8, generator=torch.Generator().manual_seed(1), dtype=torch.double)


class Meeting(nn.Module):
    """A body and a head, and between them something that is done with the batch."""

    def __init__(self, done) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh())
        self.head = nn.Linear(6, 4)
        self.done = done

    def forward(self, x):
        return self.head(self.done(self.body(x)).mean((2, 3)))


MEETINGS = {
    "norm of the batch": nn.BatchNorm2d(6, track_running_stats=False),
    "less the mean of all": lambda A: A - A.mean(0, keepdim=True),
    "a softmax over the images": lambda A: A.softmax(0),
    "attention between images": lambda A: torch.einsum(
        "ij,jchw->ichw", (A.flatten(1) @ A.flatten(1).T / 99).softmax(1), A
    ),
}


@pytest.mark.parametrize("name", MEETINGS)
def test_images_that_meet_are_refused_together_and_explained_alone(name):
    model = seeded(lambda: Meeting(MEETINGS[name]))
    with pytest.raises(FuncamError, match="explain them one at a time"):
        funcam.explain(model, IMAGES, 0)
    for index in range(3):
        alone = IMAGES[index : index + 1]
        assert funcam.explain(model, alone, 0).scores.item() == pytest.approx(model(alone)[0, 0].item())
    one = IMAGES[:1]
    for memory in (1, 2**28):  # rows of changed images don't meet either
        maps = funcam.explain(model, one, 0, method="score-cam", layer="body", memory=memory).maps
        assert torch.equal(maps, funcam.explain(model, one, 0, method="score-cam", layer="body").maps)


class Sorting(nn.Module):
    """The batch is sorted and put back, as for packed sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 6, 3)
        self.middle = nn.Tanh()
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        A = self.body(x)
        order = A.flatten(1).sum(1).argsort()
        return self.head(self.middle(A[order])[order.argsort()].mean((2, 3)))


def test_a_layer_in_another_order_of_images_is_refused_and_the_one_before_it_is_right():
    model = seeded(Sorting)
    with pytest.raises(FuncamError, match="holds the images in another order at layer 'middle'"):
        funcam.explain(model, IMAGES, 0, layer="middle")
    together = funcam.explain(model, IMAGES, 0, layer="body").maps
    alone = torch.cat([funcam.explain(model, image[None], 0, layer="body").maps for image in IMAGES])
    torch.testing.assert_close(together, alone)


def test_images_that_keep_apart_are_explained_together():
    model = seeded(lambda: Meeting(lambda A: (A - A.mean((1, 2, 3), keepdim=True)).softmax(1)))
    assert funcam.explain(model, IMAGES, 0).maps.shape == (3, 8, 6)


def test_windows_and_channels_between_rows_are_refused_not_read_in_a_row():
    class Windows(nn.Module):
        def __init__(self, there) -> None:
            super().__init__()
            self.body, self.layer = nn.Conv2d(3, 8, 1), nn.Identity()
            self.there, self.head = there, nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.layer(self.there(self.body(x))).flatten(1)[:, :8])

    square = torch.randn(1, 3, 8, 8, dtype=torch.double)
    windows = seeded(
        lambda: Windows(lambda A: A.unflatten(2, (4, 2)).unflatten(4, (4, 2)).permute(0, 2, 4, 3, 5, 1).flatten(1, 4))
    )
    between = seeded(lambda: Windows(lambda A: A.permute(0, 2, 1, 3)))
    for model in (windows, between):
        with pytest.raises(
            FuncamError, match="undecided: as far as they could be followed they stand in no usual layout"
        ):
            funcam.split(model, "layer", example=square)
    A, _ = funcam.split(between, "layer", example=square, layout=(lambda t: t.permute(0, 2, 1, 3),) * 2)(square)
    torch.testing.assert_close(A, between.body(square))


def test_methods_that_need_no_layer_need_no_map():
    flat = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(240, 5), nn.Tanh(), nn.Linear(5, 2)))
    x = IMAGES.clone().requires_grad_()
    (g,) = torch.autograd.grad(flat(x)[:, 1].sum(), x)
    result = funcam.explain(flat, IMAGES, 1, method="gradient")
    torch.testing.assert_close(result.maps, g)
    assert result.layer == "whole network"
    with pytest.raises(FuncamError, match="no feature map with a spatial extent"):
        funcam.explain(flat, IMAGES, 1)


def test_of_several_layers_the_good_ones_are_kept_and_the_others_told():
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    )
    with pytest.warns(funcam.FuncamWarning, match="left out: layer '2' is no feature map"):
        result = funcam.explain(model, IMAGES, 0, layer=["1", "2"])
    assert result.layer == "1"
    torch.testing.assert_close(result.maps, funcam.explain(model, IMAGES, 0, layer="1").maps)
    with pytest.raises(FuncamError, match="'nowhere' is not in"):
        funcam.explain(model, IMAGES, 0, layer=["1", "nowhere"])


class Views(nn.Module):
    """Its layer returns a transposed tensor, and the code behind it views what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.layer, self.head = nn.Conv2d(3, 8, 3), nn.Identity(), nn.Linear(8, 4)

    def forward(self, x):
        tokens = self.layer(self.body(x).flatten(2).transpose(1, 2).contiguous())
        return self.head(tokens.view(-1, 8)).view(x.shape[0], -1, 4).mean(1)


@pytest.mark.parametrize("via", ["fx", "tap"])
def test_the_head_lies_what_it_is_given_in_memory_as_the_layer_does(via):
    model = seeded(Views)
    A, head = funcam.split(model, "layer", via=via)(IMAGES)
    torch.testing.assert_close(head(A * 1.0), model(IMAGES))


class Branches(nn.Module):
    """Two branches that meet as vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())
        self.b = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh())
        self.head = nn.Linear(9, 2)

    def forward(self, x):
        return self.head(torch.cat([self.a(x).mean((2, 3)), self.b(x).mean((2, 3))], 1))


def test_where_branches_meet_behind_their_maps_it_is_told_and_all_of_them_can_be_named():
    model = seeded(Branches)
    with pytest.warns(funcam.FuncamWarning, match=r"branches meet behind their maps.*layer=\['a.1', 'b.1'\] combines"):
        assert funcam.explain(model, IMAGES, 0).layer == "b.1"
    with warnings.catch_warnings():
        warnings.simplefilter("error", funcam.FuncamWarning)
        assert funcam.explain(model, IMAGES, 0, layer=["a.1", "b.1"]).layer == "a.1+b.1"


class Clips(nn.Module):
    """Frames folded into the batch, then recurrent over time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.Tanh())
        self.time, self.head = nn.GRU(6, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, clips):
        frames = self.body(clips.flatten(0, 1)).mean((2, 3))
        return self.head(self.time(frames.unflatten(0, clips.shape[:2]))[0][:, -1])


def test_folded_frames_are_the_default_and_hidden_units_over_time_are_no_grid():
    model = seeded(Clips)
    clips = torch.randn(2, 4, 3, 16, 24, dtype=torch.double)
    result = funcam.explain(model, clips, 0)
    assert (result.layer, result.maps.shape) == ("body", (2, 4, 8, 12))
    with pytest.raises(FuncamError, match="undecided"):
        funcam.explain(model, clips, 0, layer="time[0]")


class Middle(nn.Module):
    """A class token in the middle of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 32, 8, 8), nn.Parameter(torch.randn(1, 1, 32))
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True, norm_first=True)
        self.head = nn.Linear(32, 7)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([y[:, :12], self.token.expand(len(y), -1, -1), y[:, 12:]], 1)
        return self.head(self.layer(y)[:, 12])


@pytest.mark.parametrize("seed", range(4))
def test_a_class_token_in_the_middle_is_undecided(seed):
    model = seeded(Middle)
    images = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    with pytest.raises(FuncamError, match="undecided"):
        funcam.explain(model, images, 0, layer="layer")


def test_layers_are_listed_where_none_is_the_default():
    model = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(240, 2)))
    assert funcam.list_layers(model, (1, 3, 10, 8)) == []
