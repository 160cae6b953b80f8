"""Choosing on one half of the images and reporting on the other, on made-up figures."""

from __future__ import annotations

import numpy as np
import pytest

from funcam.comparison import Rival
from funcam.recipe import Recipe
from funcam.searching.choosing import Halves, Trial, distinct_best, halved, ranked
from funcam.searching.recommendation import Recommendation, recommend, threshold
from funcam.searching.search import SearchResult
from funcam.zoo.nets import load_net

RNG = np.random.default_rng(0)
IMAGES = [f"{number}.png" for number in range(20)]
KEYS = [(image, label) for image in IMAGES for label in (0, 1)]
HALVES = halved(IMAGES)
DEFAULT = Recipe(("grad-cam",), ("b",), input_size=128)


def trials(values: np.ndarray, method: str = "layer-cam", metric: str = "energy") -> Trial:
    return Trial(Recipe((method,), ("b",), input_size=128), {metric: values.astype(np.float32)}, KEYS)


def told(best: Trial, default: Trial, metric: str = "energy") -> Recommendation:
    everything = [default, best]
    costs = {one.recipe: 1.0 for one in everything}
    found = SearchResult(everything, default, HALVES, costs, [], [])
    return recommend(found, Rival("a", load_net("scenes")), metric, "squash")


def test_halves_do_not_depend_on_the_order_of_the_names() -> None:
    assert halved(reversed(IMAGES)) == HALVES == Halves(HALVES.choosing, frozenset(IMAGES) - HALVES.choosing)
    assert len(HALVES.choosing) == len(HALVES.other) == 10
    assert sorted(halved("76543210").choosing) == ["0", "2", "5", "6"]  # published figures are of these halves


def test_figures_are_of_their_half() -> None:
    values = RNG.random(40)
    (choice,) = ranked([trials(values)], HALVES, "energy")
    for interval, half in ((choice.chosen_on, HALVES.choosing), (choice.found_on, HALVES.other)):
        assert interval.value == pytest.approx(
            np.mean([v for v, (i, _) in zip(values, KEYS, strict=True) if i in half])
        )
        assert interval.n == 10


@pytest.mark.parametrize(("metric", "first"), [("energy", "layer-cam"), ("deletion", "grad-cam")])
def test_less_is_better_where_it_is(metric: str, first: str) -> None:
    good, bad = trials(RNG.random(40) + 1, metric=metric), trials(RNG.random(40), "grad-cam", metric)
    assert ranked([bad, good], HALVES, metric)[0].recipe.method == first


def test_the_half_that_reports_has_no_say() -> None:
    chosen = np.array([image in HALVES.choosing for image, _ in KEYS])
    good, bad = trials(np.where(chosen, 1.0, 0.0)), trials(np.where(chosen, 0.0, 1.0), "fem")
    assert ranked([bad, good], HALVES, "energy")[0].recipe == good.recipe


def test_of_equal_recipes_the_first_and_no_other_leads() -> None:
    values = RNG.random(40)
    one, same, other = trials(values, "grad-cam"), trials(values + 1e-6, "xgrad-cam"), trials(values - 0.1, "fem")
    assert [t.recipe.method for t in distinct_best([one, same, other], HALVES, "energy", 2)] == ["xgrad-cam", "fem"]
    assert ranked([one, trials(values, "xgrad-cam")], HALVES, "energy")[0].recipe.method == "grad-cam"


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        (lambda values, chosen: values + 0.5, "better"),
        (lambda values, chosen: values + np.where(chosen, 0.5, -0.5), "worse"),
        (lambda values, chosen: values + np.where(chosen, 0.5, RNG.normal(0, 0.5, 40)), "unsure"),
        (lambda values, chosen: values - 0.5, "default"),
    ],
)
@pytest.mark.parametrize("metric", ["energy", "deletion"])
def test_the_verdict_is_that_of_the_interval(best, verdict: str, metric: str) -> None:
    chosen = np.array([image in HALVES.choosing for image, _ in KEYS])
    sign = -1 if metric == "deletion" else 1
    values = RNG.random(40)
    default = trials(sign * values, "grad-cam", metric)
    advice = told(trials(sign * best(values, chosen), metric=metric), default, metric)
    if verdict == "default":
        assert advice.best.ranked == advice.default
        assert "nothing that was tried is better" in advice.sentences[0]
    else:
        assert advice.best.verdict(metric) == verdict
        said = {"better": "is surely better", "worse": "is surely worse", "unsure": "is not surely better"}
        assert said[verdict] in advice.sentences[0]
    assert "the best of 2 and so flatters it" in advice.sentences[1]


def test_the_threshold_is_the_best_level_of_the_choosing_half() -> None:
    hits = np.zeros((40, 3, 20))
    chosen = np.array([image in HALVES.choosing for image, _ in KEYS])
    hits[chosen, :2, 7] = 1  # two of three overlaps
    hits[chosen, :1, 3] = 1
    hits[~chosen, :, 3] = 1  # the other half would choose another
    hits[np.flatnonzero(~chosen)[:5], :, 7] = 1
    found = threshold(trials(hits, metric="max-box-acc-v2"), HALVES, "max-box-acc-v2")
    assert found.level == pytest.approx(0.35)
    assert found.chosen_on == pytest.approx(2 / 3)
    assert found.found_on.value == pytest.approx(5 / 20)


def test_what_is_nearly_as_good_for_less() -> None:
    values = RNG.random(40) + 1
    default = trials(values / 2, "grad-cam")
    near, far = trials(values * 0.995, "fem"), trials(values * 0.98, "hires-cam")
    everything = [trials(values), near, far, default]
    costs = dict(zip([one.recipe for one in everything], [33.0, 5.0, 1.0, 1.0], strict=True))
    rival = Rival("a", load_net("scenes"))
    found = SearchResult(everything, default, HALVES, costs, [], [])
    advice = recommend(found, rival, "energy", "squash")
    assert advice.best.ranked.recipe.method == "layer-cam"
    assert advice.frugal is not None
    assert advice.frugal.ranked.recipe == near.recipe
    assert advice.frugal.verdict("energy") == "better"
    cheap = SearchResult(everything, default, HALVES, {**costs, everything[0].recipe: 1.0}, [], [])
    assert recommend(cheap, rival, "energy", "squash").frugal is None


def test_the_threshold_is_of_boxes_alone() -> None:
    values = RNG.random(40)
    assert told(trials(values + 1), trials(values, "grad-cam")).best.threshold is None
    hits = (RNG.random((40, 1, 20)) > 0.5) * 1.0
    boxes = "max-box-acc@0.5"
    assert told(trials(hits, metric=boxes), trials(hits * 0, "grad-cam", boxes), boxes).best.threshold is not None
