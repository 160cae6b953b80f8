"""The versions of what figures depend on. No torch."""

from __future__ import annotations

from functools import cache

from funcam import __version__


def versions() -> dict[str, str]:
    """Those that results tell.

    Example:
        >>> list(versions())
        ['funcam', 'torch', 'torchvision', 'numpy']
    """
    from importlib.metadata import version  # takes a while, and help asks for no version

    return {"funcam": __version__, **{name: version(name) for name in ("torch", "torchvision", "numpy")}}


@cache
def all_versions() -> tuple[tuple[str, str], ...]:
    """Those by which a comparison that goes on tells that its figures would be others: what reads images, too."""
    import cv2
    import PIL

    return (*versions().items(), ("opencv", cv2.__version__), ("pillow", PIL.__version__))
