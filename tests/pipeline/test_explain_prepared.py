"""`--fast`: what a prepared model says otherwise is said by the model as it is, method by method."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import funcam
from funcam.attribution import preparing
from funcam.errors import FuncamError
from funcam.pipeline import explain_recipe
from funcam.pipeline.explain_recipe import explain_prepared
from funcam.recipe import Recipe

RECIPE = Recipe(("grad-cam", "layer-cam"))


def _plainly(model: torch.nn.Module, images: torch.Tensor) -> Any:
    return lambda names: [funcam.explain(model, images, 8, method=name) for name in names]


def test_a_method_that_says_another_thing_is_had_from_the_model_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = funcam.load_net("scenes").model, torch.rand(1, 3, 128, 128)
    by_package = explain_recipe.prepared_for

    def prepared_for(*given: Any, method: str, **options: Any) -> Any:
        if method == "layer-cam":
            raise preparing.OtherMaps("the prepared model's maps are not those of explain")
        return by_package(*given, method=method, backend=None, **options)

    monkeypatch.setattr(explain_recipe, "prepared_for", prepared_for)
    results, notes = explain_prepared(model, images, 8, RECIPE, _plainly(model, images))
    assert [result.method for result in results] == ["grad-cam", "layer-cam"]
    for result in results:
        expected = funcam.explain(model, images, 8, method=result.method).maps
        torch.testing.assert_close(result.maps, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert len(notes) == 2
    assert notes[1].startswith("layer-cam is by the model as it is: the prepared model's maps are not those")


def test_a_model_that_can_not_be_prepared_is_refused_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_given: Any, **_options: Any) -> Any:
        raise FuncamError("no")

    monkeypatch.setattr(explain_recipe, "prepared_for", refused)
    model, images = funcam.load_net("scenes").model, torch.rand(1, 3, 128, 128)
    with pytest.raises(FuncamError, match="no"):
        explain_prepared(model, images, 8, RECIPE, _plainly(model, images))
