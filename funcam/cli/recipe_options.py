"""What the options of `funcam explain` ask of a network, checked without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from funcam.cli.messages import UsageError
from funcam.errors import FuncamError
from funcam.methods import find_method
from funcam.recipe import COMBINATIONS, SMOOTHINGS

ALL, RUNNER_UP = "all", "runner-up"
_USUAL = ("grad-cam", "grad-cam++", "guided-backprop", "guided-grad-cam")


@dataclass(frozen=True)
class Asked:
    """The words of the command line, each known to be one."""

    methods: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    combine: str | None = None
    smooth: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)


def asked_of(
    methods: Sequence[str], layers: Sequence[str], combine: str | None, smooth: Sequence[str], settings: Sequence[str]
) -> Asked:
    """Methods, layers and smoothings may be repeated or stand in one word with commas between.

    Raises:
        UsageError: a word that is none of those, or words that don't go together.

    Example:
        >>> asked_of(["grad-cam,score-cam"], [], None, [], ["score-cam.strongest=64"]).options
        {'score-cam': {'strongest': 64}}
    """
    names, places, smoothings = (words_of(words) for words in (methods, layers, smooth))
    if ALL in names and len(names) > 1:
        raise UsageError(f"--method all stands alone; got {', '.join(names)}")
    for name in names:
        if name != ALL:
            _find(name, "--method")
    _known("--smooth", smoothings, SMOOTHINGS)
    _known("--combine", [] if combine is None else [combine], COMBINATIONS)
    if combine is not None and len(places) < 2:
        raise UsageError(f"--combine {combine} makes one map of several layers; give --layer more than once")
    return Asked(names, places, combine, smoothings, _options(settings, names))


def words_of(given: Sequence[str]) -> tuple[str, ...]:
    """Words that were repeated or stand with commas between, each once.

    Example:
        >>> words_of(["a,b", "b", "c"])
        ('a', 'b', 'c')
    """
    return tuple(dict.fromkeys(word.strip() for text in given for word in text.split(",") if word.strip()))


def _find(name: str, option: str) -> None:
    try:
        find_method(name)
    except FuncamError as error:
        raise UsageError(f"{option}: {error}") from error


def _known(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    for word in given:
        if word not in known:
            raise UsageError(f"{option} {word!r} is unknown; expected {', '.join(known[:-1])} or {known[-1]}")


def _options(settings: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`METHOD.OPTION=VALUE`; the value is read as JSON where it is JSON, else it is a word."""
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        method, dot, option = place.partition(".")
        if not (equals and dot and option):
            raise UsageError(f"--set {setting!r} is not METHOD.OPTION=VALUE, e.g. score-cam.strongest=64")
        _find(method, "--set")
        if ALL not in methods and method not in (methods or _USUAL):
            raise UsageError(
                f"--set {setting!r}: {method} is not among the methods that are computed; add --method {method}"
            )
        found.setdefault(method, {})[option] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
