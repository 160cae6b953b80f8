"""``-`` among images: names on standard input, or one image."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from command_line import SCENES, Funcam, photo
from PIL import Image


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photo()).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("between", [b"\n", b"\r\n", b"\0"])
def test_names(funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch, between: bytes) -> None:
    Image.fromarray(photo(seed=1)).save("P1 x.png")
    give(monkeypatch, between.join([b"P1 x.png", b"pic.png", b""]))
    ran = funcam("explain", "-", *SCENES, "--json", "-m", "grad-cam")

    assert ran.code == 0, ran
    assert [json.loads(line)["image"] for line in ran.out.splitlines()] == ["P1 x.png", "pic.png"]


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"new\nline.png\0pic.png\0", ["new\nline.png", "pic.png"]),
        (b"new\nline.png\0", ["new\nline.png"]),
        (b"\xef\xbb\xbfpic.png\r\n", ["pic.png"]),
        (b"\xef\xbb\xbfpic.png\0new\nline.png", ["pic.png", "new\nline.png"]),
    ],
)
def test_lists_of_other_programs(
    funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, names: list[str]
) -> None:
    Image.fromarray(photo(seed=1)).save("new\nline.png")
    give(monkeypatch, data)
    ran = funcam("explain", "-", *SCENES, "--json", "-m", "grad-cam", "--pictures", "none")

    assert ran.code == 0, ran
    assert [json.loads(line)["image"] for line in ran.out.splitlines()] == names


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_an_image(funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data = encoded(kind)
    Path("same").write_bytes(data)
    give(monkeypatch, data)
    ran = funcam("explain", "-", "same", *SCENES, "--json", "-m", "grad-cam")

    assert ran.code == 0, ran
    piped, file = map(json.loads, ran.out.splitlines())
    assert piped["image"] == "standard input"
    assert piped["predictions"] == file["predictions"]
    assert Path("results/stdin-scenes.json").is_file()


def test_a_damaged_image_is_told(funcam: Funcam, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, encoded("PNG")[:200])
    funcam("explain", "-", *SCENES).error(1, "standard input")


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (b"", ("-",), "no file names and no image"),
        (b"a.png", ("-", "-"), "more than once"),
        (b"no.png", ("-",), "no.png"),
    ],
)
def test_nothing_to_explain(
    funcam: Funcam, monkeypatch: pytest.MonkeyPatch, data: bytes, arguments: tuple[str, ...], message: str
) -> None:
    give(monkeypatch, data)
    funcam("explain", *arguments, *SCENES).error(2, message)
