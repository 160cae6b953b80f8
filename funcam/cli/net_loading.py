"""A network as `funcam explain` and `funcam batch` name it: checked before torch is imported, loaded, on its device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, cast

from funcam.cli.device import find_device
from funcam.cli.messages import UsageError, check_choice, complain, loading
from funcam.cli.net_option import NetSpec, lacks_file, load, needs_download
from funcam.errors import FuncamError
from funcam.recipe import SCORES, Scores

if TYPE_CHECKING:
    from funcam.zoo.net import Net


def with_weights(spec: NetSpec, weights: str | None) -> NetSpec:
    """The network with what `--weights` says.

    Raises:
        UsageError: there are weights in `--net` too, or no such file.
    """
    if weights is None:
        return spec
    if spec.weights is not None:
        raise UsageError(f"--weights {weights!r} was given and {spec.weights!r} in --net too; give one or the other")
    given = replace(spec, weights=weights)
    if lacks_file(given):
        raise UsageError(f"--weights {weights!r}: there is no such file")
    return given


def check_meaning(scores: str | None, layout: str | None) -> None:
    """Find wrong words for what outputs and layers mean.

    Raises:
        UsageError: one is wrong.
    """
    if scores is not None:
        check_choice("--scores", scores, SCORES)
    if layout is not None:
        from funcam.network.layout_words import read_words

        try:
            read_words(layout)
        except FuncamError as error:
            raise UsageError(f"--{error}") from error


def load_on_device(
    spec: NetSpec, labels: Path | None, device: str, silent: bool, scores: str | None, output: str | None
) -> tuple[Net, str]:
    """The network on the device, and what that is.

    Args:
        spec: which.
        labels: `--labels`.
        device: `--device`.
        silent: whether neither a spinner nor a bar is drawn.
        scores: `--scores`.
        output: `--output`.
    """
    with loading(spec.label, silent):
        where = find_device(device)
        net = None if needs_download(spec) else load(spec, labels=labels, output=output)
    if net is None:  # the download draws a bar of its own
        net = load(spec, labels=labels, progress=not silent)
    net = net if scores is None else replace(net, scores=cast(Scores, scores))
    return replace(net, model=net.model.to(where)), where


def tell_parts(texts: Iterable[str | None], all_classes: Iterable[Sequence[str]]) -> None:
    """Say which classes were taken for parts of their names.

    Args:
        texts: what `find_meant` has found in all of the networks.
        all_classes: the classes of each network.
    """
    from funcam.zoo.labels import find_meant, taken_as

    told: dict[str | None, None] = {}
    for text, classes in product(dict.fromkeys(texts), all_classes):
        if text is not None:
            against = find_meant(text, classes) < 0
            told[taken_as(text[4:].strip() if against else text, classes)] = None
    for line in filter(None, told):
        complain(line)
