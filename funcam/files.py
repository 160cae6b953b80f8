"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

from funcam.errors import FuncamError

_ADVICE = {
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "a part of the path is a file; choose another path",
    errno.EISDIR: "that is a folder; name a file in it",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOSPC: "make room or choose another disk",
    errno.EDQUOT: "make room or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, all of it or nothing: beside it under a passing name, then renamed.

    A file of that name is replaced; a link is followed; a device such as `/dev/stdout` is written to directly.

    Raises:
        FuncamError: the folder is missing or may not be written to, the disk is full, or the path is a folder.
            The passing file is removed and a file that was there before is as it was.

    Example:
        >>> write_atomically("results/dog.json", b"{}")  # doctest: +SKIP
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.exists() and not target.is_file():
            target.write_bytes(data)  # To rename a file over a device would replace the device.
        else:
            _write_and_rename(target, data)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character.
        raise _unwritable(path, error) from error


def make_folder(path: str | os.PathLike[str]) -> Path:
    """The folder `path`, made with its parents where it does not exist yet.

    Raises:
        FuncamError: a file is in the way, or the folder may not be made.

    Example:
        >>> make_folder("results/today")  # doctest: +SKIP
        PosixPath('results/today')
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise FuncamError(f"{str(folder)!r} is a file, not a folder; choose another folder") from error
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    return folder


def _write_and_rename(target: Path, data: bytes) -> None:
    # Not tempfile: its files are private (0600), and the result would be too.
    passing = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(passing, "xb") as stream:
            stream.write(data)
        os.replace(passing, target)
    except BaseException:  # Ctrl-C too leaves nothing behind.
        passing.unlink(missing_ok=True)
        raise


def _unwritable(path: str | os.PathLike[str], error: OSError | ValueError) -> FuncamError:
    code = error.errno if isinstance(error, OSError) else None
    reason = str(error) if code is None else os.strerror(code)
    advice = _ADVICE.get(code or 0, "choose another path")
    return FuncamError(f"can't write {os.fsdecode(path)!r}: {reason}; {advice}")
