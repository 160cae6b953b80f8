"""Files: the one way in, regular and bounded and any parser's exception told; and the one way out, whole or not at all.

Everything that funcam reads goes through here: weights, truth, labels, names, recipes, images. A path that the user
named is written to where it leads. A name that funcam gives to a file among results is that file: a link under it,
planted by whoever else may write there, is replaced or refused.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import stat
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from funcam.errors import FuncamError, reason_in

MIB = 2**20

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""To open a pipe would be to wait for its other end."""

_ADVICE = {
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "a part of the path is a file; choose another path",
    errno.EISDIR: "that is a folder; name a file in it",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a folder that you may write to"),
    errno.ENOSPC: "make room or choose another disk",
    errno.EDQUOT: "make room or choose another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTSUP: "remove it or choose another folder",
    errno.ELOOP: "remove it or choose another folder",
}
_REASONS = {errno.ELOOP: "it is a link", errno.ENOTSUP: "it is no regular file"}
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # a folder may be that of several machines
_PASSING = re.compile(r"\.([0-9a-f]{8})-(\d{1,18})-[0-9a-f]{32}\.tmp")
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # neither is everywhere
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe would be waited for until somebody comes to its other end


def open_regular(path: str | os.PathLike[str], name: str = "", *, most: int | None = None) -> BufferedReader:
    """A regular file, opened for reading; a pipe, a device, a socket or a folder is refused without waiting for it.

    Args:
        path: the file.
        name: what messages call it; its path in quotes where nothing is given.
        most: so many bytes it may have; any number where none is given.

    Raises:
        FuncamError: there is no such file, it is no regular one, is larger, or may not be read.

    Example:
        >>> open_regular(os.devnull, "the file")
        Traceback (most recent call last):
        funcam.errors.FuncamError: the file is not a regular file; save what it gives to one first
    """
    name = name or repr(os.fsdecode(path))
    try:
        _check_regular(os.stat(path), name)  # to open some devices is to set them going
        descriptor = os.open(path, os.O_RDONLY | _AT_ONCE)
    except FuncamError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise _unreadable(name, error) from None
    stream = os.fdopen(descriptor, "rb")
    try:
        _check_regular(os.fstat(descriptor), name)  # another may lie there by now
        if most is not None and os.fstat(descriptor).st_size > most:
            raise FuncamError(f"{name} is larger than {_size(most)}; make it smaller first")
    except FuncamError:
        stream.close()
        raise
    return stream


def read_bytes(path: str | os.PathLike[str], *, most: int, name: str = "", advice: str = "check the file") -> bytes:
    """What is in a regular file of at most so many bytes.

    Args:
        path: the file.
        most: so many bytes it may have.
        name: what messages call it; its path in quotes where nothing is given.
        advice: what to do about a larger one.

    Raises:
        FuncamError: it is no regular file, can't be read, or is larger.

    Example:
        >>> read_bytes("labels.json", most=MIB)  # doctest: +SKIP
        b'["cat", "dog"]'
    """
    name = name or repr(os.fsdecode(path))
    too_large = FuncamError(f"{name} is larger than {_size(most)}; {advice}")
    with open_regular(path, name) as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise too_large
        try:
            # It may have grown, in /proc no file tells its size, and some there have nothing to give yet.
            data = stream.read(most + 1) or b""
        except (OSError, MemoryError) as error:
            raise _unreadable(name, error) from None
    if len(data) > most:
        raise too_large
    return data


def read_text(path: str | os.PathLike[str], *, most: int, name: str = "", advice: str = "check the file") -> str:
    """The text in a regular file, UTF-8 with or without a byte order mark.

    Args:
        path: the file.
        most: so many bytes it may have.
        name: what messages call it; its path in quotes where nothing is given.
        advice: what to do about a larger one.

    Raises:
        FuncamError: it is no regular file, can't be read, is larger, or is no UTF-8.

    Example:
        >>> read_text("labels.txt", most=MIB)  # doctest: +SKIP
        'cat\\ndog\\n'
    """
    name = name or repr(os.fsdecode(path))
    try:
        return read_bytes(path, most=most, name=name, advice=advice).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FuncamError(f"{name} is not UTF-8 (byte {error.start}); save it as UTF-8 text") from None


