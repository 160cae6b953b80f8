"""The conclusion in words: what it says of figures made by hand, and that it claims no more than they show."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcam.comparison.conclusions import conclusions
from funcam.report.data import Pair, Result


def figure(net, value, *, method="grad-cam", metric="max-box-acc-v2", subset="single", n=300):
    return Result(net, "last", method, metric, subset, value, value - 0.02, value + 0.02, n)


def pair(a, b, difference, half=0.01, *, kind="net", fixed="grad-cam", metric="max-box-acc-v2", subset="single"):
    shared = {"method" if kind == "net" else "net": fixed}
    return Pair(kind, a, b, metric, subset, difference, difference - half, difference + half, 0.01, 300, **shared)


def methods(net, a, b, difference, half=0.01, **where):
    return pair(a, b, difference, half, kind="method", fixed=net, **where)


def test_a_clear_winner_is_named_with_its_lead_over_the_nearest():
    rows = [figure("mobile", 0.639), figure("shuffle", 0.652), figure("squeeze", 0.601)]
    pairs = [pair("mobile", "shuffle", -0.013), pair("shuffle", "squeeze", 0.051), pair("mobile", "squeeze", 0.038)]
    assert conclusions(rows, pairs) == [
        "On single objects, by MaxBoxAccV2 with Grad-CAM, shuffle localises best: 65.2 (63.2 to 67.2), "
        "ahead of mobile by 1.3 (0.3 to 2.3) and of squeeze by more; n = 300."
    ]


def test_networks_whose_interval_holds_0_can_t_be_told_apart():
    rows = [figure("a", 0.65), figure("b", 0.64), figure("c", 0.5)]
    pairs = [pair("a", "b", 0.01, 0.02), pair("a", "c", 0.15), pair("b", "c", 0.14)]
    (line,) = conclusions(rows, pairs)
    assert "a and b can't be told apart" in line
    assert "a ahead of b by 1.0 (-1.0 to 3.0)" in line
    assert "c is behind a" in line
    assert "best" not in line


def test_what_was_not_compared_is_not_claimed():
    (line,) = conclusions([figure("a", 0.9), figure("b", 0.1)], [])
    assert "not compared" in line
    assert "best" not in line


def test_single_and_several_objects_apart_and_every_metric():
    rows, pairs = [], []
    for metric in ("max-box-acc-v2", "pointing-game", "energy"):
        for subset, lead in (("single", 0.1), ("multiple", -0.1)):
            rows += [
                figure("a", 0.5, metric=metric, subset=subset),
                figure("b", 0.5 - lead, metric=metric, subset=subset),
            ]
            pairs.append(pair("a", "b", lead, metric=metric, subset=subset))
    lines = conclusions(rows, pairs)
    assert len(lines) == 6
    assert sum(", a localises best" in line for line in lines if line.startswith("On single")) == 3
    assert sum(", b localises best" in line for line in lines if line.startswith("On several")) == 3
    assert sum("the pointing game" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("difference", "half", "parts"),
    [
        (0.07, 0.03, ["covers more than Grad-CAM: 37.6", "against 30.3", "by 7.0 (4.0 to 10.0)", "This agrees"]),
        (-0.07, 0.03, ["covers less than Grad-CAM", "by 7.0 (4.0 to 10.0)", "This disagrees"]),
        (0.01, 0.03, ["can't be told apart by coverage", "neither confirmed nor refuted"]),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_coverage_of_several_objects(difference, half, parts, swapped):
    where = {"metric": "coverage", "subset": "multiple"}
    rows = [figure("net", 0.303, **where), figure("net", 0.376, method="grad-cam++", **where)]
    order = ("grad-cam", "grad-cam++", -difference) if swapped else ("grad-cam++", "grad-cam", difference)
    (line,) = conclusions(rows, [methods("net", *order, half, **where)])
    assert all(part in line for part in parts), line


def test_baselines_that_are_beaten_and_not():
    names = ("grad-cam", "centre-gaussian", "uniform", "random")
    rows = [
        figure("net", 0.5, method=name, metric=m, subset="all") for name in names for m in ("energy", "pointing-game")
    ]
    energy = [
        methods("net", "grad-cam", name, d, metric="energy", subset="all")
        for name, d in zip(names[1:], (0.05, 0.2, 0.3), strict=True)
    ]
    pointing = [
        methods("net", name, "grad-cam", d, metric="pointing-game", subset="all")
        for name, d in zip(names[1:], (0.04, -0.2, -0.3), strict=True)
    ]
    (line,) = conclusions(rows, energy + pointing)
    assert line == (
        "With net, Grad-CAM beats the data-free baselines in the energy inside the objects (by 5.0 (4.0 to 6.0) over "
        "centre-gaussian, the nearest); it does not beat centre-gaussian (a difference of -4.0 (-5.0 to -3.0)) in the "
        "pointing game."
    )


def test_the_original_projects_order():
    nets = {"densenet121": 0.6, "old:resnet50": 0.65, "vgg16": 0.5, "wide_resnet50_2": 0.1, "shufflenet": 0.1}
    rows = [figure(net, value) for net, value in nets.items()]
    pairs = [pair(a, b, nets[a] - nets[b]) for a in nets for b in nets if a < b]
    lines = [line for line in conclusions(rows, pairs) if "original" in line]
    assert len(lines) == 3
    assert "old:resnet50 is ahead of densenet121 by 5.0 (4.0 to 6.0): this disagrees" in lines[0]
    assert "densenet121 is ahead of vgg16 by 10.0 (9.0 to 11.0): this agrees" in lines[1]
    assert lines[2].endswith("this agrees with the original project (ResNet over VGG).")


@pytest.mark.parametrize(
    ("label", "told"),
    [("resnet", True), ("small-resnet", True), ("mine:resnet18", True), ("wide-resnet", False), ("resnext50", False)],
)
def test_what_counts_as_a_resnet(label: str, told: bool):
    lines = conclusions([figure(label, 0.6), figure("vgg16", 0.5)], [pair(label, "vgg16", 0.1)])
    assert any("(ResNet over VGG)" in line for line in lines) == told


def test_one_image_or_none_leaves_it_open():
    rows = [figure("a", 0.9), figure("b", 0.1), figure("c", math.nan)]
    lone = replace(pair("a", "b", 0.8), low=math.nan, high=math.nan, p=math.nan)
    (line,) = conclusions(rows, [lone])
    assert "best" not in line
    assert "nan" not in line
    assert (
        "c" not in line.replace("can't", "").replace("Acc", "").replace("objects", "").replace("compared", "").split()
    )


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(0.001, 0.3)), min_size=3, max_size=3))
def test_a_winner_is_named_exactly_where_every_interval_leaves_out_0(leads):
    values = {"a": 0.5, "b": 0.5 - leads[0][0], "c": 0.5 - leads[1][0]}
    pairs = [pair("a", "b", *leads[0]), pair("a", "c", *leads[1])]
    pairs.append(pair("b", "c", values["b"] - values["c"], leads[2][1]))
    (line,) = conclusions([figure(net, value) for net, value in values.items()], pairs)
    first = max(values, key=values.__getitem__)
    sure = [row.low > 0 if row.a == first else row.high < 0 for row in pairs if first in (row.a, row.b)]
    assert (f"{first} localises best" in line) == all(sure)
    assert ("can't be told apart" in line) != all(sure)


def test_nothing_to_say():
    assert conclusions([], []) == []
    assert conclusions([figure("only", 0.5)], []) == []


def test_of_more_than_two_methods_the_best_is_named_for_each_network():
    rows = [figure("a", value, method=name, subset="all") for name, value in (("grad-cam", 0.6), ("fem", 0.5))]
    assert conclusions(rows, [methods("a", "grad-cam", "fem", 0.1, subset="all")]) == []
    rows.append(figure("a", 0.7, method="prototype-cam", subset="all"))
    pairs = [
        methods("a", "grad-cam", "fem", 0.1, subset="all"),
        methods("a", "grad-cam", "prototype-cam", -0.1, subset="all"),
        methods("a", "fem", "prototype-cam", -0.2, subset="all"),
    ]
    assert conclusions(rows, pairs) == [
        "On all images, by MaxBoxAccV2 in a, Prototype CAM localises best: 70.0 (68.0 to 72.0), "
        "ahead of Grad-CAM by 10.0 (9.0 to 11.0) and of FEM by more; n = 300."
    ]
