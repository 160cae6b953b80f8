"""docs/metrics.md is in step with the public metrics and with what was measured beside the peers."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from metric_pairs import PAIRS
from metric_parity import PAGE, REPORT, parity_table
from pages import filled
from parity import AGREES

from funcam import metrics

ROOT = Path(__file__).parents[1]

TEXT = PAGE.read_text(encoding="utf-8")
MEASURED = json.loads(REPORT.read_text(encoding="utf-8"))
PROSE = re.sub(r"<!-- metric parity -->.*<!-- end of metric parity -->", "", TEXT, flags=re.S)
FUNCTIONS = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
NOT_METRICS = {"identity", "probabilities", "prepared", "pad_boxes", "box_masks"}


def _rows() -> dict[str, list[str]]:
    """The rows of the tables that define, by the functions in their first cell."""
    found: dict[str, list[str]] = {}
    for line in PROSE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            found |= dict.fromkeys(re.findall(r"`(\w+)`", cells[0]), cells[1:])
    return found


def test_every_public_metric_has_a_row() -> None:
    assert set(_rows()) == FUNCTIONS - NOT_METRICS


def test_every_public_name_is_mentioned() -> None:
    assert not [name for name in metrics.__all__ if not re.search(rf"`{name}\b", PROSE)]


def test_a_row_says_what_which_way_and_whose() -> None:
    for name, cells in _rows().items():
        assert all(cells), name
        if len(cells) == 4:
            assert cells[1] in ("↑", "↓", "unlike", "-"), name
            assert "larger" not in (getattr(metrics, name).__doc__ or "") or cells[1] != "↓", name


def test_the_papers_are_those_of_the_docstrings() -> None:
    """Rows that say "as above" have the paper of the row before them."""
    paper = ""
    for name, cells in _rows().items():
        paper = paper if cells[-2].startswith("as above") else cells[-2]
        for number in re.findall(r"arXiv:[\d.]+\d", paper):
            told = inspect.getdoc(getattr(metrics, name)) or ""
            assert number in told or "arXiv" not in told, f"{name}: {number} is not in its docstring"


def test_what_was_measured_is_what_there_is_to_compare() -> None:
    """A pair or a reason that is new has to be measured: run `python benchmarks/metric_parity.py`."""
    measured = {(pair["metric"], pair["peer"]): pair["why"] for pair in MEASURED["pairs"]}
    assert measured == {key: pair.why for key, pair in PAIRS.items()}
    assert {metric for metric, _ in measured} <= FUNCTIONS


def test_the_table_is_what_the_command_writes() -> None:
    assert filled(TEXT, {"metric parity": parity_table(MEASURED)}) == TEXT, "run metric_parity.py --tables"


@pytest.mark.parametrize("pair", MEASURED["pairs"], ids=lambda pair: f"{pair['metric']}-{pair['peer']}")
def test_a_difference_has_a_reason_and_a_paragraph(pair: dict[str, object]) -> None:
    differences: dict[str, float] = pair["differences"]  # type: ignore[assignment]
    if max(differences.values()) < AGREES:
        assert not pair["why"]
        return
    assert pair["why"]
    headings = re.findall(r"^\*\*(.+?)\.\*\*", PROSE, re.M)
    assert any(str(pair["peer"]) in heading and f"`{pair['metric']}`" in heading for heading in headings)


def test_every_file_in_it_exists() -> None:
    named = re.findall(r"`((?:benchmarks|funcam|tests)/[\w/.]+)`", TEXT)
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
