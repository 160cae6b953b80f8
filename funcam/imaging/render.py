"""Maps and gradients as pictures."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from funcam.errors import FuncamError, finite_number, shown, whole_number
from funcam.files import write_atomically
from funcam.imaging.arrays import as_values
from funcam.imaging.bounds import MOST_PIXELS
from funcam.imaging.colormaps import COLORMAPS as COLORMAPS
from funcam.imaging.colormaps import Colormap, color_table
from funcam.imaging.marks import marked
from funcam.imaging.reading import Pixels, check_image

UNSEEN: tuple[int, int, int] = (128, 128, 128)
"""The colour of what the network did not see, in pictures that show no image; jet and its kin do not contain it."""

PICTURE_SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp")
"""The kinds of picture that `save_picture` writes."""

_SAMPLED = 2**16  # pixels: they say enough about a percentile
_LEAST, _FAR = 1e-30, 1e4  # a smaller limit has no inverse; values so many limits away are beyond what can be rounded
LONGEST = {".jpg": 65535, ".jpeg": 65535, ".webp": 16383}  # pixels a side, by the formats' own definitions


def scale_map(saliency: ArrayLike) -> NDArray[np.float32]:
    """A map in 0..1: negative values are dropped, the rest divided by the largest.

    A map without a positive value, and NaN anywhere, becomes 0: drawn as nothing, not as noise.

    Args:
        saliency: [H, W], an array or a tensor.

    Returns:
        float32 [H, W].

    Raises:
        FuncamError: the map has another number of axes, or no cells.

    Example:
        >>> scale_map([[-1.0, 0.0, 2.0, 4.0]])
        array([[0. , 0. , 0.5, 1. ]], dtype=float32)
    """
    return _scaled(_checked_map(saliency))


class Levels(NamedTuple):
    """A map as it is coloured: made once for a heatmap and an overlay of one size.

    Attributes:
        cells: uint8 [H, W], 0..255 from nothing to the map's largest value.
        unseen: bool [H, W], where the map is NaN.
    """

    cells: NDArray[np.uint8]
    unseen: NDArray[np.bool_]


def levels_of(saliency: ArrayLike) -> Levels:
    """A map's levels, to be given for the map to `heatmap` and `overlay`.

    Args:
        saliency: [H, W], an array or a tensor.

    Raises:
        FuncamError: the map has another number of axes, or no cells.

    Example:
        >>> levels_of([[-1.0, 0.0, 2.0, 4.0]]).cells
        array([[  0,   0, 128, 255]], dtype=uint8)
    """
    values = _checked_map(saliency)
    scaled = _scaled(values)
    return Levels(cast(NDArray[np.uint8], cv2.convertScaleAbs(scaled, alpha=255)), np.isnan(values))


def heatmap(saliency: ArrayLike | Levels, colormap: Colormap = "jet") -> Pixels:
    """A map in colours, uint8 RGB [H, W, 3]; NaN, which the network did not see, is a neutral grey.

    Args:
        saliency: [H, W], an array or a tensor, or its `levels_of`.
        colormap: one of `COLORMAPS`, or a colour map of matplotlib's (see `Colormap`).

    Raises:
        FuncamError: an unknown colour map, or not a map.

    Example:
        >>> heatmap([[0.0, 1.0, float("nan")]]).tolist()
        [[[0, 0, 128], [128, 0, 0], [128, 128, 128]]]
    """
    levels, table = _as_levels(saliency), color_table(colormap)
    picture = _coloured(levels.cells, table)
    if levels.unseen.any():
        picture[levels.unseen] = UNSEEN
    return picture


def overlay(image: Pixels, saliency: ArrayLike | Levels, colormap: Colormap = "jet", alpha: float = 0.5) -> Pixels:
    """A heatmap laid over an image, uint8 RGB [H, W, 3]: the hotter, the more it covers.

    Where the map is 0 the image shows as it is; where the map is NaN, which the network did not see, the image loses
    its colours and half its brightness.

    Args:
        image: uint8 RGB [H, W, 3].
        saliency: [H, W], an array or a tensor, on the image's pixels (see `funcam.imaging.fit.onto_image`); or its
            `levels_of`.
        colormap: one of `COLORMAPS`, or a colour map of matplotlib's (see `Colormap`).
        alpha: how much of the image the hottest colour covers, 0..1.

    Raises:
        FuncamError: the sizes differ, `alpha` is outside 0..1, an unknown colour map, not an image or not a map.

    Example:
        >>> photo = np.full((1, 2, 3), 200, np.uint8)
        >>> overlay(photo, [[0.0, 1.0]]).tolist()
        [[[200, 200, 200], [164, 100, 100]]]
    """
    check_image(image)
    (cells, unseen), table = _as_levels(saliency), color_table(colormap)
    if cells.shape != image.shape[:2]:
        sizes = f"{list(cells.shape)}, the image's {list(image.shape[:2])}"
        raise FuncamError(
            f"the map's size is {sizes}; bring it onto the image with funcam.imaging.fit: onto_image(map, "
            "image.shape[:2]) where it covers the whole image, else onto_image(map, view) with the View of fit_image"
        )
    share = _share("alpha is the share of the heatmap", alpha, 1)
    picture = _blended(image, cells, table, share)
    if unseen.any():
        dim = cv2.convertScaleAbs(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), alpha=0.5)
        picture[unseen] = dim[unseen][:, None]
    return picture


def signed_picture(gradient: ArrayLike, percentile: float = 99.5) -> Pixels:
    """A signed gradient as a picture: zero is mid-grey, positive is brighter and negative darker in each colour.

    Args:
        gradient: [H, W, 3].
        percentile: the share of values, in percent, whose size fits between mid-grey and the ends; the few larger
            ones saturate, so that details stay visible.

    Returns:
        uint8 RGB [H, W, 3]; 128 where the gradient is 0 or NaN.

    Raises:
        FuncamError: another shape, or a percentile outside 0..100.

    Example:
        >>> signed_picture([[[0.0, 1.0, -1.0]]]).tolist()
        [[[128, 255, 1]]]
    """
    values = as_values("a gradient", gradient)
    if values.ndim != 3 or values.shape[2] != 3 or values.size == 0:
        raise FuncamError(f"a gradient picture is [H, W, 3] with at least one pixel; got {list(values.shape)}")
    limit = _limit(values, _share("percentile is the share of values, in percent", percentile, 100))
    if limit > _LEAST and _bounded(values, limit):  # in one pass over the numbers
        flat = values.reshape(len(values), -1)  # OpenCV takes one number for the first of three channels
        graded = cv2.addWeighted(flat, 127 / limit, flat, 0, 128, dtype=cv2.CV_8U)
        graded = cv2.max(graded, 1)  # type: ignore[call-overload]  # as -limit becomes 1, so does what is below it
        return cast(Pixels, graded.reshape(values.shape))
    picture = np.full(values.shape, 128, np.uint8)
    if limit > 0:
        for top in range(0, len(values), 512):  # In bands: the temporaries of a large picture would be gigabytes.
            band = np.clip(values[top : top + 512], -limit, limit)
            band[np.isnan(band)] = 0
            band /= limit
            picture[top : top + 512] = cv2.convertScaleAbs(band, alpha=127, beta=128)
    return picture


def picture_size(image_size: tuple[int, int], longest: int | None = None) -> tuple[int, int]:
    """(height, width) of a picture of an image, its longer side `longest` pixels; None keeps the size.

    Raises:
        FuncamError: `longest` below 1, or a picture of more pixels than are read of one.

    Example:
        >>> picture_size((375, 500), 224)
        (168, 224)
    """
    height, width = _sides(image_size)
    if longest is None:
        return height, width
    if _whole(longest) < 1:
        raise FuncamError(f"a picture's longer side has at least 1 pixel, a whole number; got {shown(longest)}")
    scale = longest / max(height, width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    if height * width > MOST_PIXELS:
        raise FuncamError(
            f"a picture of {width:,} x {height:,} pixels is larger than {MOST_PIXELS / 1e6:.0f} million; give a "
            "smaller size"
        )
    return height, width


def resize_picture(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """A picture at another (height, width): averaged when it shrinks, its pixels kept sharp when it grows fourfold.

    Raises:
        FuncamError: not an image, or a size below 1.

    Example:
        >>> resize_picture(np.zeros((4, 6, 3), np.uint8), (2, 3)).shape
        (2, 3, 3)
    """
    check_image(picture)
    height, width = _sides(size)
    if picture.shape[:2] == (height, width):
        return picture
    growth = max(height / picture.shape[0], width / picture.shape[1])
    filter_ = cv2.INTER_AREA if growth <= 1 else cv2.INTER_LINEAR if growth < 4 else cv2.INTER_NEAREST
    return cast(Pixels, cv2.resize(picture, (width, height), interpolation=filter_))


def save_picture(path: str | os.PathLike[str], picture: Pixels, quality: int = 95) -> None:
    """Write a picture as JPEG, PNG or WebP, by the path's suffix, whole or not at all.

    Args:
        path: where to; the folder exists. A link that lies there is not followed: the picture takes its place.
        picture: uint8 RGB [H, W, 3].
        quality: 1..100, for JPEG and WebP; PNG is lossless.

    Raises:
        FuncamError: an unknown suffix, a quality outside 1..100, more pixels than the format can hold, not an image,
            or a place that can't be written to.

    Example:
        >>> save_picture("results/dog.jpg", np.zeros((4, 4, 3), np.uint8))  # doctest: +SKIP
    """
    check_image(picture)
    if not isinstance(path, str | os.PathLike):
        raise FuncamError(f"a path was expected, where the picture is to be; got {shown(path)}")
    suffix = Path(path).suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        raise FuncamError(f"{os.fsdecode(path)!r} has no suffix of a picture; use one of {', '.join(PICTURE_SUFFIXES)}")
    if not 1 <= _whole(quality) <= 100:
        raise FuncamError(f"quality is 1..100, a whole number; got {shown(quality)}")
    longest = max(picture.shape[:2])
    if longest > LONGEST.get(suffix, longest):
        limit = f"{LONGEST[suffix]} pixels a side; the picture has {longest}"
        raise FuncamError(f"{os.fsdecode(path)!r}: {suffix} holds at most {limit}; use .png or a smaller size")
    done, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _settings(suffix, quality))
    if not done:
        raise FuncamError(f"{os.fsdecode(path)!r}: OpenCV could not encode the picture as {suffix}; use another suffix")
    write_atomically(path, marked(data.tobytes()), links=False)


def _settings(suffix: str, quality: int) -> list[int]:
    if suffix == ".png":
        return []
    if suffix == ".webp":
        return [cv2.IMWRITE_WEBP_QUALITY, quality]
    # Colour at full resolution: halved, saturated heat bleeds and coloured text blurs.
    full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return [cv2.IMWRITE_JPEG_QUALITY, quality, *full]


def _whole(value: object) -> int:
    """A whole number; what is none is less than any that is expected."""
    try:
        return whole_number("", value)
    except FuncamError:
        return -1


def _sides(size: tuple[int, int]) -> tuple[int, int]:
    sides = [_whole(side) for side in size] if isinstance(size, tuple | list) else []
    if len(sides) != 2 or min(sides) < 1:
        raise FuncamError(f"a picture has at least 1 pixel a side; got (height, width) = {shown(size)}")
    return sides[0], sides[1]


def _share(what: str, value: float, most: int) -> float:
    try:
        share = finite_number("", value)
    except FuncamError:
        share = -1.0
    if not 0 <= share <= most:
        raise FuncamError(f"{what}, a number in 0..{most}; got {shown(value)}")
    return share


def _checked_map(saliency: ArrayLike) -> NDArray[np.float32]:
    values = as_values("a map to draw", saliency)
    if values.ndim != 2 or values.size == 0:
        one = "; give one of them, such as maps[0]" if values.ndim > 2 else ""
        raise FuncamError(f"a map to draw is [H, W] with at least one pixel; got {list(values.shape)}{one}")
    return values


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    finite = np.isfinite(values)
    every = bool(finite.all())
    peak = max(values.max(), 0) if every else np.max(values, where=finite, initial=0.0)
    scaled = np.maximum(values, 0)
    scaled /= peak if peak > 0 else 1
    if every:
        return scaled
    np.nan_to_num(scaled, copy=False, nan=0.0)
    return np.clip(scaled, 0, 1, out=scaled)


def _bounded(values: NDArray[np.float32], limit: float) -> bool:
    """Whether all are numbers that have a place in 32 bits once the limit is 127."""
    return bool(values.max() < _FAR * limit and values.min() > -_FAR * limit)


def _as_levels(saliency: ArrayLike | Levels) -> Levels:
    return saliency if isinstance(saliency, Levels) else levels_of(saliency)


def _coloured(levels: NDArray[np.uint8], table: Pixels) -> Pixels:
    return cast(Pixels, cv2.applyColorMap(levels, table))


def _blended(image: Pixels, levels: NDArray[np.uint8], table: Pixels, alpha: float) -> Pixels:
    """The sum `image * (1 - weight) + colour * weight` in 8 bits: both factors are tables by level."""
    weight = alpha * np.sqrt(np.linspace(0, 1, 256))[:, None, None]
    kept = cv2.LUT(levels, np.rint(255 * (1 - weight)).astype(np.uint8)[:, 0])  # one channel, the same for all three
    kept = cv2.cvtColor(kept, cv2.COLOR_GRAY2RGB)
    heat = _coloured(levels, np.rint(table * weight).astype(np.uint8))
    return cast(Pixels, cv2.add(cv2.multiply(image, kept, dst=kept, scale=1 / 255), heat, dst=heat))


def _limit(values: NDArray[np.float32], percentile: float) -> float:
    """The size that `percentile` percent of the values do not exceed, or of the largest where that is 0."""
    stride = math.ceil(values.shape[0] * values.shape[1] / _SAMPLED)
    while math.gcd(stride, values.shape[1]) > 1:  # or some columns would stand for all
        stride += 1
    sample = np.abs(values.reshape(-1, 3)[::stride])
    sample = sample[np.isfinite(sample)]
    limit = _quantile(sample, percentile / 100) if sample.size else 0.0
    return limit or float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))


def _quantile(sample: NDArray[np.float32], share: float) -> float:
    """As `numpy.quantile`, of a high share sooner: among the values above a lower one, found in a part of them."""
    few = sample[::16]
    lower = max(0, int((2 * share - 1) * (len(few) - 1)))
    top = sample[sample >= np.partition(few, lower)[lower]]
    place = share * (len(sample) - 1)
    rank = math.floor(place) - (len(sample) - len(top))
    if rank < 0:
        return float(np.quantile(sample, share))
    ordered = np.partition(top, rank)
    at = float(ordered[rank])
    return at + (float(ordered[rank + 1 :].min(initial=np.inf)) - at) * (place % 1) if place % 1 else at
