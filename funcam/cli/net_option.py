"""A network as it is named on the command line: `[LABEL:]NET[=WEIGHTS]`, NET a name or `FILE.py:FUNCTION`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from funcam.cli.messages import UsageError
from funcam.errors import FuncamError
from funcam.zoo.names import canonical_name
from funcam.zoo.user_code import Factory, factory_of

if TYPE_CHECKING:
    from funcam.zoo.nets import Net

OWN = "or FILE.py:FUNCTION or package.module:FUNCTION (runs that code)"


@dataclass(frozen=True)
class NetSpec:
    """A network that was asked for: what it goes by, its name or the function that makes it, and its weights."""

    label: str
    net: str | Factory
    weights: str | None

    @property
    def is_scenes(self) -> bool:
        return isinstance(self.net, str) and canonical_name(self.net) == "scenes"


def parse_net_spec(text: str, option: str = "--net") -> NetSpec:
    """Read what was asked for; whatever is wrong with it is found here, before torch is imported.

    A network of one's own goes by its function's name, one of the zoo by its own, unless a label stands before it.
    """
    wanted, _, weights = text.partition("=")
    label, colon, rest = wanted.partition(":")
    try:
        factory = factory_of(wanted)
        if factory is None and colon:
            factory = factory_of(rest)
            return _checked(text, option, NetSpec(label, factory or _known(rest), weights or None))
        return _checked(
            text, option, NetSpec(factory.function if factory else wanted, factory or _known(wanted), weights or None)
        )
    except FuncamError as error:
        raise UsageError(f"{option} {text!r}: {error}") from error


def _known(name: str) -> str:
    canonical_name(name)
    return name


def _checked(text: str, option: str, wanted: NetSpec) -> NetSpec:
    if not wanted.label:
        raise UsageError(f"{option} {text!r} has no label before its first colon; give LABEL:NET or NET")
    if os.sep in wanted.label:  # files are named by it
        raise UsageError(f"{option} {text!r}: a label holds no {os.sep!r}, and the name of a file of yours ends in .py")
    weights = wanted.weights
    is_path = weights is not None and (os.sep in weights or isinstance(wanted.net, Factory))
    if is_path and not os.path.exists(weights or ""):
        raise UsageError(f"{option} {text!r}: there is no file {weights!r}")
    return wanted


def needs_download(wanted: NetSpec) -> bool:
    """Whether `load` would download weights."""
    from funcam.zoo import nets

    return isinstance(wanted.net, str) and nets.needs_download(wanted.net, wanted.weights)


def load(wanted: NetSpec, *, labels: Path | None = None, progress: bool = True) -> Net:
    """The network, on the CPU."""
    from funcam.zoo.nets import load_net
    from funcam.zoo.user_code import load_from_factory

    if isinstance(wanted.net, Factory):
        return load_from_factory(wanted.net, wanted.weights, labels=labels)
    return load_net(wanted.net, wanted.weights, labels=labels, progress=progress)
