"""Geometry: how an image is put before a network, and how a map comes back onto the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from funcam.errors import FuncamError, nearest, shown, whole_number
from funcam.imaging.arrays import as_values
from funcam.imaging.reading import Pixels, check_image

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

FITS: tuple[str, ...] = ("squash", "crop", "pad", "native")
"""The ways to put an image before a network."""

INTERPOLATIONS: dict[str, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "nearest-exact": Image.Resampling.NEAREST,  # torchvision's name for what Pillow's nearest is.
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""The filters for resizing, by the names torchvision uses; all are antialiased, as Pillow does it."""

FILL: tuple[int, int, int] = (124, 116, 104)
"""ImageNet's mean colour: what normalisation turns into zero."""

# A crop of a very long image passes through a resized picture of thousands of megapixels; beyond this many
# pixels only the part that the crop keeps is computed, to within a grey level of the same values.
_LARGEST_RESIZED = 2**26

_LONGEST_RESIZED = 2**15 - 1  # pixels a side, by OpenCV's own coordinates


@dataclass(frozen=True)
class View:
    """Which part of an image a network's input covers.

    Attributes:
        image_size: (H, W) of the image, in pixels.
        input_size: (h, w) of the network's input, in pixels.
        box: (x0, y0, x1, y1), the rectangle in the image's pixels that the input covers; 0 is the outer edge of
            the first pixel, W that of the last. Smaller than the image after `crop`, larger after `pad`.

    Raises:
        FuncamError: a size below 1, or a box without area.

    Example:
        >>> View(image_size=(375, 500), input_size=(224, 224), box=(0.0, 0.0, 500.0, 375.0)).box[2]
        500.0
    """

    image_size: Size
    input_size: Size
    box: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        for size in (self.image_size, self.input_size):
            _check_sides(size)
        if not isinstance(self.box, tuple | list) or len(self.box) != 4:
            raise FuncamError(f"a view's box is (x0, y0, x1, y1); got {shown(self.box)}")
        x0, y0, x1, y1 = self.box
        if min(*self.image_size, *self.input_size) < 1:
            raise FuncamError(f"sizes must be at least (1, 1); got image {self.image_size}, input {self.input_size}")
        numbers = all(isinstance(edge, Real) and math.isfinite(edge) for edge in self.box)
        if not (numbers and x0 < x1 and y0 < y1):
            raise FuncamError(f"a view's box is (x0, y0, x1, y1) with x0 < x1 and y0 < y1; got {shown(self.box)}")


def fit_image(
    image: Pixels,
    size: int | Size | None,
    fit: str = "squash",
    *,
    resize: int | None = None,
    interpolation: str = "bilinear",
    fill: tuple[int, int, int] = FILL,
) -> tuple[Pixels, View]:
    """An image at the size of a network's input, and the part of the image that the input covers.

    Args:
        image: uint8 RGB [H, W, 3].
        size: the input's (h, w), or one number for both; ignored by `native`.
        fit: `squash` (the whole image, its aspect changed), `crop` (torchvision's preprocessing, bit for bit: the
            shorter side to `resize`, then the centre, on black where the image is smaller), `pad` (the whole
            image, its aspect kept, centred on `fill`) or `native` (the image itself).
        resize: the image's shorter side before `crop`; None for the longer side of `size`, which shows the most.
        interpolation: one of `INTERPOLATIONS`; always antialiased.
        fill: RGB colour around the image for `pad`, 0..255.

    Returns:
        The input, uint8 RGB [h, w, 3], and its `View`.

    Raises:
        FuncamError: an unknown fit or interpolation, a size or colour that is none, or not an image.

    Example:
        >>> photo = np.zeros((375, 500, 3), np.uint8)
        >>> fit_image(photo, 224, "crop", resize=256)[1].box  # the long side: int(256 * 500 / 375) = 341
        (85.04398826979472, 23.4375, 413.48973607038124, 351.5625)
    """
    check_image(image)
    _check_name("fit", fit, FITS)
    _check_name("interpolation", interpolation, tuple(INTERPOLATIONS))
    height, width = image.shape[:2]
    if fit == "native":
        return image, View((height, width), (height, width), (0.0, 0.0, float(width), float(height)))
    target = _pair("size", size)
    plan = _plan(fit, (height, width), target, resize)
    small = _resampled(image, plan, target, INTERPOLATIONS[interpolation])
    colour = (0, 0, 0) if fit == "crop" else _colour(fill)
    return _on_canvas(small, plan, target, colour), View((height, width), target, _box((height, width), plan, target))


