"""docs/methods.md is in step with the table of methods, with what was measured, and with the package's public names."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from pages import filled
from parity import AGREES, PAGE, PEERS, REPORT, function_name, methods_table, parity_table, verdict
from parity_pairs import COUNTERPARTS

import funcam
from funcam.methods import METHODS

ROOT = Path(__file__).parents[1]

TEXT = PAGE.read_text(encoding="utf-8")
MEASURED = json.loads(REPORT.read_text(encoding="utf-8"))


def _rows(table: str) -> dict[str, list[str]]:
    """The rows between two markers by their first cell."""
    body = TEXT.split(f"<!-- {table} -->\n")[1].split(f"<!-- end of {table} -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines()[2:] if line]
    return {row[0].strip("` "): row[1:] for row in rows}


def test_every_method_has_a_row_with_its_function_options_and_paper() -> None:
    rows = _rows("methods")
    assert list(rows) == list(METHODS)
    for name, (function, arguments, options, summary, paper) in rows.items():
        method = METHODS[name]
        parameters = inspect.signature(getattr(funcam, function_name(method))).parameters.values()
        assert arguments.count("`") == 2 * sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters), name
        assert function == f"`funcam.{function_name(method)}`"
        assert (summary, paper) == (method.summary, method.paper)
        for option, default in method.options.items():
            assert f"`{option}={default!r}`" in options


def test_what_functions_are_given_is_explained() -> None:
    legend = TEXT.split("What a function is given:")[1].split("## ")[0]
    explained = {name for line in legend.splitlines() for name in re.findall(r"`(\w+)`", line.split(" | ")[0])}
    assert explained >= {name for method in METHODS.values() for name in method.takes}


def test_what_was_measured_is_what_there_is_to_compare() -> None:
    """A method or a reason that is new has to be measured: run `python benchmarks/parity.py`."""
    measured = {(pair["peer"], pair["method"]): pair["why"] for pair in MEASURED["pairs"]}
    assert measured == {(peer, name): how.why for peer, pairs in COUNTERPARTS.items() for name, how in pairs.items()}


def test_every_method_has_a_row_beside_the_peers() -> None:
    rows = _rows("parity")
    assert list(rows) == list(METHODS)
    measured = {(pair["method"], pair["peer"]): verdict(pair) for pair in MEASURED["pairs"]}
    for name, cells in rows.items():
        assert cells == [measured.get((name, peer), "-") for peer in PEERS]
    assert {method for method, _ in measured} <= METHODS.keys()


def test_the_tables_are_what_the_command_writes() -> None:
    tables = {"methods": methods_table(), "parity": parity_table(MEASURED)}
    assert filled(TEXT, tables) == TEXT, "run `python benchmarks/parity.py --tables`"


@pytest.mark.parametrize("pair", MEASURED["pairs"], ids=lambda pair: f"{pair['method']}-{pair['peer']}")
def test_a_difference_has_a_reason_and_a_paragraph(pair: dict[str, object]) -> None:
    differences: dict[str, list[float]] = pair["differences"]  # type: ignore[assignment]
    if max(map(max, differences.values())) < AGREES:
        assert not pair["why"]
    else:
        assert pair["why"]
        title = METHODS[str(pair["method"])].title
        explained = re.findall(r"^\*\*(.+?)\.\*\*", TEXT, re.M)
        assert any(title in heading for heading in explained), f"no paragraph says why {title} differs"


def test_every_public_name_in_it_exists() -> None:
    named = set(re.findall(r"`funcam\.(\w+)", TEXT))
    assert {function_name(method) for method in METHODS.values()} <= named
    assert named <= set(funcam.__all__)


def test_every_file_in_it_exists() -> None:
    named = re.findall(r"`((?:benchmarks|funcam|tests)/[\w/.]+)`", TEXT)
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
