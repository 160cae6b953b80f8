"""Where sources lie: local paths, and addresses such as `s3://bucket/photos` that fsspec opens. One way to both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, cast

from funcam.errors import FuncamError
from funcam.files import open_regular, parsing

PROTOCOLS = ("s3", "gs", "gcs", "hf", "az", "abfs", "memory")
"""What an address may begin with. No `http`: a list from somebody else could have any server asked."""

_BLOCKS = {"cache_type": "blockcache", "block_size": 2**22, "cache_options": {"maxblocks": 8}}
"""How a remote file is read: 4 MiB at once, of which 8 are kept."""


class Entry(NamedTuple):
    """What lies in a folder.

    Attributes:
        name: its name there.
        path: its path, or address.
        folder: whether it is a folder, or a link to one.
        identity: of a local folder: equal for one that is reached in two ways.
        problem: why a folder can't be read.
    """

    name: str
    path: str
    folder: bool
    identity: tuple[int, int] | None = None
    problem: str | None = None


def is_address(path: str) -> bool:
    """Whether a path is an address.

    Example:
        >>> is_address("s3://bucket/photos"), is_address("photos")
        (True, False)
    """
    return "://" in path


def file_system(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and its path there.

    Raises:
        FuncamError: the address is of a kind that isn't read, or the package for it isn't installed.

    Example:
        >>> file_system("memory://photos/dog.jpg")[1]
        '/photos/dog.jpg'
    """
    protocol, _, rest = address.partition("://")
    if protocol not in PROTOCOLS or "::" in rest:  # fsspec would go through several file systems
        known = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise FuncamError(f"{address!r} is an address that isn't read; expected a path or {known}")
    with parsing(f"{address!r} can't be reached", "install what is named, or check the address"):
        from fsspec.core import url_to_fs

        return cast("tuple[Any, str]", url_to_fs(address))


@contextmanager
def opened_place(path: str) -> Iterator[BinaryIO]:
    """A file at a path or an address, to be read and sought in.

    Raises:
        FuncamError: it can't be opened.

    Example:
        >>> with opened_place("memory://photos/dog.jpg") as stream:  # doctest: +SKIP
        ...     stream.read(4)
    """
    if not is_address(path):
        with open_regular(path) as stream:
            yield stream
        return
    system, inner = file_system(path)
    with parsing(f"{path!r} can't be read", "check the address and your rights to it"):
        remote = system.open(inner, "rb", **_BLOCKS)
    with remote:
        yield remote


def kind_at(path: str) -> str:
    """What lies at a path or an address: `folder`, `file`, or "" for nothing.

    Raises:
        FuncamError: it can't be told.

    Example:
        >>> kind_at("."), kind_at("no such thing")
        ('folder', '')
    """
    if not is_address(path):
        return "folder" if os.path.isdir(path) else "file" if os.path.lexists(path) else ""
    system, inner = file_system(path)
    with parsing(f"{path!r} can't be reached", "check the address and your rights to it"):
        try:
            return "folder" if system.info(inner)["type"] == "directory" else "file"
        except FileNotFoundError:
            return ""


def entries(folder: str) -> list[Entry]:
    """What lies in a folder, sorted by name.

    Raises:
        FuncamError: it can't be read.

    Example:
        >>> entries("no-such-folder")
        Traceback (most recent call last):
        funcam.errors.FuncamError: folder 'no-such-folder' can't be read (No such file or directory); check the path
    """
    if is_address(folder):
        system, inner = file_system(folder)
        with parsing(f"folder {folder!r} can't be read", "check the address and your rights to it"):
            listed = [_remote(system, told) for told in system.ls(inner, detail=True)]
        itself = system.unstrip_protocol(inner).rstrip("/")  # of a bucket, an empty object may stand for the folder
        found = [entry for entry in listed if entry.path.rstrip("/") != itself]
    else:
        try:
            with os.scandir(folder) as scanned:
                found = [_local(entry) for entry in scanned]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FuncamError(f"folder {folder!r} can't be read ({reason}); check the path") from None
    return sorted(found)


def identity_of(folder: str) -> tuple[int, int] | None:
    """What tells a local folder from others, by whatever path it is reached; None for a remote one.

    Example:
        >>> identity_of(".") == identity_of(os.getcwd())
        True
    """
    if is_address(folder):
        return None
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def joined(folder: str, name: str) -> str:
    """A path in a folder, local or remote.

    Example:
        >>> joined("s3://bucket/photos/", "dog.jpg"), joined("photos", "dog.jpg")
        ('s3://bucket/photos/dog.jpg', 'photos/dog.jpg')
    """
    return f"{folder.rstrip('/')}/{name}" if is_address(folder) else os.path.join(folder, name)


def _local(entry: os.DirEntry[str]) -> Entry:
    try:
        if entry.is_dir():
            return Entry(entry.name, entry.path, True, identity_of(entry.path))
    except OSError:  # a link that leads round and round
        pass
    return Entry(entry.name, entry.path, False)


def _remote(system: Any, told: dict[str, Any]) -> Entry:
    name = str(told["name"])
    return Entry(name.rstrip("/").rpartition("/")[2], system.unstrip_protocol(name), told["type"] == "directory")
