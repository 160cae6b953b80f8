"""What a decoder takes beside the decoded picture, reckoned from its header; measured figures in `docs/safety.md`."""

from __future__ import annotations

from typing import Any

from PIL import Image

from funcam.files import MIB

BYTES_A_PIXEL = 4
"""So much beside the decoded picture any picture may take, ..."""
ALLOWED = 72 * MIB
"""... and so much in all even where that is more: a photo of 12 megapixels in six bytes each."""

OF_PHONES = {"HEIF": 512 * MIB}
"""What is allowed instead to formats that have but one decoder, in which phones write their photos."""

_BITS, _COMPRESSION, _SAMPLES, _ROWS, _COUNTS, _ACROSS, _DOWN, _TILE_COUNTS = 258, 259, 277, 278, 279, 322, 323, 325
_WITHIN = {6: 4, 7: 4, 50001: 4}
"""JPEG and WebP within a TIFF file: how many times their own decoders may hold a strip."""


def beside(image: Image.Image, size: int, *, scans: int = 1, moves: bool = False) -> float:
    """How many bytes are taken beside the decoded picture at the most; four a pixel where the decoder is frugal.

    Args:
        image: its header was read.
        size: of its file.
        scans: how many a JPEG file's picture is in.
        moves: whether a WebP file is an animation.

    Example:
        >>> beside(Image.new("RGB", (100, 10)), 999)
        4000
    """
    pixels, parts = image.width * image.height, getattr(image, "tile", [])
    decoder = parts[0].codec_name if parts else ""
    if image.format == "WEBP" and moves:  # the canvas, the one before, and a copy, of four bytes each; all of the file
        return 12 * pixels + size
    if image.format == "WEBP":  # OpenCV's picture until Pillow has it, and the plane of transparency; the file, twice
        return (5 if "A" in image.getbands() else 3) * pixels + 2 * size
    if image.format == "AVIF":  # of 12 bits and with transparency; all of the file
        return 18 * pixels + size
    if image.format == "HEIF":  # planes, their colours and a copy, with transparency; all of the file, twice
        return 12 * pixels + 2 * size
    if decoder == "jpeg2k":  # an int32 and at most as much again of each sample
        return 8 * len(image.getbands()) * pixels + size
    if decoder == "libtiff":
        return _of_tiff(getattr(image, "tag_v2", {}), image, size)
    if decoder == "jpeg" and scans > 1:
        return max(BYTES_A_PIXEL, _coefficients(getattr(image, "layer", []))) * pixels
    return BYTES_A_PIXEL * pixels


def _of_tiff(tags: Any, image: Image.Image, size: int) -> float:
    """What of the file is the picture's, and the largest strip or tile; the copy that is made of it afterwards."""
    tile = tags.get(_ACROSS), tags.get(_DOWN)
    across, down = tile if all(tile) else (image.width, min(tags.get(_ROWS) or image.height, image.height))
    counts = tags.get(_COUNTS) or tags.get(_TILE_COUNTS) or (size,)
    sample = max(tags.get(_BITS, (1,))) / 8
    strip = across * down * tags.get(_SAMPLES, 1) * sample * _WITHIN.get(tags.get(_COMPRESSION, 1), 1)
    taken: float = min(size, sum(counts)) + strip
    return max(taken, BYTES_A_PIXEL * image.width * image.height)


def _coefficients(components: list[tuple[int, int, int, int]]) -> float:
    """The bytes a pixel of a JPEG file's coefficients, two each: they lie in the memory while scans add to them."""
    across, down = (max((each[side] for each in components), default=1) for side in (1, 2))
    return 2 * sum(each[1] * each[2] for each in components) / (across * down)
