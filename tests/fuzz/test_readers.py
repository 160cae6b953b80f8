"""Every reader gives its error for a file that is bad, within 5 seconds and 1 GB; the table is in `docs/safety.md`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from fuzz_seeds import KINDS
from fuzzing import Tally, fuzz

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched through /proc")


def without_faults(tally: Tally) -> None:
    assert tally.faults() == []
    assert tally.past_header >= tally.inputs / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample(kind: str) -> None:
    without_faults(fuzz(kind, range(40)))


def test_the_table_has_a_line_without_faults_for_each_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "safety.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| 10,000 \| (\d+) % \| 0 \| 0 \| 0 \| 0 \| \d+ % \|$", page, re.MULTILINE)
    assert [kind for kind, _ in rows] == list(KINDS)
    assert all(int(past) >= 50 for _, past in rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand(kind: str) -> None:
    without_faults(fuzz(kind, range(10_000)))
