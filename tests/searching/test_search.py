"""The search for the best recipe: against what the journal says, resuming, networks that can't have everything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figures import energy_in, mask_of
from torch import nn

import funcam
from funcam.comparison import Example, Plan, Rival, scene_examples
from funcam.comparison import run as run_module
from funcam.comparison.instances import instances_of
from funcam.errors import FuncamError
from funcam.maps import upsample
from funcam.recipe import Recipe
from funcam.scenes.network import inputs
from funcam.searching import costs as costing_module
from funcam.searching.choosing import difference
from funcam.searching.plans import plans_of
from funcam.searching.recommendation import Recommendation, recommend
from funcam.searching.search import SearchResult, SearchSpace, search
from funcam.searching.wording import described, layers_in_results
from funcam.statistics.intervals import paired
from funcam.zoo.nets import load_net, own_net


def boxed(example: Example) -> Example:
    """What is known of a scene, with boxes alone."""
    truth = example.truth
    assert truth is not None
    objects = tuple(replace(object_, mask=None) for object_ in truth.objects)
    return Example(example.name, example.load, lambda: replace(truth, objects=objects))


SUBJECTS = [boxed(example) for example in scene_examples(6)]
ASKED = SearchSpace("energy", ("grad-cam", "layer-cam"), ("trunk_output", "trunk_output.block1"))
SMALL = SearchSpace("energy", ("layer-cam",), ("trunk_output",))
BASE = Plan()

Journal = dict[tuple[str, str, str], dict[tuple[str, int], float]]


@pytest.fixture(scope="module")
def rival() -> Rival:
    return Rival("a", load_net("scenes"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def found(rival: Rival, folder: Path) -> SearchResult:
    return search(rival, SUBJECTS, ASKED, BASE, folder)


@pytest.fixture(scope="module")
def advice(rival: Rival, found: SearchResult) -> Recommendation:
    return recommend(found, rival, "energy", "squash")


@pytest.fixture(scope="module")
def journal(found: SearchResult, folder: Path) -> Journal:
    """The energy of every image and class by what was computed, layer and method, read by hand."""
    values: Journal = {}
    for line in (folder / run_module.JOURNAL).read_text().splitlines():
        key, records = json.loads(line).values()
        for record in records:
            for made in record["maps"]:
                place = (key, made["layer"], made["method"])
                values.setdefault(place, {})[record["image"], record["class"]] = made["energy"]
    return values


def energies(journal: Journal, rival: Rival, recipes: list[Recipe], recipe: Recipe) -> dict[tuple[str, int], float]:
    """Those of one recipe; ``recipes`` are those that were computed together."""
    (plan,) = [plan for plan, together in plans_of(recipes, BASE) if recipe in together]
    return journal[plan.key(rival), layers_in_results(recipe), recipe.method]


def test_halves_share_no_image_and_together_are_all(found: SearchResult) -> None:
    assert found.halves.choosing.isdisjoint(found.halves.other)
    assert found.halves.choosing | found.halves.other == {example.name for example in SUBJECTS}
    assert len(found.halves.choosing) == len(found.halves.other)


def test_the_best_on_the_choosing_half_wins(found: SearchResult, advice: Recommendation, journal: Journal) -> None:
    means = [
        np.mean([value for (image, _), value in values.items() if image in found.halves.choosing])
        for (_, layer, _), values in journal.items()
        if layer  # no baseline
    ]
    assert len(means) == len(found.trials) == len(advice.ranking)
    assert advice.best.ranked.chosen_on.value == pytest.approx(max(means), abs=1e-5)
    values = [choice.chosen_on.value for choice in advice.ranking]
    assert values == sorted(values, reverse=True)


def test_the_figure_of_the_other_half_is_what_explain_gives(
    found: SearchResult, advice: Recommendation, rival: Rival
) -> None:
    net, values = rival.net, []
    wanted = Recipe(("layer-cam",), ("trunk_output",), input_size=128)
    (choice,) = [row for row in advice.ranking if row.recipe == wanted]
    for example in SUBJECTS:
        if example.name in found.halves.other:
            truth = example.truth
            assert truth is not None
            for instance in instances_of(example, example.load(), rival, BASE):
                maps = funcam.explain(net.model, inputs([instance.image]), instance.labels[0], method="layer-cam").maps
                big = upsample(maps.relu(), (128, 128))[0].numpy()
                boxes = np.array([thing.box for thing in truth.of(instance.labels[0])]) / 2  # scenes have 256 pixels
                values.append(energy_in(big, mask_of(boxes, 128)))
    assert choice.found_on.value == pytest.approx(np.mean(values), abs=1e-4)
    assert choice.found_on.n == 3


def test_the_difference_is_of_the_same_images_of_the_other_half(
    found: SearchResult, advice: Recommendation, rival: Rival, journal: Journal
) -> None:
    default = Recipe(("grad-cam",), ("trunk_output",), input_size=128)
    assert advice.default.recipe == found.default.recipe == default
    first = [one.recipe for one in found.trials if not one.recipe.combine and not one.recipe.smooth]
    first = [recipe for recipe in first if recipe.input_size == 128]
    theirs = energies(journal, rival, first, default)
    best = next(
        one
        for one in found.trials
        if one.recipe == replace(default, methods=("layer-cam",), layers=("trunk_output.block1",))
    )
    ours = energies(journal, rival, first, best.recipe)
    keys = [key for key in ours if key[0] in found.halves.other]
    expected = paired([ours[key] for key in keys], [theirs[key] for key in keys], groups=[image for image, _ in keys])
    told = difference(best, found.default, found.halves.other, "energy")
    assert told.difference == pytest.approx(np.mean([ours[key] - theirs[key] for key in keys]), abs=1e-5)
    assert (told.low, told.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
    assert told.n == 3


def test_every_kind_of_variation_is_tried_and_the_best_go_together(found: SearchResult) -> None:
    recipes = [one.recipe for one in found.trials]
    assert len(set(recipes)) == len(recipes)
    assert [described(r) for r in recipes[:4]] == [
        f"{method} at {layer}, 128 pixels"
        for method in ("grad-cam", "layer-cam")
        for layer in ("trunk_output", "trunk_output.block1")
    ]
    assert {r.combine for r in recipes} == {None, "mean", "max", "product"}
    assert {r.smooth for r in recipes} == {(), ("aug",), ("eigen",)}
    assert {r.input_size for r in recipes} == {128, 256}
    assert any(r.input_size == 256 and (r.combine or r.smooth) for r in recipes)


def test_a_second_search_measures_nothing(
    found: SearchResult, rival: Rival, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (folder / name).read_bytes() for name in (run_module.JOURNAL, costing_module.COSTS)}

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(run_module, "measure", never)
    monkeypatch.setattr(costing_module, "cost_of", never)
    again = search(rival, SUBJECTS, ASKED, BASE, folder)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert recommend(again, rival, "energy", "squash") == recommend(found, rival, "energy", "squash")


def test_an_interrupted_search_goes_on_where_it_stopped(
    rival: Rival, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    measure, whole, one_by_one = run_module.measure, tmp_path / "whole", replace(BASE, batch=1)
    whole.mkdir()

    def counted(items, rival, plan, *more):
        if len(measured) == most:
            raise KeyboardInterrupt
        measured.append(f"{plan.key(rival)} {items[0].example.name}")
        return measure(items, rival, plan, *more)

    expected = search(rival, SUBJECTS[:2], SMALL, one_by_one, whole)
    monkeypatch.setattr(run_module, "measure", counted)
    most = 5
    with pytest.raises(KeyboardInterrupt):
        search(rival, SUBJECTS[:2], SMALL, one_by_one, tmp_path)
    most = -1
    found = search(rival, SUBJECTS[:2], SMALL, one_by_one, tmp_path)
    assert len(measured) == len(set(measured))
    assert len(measured) > 5
    ours, theirs = (recommend(one, rival, "energy", "squash") for one in (found, expected))
    assert ours.ranking == theirs.ranking


def test_a_network_of_a_fixed_size_is_left_at_it(rival: Rival, tmp_path: Path) -> None:
    fixed = Rival("fixed", replace(rival.net, fixed_size=True))
    found = search(fixed, SUBJECTS[:2], SMALL, BASE, tmp_path)
    assert {one.recipe.input_size for one in found.trials} == {128}
    assert len(found.trials) == 3  # plain, aug, eigen
    assert found.skipped == ["256 pixels: fixed takes no images of that size"]


def test_what_a_network_cannot_have_is_left_out(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 16, stride=16), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))
    rival = Rival("own", own_net(model, input_size=128))
    found = search(rival, SUBJECTS[:3], replace(SMALL, layers=()), BASE, tmp_path)
    assert {one.recipe.input_size for one in found.trials} == {128}
    assert found.skipped == ["256 pixels: own takes no images of that size"]
    assert not found.problems


def test_a_method_that_a_network_cannot_have_is_left_out(rival: Rival, tmp_path: Path) -> None:
    asked = replace(SMALL, methods=("layer-cam", "le-grad"), quick=True)
    found = search(rival, SUBJECTS[:2], asked, BASE, tmp_path)
    assert [one.recipe.method for one in found.trials] == ["layer-cam"]
    (line,) = found.skipped
    assert line.startswith("le-grad at whole network, 128 pixels: ")
    with pytest.raises(FuncamError, match=r"^le-grad at whole network"):
        search(rival, SUBJECTS[:2], replace(asked, methods=("le-grad",)), BASE, tmp_path)


def test_the_first_stage_alone(rival: Rival, tmp_path: Path) -> None:
    found = search(rival, SUBJECTS[:2], replace(ASKED, quick=True), BASE, tmp_path)
    assert len(found.trials) == 4


def test_another_size_is_held_against_the_networks_own(rival: Rival, tmp_path: Path) -> None:
    found = search(rival, SUBJECTS[:2], replace(SMALL, input_size=64, quick=True), BASE, tmp_path)
    assert [described(one.recipe) for one in found.trials] == ["layer-cam at trunk_output, 64 pixels"]
    assert described(found.default.recipe) == "grad-cam at trunk_output, 128 pixels"
    assert set(found.costs) == {found.default.recipe, found.trials[0].recipe}
    assert min(found.costs.values()) > 0


def test_the_bar_is_told_what_is_to_be_done(rival: Rival, tmp_path: Path) -> None:
    stages: list[tuple[int, int, int]] = []
    ticks: list[int] = []
    search(
        rival,
        SUBJECTS[:2],
        SMALL,
        BASE,
        tmp_path,
        stage=lambda *told: stages.append(told),
        tick=ticks.append,
    )
    assert [number for number, _, _ in stages] == [1, 2, 3, 4]
    assert stages[3][2] == 0  # the costs: images are not counted
    assert stages[0][1] == 2  # with the default
    assert sum(ticks) == sum(images for _, _, images in stages)


def test_what_cannot_be_searched(rival: Rival, tmp_path: Path) -> None:
    with pytest.raises(FuncamError, match="unknown metric 'enegy'; nearest: 'energy'"):
        search(rival, SUBJECTS, replace(SMALL, metric="enegy"), BASE, tmp_path)
    with pytest.raises(FuncamError, match="at least two images"):
        search(rival, SUBJECTS[:1], SMALL, BASE, tmp_path)
    with pytest.raises(FuncamError, match="insertion could not be measured"):
        search(rival, SUBJECTS[:2], replace(SMALL, metric="insertion"), BASE, tmp_path)
    with pytest.raises(FuncamError, match="makes its own recipes"):
        search(rival, SUBJECTS, SMALL, Plan(Recipe(("layer-cam",))), tmp_path)
    with pytest.raises(FuncamError, match="nowhere"):
        search(rival, SUBJECTS[:2], replace(SMALL, layers=("nowhere",)), BASE, tmp_path)
