"""The rooms of the package as its files and imports show them, and the floors that CONTRIBUTING.md gives them.

python tests/helpers/house.py    # rooms, floors and arrows
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "funcam"
HOUSES_WITHIN = ("network/rewrites",)
"""Folders below a room that are rooms of their own."""

Arrow = tuple[str, str]


def floors() -> list[list[str]]:
    """The rows of the table under "The house" in CONTRIBUTING.md, from the top down: the rooms of each."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## The house")[1].split("\n## ")[0]
    rows = re.findall(r"^\| *((?:`[\w/]+`(?:, )?)+) *\|", section, re.MULTILINE)
    return [[name.rstrip("/") for name in re.findall(r"`([\w/]+)`", row)] for row in rows]


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {_dotted(file): file for file in files}


def _dotted(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def room_of(module: str) -> str:
    """The room that a module is in: its folder, or itself where it lies at the root."""
    _, *inner = module.split(".")
    for within in HOUSES_WITHIN:
        if inner[: within.count("/") + 1] == within.split("/"):
            return within
    return inner[0] if inner else "__init__"


def rooms() -> list[str]:
    """Every room of the tree."""
    return sorted({room_of(module) for module in modules()})


def arrows() -> dict[Arrow, list[str]]:
    """Which rooms import from which, with the modules that do; imports inside functions count, too."""
    known = modules()
    between: dict[Arrow, list[str]] = {}
    for module, file in known.items():
        for imported in _imported(file, known):
            arrow = room_of(module), room_of(imported)
            if arrow[0] != arrow[1]:
                between.setdefault(arrow, []).append(f"{module} imports {imported}")
    return between


def _imported(file: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "funcam":
                yield next((part for part in _prefixes(name) if part in known), "funcam.__init__")


def _prefixes(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def main() -> None:
    between = arrows()
    print(f"{len(rooms())} rooms on {len(floors())} floors, {len(between)} arrows")
    for number, names in enumerate(floors()):
        print(f"floor {len(floors()) - number}")
        for room in names:
            print(
                f"  {room:18} -> {', '.join(sorted(below for above, below in between if above == room)) or 'nothing'}"
            )


if __name__ == "__main__":
    main()
