"""What the shell may complete an option's value to: networks, methods, recipes and other words of a few. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_type_hints

from typer.models import ParameterInfo

from funcam.methods import METHODS
from funcam.pipeline.recipes import ALL, RECIPES
from funcam.recipe import COMBINATIONS, SMOOTHINGS
from funcam.zoo.names import ALIASES, NETS

Command = TypeVar("Command", bound=Callable[..., Any])
Completion = Callable[[str], list[str]]


def completed(command: Command) -> Command:
    """A command whose parameters the shell can complete, by their names.

    Args:
        command: its parameters are annotated as Typer reads them.
    """
    hints = get_type_hints(command, include_extras=True)
    for name, hint in hints.items():
        for info in getattr(hint, "__metadata__", ()):
            if isinstance(info, ParameterInfo) and name in _BY_NAME:
                info.autocompletion = _BY_NAME[name]
    command.__annotations__ = hints
    return command


def nets(incomplete: str) -> list[str]:
    """The networks whose names begin so, also behind a label and a colon.

    Example:
        >>> nets("resnet1"), nets("mine:vgg11_")
        (['resnet101', 'resnet152', 'resnet18'], ['mine:vgg11_bn'])
    """
    label, colon, name = incomplete.rpartition(":")
    return [label + colon + one for one in _beginning(name, (*NETS, *ALIASES))]


def words(known: Iterable[str]) -> Completion:
    """A completion to one of a few words.

    Example:
        >>> words(("squash", "crop", "pad"))("c")
        ['crop']
    """
    return lambda incomplete: _beginning(incomplete, known)


def _beginning(incomplete: str, known: Iterable[str]) -> list[str]:
    return sorted(name for name in known if name.startswith(incomplete))


def _fits(incomplete: str) -> list[str]:
    from funcam.imaging.fit import FITS  # with OpenCV, which takes a while

    return _beginning(incomplete, FITS)


def _colormaps(incomplete: str) -> list[str]:
    from funcam.imaging.colormaps import COLORMAPS

    return _beginning(incomplete, COLORMAPS)


_METHODS = words((*METHODS, ALL))
_BY_NAME: dict[str, Completion] = {
    **dict.fromkeys(("net", "nets", "networks"), nets),
    **dict.fromkeys(("method", "methods"), _METHODS),
    "recipe": words(RECIPES),
    "fit": _fits,
    "colormap": _colormaps,
    "smooth": words(SMOOTHINGS),
    "combine": words(COMBINATIONS),
    "device": words(("auto", "cpu", "cuda", "xpu", "mps")),
    "scores": words(("softmax", "sigmoid", "none")),
}
