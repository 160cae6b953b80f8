"""What is in a picture's file, in a few letters: a name says nothing of it. No torch."""

from __future__ import annotations

import os

from funcam.files import open_regular

LENGTH = 32
"""So many letters tell contents and questions from others."""


def content_hash(data: bytes) -> str:
    """The SHA-256 of some bytes, as other programs tell it.

    Example:
        >>> content_hash(b"")[:8]
        'e3b0c442'
    """
    import hashlib  # takes a while, and the commands' help reads this module

    return hashlib.sha256(data).hexdigest()


def letters(data: bytes) -> str:
    """What tells some bytes from others.

    Example:
        >>> letters(b"") == content_hash(b"")[:32]
        True
    """
    return content_hash(data)[:LENGTH]


def file_letters(path: str | os.PathLike[str]) -> str:
    """What tells the bytes of a file from others.

    Raises:
        FuncamError: it is no file, or a larger one than any picture that is read.
    """
    import hashlib

    from funcam.imaging.bounds import MOST_BYTES  # NumPy comes with it

    with open_regular(path, most=MOST_BYTES) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:LENGTH]
