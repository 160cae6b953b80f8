"""`funcam methods`: the methods, what they do, and the papers."""

from __future__ import annotations

from funcam.cli.messages import console
from funcam.methods import METHODS


def methods() -> None:
    """List the methods: name, what it does, the paper."""
    from rich.table import Table

    table = Table("method", "what it does", "paper", box=None, pad_edge=False)
    for method in METHODS.values():
        table.add_row(f"[bold]{method.name}[/]", method.summary, method.paper)
    console().print(table)
