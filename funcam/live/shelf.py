"""Which networks a page offers, with which weights, and at which layers each is cut."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

from funcam.errors import FuncamError, nearest
from funcam.network.listing import list_layers
from funcam.network.naming import Layer
from funcam.zoo.names import NETS
from funcam.zoo.net import Net
from funcam.zoo.nets import load_net
from funcam.zoo.published import cached, usable_entries

RANDOM = "random"
"""Weights that say nothing: to look at a network without any."""

_MOST_LOADED = 4
_FEWEST_LAYERS = 8


class Loaded(NamedTuple):
    """A network, the layers that the slider goes over, and how a program gets it.

    Attributes:
        net: the network.
        layers: in order of execution, the default one last.
        code: an expression, or "" where only the caller has the network.
    """

    net: Net
    layers: tuple[Layer, ...]
    code: str


@dataclass(frozen=True)
class _Offer:
    """A network with weights: loaded already, or by name."""

    name: str
    weights: str
    net: Net | None = None

    def load(self) -> Loaded:
        net = self.net or load_net(self.name, None if self.name == "scenes" else self.weights, progress=False)
        return Loaded(net, _stations(net), _code(net))


class Shelf:
    """The networks of a page by name and weights: those that were given, and those of the zoo without any download.

    Args:
        given: the caller's networks, the first of which the page begins with.
        zoo: whether those of the zoo are there, too: with the published weights in torch hub's cache, and random ones.
    """

    def __init__(self, given: Sequence[Net], zoo: bool) -> None:
        offers = [_Offer(net.name, net.weights, net) for net in given]
        if zoo or not given:
            offers += [_Offer(name, weights) for name in NETS for weights in _at_hand(name)]
        self._offers: dict[tuple[str, str], _Offer] = {}
        for offer in offers:
            self._offers.setdefault((offer.name, offer.weights), offer)
        self._loaded: OrderedDict[tuple[str, str], Loaded] = OrderedDict()
        self._lock = Lock()

    @property
    def names(self) -> list[str]:
        """The networks, the caller's first, then scenes."""
        names = list(dict.fromkeys(name for name, _ in self._offers))
        return sorted(names, key=lambda name: (self._rank(name), names.index(name)))

    def _rank(self, name: str) -> int:
        given = any(offer.net is not None for offer in self._offers.values() if offer.name == name)
        return 0 if given else 1 if name == "scenes" else 2

    def weights(self, name: str) -> list[str]:
        """The weights that there are for a network, the best first.

        Raises:
            FuncamError: no network has that name.
        """
        found = [weights for of, weights in self._offers if of == name]
        if not found:
            raise FuncamError(f"no network is called {name!r}; nearest: {nearest(name, self.names)}")
        return found

    def load(self, name: str, weights: str) -> Loaded:
        """The network with these weights, or with its best ones where it has none of that name; a few are kept.

        Raises:
            FuncamError: no network has that name, or its weights can't be used.
        """
        known = self.weights(name)
        key = (name, weights if weights in known else known[0])
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = self._offers[key].load()
                if len(self._loaded) > _MOST_LOADED:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(key)
            return self._loaded[key]


def _at_hand(name: str) -> list[str]:
    if name == "scenes":
        return ["the package"]
    return [*(entry.name for entry in usable_entries(name) if cached(entry).is_file()), RANDOM]


def _stations(net: Net) -> tuple[Layer, ...]:
    """Some layers from the first to the default one: the outermost modules, and inner ones where these are few."""
    listed = list_layers(net.model, (1, *net.image_shape))
    last = next((number for number, layer in enumerate(listed) if layer.default), len(listed) - 1)
    modules = {name for name, _ in net.model.named_modules()}
    named = [layer for layer in listed[:last] if layer.name in modules]
    for depth in range(max((layer.name.count(".") for layer in named), default=0) + 1):
        chosen = [layer for layer in named if layer.name.count(".") <= depth]
        if len(chosen) >= _FEWEST_LAYERS - 1:
            break
    else:
        chosen = named
    return (*chosen, *listed[last : last + 1])


def _code(net: Net) -> str:
    if net.name not in NETS:
        return ""
    if net.name == "scenes" and net.weights == "the package":
        return 'funcam.load_net("scenes")'
    weights = RANDOM if net.weights.startswith(RANDOM) else net.weights
    return f"funcam.load_net({net.name!r}, {weights!r})"
