"""The one kind of error that bad input raises, and of warning; how names and values are shown in what is said.

What other packages warn of is kept back here, too.
"""

from __future__ import annotations

import difflib
import heapq
import json
import math
import operator
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, cast

_MOST_SHOWN = 60

_LONGEST_COMPARED = 50
"""Letters of a name that are compared to find the nearest."""

_BY_LETTERS, _BY_ORDER = 20_000, 100
"""So many names are compared by which letters they have, and so many of these by the order, which takes long."""

_LONGEST = 1000
"""Characters of a message; names from files may be of any length."""
_CONTROLS = (
    *(*range(0x20), *range(0x7F, 0xA0)),  # C0, DEL, C1: some move the cursor, colour or type
    *(0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # turn the direction of what follows
    *(0x2028, 0x2029),  # end a line
)
_ESCAPES = {code: chr(code).encode("unicode_escape").decode("ascii") for code in _CONTROLS}
_JSON_ESCAPES = {code: f"\\u{code:04x}" for code in _CONTROLS if code >= 0x7F}


class FuncamError(ValueError):
    """Bad input. The message names what was given, what was expected and what to do next, in one line.

    What a terminal would act on is escaped, and a message of over a thousand characters is cut in its middle: names
    and values in it come from files.

    Example:
        >>> raise FuncamError("layer 'layer5' is not in resnet50; nearest: 'layer4'")
        Traceback (most recent call last):
        funcam.errors.FuncamError: layer 'layer5' is not in resnet50; nearest: 'layer4'
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(in_one_line(str(message)))


class FuncamWarning(UserWarning):
    """A result that may not be what was hoped for: a map that is zero everywhere, layers that were left out."""


@contextmanager
def unwarned() -> Iterator[None]:
    """Inside, and in this thread, nothing that is warned of is told.

    `warnings.catch_warnings` changes what all threads are told, and where two of them overlap puts back for good what
    the other had set. This is a filter of its own, which matches in one thread.

    Example:
        >>> with unwarned():
        ...     warnings.warn("of no concern", stacklevel=1)
    """
    inside = _Inside()
    entry, filters = ("ignore", inside, Warning, None, 0), _filters()
    filters.insert(0, entry)
    try:
        yield
    finally:
        inside.thread = None
        for those in (filters, _filters()):  # another's `catch_warnings` keeps the one, or has put back the other
            with suppress(ValueError):
                those.remove(entry)


def _filters() -> list[Any]:
    return cast("list[Any]", warnings.filters)


class _Inside:
    """In the place of a filter's pattern: matches whatever is said in a thread, while that is inside."""

    def __init__(self) -> None:
        self.thread: int | None = threading.get_ident()

    def match(self, _message: str) -> bool:
        return self.thread == threading.get_ident()


def nearest(word: object, known: Iterable[str], count: int = 3) -> str:
    """The names in `known` that look most like `word` (whatever was given for one), quoted and joined, for a message.

    Example:
        >>> nearest("layer5", ["conv1", "layer3", "layer4"], count=2)
        "'layer4', 'layer3'"
    """
    names = [*islice(known, _BY_LETTERS)]
    return ", ".join(map(quoted, _alike(word, names, count) or names[:count]))


def nearest_or_listed(word: object, known: Iterable[str], listed: str) -> str:
    """The names in `known` that look like `word`, if there are any, and where all of them are listed, for a message.

    Example:
        >>> nearest_or_listed("resnet5", ["resnet50", "vgg16"], "`funcam nets` lists them all")
        "nearest: 'resnet50' (`funcam nets` lists them all)"
        >>> nearest_or_listed("xy", ["resnet50", "vgg16"], "`funcam nets` lists them all")
        '`funcam nets` lists them all'
    """
    alike = ", ".join(map(quoted, _alike(word, [*islice(known, _BY_LETTERS)], 3)))
    return f"nearest: {alike} ({listed})" if alike else listed


def _alike(word: object, known: Sequence[str], count: int) -> list[str]:
    """So many of the names that look like a word, the most alike first."""
    names = {_compared(name): name for name in known}
    wanted = _compared(str(word))
    matcher = difflib.SequenceMatcher(b=wanted)

    def alike(name: str) -> float:
        matcher.set_seq1(name)
        return matcher.quick_ratio()

    likely = list(names) if len(names) <= _BY_ORDER else heapq.nlargest(_BY_ORDER, names, alike)
    return [names[name] for name in difflib.get_close_matches(wanted, likely, n=count, cutoff=0.4)]


def _compared(name: str) -> str:
    """A name as it is compared: where it is long, its beginning and its end."""
    half = _LONGEST_COMPARED // 2
    return (name if len(name) <= _LONGEST_COMPARED else name[:half] + name[-half:]).lower()


def shown(value: Any) -> str:
    """A value as a message shows it: what it is where that is short and in one line, else its kind.

    Example:
        >>> shown(2.5), shown(list(range(100)))
        ('2.5', 'a list')
    """
    kind = f"a {type(value).__name__}"
    if _parts(value, _MOST_SHOWN) > _MOST_SHOWN:  # what a file holds may nest without end, or 2 to the 60 times
        return kind
    try:
        text = repr(value)
    except Exception:  # an int of more digits than Python writes; classes of others
        return kind
    return text if len(text) <= _MOST_SHOWN and "\n" not in text else kind


def quoted(text: str, most: int = 100) -> str:
    """A name in quotation marks, cut in its middle where it has more letters.

    Example:
        >>> quoted("dog"), quoted("x" * 5000, 8)
        ("'dog'", "'xxxx...xxxx'")
    """
    return repr(text if len(text) <= most else f"{text[: most // 2]}...{text[-(most // 2) :]}")


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


def reason_in(error: BaseException, most: int = 160) -> str:
    """What an exception of somebody else's says, in one line of so many characters; its kind where it says nothing.

    Example:
        >>> reason_in(ValueError("no\\n  way")), reason_in(RecursionError())
        ('no way', 'RecursionError')
    """
    try:
        text = " ".join(str(error)[: 4 * most].split())
    except Exception:  # classes of others
        text = ""
    return (text if len(text) <= most else f"{text[: most - 4]} ...") or type(error).__name__


def cut(text: str) -> str:
    """A text without its middle, if it has over a thousand characters.

    Example:
        >>> len(cut("x" * 5000)), cut("dog")
        (939, 'dog')
    """
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST * 3 // 5]} ... {text[-_LONGEST // 3 :]}"


def in_one_line(text: str) -> str:
    """A text as a message shows it: what a terminal would act on escaped, cut in its middle where it is long.

    Example:
        >>> in_one_line("a\\x1b[31m\\nb")
        'a\\\\x1b[31m\\\\nb'
    """
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in cut(text))
    return line if len(line) <= _LONGEST else in_one_line(line)


def _parts(value: Any, most: int) -> int:
    """How many values lie in a container, at any depth, each as often as it would be written; counted to `most`."""
    waiting, count = [value], 0
    while waiting and count <= most:
        entry = waiting.pop()
        count += 1
        if isinstance(entry, dict):
            entry = [part for pair in entry.items() for part in pair] if len(entry) <= most else range(most + 1)
        if isinstance(entry, list | tuple | set | frozenset | range):
            waiting += entry if len(entry) <= most else range(most + 1)
    return count
