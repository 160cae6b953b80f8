"""Networks by name, with weights, class names and how they want their input; and models of one's own.

    net = load_net("resnet50")                    # or "flowers.pth" for its weights
    net = own_net(model, input_size=64)           # a model of one's own

Importing this package imports neither torch nor torchvision; calling `load_net`, `build_net`, `own_net` or `net_infos`
does.
"""

from funcam.zoo.names import ALIASES, DEFAULT_LAYERS, NETS, canonical_name
from funcam.zoo.net import Net, NetInfo, at_size
from funcam.zoo.nets import build_net, load_net, needs_download, net_infos
from funcam.zoo.own import own_net

__all__ = [
    "ALIASES",
    "DEFAULT_LAYERS",
    "NETS",
    "Net",
    "NetInfo",
    "at_size",
    "build_net",
    "canonical_name",
    "load_net",
    "needs_download",
    "net_infos",
    "own_net",
]
