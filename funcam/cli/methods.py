"""`funcam methods`: the methods, what they do, and the papers."""

from __future__ import annotations

from funcam.cli.messages import console
from funcam.methods import METHODS


def methods() -> None:
    """List the methods: name, what it does, the paper."""
    from funcam.cli.tables import Column, print_table

    columns = Column("method"), Column("what it does", prose=True), Column("paper", prose=True)
    rows = [(f"[bold]{method.name}[/]", method.summary, method.paper) for method in METHODS.values()]
    print_table(console(), columns, rows)
