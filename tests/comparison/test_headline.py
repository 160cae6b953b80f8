"""The headline says who is ahead where the intervals say so, and else that nothing can be told."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from funcam.comparison.conclusions import FEW, conclusions, headline
from funcam.report.data import Pair, Result


def figure(net, value, *, method="grad-cam", metric="max-box-acc-v2", subset="all", n=300):
    return Result(net, "last", method, metric, subset, value, value - 0.02, value + 0.02, n)


def pair(a, b, difference, *, half=0.01, kind="net", fixed="grad-cam", metric="max-box-acc-v2", subset="all"):
    shared = {"method" if kind == "net" else "net": fixed}
    return Pair(kind, a, b, metric, subset, difference, difference - half, difference + half, 0.01, 300, **shared)


ROWS = [figure("mobile", 0.639), figure("shuffle", 0.652), figure("squeeze", 0.601)]
PAIRS = [pair("mobile", "shuffle", -0.013), pair("shuffle", "squeeze", 0.051), pair("mobile", "squeeze", 0.038)]


def test_who_is_ahead_and_by_how_much():
    assert headline(ROWS, PAIRS) == (
        "shuffle is ahead by MaxBoxAccV2 with Grad-CAM: 65.2 (63.2 to 67.2), 1.3 (0.3 to 2.3) more than mobile, the "
        "next, on 300 images."
    )


def test_who_can_t_be_told_apart():
    told = headline(ROWS, [replace(PAIRS[0], low=-0.03, high=0.01), *PAIRS[1:]])
    assert told.startswith("Nobody is clearly ahead: shuffle and mobile can't be told apart")
    assert "squeeze" not in told
    assert "shuffle, mobile and squeeze" in headline(ROWS, [])  # nothing was compared


@pytest.mark.parametrize("count", [1, FEW - 1, FEW])
def test_of_few_images_nothing_is_told(count):
    told = headline([replace(row, n=count) for row in ROWS], PAIRS)
    assert (f"{count} image{'s' * (count > 1)} (" in told and "so few" in told) == (count < FEW)


def test_of_one_network_methods_and_baselines_are_compared():
    rows = [figure("net", value, method=name) for name, value in (("grad-cam", 0.6), ("centre-gaussian", 0.5))]
    pairs = [pair("grad-cam", "centre-gaussian", 0.1, kind="method", fixed="net")]
    assert headline(rows, pairs).startswith("Grad-CAM is ahead by MaxBoxAccV2 in net: 60.0")
    assert headline(rows[:1], []) == headline([], []) == ""


def test_a_figure_that_is_none_is_left_out():
    rows = [*ROWS[:2], replace(ROWS[2], value=math.nan)]
    assert headline(rows, PAIRS[:1]).startswith("shuffle is ahead")


def test_small_groups_that_leave_it_open_are_left_out_of_words():
    where = {"subset": "multiple"}
    rows = [*ROWS, *(replace(row, subset="multiple", n=1) for row in ROWS)]
    rows += [
        replace(figure("mobile", 0.3, method=name, metric="coverage", **where), n=1)
        for name in ("grad-cam", "grad-cam++")
    ]
    coverage = pair("grad-cam++", "grad-cam", 0.0, kind="method", fixed="mobile", metric="coverage", **where)
    pairs = [*PAIRS, *(replace(each, subset="multiple") for each in PAIRS), coverage]
    assert any("several objects" in line for line in conclusions(rows, pairs))
    told = conclusions(rows, pairs, least=FEW, original=False)
    assert told
    assert not [line for line in told if "several objects" in line]


def test_the_original_project_is_left_out_where_it_means_nothing():
    rows = [figure("densenet121", 0.6), figure("vgg16", 0.5)]
    rows += [
        figure("vgg16", 0.3, method=name, metric="coverage", subset="multiple") for name in ("grad-cam", "grad-cam++")
    ]
    coverage = pair("grad-cam++", "grad-cam", 0.1, kind="method", fixed="vgg16", metric="coverage", subset="multiple")
    pairs = [pair("densenet121", "vgg16", 0.1), coverage]
    assert any("original" in line for line in conclusions(rows, pairs))
    told = conclusions(rows, pairs, original=False)
    assert any("covers more" in line for line in told)
    assert not any("original" in line for line in told)