def onto_image(saliency: ArrayLike, view: View | Size, size: Size | None = None) -> NDArray[np.float32]:
    """A map that covers a network's input, brought onto the pixels of the image.

    Linear in both directions between the centres of the map's cells (what `align_corners=False` means), held
    constant from the outermost centres to the edges of the input, and NaN where the network saw nothing.

    Args:
        saliency: [h', w'] or [h', w', C], any resolution; it covers the network's input evenly. Tensors will do.
        view: where that input lies on the image; or the image's (H, W), which the input covers whole.
        size: (Ho, Wo) of a picture that shows the whole image; None for the image's own size.

    Returns:
        float32 [Ho, Wo] or [Ho, Wo, C].

    Raises:
        FuncamError: the map has another number of axes or no cells, or the view or size is none.

    Example:
        >>> view = View(image_size=(1, 4), input_size=(8, 8), box=(0.0, 0.0, 4.0, 1.0))
        >>> onto_image([[0.0, 1.0]], view)
        array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    values = as_values("a map", saliency)
    if values.ndim not in (2, 3) or values.size == 0:
        raise FuncamError(f"a map is [h, w] or [h, w, C] with at least one cell; got {list(values.shape)}")
    view = view if isinstance(view, View) else _whole_image(view)
    height, width = view.image_size if size is None else _pair("size", size)
    x0, y0, x1, y1 = view.box
    if (y0, x0, y1, x1) == (0, 0, *view.image_size) and max(height, width) <= _LONGEST_RESIZED:
        import cv2  # a tenth of a second and 29 MB, for who draws

        resized = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)  # the same numbers, sooner
        return cast(NDArray[np.float32], resized.reshape(height, width, *values.shape[2:]))
    down = _taps(values.shape[0], height, y0 / view.image_size[0], y1 / view.image_size[0])
    across = _taps(values.shape[1], width, x0 / view.image_size[1], x1 / view.image_size[1])
    return _lerp(_lerp(values, down, axis=0), across, axis=1)


def _whole_image(size: Size) -> View:
    """The view of an input that shows the whole image."""
    height, width = _pair("view", size)
    return View((height, width), (height, width), (0.0, 0.0, float(width), float(height)))


class _Plan(NamedTuple):
    """Resize the image to (height, width), then take the window whose corner is at (left, top) of that."""

    height: int
    width: int
    left: int = 0
    top: int = 0


def _plan(fit: str, image: Size, target: Size, resize: int | None) -> _Plan:
    if fit == "crop":
        height, width = _shorter_side_to(image, max(target) if resize is None else _pair("resize", resize)[0])
        return _Plan(height, width, _centred(width, target[1]), _centred(height, target[0]))
    if fit == "pad":
        scale = min(target[0] / image[0], target[1] / image[1])
        height, width = (max(1, round(side * scale)) for side in image)
        return _Plan(height, width, -((target[1] - width) // 2), -((target[0] - height) // 2))
    return _Plan(*target)


def _shorter_side_to(image: Size, length: int) -> Size:
    """As torchvision's `resize` with one number: the long side is rounded down."""
    height, width = image
    long = int(length * max(image) / min(image))
    return (long, length) if width <= height else (length, long)


