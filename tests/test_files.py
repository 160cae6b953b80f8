"""The one way in: what is no regular file, is too large or makes a parser stumble is refused in a line, at once."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from funcam.errors import FuncamError, shown
from funcam.files import open_regular, parse_json, parsing, read_bytes, read_text
from funcam.imaging.reading import read_image
from funcam.pipeline.recipes import find_recipe
from funcam.truth import read_names, read_truth
from funcam.zoo.checkpoints import read_checkpoint
from funcam.zoo.labels import read_labels

READERS: dict[str, Callable[[Path], Any]] = {
    "weights": read_checkpoint,
    "labels": read_labels,
    "truth": lambda path: read_truth(path, ("cat", "dog")),
    "names": lambda path: read_names(path, ("cat", "dog")),
    "recipe": lambda path: find_recipe(str(path)),
    "image": read_image,
}


def no_file(folder: Path, kind: str) -> Path:
    path = folder / "given.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(os.path.relpath(path))  # a path of a socket is short
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "no file":
            pass
        case "long name":
            path = folder / ("x" * 5000)
        case "null character":
            path = folder / "x\0y"
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "no file", "long name", "null character"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_without_waiting(reader: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(FuncamError) as caught:
        READERS[reader](no_file(tmp_path, kind))
    assert len(str(caught.value)) <= 1000
    assert str(caught.value).isprintable()
    if kind in ("pipe", "socket", "device"):
        assert "not a regular file" in str(caught.value)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9")
    assert read_bytes(path, most=8) == path.read_bytes()
    assert read_text(path, most=8) == "café"
    with pytest.raises(FuncamError, match=r"'.*x.txt' is larger than 0 MiB; keep less"):
        read_bytes(path, most=7, advice="keep less")
    with open_regular(path) as stream:
        assert stream.read(3) == b"\xef\xbb\xbf"


def test_a_file_that_tells_no_size_is_bounded_too() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(FuncamError, match="is larger than"):
        read_bytes("/proc/self/status", most=10)


class Panic(BaseException):
    """As a parser in Rust raises it."""


@pytest.mark.parametrize(
    "error", [ValueError("no\nway"), RecursionError(), MemoryError(), OverflowError("x"), Panic("!")]
)
def test_whatever_a_parser_raises_is_told(error: BaseException) -> None:
    with pytest.raises(FuncamError, match=r"^it fails \(.+\); mend it$"), parsing("it fails", "mend it"):
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), FuncamError("our own")])
def test_what_is_no_fault_of_the_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, parsing("it fails", "mend it"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("text", ["[" * 10**6, '{"a":' * 10**5, "9" * 5000, "nul", "", '"\ud800'])
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(FuncamError, match=r"^it is not JSON \(.+\); expected a list$"):
        parse_json(text, "it", "expected a list")


def test_a_message_is_one_line_that_a_terminal_shows_as_it_is() -> None:
    error = FuncamError("a\nb\x1b[31mred\u202e" + "x" * 10_000 + "; do this")
    assert len(str(error)) <= 1000
    assert str(error).isprintable()
    assert str(error).startswith(r"a\nb\x1b[31mred")
    assert str(error).endswith("; do this")
    assert str(FuncamError(str(error))) == str(error) == str(pickle.loads(pickle.dumps(error)))
    assert str(FuncamError("Füße 图")) == "Füße 图"


def test_values_that_nobody_can_write_are_told_by_their_kind() -> None:
    nested: list[Any] = []
    nested.append(nested)
    doubled: Any = ()
    for _ in range(100):
        doubled = (doubled, doubled)
    assert [shown(value) for value in (nested, doubled, 10**5000)] == ["a list", "a tuple", "a int"]
    assert shown([1, "a", {"b": None}]) == "[1, 'a', {'b': None}]"
