"""`python -m benchmarks report-page` measures a report in a browser, by the wheel and by script."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import Browser
from browsers import browser as browser

from benchmarks import report_page


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
