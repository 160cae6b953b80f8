"""What a reader meets first, in a real browser: the headline, the best and worst, and figures in one unit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import report_sample as sample

from funcam.report import write_gallery, write_report

LONG = "a-very-long-name-of-a-folder/with-a-photo-that-nobody-shortened-0001.jpg"


def told(count=5):
    """A report with a headline, percentages, and so many conclusions."""
    report = sample.report(6)
    metrics = [replace(sample.METRICS[0], percent=True), sample.METRICS[1]]
    images = [replace(report.images[0], file=LONG), *report.images[1:]]
    conclusions = [f"Sentence {number}." for number in range(count)]
    return replace(report, metrics=metrics, images=images, conclusions=conclusions, headline="Small is ahead.")


@pytest.fixture
def page(tmp_path):
    write_report(tmp_path / "report.html", told())
    return tmp_path / "report.html"


def test_the_headline_comes_first_then_best_and_worst_then_figures(browser, page):
    browser.open(page)
    order = browser.js(
        "return ['#headline', '#extremes', '#results', '#conclusions', '#images']"
        ".map((each) => document.querySelector(each).getBoundingClientRect().top)"
    )
    assert order == sorted(order)
    assert browser.js("return document.querySelector('#headline').textContent") == "Small is ahead."
    assert not browser.js("return document.querySelector('#conclusion-fold').open")
    assert browser.logs() == []


@pytest.mark.parametrize(("headline", "count", "opened"), [("", 5, True), ("Small is ahead.", 3, True)])
def test_few_sentences_and_those_without_a_headline_are_open(browser, tmp_path, headline, count, opened):
    write_report(tmp_path / "report.html", replace(told(count), headline=headline))
    browser.open(tmp_path / "report.html")
    assert browser.js("return document.querySelector('#conclusion-fold').open") == opened
    assert browser.js("return document.querySelector('#headline').hidden") == (not headline)


def test_shares_are_in_percent_wherever_they_stand(browser, page):
    browser.open(page)
    cells = browser.js(
        "return [...document.querySelectorAll('#results-table tbody tr:first-child td')].map((e) => e.innerText)"
    )
    assert cells[1].split() == ["30.0", "20.0", "to", "40.0"]
    assert "0.500" in cells[2]
    assert "Energy (%)" in browser.js("return document.querySelector('#results-table thead').innerText")
    assert browser.js("return document.querySelector('#extremes h3').textContent") == "Best by Energy (%)"
    best = max(sample.energy(number) for number in range(6))
    assert browser.js("return document.querySelector('#extremes b').textContent") == f"{100 * best:.1f}"


def test_the_page_says_when_it_shows_fewer_than_were_measured(browser, tmp_path):
    for measured, said in ((6, "6 images"), (1000, "6 of 1000 images shown")):
        write_report(tmp_path / "report.html", replace(told(), config={"images": measured}))
        browser.open(tmp_path / "report.html")
        assert said in browser.js("return document.querySelector('#subtitle').textContent").split(" \u00b7 ")


def test_a_long_name_loses_its_middle_and_is_told_whole(browser, page):
    browser.open(page)
    text, whole = browser.js("const e = document.querySelector('#cards h3'); return [e.textContent, e.title]")
    assert whole == LONG
    assert len(text) <= 34
    assert text.startswith("a-very-long")
    assert text.endswith("0001.jpg")


def test_on_a_phone_the_first_column_can_be_read_and_stays(browser, page):
    browser.open(page)
    browser.driver.set_window_size(500, 900)
    widths = browser.js(
        "const table = document.querySelector('#results-table'); table.parentElement.scrollLeft = 300;"
        "const cell = table.querySelector('tbody th').getBoundingClientRect();"
        "return [cell.width, cell.left - table.parentElement.getBoundingClientRect().left]"
    )
    browser.driver.set_window_size(1280, 900)
    assert widths[0] >= 80
    assert abs(widths[1]) <= 2


def test_the_gallery_begins_with_it_and_folds_the_rest(tmp_path):
    write_gallery(tmp_path / "README.md", replace(told(), images=[]))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (
        text.index("**Small is ahead.**")
        < text.index("<details>")
        < text.index("Sentence 0")
        < text.index("</details>")
    )
    assert r"Energy \(%\)" in text
    assert "30.0 [20.0, 40.0]" in text
    assert "0.500 [0.400, 0.600]" in text
    write_gallery(tmp_path / "README.md", replace(told(3), images=[]))
    assert "<details>" not in (tmp_path / "README.md").read_text(encoding="utf-8")
