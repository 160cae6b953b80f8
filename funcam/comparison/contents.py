"""What an image and the truth about it hold, in a few letters: by them a journal tells of what it has the figures.

A name says nothing: behind it there may be other pixels, other boxes or other masks than an hour ago. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from funcam.errors import FuncamError
from funcam.resuming.content import file_letters, letters

if TYPE_CHECKING:
    from funcam.comparison.dataset import Example

_UNSIZED = (256, 256)  # where the truth doesn't say how large the image is


class Contents:
    """The contents of a data set, each found when it is asked for and then kept: every file is read once.

    Example:
        >>> from funcam.comparison import scene_examples
        >>> contents = Contents(scene_examples(2))
        >>> contents.of("scene 5000000") == contents.of("scene 5000000") != contents.of("scene 5000001 (multiple)")
        True
        >>> contents.of("another") is None
        True
    """

    def __init__(self, examples: Iterable[Example]) -> None:
        self._examples = {example.name: example for example in examples}
        self._known: dict[str, str | None] = {}
        self._files: dict[Path, str] = {}

    def of(self, name: str) -> str | None:
        """What tells the content of an image, and of the truth about it, from others; None for what can't be read."""
        if name not in self._known:
            self._known[name] = self._found(name)
        return self._known[name]

    def changed(self, name: str) -> bool:
        """Whether an image's file has become another one since it was asked for: read anew to tell."""
        source = self._examples[name].source
        return isinstance(source, Path) and self._files.get(source) != file_letters(source)

    def _found(self, name: str) -> str | None:
        if name not in self._examples:
            return None
        example = self._examples[name]
        if isinstance(example.source, str) and example.source:
            return letters(example.source.encode(errors="backslashreplace"))
        try:
            parts = [self._picture(example), self._plain(example.truth, _UNSIZED)]
        except (FuncamError, OSError):  # whoever loads it says what is wrong
            return None
        return letters(json.dumps(parts).encode())

    def _picture(self, example: Example) -> str:
        return self._file(example.source) if isinstance(example.source, Path) else _array(example.load())

    def _file(self, path: Path) -> str:
        if path not in self._files:
            self._files[path] = file_letters(path)
        return self._files[path]

    def _plain(self, value: Any, size: tuple[int, int]) -> Any:
        """A truth and what it is made of, for JSON: a file as its content, a mask that is a function as its pixels."""
        if isinstance(value, Path):
            return self._file(value)
        if isinstance(value, tuple | list):
            return [self._plain(part, size) for part in value]
        if isinstance(value, np.ndarray):
            return _array(value)
        if is_dataclass(value) and not isinstance(value, type):
            match getattr(value, "size", None):
                case (int(width), int(height)):
                    size = height, width
            parts = {field.name: getattr(value, field.name) for field in fields(value) if field.name != "image"}
            return [type(value).__name__, *(self._plain(part, size) for part in parts.values())]
        if callable(value):
            return _array(np.asarray(value(*size)))
        return value if value is None or isinstance(value, str | int | float) else repr(value)


def _array(array: np.ndarray[Any, Any]) -> str:
    return letters(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
