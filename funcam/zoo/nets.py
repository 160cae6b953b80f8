"""The zoo: a network by its name, with weights, class names, and how it wants its input.

Importing this module imports neither torch nor torchvision; calling `load_net`, `build_net`, `own_net` or `net_infos`
does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funcam.errors import FuncamError, whole_number
from funcam.zoo.labels import numbered, read_labels
from funcam.zoo.names import ALIASES, NETS, canonical_name
from funcam.zoo.net import Net, NetInfo, at_size, labelled
from funcam.zoo.own import own_net

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ALIASES",
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

_FIXED = ("vit_", "maxvit_")
"""Families that take one input size and no other."""


def load_net(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    num_classes: int | None = None,
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    transform_input: bool = True,
    progress: bool = True,
) -> Net:
    """Load a network with weights, built without time spent on random values, and without touching any random state.

    Args:
        name: a name of `NETS`, or an alias.
        weights: None for torchvision's IMAGENET1K_V1 (the default weights where a network has none; the weights in
            the package for `scenes`); a name such as "IMAGENET1K_V2" or "DEFAULT"; a file; or "random".
            Published weights are downloaded unless they are in torch hub's cache.
        num_classes: the number of classes that is expected. It is read off the weights; another number is an error.
        labels: the names of the classes, or a file of them, see `funcam.zoo.labels.read_labels`. Otherwise
            ImageNet's for 1,000 classes and numbers for any other count.
        transform_input: Inception v3 and GoogLeNet only: whether the weights expect the input normalised with 0.5,
            as torchvision's do, and those fine-tuned from them; the network then converts from ImageNet's mean.
        progress: draw a progress bar on stderr while downloading.

    Raises:
        FuncamError: the name, the weights or the labels can't be used, or the download failed.

    Example:
        >>> net = load_net("resnet50", "flowers.pth", labels="flowers.txt")  # doctest: +SKIP
        >>> net.model(images).shape[1] == len(net.classes)  # doctest: +SKIP
        True
    """
    name = canonical_name(name)
    names = read_labels(labels) if isinstance(labels, str | os.PathLike) else labels and tuple(labels)
    if weights == "random":
        net = build_net(name, num_classes=num_classes)
    elif name == "scenes":
        net = _load_scenes(weights)
    else:
        net = _load_torchvision(name, weights, transform_input, progress)
    if num_classes not in (None, len(net.classes)):
        message = f"num_classes={num_classes} was asked for, but {name} with the weights {net.weights} has"
        raise FuncamError(f"{message} {len(net.classes)} classes; leave num_classes out or give other weights")
    return net if names is None else labelled(net, names)


def build_net(name: str, *, num_classes: int | None = None, seed: int = 0) -> Net:
    """A network with random weights, always the same ones for a seed: for tests and benchmarks.

    Args:
        name: a name of `NETS`, or an alias.
        num_classes: so many logits; None for the network's own number. `scenes` has its ten and no other number.
        seed: which random weights. The global random state stays as it is.

    Raises:
        FuncamError: no network has that name.

    Example:
        >>> build_net("resnet18", num_classes=3).model.fc.out_features
        3
    """
    import torch

    from funcam.zoo.architectures import construct
    from funcam.zoo.published import default

    name = canonical_name(name)
    whole_number("seed", seed)
    if num_classes is not None and whole_number("num_classes", num_classes) < 1:
        raise FuncamError(f"num_classes={num_classes} is too few; give 1 or more")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators too
        model = construct(name, num_classes=num_classes).eval()
    origin = f"random (seed {seed})"
    return _scenes_net(model, origin) if name == "scenes" else _torchvision_net(name, model, default(name), origin)


def needs_download(name: str, weights: str | os.PathLike[str] | None = None) -> bool:
    """Whether `load_net` would download these weights of a network: published ones that are not in the cache yet.

    Raises:
        FuncamError: no network or no weights have that name.

    Example:
        >>> needs_download("scenes")
        False
    """
    from funcam.zoo import published

    name = canonical_name(name)
    if name == "scenes" or weights == "random":
        return False
    entry = published.find(name, weights)
    return entry is not None and not published.cached(entry).is_file()


def net_infos() -> tuple[NetInfo, ...]:
    """What there is to know about every network of `NETS` without building or downloading it.

    Example:
        >>> [info.parameters for info in net_infos() if info.name == "resnet50"]
        [25557032]
    """
    return tuple(_scenes_info() if name == "scenes" else _torchvision_info(name) for name in NETS)


def _load_scenes(weights: str | os.PathLike[str] | None) -> Net:
    from funcam.scenes.network import WEIGHTS
    from funcam.zoo.checkpoints import read_checkpoint
    from funcam.zoo.state_dicts import build_with_state

    origin = "the package" if weights is None else os.fspath(weights)
    state = read_checkpoint(WEIGHTS if weights is None else weights)
    return _scenes_net(build_with_state("scenes", state, origin=origin), origin)


def _load_torchvision(name: str, weights: str | os.PathLike[str] | None, transform_input: bool, progress: bool) -> Net:
    from funcam.zoo import published
    from funcam.zoo.checkpoints import read_checkpoint
    from funcam.zoo.state_dicts import build_with_state

    entry = published.find(name, weights)
    file = Path(weights or "") if entry is None else published.fetch(entry, name, progress=progress)
    try:
        model = build_with_state(name, read_checkpoint(file), origin=str(file), transform_input=transform_input)
    except FuncamError as error:
        again = " (or delete it from torch hub's cache: the next run downloads it again)"
        raise FuncamError(f"{error}{again if entry else ''}") from None
    if entry is None:
        return _torchvision_net(name, model, published.suiting(name, file, model), str(file))
    return _torchvision_net(name, model, entry, entry.name)


def _torchvision_net(name: str, model: nn.Module, entry: Any, origin: str) -> Net:
    from funcam.zoo.architectures import count_classes

    preset = entry.transforms()
    categories, count = tuple(entry.meta["categories"]), count_classes(model)
    input_size = int(getattr(model, "image_size", preset.crop_size[0]))
    fixed = name.startswith(_FIXED)
    return Net(
        name=name,
        model=model,
        classes=categories if count == len(categories) else numbered(count),
        weights=origin,
        input_size=input_size,
        resize_size=preset.resize_size[0] if input_size == preset.crop_size[0] else input_size,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
        fixed_size=fixed,
        min_size=input_size if fixed else _min_size(name, entry),
    )


def _min_size(name: str, entry: Any) -> int:
    # torchvision states the training size for Swin, which pads what it is given and takes 32 pixels well.
    return 32 if name.startswith("swin_") else int(entry.meta["min_size"][0])


def _scenes_net(model: nn.Module, origin: str) -> Net:
    from funcam.scenes import CLASSES
    from funcam.scenes.network import INPUT_SIZE, MEAN, STD

    return Net(
        name="scenes",
        model=model,
        classes=tuple(CLASSES),
        weights=origin,
        input_size=INPUT_SIZE,
        resize_size=INPUT_SIZE,
        mean=MEAN,
        std=STD,
        interpolation="bilinear",
        fixed_size=False,
        min_size=1,
    )


def _torchvision_info(name: str) -> NetInfo:
    from funcam.zoo.published import usable_entries

    usable = usable_entries(name)
    meta = usable[0].meta
    return NetInfo(
        name=name,
        aliases=_aliases(name),
        parameters=meta["num_params"],
        input_size=usable[0].transforms().crop_size[0],
        fixed_size=name.startswith(_FIXED),
        classes=len(meta["categories"]),
        weights=tuple(entry.name for entry in usable),
        megabytes=meta["_file_size"],
        accuracy=meta["_metrics"]["ImageNet-1K"]["acc@1"],
    )


def _scenes_info() -> NetInfo:
    from funcam.scenes import CLASSES
    from funcam.scenes.network import INPUT_SIZE, WEIGHTS
    from funcam.zoo.architectures import meta_network

    return NetInfo(
        name="scenes",
        aliases=_aliases("scenes"),
        parameters=sum(parameter.numel() for parameter in meta_network("scenes").parameters()),
        input_size=INPUT_SIZE,
        fixed_size=False,
        classes=len(CLASSES),
        weights=(),
        megabytes=round(WEIGHTS.stat().st_size / 2**20, 3) if WEIGHTS.exists() else 0.0,
        accuracy=None,
    )


def _aliases(name: str) -> tuple[str, ...]:
    return tuple(alias for alias, target in ALIASES.items() if target == name)
