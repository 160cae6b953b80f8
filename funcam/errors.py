"""The one kind of error that bad input raises, and of warning; how names and values are shown in what is said."""

from __future__ import annotations

import difflib
import json
import math
import operator
from collections.abc import Iterable
from typing import Any

_MOST_SHOWN = 60

_CONTROLS = (
    *(*range(0x20), *range(0x7F, 0xA0)),  # C0, DEL, C1: some move the cursor, colour or type
    *(0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # turn the direction of what follows
    *(0x2028, 0x2029),  # end a line
)
_ESCAPES = {code: chr(code).encode("unicode_escape").decode("ascii") for code in _CONTROLS}
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in _CONTROLS if code >= 0x7F}


class FuncamError(ValueError):
    """Bad input. The message names what was given, what was expected and what to do next, in one line.

    Example:
        >>> raise FuncamError("layer 'layer5' is not in resnet50; nearest: 'layer4'")
        Traceback (most recent call last):
        funcam.errors.FuncamError: layer 'layer5' is not in resnet50; nearest: 'layer4'
    """


class FuncamWarning(UserWarning):
    """A result that may not be what was hoped for: a map that is zero everywhere, layers that were left out."""


def nearest(word: object, known: Iterable[str], count: int = 3) -> str:
    """The names in `known` that look most like `word` (whatever was given for one), quoted and joined, for a message.

    Example:
        >>> nearest("layer5", ["conv1", "layer3", "layer4"], count=2)
        "'layer4', 'layer3'"
    """
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word).lower(), names, n=count, cutoff=0.4) or list(names)[:count]
    return ", ".join(repr(names[name]) for name in close)


def shown(value: Any) -> str:
    """A value as a message shows it: what it is where that is short and in one line, else its kind.

    Example:
        >>> shown(2.5), shown(list(range(100)))
        ('2.5', 'a list')
    """
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN and "\n" not in text else f"a {type(value).__name__}"


def printable(text: str) -> str:
    """A name or a message as it may be printed: what would do something to a terminal, or end the line, is escaped.

    Example:
        >>> print(printable("a\\x1b[31mb\\nc"))
        a\\x1b[31mb\\nc
    """
    return text.translate(_ESCAPES)


def one_line(text: str) -> str:
    """A text of one line or several as one that may be printed.

    Example:
        >>> print(one_line("no such file:\\n  dog\\t.jpg"))
        no such file: dog\\t.jpg
    """
    return printable(" ".join(line.strip(" ") for line in text.strip("\n").split("\n")))


def about(name: str, message: str) -> str:
    """A message with the name of what it is about, in one line: before it, unless it stands in it.

    Example:
        >>> about("dog.jpg", "it is no picture"), about("dog.jpg", "dog.jpg is no picture")
        ('dog.jpg: it is no picture', 'dog.jpg is no picture')
    """
    shown_name = printable(name)
    told = message.replace(name, shown_name)
    return told if shown_name in told else f"{shown_name}: {told}"


def json_text(document: Any, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """A document as JSON of lines that may be printed: control characters in it are escaped as JSON escapes them.

    Args:
        document: what is written, without NaN.
        indent: as in `json.dumps`.
        ascii_only: whether all other letters are escaped too, for a stream of whatever encoding.

    Example:
        >>> print(json_text({"file": "\\x9b31m"}))
        {"file": "\\u009b31m"}
    """
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only, default=str)
    return text.translate(_JSON_ESCAPES)


def whole_number(what: str, value: Any, least: int | None = None) -> int:
    """A value as a whole number; Python's, NumPy's and tensors of one will do, True and 2.0 won't.

    Raises:
        FuncamError: it is none, or less than the least.

    Example:
        >>> whole_number("similar", 3, 1)
        3
        >>> whole_number("similar", 2.5, 1)
        Traceback (most recent call last):
        funcam.errors.FuncamError: similar is 2.5; expected a whole number of at least 1
    """
    try:
        number = None if is_flag(value) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise FuncamError(
            f"{what} is {shown(value)}; expected a whole number{'' if least is None else f' of at least {least}'}"
        )
    return number


def finite_number(what: str, value: Any) -> float:
    """A value as a number; strings, True, NaN and infinities are none.

    Raises:
        FuncamError: it is none.

    Example:
        >>> finite_number("gamma", "0.5")
        Traceback (most recent call last):
        funcam.errors.FuncamError: gamma is '0.5'; expected a number
    """
    try:
        number = math.nan if isinstance(value, str | bytes) or is_flag(value) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not math.isfinite(number):
        raise FuncamError(f"{what} is {shown(value)}; expected a number")
    return number


def is_flag(value: Any) -> bool:
    """Whether a value is True or False, of Python's or in a type of NumPy's or torch's.

    Example:
        >>> is_flag(True), is_flag(1)
        (True, False)
    """
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")
