"""Every reader gives its error for a file that is bad, within 5 seconds and 1 GB; the table is in `docs/safety.md`."""

from __future__ import annotations

import sys

import pytest
from fuzz_seeds import KINDS
from fuzzing import Tally, fuzz

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is watched through /proc")


def without_faults(tally: Tally) -> None:
    assert tally.faults() == []
    assert tally.past_header >= tally.inputs / 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample(kind: str) -> None:
    without_faults(fuzz(kind, range(80)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand(kind: str) -> None:
    without_faults(fuzz(kind, range(10_000)))
