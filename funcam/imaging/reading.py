"""Reading images: which files the arguments mean, what is in them, and what their results are called."""

from __future__ import annotations

import difflib
import glob
import os
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from funcam.errors import FuncamError, reason_in, shown
from funcam.imaging import heif
from funcam.imaging.decoding import load_whole, opened, stretch_of, upright_rgb
from funcam.imaging.suffixes import SUFFIXES as SUFFIXES
from funcam.imaging.suffixes import is_image_name as is_image_name
from funcam.imaging.suffixes import left_out as told

Pixels: TypeAlias = NDArray[np.uint8]
"""An image: uint8 RGB, `[H, W, 3]`."""

_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
}


class Read(NamedTuple):
    """An image that was read.

    Attributes:
        pixels: uint8 RGB `[H, W, 3]`, upright.
        stretched: whether it has grey values of 16 bits that use no more than 12 of them, so that they were stretched.
        several: whether the file has more frames or pages than this, its first.
    """

    pixels: Pixels
    stretched: bool
    several: bool = False


def read_image(path: str | os.PathLike[str]) -> Pixels:
    """The image in a file, upright, as uint8 RGB `[H, W, 3]`.

    JPEG (CMYK too), PNG, WebP, TIFF, BMP, GIF, PPM, JPEG 2000 and, where Pillow can, AVIF; with `pillow-heif` HEIC; of
    several frames or pages the first. EXIF orientation is honoured; transparency is laid on white; of 16 bits a channel
    the upper 8 are kept; whole numbers beyond 16 bits, floats beyond 0..1 and grey values of 16 bits that use no more
    than 12 of them are stretched from their minimum to their maximum; of the last `read` tells.

    Raises:
        FuncamError: the file is missing, a folder, empty, unreadable, truncated, damaged, not an image, or larger
            than can be read in a gigabyte and some seconds: 110 million pixels, fewer in formats whose decoders hold
            a picture several times or are slow (see `docs/safety.md`).

    Example:
        >>> read_image("photos/dog.jpg").shape  # doctest: +SKIP
        (375, 500, 3)
    """
    return read(path).pixels


def read(path: str | os.PathLike[str]) -> Read:
    """As `read_image`, with what there is to say of how it was read.

    Raises:
        FuncamError: as `read_image`.

    Example:
        >>> read("scan.tif").stretched  # doctest: +SKIP
        True
    """
    name, beginning = _quoted(path), _beginning(Path(_path(path)))
    try:
        with opened(path) as image:
            picture = load_whole(image, path)
            ends = stretch_of(picture)
            pixels = upright_rgb(picture, ends)
            stretched = ends is not None and picture.mode.startswith("I;16")
            return Read(pixels, stretched, _has_several(image))
    except FuncamError:
        raise
    except Image.DecompressionBombError as error:
        raise FuncamError(f"{name} holds more pixels than is safe to unpack; make it smaller first") from error
    except UnidentifiedImageError as error:
        raise FuncamError(f"{name} {_unidentified(beginning)}") from error
    except MemoryError as error:
        raise FuncamError(f"{name} needs more memory than there is; make it smaller first") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
        raise FuncamError(f"{name} is truncated or damaged ({reason_in(error)}); save or download it again") from error


def _has_several(image: Image.Image) -> bool:
    """Whether a file has more frames or pages; not how many, for which a decoder would go through all of them."""
    with suppress(Exception):  # the next one is damaged
        return bool(getattr(image, "is_animated", False))
    return False


def read_data(data: bytes, name: str) -> Read:
    """The image in some bytes, as `read` reads it from a file.

    Args:
        data: what a file would hold.
        name: what messages call it.

    Raises:
        FuncamError: as `read_image`.

    Example:
        >>> read_data(b"GIF89a", "a.gif")
        Traceback (most recent call last):
        funcam.errors.FuncamError: 'a.gif' begins like a GIF file but is truncated or damaged; save or download it again
    """
    # What bounds a picture asks for its file, and for it again: it gets one.
    with tempfile.TemporaryDirectory(prefix="funcam-") as folder:
        file = os.path.join(folder, "image")
        with open(file, "wb") as stream:
            stream.write(data)
        try:
            return read(file)
        except FuncamError as error:
            raise FuncamError(str(error).replace(_quoted(file), repr(name))) from None


