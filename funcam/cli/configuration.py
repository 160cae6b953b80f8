"""Defaults of style from the nearest `funcam.toml`, or `[tool.funcam]` in a `pyproject.toml`: how pictures look, only.

What runs, with which weights, and what is written where stands on the command line: a file that happens to lie in a
folder must not say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from funcam.cli.help import Command
from funcam.cli.messages import UsageError
from funcam.errors import FuncamError, nearest, shown
from funcam.files import MIB, read_text

NAMES = ("funcam.toml", "pyproject.toml")
LARGEST = 65_535
"""Pixels that a picture's longer side may be drawn with: what JPEG holds."""
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "alpha": ((int, float), "a number from 0 to 1"),
    "colormap": (str, "a name: jet, turbo, viridis, inferno, cividis, ..."),
    "format": (str, "jpg, png or webp"),
    "pictures": (list, "a list of heatmap, overlay, gradient and panel"),
    "size": (int, f"a whole number of pixels from 1 to {LARGEST}"),
}


class Styled(Command):
    """A command that makes pictures: where an option of style isn't given, the configuration says."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        if not {*args} & {*ctx.help_option_names}:  # whoever is told what to mend asks for help
            ctx.default_map = _Defaults()
        return super().parse_args(ctx, args)


class _Defaults(dict[str, Any]):
    """Read when the first option of style is asked for."""

    def get(self, name: str, default: Any = None) -> Any:
        key = name.rstrip("_")  # `format_` in Python is `format` to users
        if key not in _KINDS:
            return default
        if not self:
            self.update({"": None, **configured(Path.cwd())})
        return super().get(key, default)


def configured(folder: Path) -> dict[str, Any]:
    """What the nearest configuration says, in a folder or one that it lies in.

    Args:
        folder: where to begin.

    Raises:
        UsageError: a file can't be read, or says what a configuration can't.
    """
    for place in (folder, *folder.parents):
        for name in NAMES:
            file = place / name
            found = _read(file) if file.is_file() else None
            if found is not None:
                return _checked(file, found)
    return {}


def _read(file: Path) -> Mapping[str, Any] | None:
    """The file's table; None for another program's `pyproject.toml`."""
    import tomllib  # takes a while, and most have no such file

    whole = file.name == NAMES[0]
    try:
        text = read_text(file, most=MIB)
        if not (whole or "funcam" in text):
            return None
        table = tomllib.loads(text)
    except (FuncamError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{str(file)!r} can't be read: {error}; mend or move it") from error
    if whole:
        return table
    tools = table.get("tool")
    found = tools.get("funcam") if isinstance(tools, dict) else None
    return found if found is None or isinstance(found, dict) else {"": found}


def _checked(file: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in found.items():
        if key not in _KINDS:
            if key == "tool":
                raise UsageError(f"{str(file)!r} has a table [tool]; leave the line [tool.funcam] out there")
            raise UsageError(
                f"{str(file)!r} sets {shown(key)}, and a configuration says how pictures look, nothing else: "
                f"{', '.join(_KINDS)} (nearest: {nearest(key, _KINDS, 1)}); leave it out and use the command line"
            )
        kind, expected = _KINDS[key]
        if not isinstance(value, kind) or isinstance(value, bool) or not _fits(key, value):
            raise UsageError(f"{str(file)!r} sets {key} to {shown(value)}; expected {expected}")
    return dict(found)


def _fits(key: str, value: Any) -> bool:
    from funcam.cli.explain import NO_PICTURES
    from funcam.imaging.colormaps import COLORMAPS
    from funcam.pipeline.writing import FORMATS, PICTURES

    if key == "pictures":
        return all(name in PICTURES for name in value) or value == [NO_PICTURES]
    if key in ("alpha", "size"):
        return bool(0 <= value <= 1 if key == "alpha" else 1 <= value <= LARGEST)
    return value in (COLORMAPS if key == "colormap" else FORMATS)
