"""A small report, and a browser to open it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import report_sample as sample
from browsers import Browser
from browsers import browser as browser

from funcam.report import Report, write_report


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A small report and its page."""
    report = sample.report()
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(path, report)
    return path, report


@pytest.fixture
def opened(browser: Browser, page: tuple[Path, Report]) -> Iterator[Browser]:
    """The small report, opened and drawn; afterwards nothing was complained of and nobody was asked for anything."""
    browser.open(page[0])
    browser.to_the_images()
    yield browser
    assert browser.logs() == []
    asked = [url for url in browser.requests() if not url.startswith("data:")]
    assert asked in ([], [page[0].as_uri()])


@pytest.fixture
def card() -> Callable[[int, str], str]:
    """The selector of a part of the n-th card."""
    return lambda number, part: f".cards > :nth-child({number}) {part}"
