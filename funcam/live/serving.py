"""`funcam.app`: the page, where Gradio is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from funcam.errors import FuncamError, shown
from funcam.live.shelf import Shelf
from funcam.zoo.net import Net

if TYPE_CHECKING:
    from funcam.live.page import Page


def app(*nets: Net, zoo: bool = True) -> Page:
    """A page to drop a picture on: classes as buttons, two networks side by side, places that can be clicked.

    It is an app of Gradio's: `funcam.app().launch()` serves it on this machine, and a Hugging Face Space takes it as
    its `demo`. Uploads are limited to 20 MB and kept for ten minutes, and a browser is told to ask nobody else for
    anything.

    Args:
        *nets: the networks to begin with (`load_net`, `own_net`); without any the one of the scenes.
        zoo: whether those of the zoo can be chosen, too: with the published weights in torch hub's cache, or random
            ones. Nothing is downloaded.

    Returns:
        The page, a `gradio.Blocks`.

    Raises:
        FuncamError: Gradio is not installed, or something is no network.

    Example:
        >>> funcam.app(funcam.load_net("resnet50")).launch()  # doctest: +SKIP
    """
    for net in nets:
        if not isinstance(net, Net):
            raise FuncamError(
                f"{shown(net)} is no network for a page; give funcam.load_net(...) or funcam.own_net(...)"
            )
    from funcam.live.page import build

    return build(Shelf(nets, zoo))
