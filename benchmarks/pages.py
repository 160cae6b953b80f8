"""Measured tables in a page of the documentation."""

from __future__ import annotations

from collections.abc import Mapping


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with a table between each pair of markers, `<!-- name -->` and `<!-- end of name -->`."""
    for name, table in tables.items():
        first, last = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, rest = page.split(first)
        page = before + first + table + last + rest.split(last)[1]
    return page
