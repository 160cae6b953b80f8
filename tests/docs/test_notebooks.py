"""The notebooks are those of their texts, hold what they gave, and run."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
import site_notebooks

SOURCES = sorted(site_notebooks.SOURCES.glob("*.md"))
_MOST_BYTES = 400_000


def _cells(name: str) -> list[dict[str, Any]]:
    return list(json.loads((site_notebooks.NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"])


def test_there_is_one_for_each_text_and_the_page_names_it() -> None:
    page = (site_notebooks.NOTEBOOKS / "index.md").read_text(encoding="utf-8")
    names = {source.stem for source in SOURCES}
    assert len(names) >= 7
    assert {each.stem for each in site_notebooks.NOTEBOOKS.glob("*.ipynb")} == names
    assert all(f"({name}.ipynb)" in page for name in names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_was_run_as_it_stands(source: Path) -> None:
    cells = _cells(source.stem)
    assert [(cell["cell_type"], cell["source"]) for cell in cells] == site_notebooks.cells(
        source.read_text(encoding="utf-8")
    )
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    given = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in given if output["output_type"] == "error"]
    assert any("image" in kind or "html" in kind for output in given for kind in output.get("data", {}))
    assert (site_notebooks.NOTEBOOKS / f"{source.stem}.ipynb").stat().st_size < _MOST_BYTES
    assert "/work/" not in json.dumps(cells)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_runs(source: Path) -> None:
    shown: list[object] = []
    names: dict[str, Any] = {"display": shown.append}
    for kind, text in site_notebooks.cells(source.read_text(encoding="utf-8")):
        if kind == "code":
            shown.append(_ran(text, source.name, names))
    assert any(hasattr(each, "_repr_html_") or hasattr(each, "_repr_png_") for each in shown)


def _ran(text: str, name: str, names: dict[str, Any]) -> object:
    """The value of a cell's last line, as a notebook shows it."""
    *before, last = ast.parse(text, name).body
    if not isinstance(last, ast.Expr):
        exec(compile(text, name, "exec"), names)
        return None
    exec(compile(ast.Module(before, []), name, "exec"), names)
    return eval(compile(ast.Expression(last.value), name, "eval"), names)
