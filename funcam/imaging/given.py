"""Pictures in whatever form people have them, as uint8 RGB: files, Pillow's images, arrays and tensors. No torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from funcam.errors import FuncamError, reason_in, shown
from funcam.imaging.decoding import stretch_of, upright_rgb
from funcam.imaging.reading import Pixels, read_data, read_image

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any] | Any
"""A path, an image of Pillow's, an array or a tensor (named `Any` here: this room has no torch)."""

_CHANNELS = (1, 3, 4)
_ADDRESS = re.compile("(https?|ftp)://", re.IGNORECASE)
_LONGEST_NAME = 255


def as_image(picture: Picture) -> Pixels:
    """One picture in whatever form it is at hand, as uint8 RGB `[H, W, 3]`.

    Grey becomes RGB, transparency is laid on white. The channels of an array are looked for behind first, those of a
    tensor in front first, as NumPy's and torch's users have them; an axis of one picture in front is left out.

    Args:
        picture: a path, what such a file holds (bytes, or a binary stream), an image of Pillow's, or an array or tensor
            `[H, W]`, `[H, W, channels]` or `[channels, H, W]` with 1, 3 or 4 channels: bytes (or other whole numbers
            in 0..255), floats in 0..1, or a mask.

    Returns:
        uint8 RGB `[H, W, 3]`.

    Raises:
        FuncamError: it is no picture, several, or its values could be anything: floats beyond 0..1, say.

    Example:
        >>> as_image(np.array([[0.0, 0.5, 1.0]])).tolist()
        [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]
    """
    if isinstance(picture, str | os.PathLike):
        _refuse_address(picture)
        return read_image(picture)
    if isinstance(picture, bytes | bytearray) or hasattr(picture, "read"):
        return _decoded(picture)
    if isinstance(picture, Image.Image):
        return _of_pillow(picture)
    picture = numbers_in(picture)
    if isinstance(picture, list | tuple):
        raise FuncamError(
            f"{shown(picture)} was given for one picture; give an array, a path or an image of Pillow's, or nested "
            "lists of nothing but numbers"
        )
    first = not isinstance(picture, np.ndarray)
    return _coloured(_as_bytes(_channels_last(_array(picture), first)))


def as_images(pictures: Picture | Iterable[Picture]) -> list[Pixels]:
    """One picture or several: a list of them, or an array or tensor of four axes (nested lists of numbers are one).

    Raises:
        FuncamError: as `as_image`, or there is none.

    Example:
        >>> [image.shape for image in as_images([np.zeros((2, 4)), np.zeros((1, 3, 5, 6))])]
        [(2, 4, 3), (5, 6, 3)]
    """
    pictures = numbers_in(pictures)
    one = isinstance(pictures, str | bytes | bytearray | os.PathLike | Image.Image) or hasattr(pictures, "read")
    if one or not isinstance(pictures, Iterable):
        return [as_image(pictures)]
    if hasattr(pictures, "shape"):
        several = len(pictures.shape) == 4
        images = [as_image(picture) for picture in pictures] if several else [as_image(pictures)]
    else:
        images = [as_image(picture) for picture in pictures]
    if not images:
        raise FuncamError("no picture was given; give a path, an image of Pillow's, an array, a tensor, or several")
    return images


def numbers_in(given: Any) -> Any:
    """Nested lists of plain numbers as the array that NumPy reads in them; anything else as it is.

    Raises:
        FuncamError: lists of several lengths.

    Example:
        >>> numbers_in([[1, 2], [3, 4]]).shape, numbers_in(["dog.jpg"])
        ((2, 2), ['dog.jpg'])
    """
    inner = given
    while isinstance(inner, list | tuple) and inner:
        inner = inner[0]
    if inner is given or not isinstance(inner, int | float | np.number | np.bool_):
        return given
    try:
        return np.asarray(given)
    except ValueError as error:
        raise FuncamError(
            "nested lists of numbers are read as one array, and these are of several lengths; give pictures of several "
            "sizes as arrays, [np.asarray(one), np.asarray(other)]"
        ) from error


def _refuse_address(path: str | os.PathLike[str]) -> None:
    text = os.fsdecode(path)
    if _ADDRESS.match(text):
        raise FuncamError(f"{text!r} is an address, and funcam fetches none; download it, and give the file")


