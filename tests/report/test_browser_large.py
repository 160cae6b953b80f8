"""A page of 500 images in a real browser: it loads what is near the view, and the rest when it gets there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import report_sample as sample

from funcam.report import write_report


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """500 images of one network and class, and the page of them."""
    folder = tmp_path_factory.mktemp("large") / "a b#c"
    folder.mkdir()
    entries = [sample.image(number) for number in range(500)]
    entries = [
        replace(each, explained=[replace(each.explained[0], maps=each.explained[0].maps[:4])]) for each in entries
    ]
    write_report(folder / "report 1.html", replace(sample.report(0), images=entries))
    return folder / "report 1.html"


def pictures(browser):
    return {url.rsplit("/", 1)[1] for url in browser.requests() if url.endswith(".jpg")}


def test_pictures_load_as_they_come_near_the_view(browser, large):
    browser.open(large)
    browser.wait("return document.querySelectorAll('.card').length === 500")
    browser.to_the_images()
    browser.wait("return document.querySelector('.card img').naturalWidth === 64")
    first = pictures(browser)
    assert "0001.jpg" in first
    assert "0500.jpg" not in first
    assert len(first) < 100
    browser.js("document.querySelector('.card:last-child').scrollIntoView({behavior: 'instant'})")
    browser.wait("return document.querySelector('.card:last-child img')?.naturalWidth === 64")
    browser.wait("return document.querySelector('.card:last-child canvas').width > 0")
    browser.wait("return document.querySelector('.card:first-child canvas').width === 0")  # Its memory is given back.
    assert browser.logs() == []


def test_500_images_are_sorted_and_found(browser, large):
    browser.open(large)
    browser.set("#sort", "energy")
    shown = browser.js("return [...document.querySelectorAll('.card h3')].slice(0, 3).map((each) => each.textContent)")
    best = sorted(range(500), key=lambda number: (-sample.energy(number), number))[:3]
    assert shown == [f"photo-{number:03d}.jpg" for number in best]
    browser.set("#search", "photo-44")
    assert browser.js("return document.querySelector('#count').textContent") == "10 of 500 images"
    browser.js("document.querySelector('#cards').scrollIntoView({behavior: 'instant'})")
    browser.wait(
        "return [...document.querySelectorAll('.card:not([hidden]) canvas')].filter((each) => each.width).length > 3"
    )
    assert browser.logs() == []
    assert all(url.startswith((large.parent.as_uri(), "data:")) for url in browser.requests())
