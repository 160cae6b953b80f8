"""What a file of an explainer may be and hold, in words. No torch: the command line checks them before it is loaded."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Literal, get_args

from funcam.errors import FuncamError, nearest, shown
from funcam.methods import Method

Format = Literal["onnx", "pt2"]
FORMATS: tuple[Format, ...] = get_args(Format)
PREDICTED, INPUT, ALL = "predicted", "input", "all"
EXPLAINED = (PREDICTED, INPUT, ALL)
"""What a file explains: the predicted class, one that is given with each image, or all of them."""

RUNTIME = "onnxruntime"
_PACKAGES = ("onnx", "onnxscript", RUNTIME)
_TRACED = {"A", "g", "similar_g"}
_WHY_NOT = {
    "head": "runs the head many times for each image",
    "network": "runs the network many times for each image",
    "masked_network": "runs the network many times for each image",
    "guided_network": "is made of a rewritten network, image by image",
    "cam": "is made of two other methods, image by image",
    "h": "is made of second derivatives",
    "noisy_g": "runs the network many times for each image, with random numbers",
    "random": "is made of random numbers",
    "finer": "brings maps to another grid image by image",
    "image_term": "is made of every layer's bias, image by image",
    "attention_g": "is made of a rewritten network",
}


def format_of(path: str | os.PathLike[str], given: Any = None) -> Format:
    """The format that was asked for, else the one that the file's name says.

    Raises:
        FuncamError: it is none, or the name says another.

    Example:
        >>> format_of("explainer.onnx"), format_of("explainer.bin", "pt2")
        ('onnx', 'pt2')
    """
    said = Path(path).suffix.removeprefix(".").lower()
    if given is None and said not in FORMATS:
        raise FuncamError(f"{str(path)!r} does not say its format; name it .onnx or .pt2, or give --format (format=)")
    if given is not None and given not in FORMATS:
        raise FuncamError(f"format {shown(given)} is unknown; expected onnx or pt2")
    if given is not None and said in FORMATS and said != given:
        raise FuncamError(f"the format is {given} and the file's name ends in .{said}; name it .{given}, or leave one")
    return next(one for one in FORMATS if one == (given or said))


def check_opset(kind: Format, opset: object) -> None:
    """Refuse a version of ONNX's operators for a file that has none of them.

    Raises:
        FuncamError: one was given, and the file is no .onnx file.

    Example:
        >>> check_opset("onnx", 20)
    """
    if opset is not None and kind != "onnx":
        raise FuncamError(f"opset {shown(opset)} is of .onnx files, and this is a .{kind} file; leave it out")


def refuse_method(method: Method) -> None:
    """Refuse a method that is not one pass through the network, forward and back, for any number of images.

    Raises:
        FuncamError: it is none; the message says why.

    Example:
        >>> from funcam.methods import find_method
        >>> refuse_method(find_method("score-cam"))
        Traceback (most recent call last):
        funcam.errors.FuncamError: score-cam runs the network many times for each image: no file holds it; take grad-cam
    """
    for name in method.takes:
        if name not in _TRACED:
            why = _WHY_NOT.get(name, f"is made of {name!r}")
            raise FuncamError(f"{method.name} {why}: no file holds it; take grad-cam")


def require_packages(kind: Format) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        FuncamError: some are missing; the message says how to install them.
    """
    missing = [name for name in _PACKAGES if kind == "onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise FuncamError(
            f"an .onnx file needs {' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed; "
            'run pip install "funcam[export]", or write a .pt2 file, which needs nothing'
        )


def explained_of(targets: Any) -> str | int:
    """What a file explains, of the `targets` that were given.

    Raises:
        FuncamError: it is nothing that a file can explain.

    Example:
        >>> explained_of(None), explained_of("all"), explained_of(281)
        ('predicted', 'all', 281)
    """
    if targets is None:
        return PREDICTED
    if isinstance(targets, str) and targets not in EXPLAINED:
        raise FuncamError(f"targets {targets!r} is unknown; nearest: {nearest(targets, EXPLAINED)}, or a class's index")
    if not isinstance(targets, str | int) or isinstance(targets, bool):
        raise FuncamError(
            f"targets is {shown(targets)}, which a file can't explain; expected 'predicted', 'input' (a class for each "
            "image), 'all' or a class's index"
        )
    return targets