def _decoded(picture: Any) -> Pixels:
    """The picture in what its file holds; bytes that are none may be a path's."""
    data = _encoded(picture)
    try:
        return read_data(data, "the picture").pixels
    except FuncamError as error:
        if hasattr(picture, "read") or len(data) > _LONGEST_NAME:
            raise
        raise FuncamError(
            f"{shown(data)} are bytes, which are read as what an image file holds, and no image; a path is a str, "
            "os.fsdecode(path)"
        ) from error


def _encoded(picture: Any) -> bytes:
    """What a picture's file holds."""
    try:
        data = picture.read() if hasattr(picture, "read") else bytes(picture)
    except Exception as error:  # a stream may be anybody's
        raise FuncamError(f"the picture's stream can't be read ({reason_in(error)}); open it again") from error
    if not isinstance(data, bytes):
        raise FuncamError(f"the picture's stream gives {type(data).__name__}; open the file in binary mode, 'rb'")
    return data


def _of_pillow(picture: Image.Image) -> Pixels:
    try:
        picture.load()
        return upright_rgb(picture, stretch_of(picture))
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
        raise FuncamError(f"the picture is truncated or damaged ({reason_in(error)}); open it again") from error


def _array(picture: Any) -> NDArray[Any]:
    """What NumPy can read of a picture; a tensor is told by its methods, so that torch need not be here."""
    try:
        array = np.asarray(_off_the_device(picture) if hasattr(picture, "detach") else picture)
    except (TypeError, ValueError, RuntimeError):
        array = np.array(None)
    if array.dtype.kind not in "biuf" or array.size == 0 or array.ndim == 0:
        raise FuncamError(
            f"{shown(picture)} is no picture; give a path, an image of Pillow's, or an array or tensor [H, W, 3] of "
            "bytes or of floats in 0..1"
        )
    return array


def _off_the_device(tensor: Any) -> NDArray[Any]:
    """A tensor as an array; of halves, some of which NumPy does not know, as single floats."""
    values: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()
    return values


def _channels_last(array: NDArray[Any], first: bool) -> NDArray[Any]:
    """`[H, W, channels]`; with `first` the channels are looked for in front before they are behind."""
    shape = list(array.shape)
    if array.ndim == 4 and shape[0] == 1:
        return _channels_last(array[0], first)
    if array.ndim == 2:
        return array[..., None]
    places = [axis for axis in ((0, 2) if first else (2, 0)) if array.ndim == 3 and shape[axis] in _CHANNELS]
    if not places:
        several = "; these are several: give images[0], or all of them as a list" if array.ndim == 4 else ""
        raise FuncamError(
            f"a picture of shape {shape} is none; expected [H, W], [H, W, channels] or [channels, H, W] with 1, 3 or 4 "
            f"channels{several}"
        )
    return np.moveaxis(array, places[0], 2)


def _as_bytes(array: NDArray[Any]) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    low, high = float(array.min()), float(array.max())  # NaN stays NaN, and is refused below
    if array.dtype.kind == "f":
        if low >= 0 and high <= 1:
            return np.rint(array.astype(np.float64) * 255).astype(np.uint8)
        if not np.isfinite(array).all():
            raise FuncamError(
                "the picture holds values that are not finite (NaN or infinity); give numbers in 0..1, such as "
                "np.nan_to_num(image, posinf=1, neginf=0)"
            )
        raise FuncamError(
            f"a picture of floats has values in 0..1, and these go from {low:.3g} to {high:.3g}; {_way(low, high)}"
        )
    if array.dtype != np.uint16 and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    raise FuncamError(
        f"a picture of type {array.dtype} from {low:.0f} to {high:.0f} could mean anything; give bytes, uint8 (of 16 "
        "bits the upper 8: (image >> 8).astype('uint8'))"
    )


def _way(low: float, high: float) -> str:
    if low >= 0 and 2 < high <= 255:
        return "give image / 255, or bytes: uint8"
    if -20 < low < 0 and high < 20:
        return "normalised, they are a network's input: give the picture itself, image * std + mean"
    return "bring them there, or give bytes: uint8"


def _coloured(pixels: Pixels) -> Pixels:
    """RGB of grey, of colours, and of colours with an alpha, which are laid on white."""
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 4:
        return upright_rgb(Image.fromarray(np.ascontiguousarray(pixels)), None)
    return np.ascontiguousarray(pixels)