def parse_json(data: str | bytes, name: str, expected: str, *, most: int = 2**20) -> Any:
    """What JSON says.

    Args:
        data: the JSON.
        name: what messages call it.
        expected: what messages say should be there.
        most: so many values it may hold: each takes a hundred bytes.

    Raises:
        FuncamError: it is no JSON, nested too deeply, has a number of thousands of digits, or too many values.

    Example:
        >>> parse_json("[" * 100_000, "labels.json", "expected a list")
        Traceback (most recent call last):
        funcam.errors.FuncamError: labels.json is not JSON (nested too deeply); expected a list
    """
    with parsing(f"{name} is not JSON", expected):
        text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
        if sum(map(text.count, ",:[{")) > most:
            raise FuncamError(f"{name} holds more than {most:,} values; {expected}")
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None


@contextmanager
def parsing(what: str, advice: str) -> Iterator[None]:
    """Whatever a parser raises, as a `FuncamError` in one line: `what (its reason); advice`. One of ours passes.

    Args:
        what: what is the matter.
        advice: what to do next.

    Raises:
        FuncamError: the block raised anything but Ctrl-C and the like.

    Example:
        >>> with parsing("the number can't be read", "write digits"):
        ...     int("x")
        Traceback (most recent call last):
        funcam.errors.FuncamError: the number can't be read (invalid literal for int() with base 10: 'x'); write digits
    """
    try:
        yield
    except (FuncamError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # not Exception: a panic of a parser in Rust is none
        raise FuncamError(f"{what} ({reason_in(error)}); {advice}") from None


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is anything of that name; a name that none can have is the name of nothing.

    Example:
        >>> exists("x" * 5000)
        False
    """
    return os.path.exists(path)  # Path.exists raises where a name is too long


def write_atomically(path: str | os.PathLike[str], data: bytes, *, links: bool = True) -> None:
    """Write `data` to `path`, all of it or nothing: beside it under a passing name, then renamed.

    A file of that name is replaced.

    Args:
        path: where to.
        data: what.
        links: whether the path is the user's own: then a link is followed, and a device such as `/dev/stdout` is
            written to directly. Otherwise whatever lies there (but a folder) is replaced by the file.

    Raises:
        FuncamError: the folder is missing or may not be written to, the disk is full, or the path is a folder.
            The passing file is removed and a file that was there before is as it was.

    Example:
        >>> write_atomically("results/dog.json", b"{}")  # doctest: +SKIP
    """
    try:
        target = Path(os.path.realpath(path) if links else path)
        if target.is_dir() and not (target.is_symlink() and not links):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if links and target.exists() and not target.is_file():
            target.write_bytes(data)  # To rename a file over a device would replace the device.
        else:
            _write_and_rename(target, data)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character.
        raise _unusable(path, error) from error


def remove(path: Path) -> None:
    """Remove a file, if it is there; of a link the link. It raises `FuncamError` where that can't be done."""
    try:
        if os.path.lexists(path):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(path, error, "remove") from error


def append(path: str | os.PathLike[str], lines: bytes) -> None:
    """Write whole lines behind what a file of results holds; a line that was cut off before stays one of its own.

    Args:
        path: the file; it is made where there is none.
        lines: what is written, with a line feed at its end.

    Raises:
        FuncamError: the path is a link or no file, it may not be written to, or the disk is full. Then the file is as
            it was before.

    Example:
        >>> append("results/images.jsonl", b"{}\\n")  # doctest: +SKIP
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _NO_LINK | _NO_WAIT
    try:
        with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as stream:
            _refuse_irregular(stream.fileno())
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, end - 1))
            if stream.read(1) not in (b"", b"\n"):
                lines = b"\n" + lines
            _write_all(stream.fileno(), lines, end)
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO | None]:
    """A file of results that an earlier run wrote, to be read; None where there is none.

    Args:
        path: the file.

    Raises:
        FuncamError: the path is a link or no file, or it may not be read.

    Example:
        >>> with opened("results/no.jsonl") as stream:
        ...     stream is None
        True
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINK | _NO_WAIT)
    except FileNotFoundError:
        yield None
        return
    except (OSError, ValueError) as error:
        raise _unusable(path, error, "read") from error
    try:
        _refuse_irregular(descriptor)
    except OSError as error:
        os.close(descriptor)
        raise _unusable(path, error, "read") from error
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def make_folder(path: str | os.PathLike[str], *, links: bool = True) -> Path:
    """The folder `path`, made with its parents if need be, and without passing files that killed processes left in it.

    Args:
        path: the folder.
        links: whether the path is the user's own; otherwise a link that lies there is refused.

    Raises:
        FuncamError: a file is in the way, or the folder may not be made or written to.

    Example:
        >>> make_folder("results/today")  # doctest: +SKIP
        PosixPath('results/today')
    """
    folder = Path(path)
    if re.match(r"[a-z][a-z0-9]+:/", str(path)):  # one letter is a drive of Windows
        raise FuncamError(f"{str(path)!r} is an address, and results go to a folder; give one")
    try:
        if not links and folder.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()  # whether anything may be written there is known now, not after the work
    except FileExistsError as error:
        raise FuncamError(f"{str(folder)!r} is a file, not a folder; choose another folder") from error
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    _sweep(folder)
    return folder