def announced_bytes(path: str | os.PathLike[str]) -> int:
    """How many bytes the pixels of an image will take, as its header says; 0 of what can't be read.

    Example:
        >>> announced_bytes("no-such-file.jpg")
        0
    """
    with suppress(Exception), opened(path) as image:
        return 3 * image.width * image.height
    return 0


def check_image(image: Pixels) -> None:
    """Do nothing if `image` is a picture as funcam understands it, uint8 RGB `[H, W, 3]`.

    Raises:
        FuncamError: it has another type, dtype or shape, or no pixels.

    Example:
        >>> check_image(np.zeros((2, 3, 3), np.uint8))
    """
    if not isinstance(image, np.ndarray):
        raise FuncamError(
            f"an image is a NumPy array, uint8 [H, W, 3]; got {type(image).__name__}; try read_image for a file, "
            "np.asarray(image.convert('RGB')) for one of Pillow's, tensor.permute(1, 2, 0).cpu().numpy() for a tensor"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        got = f"{image.dtype} {list(image.shape)}"
        raise FuncamError(f"an image is uint8 RGB [H, W, 3] with at least one pixel; got {got}; {_conversion(image)}")


def _conversion(image: NDArray[np.generic]) -> str:
    """How such an array becomes an image."""
    if image.dtype == np.bool_:
        return "255 * image.astype(np.uint8) makes grey values of a mask"
    if image.dtype != np.uint8:
        return "(255 * image).round().astype(np.uint8) makes one of values in 0..1"
    if image.ndim == 2:
        return "np.repeat(image[..., None], 3, axis=2) makes one of grey values"
    if image.ndim == 3 and image.shape[0] == 3:
        return "image.transpose(1, 2, 0) puts the colours last"
    if image.ndim == 3 and image.shape[2] == 4:
        return "image[..., :3] leaves the transparency out"
    return "image[0] is the first of several" if image.ndim == 4 else "convert it first"


class Found(NamedTuple):
    """What `find_images` found.

    Attributes:
        paths: the files, in order.
        problems: a line for each argument that gave none.
        notes: a line for each folder or glob with images of formats that can't be read.
    """

    paths: list[Path]
    problems: list[str]
    notes: list[str]


def find_images(arguments: Sequence[str | os.PathLike[str]]) -> Found:
    """The image files that the arguments of a command mean, in order, each once.

    A file stands for itself, whatever its suffix; a folder for its own images, sorted by name, hidden ones left out;
    a glob that no shell expanded (`**` goes through folders) for the images that match it, sorted. What can't be read
    as an image, a broken link or a pipe too, is found by its name, and whoever reads it tells why. An argument that
    gives nothing becomes a line in `problems`, so that the others can still be done; images of formats that can't be
    read, beside others in a folder, become one in `notes`.

    Raises:
        FuncamError: one path was given where a list of them is expected.

    Example:
        >>> find_images(["no-such-folder/dog.jpg"]).problems
        ["'no-such-folder/dog.jpg' does not exist, nor does the folder 'no-such-folder'"]
    """
    if isinstance(arguments, str | bytes | os.PathLike) or not isinstance(arguments, Iterable):
        raise FuncamError(f"find_images takes a list of paths; got {shown(arguments)}; put it in brackets")
    paths: dict[str, Path] = {}
    problems: list[str] = []
    notes: list[str] = []
    for argument in arguments:
        try:
            for path in _expanded(_path(argument), notes):
                paths.setdefault(_entry(path), path)
        except FuncamError as error:
            problems.append(str(error))
    return Found(list(paths.values()), problems, notes)


def _quoted(path: str | os.PathLike[str]) -> str:
    return repr(_path(path))


def _path(path: object) -> str:
    """A path as text; whatever else is given for one is refused."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise FuncamError(f"a path was expected, the name of a file; got {shown(path)}")
    return os.fsdecode(path)


def _beginning(path: Path) -> bytes:
    """The first bytes of a file, once it is known to be one that can be read."""
    name = _quoted(path)
    if os.path.isdir(path):
        raise FuncamError(f"{name} is a folder, not an image; name a file in it")
    if os.path.exists(path) and not os.path.isfile(path):
        raise FuncamError(f"{name} is not a regular file; save the image to one first")
    try:
        with open(path, "rb") as stream:  # what has no size yet may wait for what to give, as some in /proc do
            beginning = stream.read(16) if os.fstat(stream.fileno()).st_size else b""
    except PermissionError as error:
        raise FuncamError(f"{name} may not be read; check its permissions") from error
    except (FileNotFoundError, ValueError):  # ValueError: a path with a null character.
        raise _missing(path) from None
    except OSError as error:
        raise FuncamError(f"{name} can't be read: {error.strerror}; check the path") from error
    if not beginning:
        raise FuncamError(f"{name} is empty (0 bytes); save or download it again")
    return beginning


def _unidentified(beginning: bytes) -> str:
    if heif.begins(beginning) and not heif.is_installed():
        return f"is a HEIC or HEIF file; {heif.OFFER}, or convert it to JPEG"
    for bytes_, kind in _BEGINNINGS.items():
        if beginning.startswith(bytes_):
            return f"begins like a {kind} file but is truncated or damaged; save or download it again"
    return "is not an image that can be read; convert it to JPEG or PNG"


def _expanded(argument: str, notes: list[str]) -> list[Path]:
    """The files that one argument means, with notes on what is left out; an error where there are none."""
    if not argument:
        raise FuncamError("an empty path was given; name a file, a folder or a glob")
    if "://" in argument:
        raise FuncamError(f"{argument!r} is an address, not a file; download it first")
    place = argument if os.path.lexists(argument) else os.path.expanduser(argument)
    if os.path.isdir(place):
        return _in_folder(Path(place), notes)
    if os.path.exists(place):  # Before the glob: 'photo[1].jpg' may be a file's name.
        return [Path(place)]
    if glob.has_magic(place) and not os.path.lexists(place):
        return _matching(place, notes)
    raise _missing(Path(place))


def _in_folder(folder: Path, notes: list[str]) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise FuncamError(f"folder {_quoted(folder)} can't be read: {error.strerror}; check its permissions") from error
    images = [folder / name for name in names if not name.startswith(".") and is_image_name(name)]
    images = [path for path in images if not path.is_dir()]
    left = told([name for name in names if not name.startswith(".")])
    if not images:
        advice = left or "for folders in it add '/**'"
        raise FuncamError(f"folder {_quoted(folder)} holds no images ({_some_suffixes()}); {advice}")
    notes += [f"folder {_quoted(folder)}: {left}"] if left else []
    return images


def _matching(pattern: str, notes: list[str]) -> list[Path]:
    files = [name for name in sorted(glob.glob(pattern, recursive=True)) if not os.path.isdir(name)]
    images = [Path(name) for name in files if is_image_name(name)]
    if not images:
        what = f"{len(files)} file(s), but no images ({_some_suffixes()})" if files else "no file"
        raise FuncamError(f"glob {pattern!r} matches {what}; check the pattern")
    left = told(files)
    notes += [f"glob {pattern!r}: {left}"] if left else []
    return images


def _some_suffixes() -> str:
    return f"{', '.join(SUFFIXES[:1] + SUFFIXES[4:7])}, ..."


def _missing(path: Path) -> FuncamError:
    """An error that says what is there instead of `path`."""
    if path.is_symlink():
        return FuncamError(f"{_quoted(path)} is a link to a file that does not exist; mend the link")
    try:
        names = {name.lower(): name for name in sorted(os.listdir(path.parent))}
    except (OSError, ValueError):
        return FuncamError(f"{_quoted(path)} does not exist, nor does the folder {_quoted(path.parent)}")
    close = difflib.get_close_matches(path.name.lower(), list(names), n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(repr(names[key]) for key in close)}" if close else "nothing there has a similar name"
    return FuncamError(f"{_quoted(path)} does not exist; {hint}")


def _entry(path: Path) -> str:
    """Equal for two spellings of one file in one folder; links with names of their own stay apart."""
    return os.path.normcase(os.path.join(os.path.realpath(path.parent), path.name))


def folded(stem: str) -> str:
    """What two names have in common that are one on some file system: of any case, of letters in one piece or two.

    Example:
        >>> folded("Dog") == folded("dOG")
        True
    """
    return unicodedata.normalize("NFC", stem).casefold()
