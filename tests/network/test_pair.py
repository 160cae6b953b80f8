"""A pair (features, head) in place of a model: for code that no tracer can follow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small import randomised, small, state_of
from torch import nn

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Moody(nn.Module):
    """Which branch is run, and how often, depends on the values: no tracer can follow that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.deep = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 5)
        randomised(self).eval()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x))
        for _ in range(2 if x.mean() > 0.1 else 1):
            x = torch.relu(self.deep(x))
        return x

    def head(self, A: torch.Tensor) -> torch.Tensor:
        return self.fc(A.amax((2, 3)) if A.sum() > 3 else A.mean((2, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))


def test_data_dependent_control_flow_has_no_graph_and_is_tapped_or_explained_as_a_pair() -> None:
    model = Moody()
    for via, way_out in (("fx", "leave via out"), ("export", r"\(features, head\)")):
        with pytest.raises(FuncamError, match=rf"control flow.*test_pair\.py:\d+ in features.*{way_out}") as e:
            funcam.split(model, "deep", example=IMAGES, via=via)
        assert "\n" not in str(e.value)
    tapped = funcam.split(model, "deep", example=IMAGES)
    assert tapped.way == "tap"
    assert "control flow" in tapped.why
    torch.testing.assert_close(tapped(IMAGES)[1](tapped(IMAGES)[0]), model(IMAGES))
    before = state_of(model)
    A, head = funcam.split((model.features, model.head))(IMAGES)
    torch.testing.assert_close(head(A), model(IMAGES))
    leaf = model.features(IMAGES).detach().requires_grad_()
    (want,) = torch.autograd.grad(model.head(leaf)[:, 2].sum(), leaf)
    cotangent = torch.eye(5)[2].expand(2, -1)
    torch.testing.assert_close(torch.func.vjp(head, A.detach())[1](cotangent)[0], want)
    result = funcam.explain((model.features, model.head), IMAGES, 2)
    maps = (want.mean((2, 3), keepdim=True) * leaf).sum(1).relu()
    torch.testing.assert_close(result.maps, maps.detach())
    assert result.layer == "features"
    assert state_of(model) == before


def test_what_skips_the_cut_is_given_to_the_head() -> None:
    model = small()
    cut = funcam.split(model, "blocks.1.conv2")
    block = model.blocks[1]

    def features(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = model.blocks[0](model.pool(model.stem(x)))
        return block.conv2(torch.relu(block.bn1(block.conv1(x)))), x

    def head(A: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return model.fc(torch.relu(block.bn2(A) + x).mean((2, 3)))

    pair = funcam.split((features, head))
    torch.testing.assert_close(pair(IMAGES)[0], cut(IMAGES)[0])
    torch.testing.assert_close(pair(IMAGES)[1](pair(IMAGES)[0]), model(IMAGES))
    torch.testing.assert_close(
        funcam.explain((features, head), IMAGES).maps, funcam.explain(model, IMAGES, layer=cut.layer).maps
    )


def test_a_pair_of_modules_and_of_any_dimension() -> None:
    features, head = nn.Conv3d(2, 4, 3), nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))
    clips = torch.randn(2, 2, 4, 6, 5)
    A, rest = funcam.split((features, head))(clips)
    assert A.shape == (2, 4, 2, 4, 3)
    torch.testing.assert_close(rest(A), head(features(clips)))


def test_the_features_may_be_larger_than_the_images() -> None:
    A, head = funcam.split((lambda x: x.repeat_interleave(2, -1), lambda A: A.mean((2, 3))))(IMAGES)
    assert A.shape == (2, 3, 16, 32)
    torch.testing.assert_close(head(A), IMAGES.mean((2, 3)))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.zeros(2, 5), r"features returned \[2, 5\].*expected A \[2, C, \*S\]"),
        (torch.zeros(1, 5, 4, 4), r"features returned \[1, 5, 4, 4\]"),
        (torch.zeros(2, 5, 1, 1), r"above one cell"),
        ("text", r"features returned str"),
        ((torch.zeros(2, 5, 4, 4), 1, 2), r"features returned 3 values"),
    ],
)
def test_features_that_are_no_map(returned: Any, message: str) -> None:
    with pytest.raises(FuncamError, match=message):
        funcam.split((lambda x: returned, lambda A: A))(IMAGES)


def test_what_a_pair_cannot_do() -> None:
    pair = (lambda x: x, lambda A: A.mean((2, 3)))
    with pytest.raises(FuncamError, match=r"layer 'layer4' was given with a pair"):
        funcam.split(pair, "layer4")
    with pytest.raises(FuncamError, match=r"whole model.*pair \(features, head\) has none"):
        funcam.split(pair).model()
    with pytest.raises(FuncamError, match=r"tuple of \(int, function\).*two functions \(features, head\)"):
        funcam.split((1, lambda A: A))
    with pytest.raises(FuncamError, match=r"needs the whole module"):
        funcam.list_layers(pair)
    assert funcam.split(pair).layer == "features"


@pytest.mark.parametrize("given", [{"via": "fx"}, {"hooks": False}, {"wrt": 1}, {"wrt": "x"}], ids=str)
def test_how_a_model_is_cut_is_nothing_for_a_pair(given: dict[str, Any]) -> None:
    with pytest.raises(FuncamError, match=rf"^{next(iter(given))} was given with a pair \(features, head\)"):
        funcam.split((lambda x: x, lambda A: A.mean((2, 3))), **given)
