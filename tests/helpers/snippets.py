"""What a page of the documentation shows, taken out so that it can be run: its fenced blocks, its command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<text>.*?)^(?P=indent)```", re.S | re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text without the fence's indent, and the line where it begins."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A line of the command line, and what the page says that it prints ("" where it says nothing)."""

    arguments: tuple[str, ...]
    shown: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            match["language"],
            "".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True)),
            text.count("\n", 0, match.start()) + 1,
        )
        for match in FENCE.finditer(text)
    ]


def commands(block: Block) -> Iterator[Command]:
    """The lines of a console block that call funcam: `funcam ...`, or `$ funcam ...` with what it prints below."""
    prompt, *rest = re.split(r"^\$ ", block.text.replace("\\\n", ""), flags=re.M)
    if not rest:
        rest = prompt.splitlines()
    for part in rest:
        first, _, shown = part.partition("\n")
        words = shlex.split(first, comments=True)
        if words[:1] == ["funcam"]:
            yield Command(tuple(words[1:]), shown.strip(), block.line)
