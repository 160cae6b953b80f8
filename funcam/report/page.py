"""The page: a template, its style, its script and the report's data in one file."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from funcam.files import write_atomically
from funcam.report.data import Report, check_report
from funcam.report.mark import PAGE, marked
from funcam.report.payload import as_script, payload
from funcam.report.pictures import Beside, Inline

MOST_INLINE = 60
"""Up to so many images are in the page itself; of more, the pictures are files that it loads as they come into view."""

_SCRIPTS = (
    "base.js",
    "field.js",
    "frame.js",
    "figures.js",
    "results.js",
    "card.js",
    "sheet.js",
    "gallery.js",
    "keys.js",
)


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write a report as one page that opens from a file and asks nobody for anything.

    Of more than 60 images the pictures are written into a folder beside the page, `<stem>-files`. The page itself is
    written last and atomically: whoever opens it finds all of it.

    Args:
        path: where to, `report.html` say; the folder exists. A link that lies there is replaced.
        report: what to show.

    Raises:
        FuncamError: the report's parts don't fit together, a picture can't be read, or the page can't be written.

    Example:
        >>> write_report("report.html", Report("Two networks", "2025-01-01T00:00:00Z"))  # doctest: +SKIP
    """
    check_report(report)
    target = Path(path)
    many = len(report.images) > MOST_INLINE
    shelf = Beside(target.with_name(f"{target.stem}-files")) if many else Inline()
    text = _page(report.title, marked(PAGE, report.question), as_script(payload(report, shelf)))
    write_atomically(target, text.encode("utf-8", errors="replace"), links=False)


def _page(title: str, mark: str, data: str) -> str:
    style, script = _asset("style.css"), _script()
    # Only this script and this style may run, and only pictures from the page and beside it may load: if a text ever
    # got past the escaping, it could still do nothing.
    policy = (
        f"default-src 'none'; img-src 'self' data: file:; script-src {_digest(script)}; style-src {_digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "mark": mark,
        "title": html.escape(title),
        "policy": policy,
        "style": style,
        "script": script,
        "data": data,
    }
    return _filled(_asset("template.html"), parts)


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with its places filled, all in one go: a text that looks like a place stays a text."""
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


def _script() -> str:
    body = "\n".join(_asset(f"script/{name}") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{body}}})();\n'


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return files("funcam.report").joinpath(name).read_text(encoding="utf-8")
