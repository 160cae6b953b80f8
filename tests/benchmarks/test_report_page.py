"""`python -m benchmarks report-page` measures a report in a browser, by the wheel and by script."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import Browser
from browsers import browser as browser

from benchmarks import report_page


def event(milliseconds: float, name: str, phase: str = "X") -> dict[str, object]:
    return {"ts": milliseconds * 1e3, "name": name, "ph": phase}


def test_frames_are_counted_from_the_wheels_first_turn_to_its_last_and_no_further() -> None:
    shown = [event(at, report_page.SHOWN) for at in (3, 20, 36, 96, 112, 180)]
    turns = [event(10, report_page.FIRST, "b"), event(20, report_page.FIRST, "e")]
    moves = [event(at, report_page.MOVED, "b") for at in (12, 30, 90)]
    moves += [event(at, report_page.MOVED, "e") for at in (21, 37, 113)]
    events = [event(0, "another"), *moves, *reversed(shown), *turns]
    # What was shown before the wheel turned, and the page's own work afterwards, is no frame of the scroll.
    assert report_page.scrolled(events) == pytest.approx([10, 16, 60, 16])


@pytest.mark.slow
@pytest.mark.long
def test_a_small_report_is_measured_and_told(browser: Browser, tmp_path: Path) -> None:
    page = report_page._report(tmp_path, 40)
    row = report_page._measured(page, 1280, 1)
    for frames in (row["wheel"], row["script"]):
        median, percentile, most = frames["ms"]
        assert 10 < median <= percentile <= most  # no screen shows more than a hundred a second
        assert frames["number"] > 50
        assert (frames["over"] > 0) == (most > 50)
    assert row["late"] <= 40
    heads, rule, told = report_page.table({"rows": {"1280": row}}).splitlines()
    assert heads.count("|") == rule.count("|") == told.count("|")
    assert told.startswith("| 1280 pixels, a desktop's window |")
