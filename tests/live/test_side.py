"""What the page says, without the page: shares against the network's own sums, places, words, and code that runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import funcam
from funcam.errors import FuncamError
from funcam.live import told
from funcam.live.session import Session
from funcam.live.shelf import Shelf
from funcam.live.side import CHOICES, Asked, look
from funcam.scenes import scene

ASKED = Asked("scenes", "the package", "grad-cam", -1)


@pytest.fixture
def session() -> Session:
    """The first scene that a page shows, explained."""
    session = Session()
    session.draw_next()
    session.look(Shelf([], zoo=True), [ASKED])
    return session


def test_the_shares_of_all_cells_and_the_bias_are_the_logit(session: Session) -> None:
    (side,) = session.sides
    model = side.loaded.net.model
    rows, columns = side.map_of(0).shape
    sums: dict[str, float] = {}
    for row in range(rows):
        for column in range(columns):
            place = side.place(row, column, most=10)
            assert place.exact
            for share in place.shares:
                sums[share.name] = sums.get(share.name, 0.0) + share.share
    tensor = funcam.fit_images(side.loaded.net, side.picture).tensor
    logits = model(tensor)[0].detach().double()
    bias = model.get_parameter("fc.bias").detach().double()
    expected = dict(zip(side.loaded.net.classes, (logits - bias).tolist(), strict=True))
    assert sums.keys() == expected.keys()
    assert all(abs(sums[name] - expected[name]) < 1e-4 for name in expected)


def test_where_the_head_is_not_linear_it_says_so() -> None:
    net = funcam.own_net(
        torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
            torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3),
        ).eval(),
        input_size=16,
    )  # fmt: skip
    side = look(Shelf([net], zoo=False).load(net.name, net.weights), ASKED, scene(1).image)
    place = side.place(2, 3)
    assert not place.exact
    assert "To first order" in told.place_table(place, side)


def test_a_place_and_its_cell_fit(session: Session) -> None:
    (side,) = session.sides
    for x, y in ((0.01, 0.99), (0.5, 0.3), (0.93, 0.02)):
        row, column = side.cell_at(x, y)  # type: ignore[misc]
        left, top, width, height = side.cell_box(row, column)
        assert left <= x < left + width
        assert top <= y < top + height
    assert side.cell_at(1.2, 0.5) is None


@pytest.mark.parametrize("method", ["grad-cam", "layer-cam"])
def test_the_code_makes_the_same_picture(
    method: str, session: Session, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]
    session.look(Shelf([], zoo=True), [ASKED._replace(method=method)])
    (side,) = session.sides
    for row in (0, 2):
        exec(told.program(side, row, "cividis", session.name), {})
        assert np.array_equal(np.asarray(Image.open("map.png")), side.shown(row, "cividis"))


def test_weights_go_by_their_files_names(session: Session) -> None:
    assert told.short("/home/somebody/secret/flowers.pth") == "flowers.pth"
    assert told.short("IMAGENET1K_V1") == "IMAGENET1K_V1"
    side = session.sides[0]
    net = replace(side.loaded.net, weights="/home/somebody/secret/flowers.pth")
    words = told.said(replace(side, loaded=side.loaded._replace(net=net)), 0)
    assert "(flowers.pth)" in words
    assert "secret" not in words


def test_names_from_outside_are_escaped_and_start_no_line_of_code(session: Session) -> None:
    (side,) = session.sides
    evil = "<script>alert(1)</script>\nimport os"
    side.loaded = side.loaded._replace(net=replace(side.loaded.net, name=evil, classes=(evil,) * 10))
    side.classes = [replace(side.classes[0], name=evil)]
    session.place = (0.5, 0.5)
    shown = told.pictures([side], evil, "viridis", session.cells()) + session.tables() + told.downloads([side], "gray")
    assert "<script" not in shown + told.problem(evil)
    assert "\nimport os" not in told.program(side, 0, "viridis", evil)


def test_every_method_of_the_page_has_a_map(session: Session) -> None:
    assert {"grad-cam", "grad-cam++", "cam", "layer-cam"} <= set(CHOICES)
    loaded = session.sides[0].loaded
    for method in CHOICES:
        side = look(loaded, ASKED._replace(method=method), session.picture)
        assert side.map_of(0).shape == (16, 16), method


def test_what_is_there_is_not_made_again(session: Session) -> None:
    before = session.sides[0]
    shelf = Shelf([], zoo=True)
    session.look(shelf, [ASKED, ASKED._replace(method="cam")])
    assert session.sides[0] is before
    session.draw_next()
    session.look(shelf, [ASKED])
    assert session.sides[0] is not before


def test_the_shelf_has_the_callers_networks_first() -> None:
    mine = funcam.own_net(
        torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    )
    assert Shelf([mine], zoo=False).names == [mine.name]
    shelf = Shelf([mine], zoo=True)
    assert shelf.names[:2] == [mine.name, "scenes"]
    assert "random" in shelf.weights("resnet18")
    with pytest.raises(FuncamError, match=r"nearest: .*resnet50"):
        shelf.load("resnet5O", "")


def test_layers_of_a_page_end_at_the_default_one() -> None:
    loaded = Shelf([], zoo=True).load("resnet18", "random")
    assert [layer.name for layer in loaded.layers][-3:] == ["layer2", "layer3", "layer4"]
    assert loaded.code == "funcam.load_net('resnet18', 'random')"


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(FuncamError, match=r"give funcam\.load_net"):
        funcam.app("resnet50")  # type: ignore[arg-type]
