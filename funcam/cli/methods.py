"""`funcam methods`: the methods, what they do, and the papers."""

from __future__ import annotations

from typing import Any

from funcam.cli.json_option import AsJson, print_json
from funcam.cli.messages import console
from funcam.methods import METHODS, Method


def methods(as_json: AsJson = False) -> None:
    """List the methods: name, what it does, the paper."""
    if as_json:
        print_json([_document(method) for method in METHODS.values()])
        return
    from funcam.cli.tables import Column, print_table

    columns = Column("method"), Column("what it does", prose=True), Column("paper", prose=True)
    rows = [(f"[bold]{method.name}[/]", method.summary, method.paper) for method in METHODS.values()]
    print_table(console(), columns, rows)


def _document(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "title": method.title,
        "summary": method.summary,
        "paper": method.paper,
        "gives": method.gives,
        "needs_layer": method.at_layer,
        "options": dict(method.options),
    }
