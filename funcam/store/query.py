"""What `--query` asks for: conditions on columns, read as they are written and never run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from funcam.errors import FuncamError, finite_number, nearest, quoted
from funcam.store.rows import COLUMNS, REAL, TEXT, arrow

_CONDITION = re.compile(
    r"""\s*(?P<column>\w+)\s*(?P<operator>==|!=|<=|>=|=|<|>|~)\s*(?P<value>"[^"]*"|'[^']*'|[^\s"']\S*)\s*(?:and\s|$)""",
    re.IGNORECASE,
)
_FUNCTIONS = {
    "=": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "~": "match_substring",
}
"""What pyarrow calls a comparison."""

_EXPECTED = "expected COLUMN OPERATOR VALUE such as 'score < 0.5 and path ~ dog'"
_LONGEST = 10_000


class Condition(NamedTuple):
    """A condition on a row.

    Attributes:
        column: one of `COLUMNS`.
        operator: `=`, `!=`, `<`, `<=`, `>`, `>=`, or `~` for a text within the column's.
        value: what the column is compared with; None for `null`.
    """

    column: str
    operator: str
    value: str | int | float | None


def parse_query(texts: Sequence[str]) -> list[Condition]:
    """Conditions that all hold; a text may have several, with `and` between them.

    Args:
        texts: `COLUMN OPERATOR VALUE`; a value with spaces stands in quotation marks, and `null` is what isn't there.

    Raises:
        FuncamError: a text isn't written so, or there is no such column or value of it.

    Example:
        >>> parse_query(["score < 0.5 and path ~ 'my dog'", "error = null"])[1:]
        [Condition(column='path', operator='~', value='my dog'), Condition(column='error', operator='=', value=None)]
    """
    return [condition for text in texts for condition in _conditions(text)]


def kept(table: Any, conditions: Sequence[Condition]) -> Any:
    """The rows of a table that meet all conditions.

    Args:
        table: of pyarrow's, with the conditions' columns.
        conditions: see `parse_query`.

    Example:
        >>> table = arrow().table({"index": [3, 4]})
        >>> kept(table, parse_query(["index > 3"])).num_rows
        1
    """
    for condition in conditions:
        table = table.filter(_met(table.column(condition.column), condition))
    return table


def _conditions(text: str) -> list[Condition]:
    found: list[Condition] = []
    at = 0
    while at < len(text) or not found:
        match = _CONDITION.match(text, at) if len(text) <= _LONGEST else None
        if match is None:
            raise FuncamError(f"query {quoted(text)} can't be read at {quoted(text[at:], 30)}; {_EXPECTED}")
        found.append(_condition(match["column"], match["operator"], match["value"]))
        at = match.end()
        if at == len(text) and text.rstrip().lower().endswith(" and"):
            raise FuncamError(f"query {quoted(text)} ends with 'and'; {_EXPECTED}")
    return found


def _condition(column: str, operator: str, text: str) -> Condition:
    if column not in COLUMNS:
        raise FuncamError(f"query: there is no column {quoted(column)}; nearest: {nearest(column, COLUMNS)}")
    operator = "=" if operator == "==" else operator
    kind, bare = COLUMNS[column], text[1:-1] if text[0] in "\"'" else text
    if text.lower() == "null":
        if operator not in ("=", "!="):
            raise FuncamError(f"query: {column} {operator} null; null is there (= null) or isn't (!= null)")
        return Condition(column, operator, None)
    if operator == "~" and kind != TEXT:
        raise FuncamError(f"query: {column} holds numbers; ~ is for texts (path, label, content, error)")
    return Condition(column, operator, bare if kind == TEXT else _number(column, kind, bare))


def _number(column: str, kind: str, text: str) -> int | float:
    if kind == REAL:
        try:
            return finite_number(f"query: {column}", float(text))
        except ValueError:
            raise FuncamError(f"query: {column} is compared with {quoted(text)}; expected a number") from None
    if not re.fullmatch(r"[-+]?\d{1,9}", text, re.ASCII):
        raise FuncamError(f"query: {column} is compared with {quoted(text)}; expected a whole number")
    return int(text)


def _met(column: Any, condition: Condition) -> Any:
    """For each value of a column whether it meets a condition."""
    compute, value = arrow().compute, condition.value
    if value is None:
        return compute.is_null(column) if condition.operator == "=" else compute.is_valid(column)
    return getattr(compute, _FUNCTIONS[condition.operator])(column, value)
