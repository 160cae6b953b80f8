"""Words that are taken as they were typed: of most nothing is to be made, and Typer's pydantic takes long to import."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_origin


def take_as_typed(parameters: Iterable[Any]) -> None:
    """Have parameters take what needs no conversion as it is; all else, and every refusal, stays Typer's.

    Args:
        parameters: Typer's, of a version that makes their values by pydantic; others are left alone.
    """
    for parameter in parameters:
        own = getattr(parameter, "get_runtime_param", None)
        if own is not None and not isinstance(own, _AsTyped):
            parameter.get_runtime_param = _AsTyped(own, parameter.type_descriptor)


class _AsTyped:
    """In the place of a parameter's `get_runtime_param`, and of what that returns."""

    def __init__(self, own: Any, descriptor: Any) -> None:
        self._own, self._info = own, descriptor.parameter_info
        several = get_origin(descriptor.annotation) is list
        self._kind = get_args(descriptor.annotation)[0] if several else descriptor.annotation

    def __call__(self) -> _AsTyped:
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The parameter's value: of a word from the command line, or of the default."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if several and isinstance(value, list | tuple) and all(map(self._is_plain, value)):
            return [*map(self._made, value)]
        if not several and self._is_plain(value):
            return self._made(value)
        return self._own().coerce(value, param=param, ctx=ctx)

    def _made(self, value: Any) -> Any:
        return Path(value) if self._kind is Path else value

    def _is_plain(self, value: Any) -> bool:
        """Whether there is nothing to make of it, or to hold against it."""
        if self._info.parser is not None:
            return False
        if self._kind is Path:
            return (isinstance(value, Path) or _is_text(value)) and self._is_unjudged(value)
        if self._kind in (int, float):
            low, high = self._info.min, self._info.max
            return type(value) is self._kind and (low is None or low <= value) and (high is None or value <= high)
        return self._kind is str and _is_text(value)

    def _is_unjudged(self, path: Any) -> bool:
        """Whether Typer would look for nothing but that what is there may be read."""
        told = self._info
        asked = (told.exists, not told.file_okay, not told.dir_okay, told.writable, told.resolve_path, told.allow_dash)
        return not any(asked) and told.path_type is None and (os.access(path, os.R_OK) or not os.path.exists(path))


def _is_text(value: object) -> bool:
    """Whether it is text that has a code: of other names of files pydantic judges."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value))
