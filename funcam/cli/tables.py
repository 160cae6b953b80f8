"""Tables for a terminal of any width. Nothing in them is cut: a name that lost its end can't be copied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.bar import Bar
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from funcam.errors import printable

_GAP = 2
_PROSE = 16  # prose is folded to this width at least

Cell = str | Bar
"""Rich's markup, or a bar."""


def plain(text: str) -> str:
    """A name as markup that shows it, control characters escaped: every name that is printed comes through here.

    Example:
        >>> plain("[bold]\\x1b[2J.png")
        '\\\\[bold]\\\\x1b[2J.png'
    """
    return escape(printable(text))


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: what stands above it.
        right: the cells end below each other, as numbers do.
        prose: the cells may be folded between words, which hold no markup; others are never folded.
        spare: left out, and said to be, if there is no room.
    """

    title: str = ""
    right: bool = False
    prose: bool = False
    spare: bool = False


def print_table(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    keys: int = 1,
    split: bool = False,
) -> None:
    """Print what the terminal has room for: the whole table, one without spare columns, parts of it, or paragraphs.

    Args:
        console: where to.
        columns: what stands in each column.
        rows: the cells of each row, in the columns' order.
        title: prose that stands above the table.
        keys: how many columns say what a row is about; each part repeats them, a paragraph begins with them.
        split: whether there may be several tables, one below the other, in which the rows can still be compared.

    Example:
        >>> columns = Column("net"), Column("top-1", right=True)
        >>> print_table(Console(width=20), columns, [("resnet18", "69.8")])
        net       top-1
        resnet18   69.8
        >>> print_table(Console(width=14), columns, [("resnet18", "69.8")])
        resnet18
          top-1: 69.8
    """
    if title:
        print_prose(console, title, style="table.title")
    rooms = [_room(column, [row[place] for row in rows]) for place, column in enumerate(columns)]
    every = list(range(len(columns)))
    needed = [place for place in every if not columns[place].spare]
    if _left(console, rooms, every) >= 0:
        console.print(_table(console, columns, rows, rooms, every))
    elif _left(console, rooms, needed) >= 0:
        console.print(_table(console, columns, rows, rooms, needed))
        if missed := ", ".join(column.title for column in columns if column.spare and column.title):
            print_prose(console, f"no room for: {missed}", style="dim")
    elif split and all(_left(console, rooms, [*every[:keys], place]) >= 0 for place in every[keys:]):
        _print_parts(console, columns, rows, rooms, keys)
    else:
        for row in rows:
            _print_paragraph(console, columns, row, keys)


def print_prose(console: Console, markup: str, style: str = "") -> None:
    """Print a sentence, on a terminal folded between words; what is to be copied is left for the terminal to fold.

    Example:
        >>> print_prose(Console(width=12, force_terminal=True), "9.5 or 12.5 seconds")
        9.5 or 12.5
        seconds
    """
    text = Text.from_markup(markup, style=style, emoji=False)
    for line in _packed(text.split(" "), console.width, 1) if console.is_terminal else [text]:
        console.print(line, soft_wrap=True)


@dataclass(frozen=True)
class _Room:
    """What a column takes of the terminal's width: at least, and if nothing is folded."""

    least: int
    whole: int


def _room(column: Column, cells: Iterable[Cell]) -> _Room:
    texts = [Text(column.title), *(_text(cell) for cell in cells)]
    whole = max(text.cell_len for text in texts)
    if not column.prose:
        return _Room(whole, whole)
    longest = max((Text(word).cell_len for text in texts for word in text.plain.split()), default=0)
    return _Room(min(whole, max(_PROSE, longest)), whole)


def _text(cell: Cell) -> Text:
    return Text.from_markup(cell, emoji=False) if isinstance(cell, str) else Text(" " * (cell.width or 0))


def _left(console: Console, rooms: Sequence[_Room], places: Sequence[int]) -> int:
    """The width that is left beside these columns, negative if they don't fit."""
    return console.width - sum(rooms[place].least + _GAP for place in places) + _GAP


def _table(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    rooms: Sequence[_Room],
    places: Sequence[int],
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP // 2))
    left = _left(console, rooms, places)
    folded = sum(columns[place].prose for place in places)  # they share what is left, in turn; Rich would cut words
    for place in places:
        column, width = columns[place], rooms[place].least
        if column.prose:
            width = min(rooms[place].whole, width + left // folded)
            left, folded = left - (width - rooms[place].least), folded - 1
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, no_wrap=not column.prose, width=width)
    for row in rows:
        table.add_row(*(row[place] for place in places))
    return table


def _print_parts(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], rooms: Sequence[_Room], keys: int
) -> None:
    part = first = list(range(keys))
    for place in range(keys, len(columns)):
        if _left(console, rooms, [*part, place]) < 0:
            console.print(_table(console, columns, rows, rooms, part))
            part = first
        part = [*part, place]
    console.print(_table(console, columns, rows, rooms, part))


def _print_paragraph(console: Console, columns: Sequence[Column], row: Sequence[Cell], keys: int) -> None:
    """Print the keys, and below them what else the row says: as much in a line as there is room for."""
    about: list[Text] = []
    for column, cell in zip(columns[:keys], row[:keys], strict=True):
        words = _text(cell).split(" ") if column.prose else [_text(cell)]
        about += _packed(filter(None, words), console.width, 1)
    for line in _packed(about, console.width, _GAP):
        console.print(line, style="bold", soft_wrap=True)
    figures: list[Text] = []
    for column, cell in zip(columns[keys:], row[keys:], strict=True):
        if isinstance(cell, Bar) or not cell:
            continue
        words = _words(column, cell)
        if column.prose:
            _print_indented(console, figures, _GAP)
            _print_indented(console, words, 1)
            figures = []
        else:
            figures += [Text(" ").join(words)] if _fits_alone(words, console.width) else words
    _print_indented(console, figures, _GAP)


def _words(column: Column, cell: str) -> list[Text]:
    title = [Text(f"{column.title}:", style="dim")] if column.title else []
    return [*title, *(_text(cell).split(" ") if column.prose else [_text(cell)])]


def _fits_alone(words: Sequence[Text], width: int) -> bool:
    return _GAP + sum(word.cell_len + 1 for word in words) - 1 <= width


def _print_indented(console: Console, units: Sequence[Text], gap: int) -> None:
    for line in _packed(units, console.width - _GAP, gap):
        console.print(Text(" " * _GAP) + line, soft_wrap=True)


def _packed(units: Iterable[Text], width: int, gap: int) -> list[Text]:
    """Lines of what is never folded itself, as much in each as there is room for."""
    lines: list[Text] = []
    for unit in units:
        if lines and lines[-1].cell_len + gap + unit.cell_len <= width:
            lines[-1] = Text(" " * gap).join([lines[-1], unit])
        else:
            lines.append(unit)
    return lines
