"""Many metrics and baselines in a real browser: what begins folded, and what has figures but nothing to switch to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import report_sample as sample

from funcam.report import write_report
from funcam.report.data import MethodEntry, MetricEntry, Result

METRICS = [MetricEntry("energy", "Energy"), *(MetricEntry(f"m{n}", f"Metric {n}") for n in range(9))]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Ten metrics, and a baseline that has figures and no maps."""
    results = [
        Result("small", "" if method == "uniform" else "late", method, metric.name, "all", 0.5, 0.4, 0.6, 12)
        for metric in METRICS
        for method in ("grad-cam", "uniform")
    ]
    methods = [*sample.METHODS, MethodEntry("uniform", "Uniform")]
    path = tmp_path_factory.mktemp("many") / "report.html"
    entries = [
        replace(each, explained=[replace(e, maps=[replace(m, metrics={}) for m in e.maps]) for e in each.explained])
        for each in sample.report(2).images
    ]
    few = sample.report(0)
    write_report(path, replace(few, images=entries, methods=methods, metrics=METRICS, results=results, pairs=[]))
    return path


def charts(browser):
    return browser.js("return [...document.querySelectorAll('.chart figcaption')].map((each) => each.firstChild.data)")


def test_the_first_six_charts_are_shown_and_the_rest_on_demand(browser, many):
    browser.open(many)
    titles = [metric.title for metric in METRICS]
    assert charts(browser) == titles[:6]
    assert browser.js("return document.querySelector('#more-charts button').textContent") == "Show all 10"
    browser.click("#more-charts button")
    assert charts(browser) == titles
    browser.click("#results-table thead th:nth-child(3) button")  # sorting draws the charts again
    assert charts(browser) == titles
    assert browser.logs() == []


def test_a_baseline_has_figures_and_no_switch(browser, many):
    browser.open(many)
    shown = browser.js(
        "return [...document.querySelectorAll('#results-table tbody td.text')].map((e) => e.textContent)"
    )
    assert "Uniform" in shown
    choices = browser.js("return [...document.querySelectorAll('#methods button')].map((each) => each.textContent)")
    assert "Grad-CAM" in choices
    assert "Uniform" not in choices


def test_best_and_worst_are_by_a_metric_with_degrees(browser, tmp_path):
    """The pointing game is 0 or 1: what it calls best is whatever comes first."""
    report = sample.report(6)
    hit = MetricEntry("hit", "Hit")
    entries = [
        replace(each, explained=[_with_hit(explained, number) for explained in each.explained])
        for number, each in enumerate(report.images)
    ]
    write_report(tmp_path / "r.html", replace(report, images=entries, metrics=[hit, *sample.METRICS]))
    browser.open(tmp_path / "r.html")
    titles = browser.js("return [...document.querySelectorAll('#extremes h3')].map((each) => each.textContent)")
    assert titles == ["Best by Energy", "Worst by Energy"]


def _with_hit(explained, number):
    maps = [replace(m, metrics={**m.metrics, "hit": float(number % 2)}) if m.metrics else m for m in explained.maps]
    return replace(explained, maps=maps)
