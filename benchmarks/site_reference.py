"""The site's reference: a page for each public list of names, written from the package itself.

`python benchmarks/site_reference.py` writes `docs/reference/`; a test holds the pages to what is public.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import funcam

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
FACES = ("metrics", "zoo", "comparison", "truth", "report", "scenes")
WRITTEN = "<!-- written by `python benchmarks/site_reference.py` -->"
METHODS = "Each is the paper's equation for one image and one class; [Methods](../methods.md) has options and papers."
ALL = """What stands in `funcam.__all__`, but for the [functions of the methods](methods.md), which have a page of their
own. [What is public](../public-api.md) says how it may change."""


def pages() -> dict[str, str]:
    """Every page of the reference by its file's name."""
    methods = sorted({method.function_name for method in funcam.METHODS.values()})
    written = {
        "index.md": _page("funcam", ALL, [name for name in funcam.__all__ if name not in methods]),
        "methods.md": _page("funcam", METHODS, methods, title="methods"),
    }
    for face in FACES:
        names = importlib.import_module(f"funcam.{face}").__all__
        written[f"{face}.md"] = _page(f"funcam.{face}", f"What stands in `funcam.{face}.__all__`.", names)
    return written


def _page(face: str, about: str, names: Sequence[str], title: str = "") -> str:
    head = f"# {title.capitalize() or f'`{face}`'}\n\n{WRITTEN}\n\n{about}\n"
    return "\n".join([head, *(_entry(face, name) for name in names)])


def _entry(face: str, name: str) -> str:
    """A name of a face where it is defined, for a module of the same name may lie beside it."""
    value = getattr(importlib.import_module(face), name)
    home = getattr(value, "__module__", None) if getattr(value, "__name__", None) == name else None
    return f"::: {home or face}.{name}\n    options:\n      heading: {face}.{name}\n      toc_label: {name}\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
