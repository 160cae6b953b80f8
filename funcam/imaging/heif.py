"""HEIC and HEIF, the photos of many phones: read where `pillow-heif` is installed (`funcam[heif]`). No torch."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

SUFFIXES = (".heic", ".heif", ".hif")
OFFER = "pip install 'funcam[heif]' reads it"

_READER = "pillow_heif"
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@cache
def is_installed() -> bool:
    """Whether there is something that reads them."""
    return find_spec(_READER) is not None


def begins(beginning: bytes) -> bool:
    """Whether a file that begins so is one.

    Example:
        >>> begins(b"\\0\\0\\0\\x18ftypheic"), begins(b"\\0\\0\\0\\x1cftypavif")
        (True, False)
    """
    return beginning[4:8] == b"ftyp" and beginning[8:12] in _BRANDS


@cache
def register() -> None:
    """Let Pillow read them, where that can be: once, as soon as there is one."""
    if is_installed():
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
