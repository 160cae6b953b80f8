"""What stands on a command line and can't be meant: found in its words, before anything is made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from funcam.cli.messages import UsageError

_TELL_THEMSELVES = frozenset({"net", "nets", "class_", "classes", "contrast", "settings"})
"""Options that have words of their own for a value of no letters."""
_REPEATED = frozenset({"--net", "--method", "--class", "--layer"})
"""Options that other commands take several times."""


def refuse_files_as_options(parameters: Sequence[Any], words: Sequence[str]) -> None:
    """Refuse a file's name that would be read as options, as `-old.jpg` would be of `-o`.

    Args:
        parameters: Typer's, of the command.
        words: what stands in front of `--`.

    Raises:
        UsageError: which one.
    """
    options = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        if word[:1] == "-" != word and word.partition("=")[0] not in options and os.path.lexists(word):
            raise UsageError(f"{word!r} would be read as options")


def refuse_empty(parameters: Sequence[Any], words: Sequence[str]) -> None:
    """Refuse values of no letters: as a path one is the folder that one is in, as a list it reads as not given.

    Args:
        parameters: as in `refuse_files_as_options`.
        words: as there.

    Raises:
        UsageError: which option has one.
    """
    valued = {name: each for each in parameters if not getattr(each, "is_flag", False) for name in each.opts}
    for word, following in zip_longest(words, words[1:]):
        name, given, value = word.partition("=")
        value = value if given else following
        if value is None or name not in valued or valued[name].name in _TELL_THEMSELVES:
            continue
        if valued[name].name == "out" and not value:
            raise UsageError(f"{name} '' names no folder; name one, '.' for this one (is a variable empty?)")
        if valued[name].name != "out" and not value.strip(" ,"):
            raise UsageError(f"{name} {value!r} is empty; give a value, or leave it out (is a variable empty?)")


def refuse_twice(given: Sequence[Any]) -> None:
    """Refuse several values of what other commands repeat: here all but the last would count for nothing.

    Args:
        given: the options of a command line, each as often as it stands there.

    Raises:
        UsageError: which one.
    """
    for option in given:
        times = given.count(option)
        if times > 1 and not option.multiple and not _REPEATED.isdisjoint(option.opts):
            raise UsageError(f"{option.opts[0]} was given {times} times and has one value here; give it once")
