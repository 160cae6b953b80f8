"""A file from an address: whole and with the right hash, or not at all; with a timeout of its own."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.request import Request, urlopen

from torch.hub import tqdm  # type: ignore[attr-defined]  # torch's own, where there is none

_CHUNK = 2**17


def download(url: str, file: Path, sha256: str = "", *, timeout: float, progress: bool = True) -> None:
    """Fetch a file beside its place under a passing name, and rename it when all of it is there.

    torch hub's function of this kind opens its connection without a timeout.

    Args:
        url: where it is.
        file: where it is to be, in a folder that exists.
        sha256: what the hash of its bytes begins with; empty where nothing is known.
        timeout: seconds without an answer after which it is given up, unless the process has a default for sockets.
        progress: draw a progress bar on stderr.

    Raises:
        OSError: no network, no such file, no room for it, or no answer in time.
        ValueError: it is shorter than the server said, or its hash is another. No part of it is left behind.

    Example:
        >>> download(entry.url, Path("resnet50-0676ba61.pth"), "0676ba61", timeout=15)  # doctest: +SKIP
    """
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}.partial")  # readable by all, unlike tempfile's
    request, patience = Request(url, headers={"User-Agent": "funcam"}), socket.getdefaulttimeout() or timeout
    try:
        with part.open("xb") as stream, urlopen(request, timeout=patience) as answer:
            stated = answer.headers.get("Content-Length")
            total = int(stated) if stated else None
            with tqdm(total=total, disable=not progress, unit="B", unit_scale=True, unit_divisor=1024) as bar:
                size, digest = _copied(answer, stream, bar.update)
        if total not in (None, size):
            raise ValueError(f"the download was cut off after {size} of {total} bytes")
        if not digest.startswith(sha256):
            raise ValueError(f'invalid hash value (expected "{sha256}", got "{digest}")')
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def _copied(source: BinaryIO, target: BinaryIO, told: Callable[[int], object]) -> tuple[int, str]:
    """How many bytes there were, and their SHA-256."""
    size, digest = 0, hashlib.sha256()
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        digest.update(chunk)
        size += len(chunk)
        told(len(chunk))
    return size, digest.hexdigest()
