"""Networks as they are named on the command line: `[LABEL:]NET[=WEIGHTS]`, NET a name or `FILE.py:FUNCTION`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from funcam.cli.messages import UsageError
from funcam.cli.recipe_options import separated
from funcam.errors import FuncamError
from funcam.zoo.names import canonical_name
from funcam.zoo.user_code import Factory, factory_of

if TYPE_CHECKING:
    from funcam.comparison.plan import Rival
    from funcam.zoo.nets import Net

OWN = "or FILE.py:FUNCTION or package.module:FUNCTION (runs that code)"


@dataclass(frozen=True)
class NetSpec:
    """A network as the command line names it.

    Attributes:
        label: what it goes by.
        net: its name in the zoo, or the function that makes it.
        weights: a file or a name of published weights; None for the default ones.
    """

    label: str
    net: str | Factory
    weights: str | None

    @property
    def is_scenes(self) -> bool:
        return isinstance(self.net, str) and canonical_name(self.net) == "scenes"


def parse_net_spec(text: str, option: str = "--net") -> NetSpec:
    """Read what was asked for; whatever is wrong with it is found here, before torch is imported.

    A network of one's own goes by its function's name, one of the zoo by its own, unless a label stands before it.

    Args:
        text: what was asked for.
        option: what it was given to, for the message.

    Raises:
        UsageError: it names no network, no label or no weights that there are.
    """
    net, equals, weights = text.partition("=")
    if equals and not weights:
        raise UsageError(f"{option} {text!r} names no weights behind =; give NET=FILE or NET (is a variable empty?)")
    label, colon, rest = net.partition(":")
    try:
        factory = factory_of(net)
        if factory is None and colon:
            factory = factory_of(rest)
            return _checked(text, option, NetSpec(label, factory or _known(rest), weights or None))
        name = factory.function if factory else net
        return _checked(text, option, NetSpec(name, factory or _known(net), weights or None))
    except FuncamError as error:
        raise UsageError(f"{option} {text!r}: {error}") from error


def _known(name: str) -> str:
    canonical_name(name)
    return name


def _checked(text: str, option: str, spec: NetSpec) -> NetSpec:
    if not spec.label:
        raise UsageError(f"{option} {text!r} has no label before its first colon; give LABEL:NET or NET")
    if os.sep in spec.label:  # files are named by it
        raise UsageError(f"{option} {text!r}: a label holds no {os.sep!r}, and the name of a file of yours ends in .py")
    if lacks_file(spec):
        raise UsageError(f"{option} {text!r}: there is no file {spec.weights!r}")
    return spec


def lacks_file(spec: NetSpec) -> bool:
    """Whether the weights are a file, by their name or because none are published for the network, that isn't there."""
    if spec.weights is None:
        return False
    unpublished = isinstance(spec.net, Factory) or (spec.is_scenes and spec.weights != "random")
    return (unpublished or re.search(r"[/\\.]", spec.weights) is not None) and not os.path.exists(spec.weights)


def nets_by_label(nets: Sequence[str]) -> dict[str, NetSpec]:
    """The networks that are compared, by their labels.

    Raises:
        UsageError: there is none, or two share a label.
    """
    if not nets:
        raise UsageError("no network to compare; give --net NAME, NAME=WEIGHTS or LABEL:NAME=WEIGHTS, more than once")
    specs: dict[str, NetSpec] = {}
    for text in nets:
        spec = parse_net_spec(text)
        if spec.label in specs:
            advice = f"tell them apart with LABEL:{spec.net}=WEIGHTS"
            raise UsageError(f"two networks are called {spec.label!r}; {advice}")
        specs[spec.label] = spec
    return specs


def layers_by_label(layers: Sequence[str], labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`LAYER`, which is every network's, or `LABEL=LAYER`, several with commas; a network without any is left out.

    Args:
        layers: `--layer`.
        labels: the networks' labels.

    Raises:
        UsageError: a label that no network has, or no layer.
    """
    cuts: dict[str, list[str]] = {label: [] for label in labels}
    for text in layers:
        label, equals, layer = text.partition("=")
        if equals and label not in cuts:
            raise UsageError(f"--layer {text!r}: no network is called {label!r}; there are {', '.join(cuts)}")
        names = separated([layer if equals else text])
        if not names:
            raise UsageError(f"--layer {text!r} names no layer; give NET=LAYER or LAYER (is a variable empty?)")
        for name in [label] if equals else cuts:
            cuts[name] += names
    return {label: tuple(dict.fromkeys(names)) for label, names in cuts.items() if names}


def load_rivals(specs: Mapping[str, NetSpec], device: str) -> list[Rival]:
    """The networks by their labels, on the device.

    Args:
        specs: of `nets_by_label`.
        device: `--device`.
    """
    from dataclasses import replace

    from funcam.cli.device import find_device
    from funcam.comparison.plan import Rival

    where = find_device(device)
    nets = {label: load(spec) for label, spec in specs.items()}
    return [Rival(label, replace(net, model=net.model.to(where)), where) for label, net in nets.items()]


def needs_download(spec: NetSpec) -> bool:
    """Whether `load` would download weights."""
    from funcam.zoo import nets

    return isinstance(spec.net, str) and nets.needs_download(spec.net, spec.weights)


def load(spec: NetSpec, *, labels: Path | None = None, progress: bool = True, output: str | None = None) -> Net:
    """The network, on the CPU.

    Args:
        spec: what was asked for.
        labels: a file of class names.
        progress: whether a bar is drawn while weights are downloaded.
        output: which of the outputs of a network of the user's is meant, `--output`.

    Raises:
        UsageError: the network is one of the zoo, which has one output.
    """
    from funcam.zoo.nets import load_net
    from funcam.zoo.user_code import load_from_factory

    if isinstance(spec.net, Factory):
        return load_from_factory(spec.net, spec.weights, labels=labels, output=output)
    if output is not None:
        raise UsageError(f"--output {output!r}: {spec.net} has one output; leave --output out")
    return load_net(spec.net, spec.weights, labels=labels, progress=progress)