def _write_and_rename(target: Path, data: bytes) -> None:
    # Not tempfile: its files are private (0600), and the result would be too.
    passing = target.with_name(f".{_HOST}-{os.getpid()}-{uuid.uuid4().hex}.tmp")
    try:
        with open(passing, "xb") as stream:  # x: a name that nothing has, a link neither
            stream.write(data)
        os.replace(passing, target)
    except BaseException:  # Ctrl-C too leaves nothing behind.
        passing.unlink(missing_ok=True)
        raise


def _sweep(folder: Path) -> None:
    """Remove the passing files of processes that are no more."""
    if os.name != "posix":  # Windows has no way to ask for a process that harms none
        return
    with suppress(OSError):
        for path in folder.iterdir():
            passing = _PASSING.fullmatch(path.name)
            if passing and passing[1] == _HOST and not _runs(int(passing[2])):
                path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True


def _write_all(descriptor: int, data: bytes, end: int) -> None:
    """Write all of it; where that fails, what was written of it is cut off again."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except BaseException:
        with suppress(OSError):
            os.ftruncate(descriptor, end)
        raise


def _refuse_irregular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def _unusable(path: str | os.PathLike[str], error: OSError | ValueError, verb: str = "write") -> FuncamError:
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ENOENT and not os.path.islink(path) and os.path.isdir(os.path.dirname(path) or os.curdir):
        code = errno.EPERM  # its folder is there, and takes no files: /proc
    reason = _REASONS.get(code, os.strerror(code)) if code else str(error)
    return FuncamError(f"can't {verb} {os.fsdecode(path)!r}: {reason}; {_ADVICE.get(code or 0, 'choose another path')}")


def _check_regular(status: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise FuncamError(f"{name} can't be read: it is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise FuncamError(f"{name} is not a regular file; save what it gives to one first")


def _unreadable(name: str, error: Exception) -> FuncamError:
    reason = getattr(error, "strerror", None) or reason_in(error)
    denied = getattr(error, "errno", None) in (errno.EACCES, errno.EPERM)
    return FuncamError(f"{name} can't be read ({reason}); check {'its permissions' if denied else 'the path'}")


def _size(size: int) -> str:
    return f"{size >> 30} GiB" if size >= 2**30 else f"{size >> 20} MiB"
