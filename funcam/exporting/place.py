"""Where the file of an explainer is to be. No torch: the command line finds before the work what can't be written."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from funcam.errors import FuncamError
from funcam.exporting.kinds import FORMATS

_ENDINGS = tuple(f".{one}" for one in FORMATS)
_BEGINNINGS = (b"\x08", b"PK\x03\x04")


def check_place(path: str | os.PathLike[str]) -> Path:
    """Where a file is written, links followed; nothing is left there.

    Raises:
        FuncamError: as `passing_folder`, or another kind of file is there.

    Example:
        >>> check_place("explainer.onnx").name
        'explainer.onnx'
    """
    target = Path(os.path.realpath(path))
    if target.is_file() and target.suffix.lower() not in _ENDINGS and not _begins_as_ours(target):
        raise FuncamError(f"{str(target)!r} is there and no explainer; choose another name, or remove it")
    shutil.rmtree(passing_folder(target), ignore_errors=True)
    return target


def _begins_as_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            begins = file.read(4)
    except OSError:
        return False
    return not begins or begins.startswith(_BEGINNINGS)


def passing_folder(path: Path) -> Path:
    """A new folder beside a file that is to be written.

    Raises:
        FuncamError: the path is a folder or a device, or its folder is missing or can't be written to.
    """
    if path.is_dir():
        raise FuncamError(f"{str(path)!r} is a folder; give the name of a file in it, e.g. {str(path / path.name)!r}")
    if path.exists() and not path.is_file():  # a device would be replaced
        raise FuncamError(f"{str(path)!r} is no regular file; give the name of one")
    try:
        return Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        way = "give another folder, one that takes files" if path.parent.is_dir() else "give a folder that is there"
        raise FuncamError(f"{str(path)!r} can't be written: {error.strerror}; {way}") from error