def _centred(length: int, window: int) -> int:
    """Where torchvision's `center_crop` begins: half to even inside the image, rounded up if it pads."""
    return round((length - window) / 2) if window <= length else -((window - length) // 2)


def _box(image: Size, plan: _Plan, target: Size) -> tuple[float, float, float, float]:
    """The window in the image's pixels; the two axes have factors of their own, because both sides are rounded."""
    columns = (at * image[1] / plan.width for at in (plan.left, plan.left + target[1]))
    rows = (at * image[0] / plan.height for at in (plan.top, plan.top + target[0]))
    (x0, x1), (y0, y1) = columns, rows
    return x0, y0, x1, y1


def _resampled(image: Pixels, plan: _Plan, target: Size, filter_: Image.Resampling) -> Pixels:
    """The part of the resized image that lies in the window."""
    top, bottom = max(plan.top, 0), min(plan.top + target[0], plan.height)
    left, right = max(plan.left, 0), min(plan.left + target[1], plan.width)
    picture = Image.fromarray(np.ascontiguousarray(image))
    if plan.height * plan.width <= _LARGEST_RESIZED:
        return np.asarray(picture.resize((plan.width, plan.height), filter_))[top:bottom, left:right]
    across, down = image.shape[1] / plan.width, image.shape[0] / plan.height
    box = (left * across, top * down, min(right * across, image.shape[1]), min(bottom * down, image.shape[0]))
    return np.asarray(picture.resize((right - left, bottom - top), filter_, box=box))


def _on_canvas(small: Pixels, plan: _Plan, target: Size, colour: tuple[int, int, int]) -> Pixels:
    canvas = np.empty((*target, 3), np.uint8)
    canvas[:] = colour
    top, left = max(-plan.top, 0), max(-plan.left, 0)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas


class _Taps(NamedTuple):
    """For each pixel of one axis: the cell before it, the share of the cell after that, and whether it is seen."""

    cell: NDArray[np.intp]
    share: NDArray[np.float32]
    seen: NDArray[np.bool_]


def _taps(cells: int, pixels: int, low: float, high: float) -> _Taps:
    """Where the centres of `pixels` pixels lie among `cells` cells that cover `low..high` of the image's 0..1."""
    where = ((np.arange(pixels) + 0.5) / pixels - low) / (high - low)
    at = np.clip(where * cells - 0.5, 0, cells - 1)
    cell = np.floor(at).astype(np.intp)
    return _Taps(cell, (at - cell).astype(np.float32), (where >= 0) & (where <= 1))


def _lerp(values: NDArray[np.float32], taps: _Taps, axis: int) -> NDArray[np.float32]:
    """`values` at the taps along `axis`: cell + share * (next - cell), with two arrays of the result's size."""
    last = np.take(values, [-1], axis=axis)
    step = np.diff(values, axis=axis, append=last)
    share = taps.share.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    result = np.take(step, taps.cell, axis=axis, mode="clip")
    result *= share
    result += np.take(values, taps.cell, axis=axis, mode="clip")
    unseen = np.flatnonzero(~taps.seen)
    result[(slice(None),) * axis + (unseen,)] = np.nan
    return result


def _check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    if not isinstance(name, str) or name not in known:
        raise FuncamError(f"{what} {shown(name)} is not known; nearest: {nearest(name, known)} of {', '.join(known)}")


def _pair(what: str, size: int | Size | None) -> Size:
    """(height, width) from a pair, or from one number for both."""
    sides = [*size] if isinstance(size, tuple | list) else [size, size]
    try:
        pair = [whole_number(what, side, 1) for side in sides]
    except FuncamError:
        pair = []
    if len(pair) != 2:
        raise FuncamError(f"{what} is one whole number of pixels or (height, width), at least 1; got {shown(size)}")
    return pair[0], pair[1]


def _check_sides(size: Size) -> None:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise FuncamError(f"a view's sizes are (height, width); got {shown(size)}")
    for side in size:
        whole_number("a side of a view's size", side)


def _colour(fill: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        red, green, blue = (whole_number("fill", part, 0) for part in fill)
    except (TypeError, ValueError):  # a FuncamError is one
        red = green = blue = 256
    if max(red, green, blue) > 255:
        raise FuncamError(f"fill is a colour (red, green, blue), whole numbers 0..255; got {shown(fill)}")
    return red, green, blue
