"""The zoo: a network by its name, with weights, class names, and how it wants its input; or a model of one's own.

Importing this module imports neither torch nor torchvision; calling `load_net`, `build_net`, `own_net` or `net_infos`
does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funcam.errors import FuncamError
from funcam.zoo.labels import numbered, read_labels
from funcam.zoo.names import ALIASES, NETS, canonical_name

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

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Net:
    """A network that is ready to predict, and what it wants of its input."""

    name: str
    model: nn.Module
    """In evaluation mode, float32, on the CPU."""
    classes: tuple[str, ...]
    """The name of each logit; "class 17" where nobody named it."""
    weights: str
    """Where the values come from: a name such as IMAGENET1K_V1, a path, or a word."""
    input_size: int
    resize_size: int
    """Length of the image's shorter edge before `input_size` is cropped from its centre."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    """How the image is resized: "bilinear" or "bicubic"."""
    fixed_size: bool
    """Whether the network takes `input_size` and no other."""
    min_size: int
    """The smallest side of an input that the network takes."""


@dataclass(frozen=True)
class NetInfo:
    """What `funcam nets` says about a network, known without building it."""

    name: str
    aliases: tuple[str, ...]
    parameters: int
    input_size: int
    fixed_size: bool
    classes: int
    weights: tuple[str, ...]
    """The names that `load_net` takes as `weights`, the default first; none for the network in the package."""
    megabytes: float
    """Size of the default weights' file."""
    accuracy: float | None
    """Top-1 accuracy on ImageNet in percent with the default weights, as published."""


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
    if num_classes is not None and num_classes < 1:
        raise FuncamError(f"num_classes={num_classes} is too few; give 1 or more")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators too
        model = construct(name, num_classes=num_classes).eval()
    origin = f"random (seed {seed})"
    return _scenes_net(model, origin) if name == "scenes" else _torchvision_net(name, model, default(name), origin)


def own_net(
    model: nn.Module,
    *,
    input_size: int = 224,
    mean: Sequence[float] = _IMAGENET_MEAN,
    std: Sequence[float] = _IMAGENET_STD,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    interpolation: str = "bilinear",
    fixed_size: bool = False,
) -> Net:
    """A model of one's own, with what it wants of its input.

    Args:
        model: images `[B, 3, H, W]` -> logits `[B, K]` (a tensor, or what `funcam.logits_of` finds them in).
            It stays as it is: one that is in training mode, in half precision or on a GPU is copied first.
        input_size: side of the input in pixels.
        mean: with which an RGB image in 0..1 is normalised; ImageNet's unless given.
        std: as `mean`.
        classes: the K names. Otherwise ImageNet's for 1,000 classes and numbers for any other count.
        name: what to call it; None for the model's class.
        interpolation: how images are resized, "bilinear" or "bicubic".
        fixed_size: whether it takes `input_size` and no other.

    Raises:
        FuncamError: a value can't be, the model can't take such an input, or the names are not as many as its logits.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 2, 9), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> own_net(model, input_size=64, mean=(0.5,) * 3, std=(0.25,) * 3, classes=("cat", "dog")).classes
        ('cat', 'dog')
    """
    from funcam.zoo.published import default
    from funcam.zoo.user_models import count_logits, ready

    _check_input(input_size, mean, std, interpolation)
    name = type(model).__name__ if name is None else name
    model = ready(model)
    count = count_logits(model, input_size, name)
    imagenet = tuple(default("resnet50").meta["categories"])
    net = Net(
        name=name,
        model=model,
        classes=imagenet if count == len(imagenet) else numbered(count),
        weights="its own",
        input_size=input_size,
        resize_size=input_size,
        mean=tuple(mean),
        std=tuple(std),
        interpolation=interpolation,
        fixed_size=fixed_size,
        min_size=input_size if fixed_size else 1,
    )
    return net if classes is None else labelled(net, classes)


def at_size(net: Net, size: int | None) -> Net:
    """The network with an input of another size: coarse maps become finer where it is larger.

    Args:
        net: any network.
        size: side of the input in pixels; None leaves the network as it is.

    Raises:
        FuncamError: the network takes its own size and no other, or none that small.

    Example:
        >>> at_size(build_net("resnet18"), 320).input_size
        320
    """
    if size is None or size == net.input_size:
        return net
    if net.fixed_size or size < net.min_size:
        smallest = f"exactly {net.input_size}" if net.fixed_size else f"at least {net.min_size}"
        raise FuncamError(f"{net.name} can't take images of {size} pixels; it takes {smallest}")
    return replace(net, input_size=size, resize_size=round(net.resize_size * size / net.input_size))


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


def labelled(net: Net, names: Sequence[str]) -> Net:
    """The network with these names for its classes.

    Raises:
        FuncamError: there are not as many names as classes.

    Example:
        >>> labelled(build_net("resnet18", num_classes=2), ["cat", "dog"]).classes
        ('cat', 'dog')
    """
    if len(names) != len(net.classes):
        message = f"{len(names)} class names were given, but {net.name} with the weights {net.weights} has"
        raise FuncamError(f"{message} {len(net.classes)} classes; give one name for each, in their order")
    return replace(net, classes=tuple(names))


def _check_input(input_size: int, mean: Sequence[float], std: Sequence[float], interpolation: str) -> None:
    if input_size < 1:
        raise FuncamError(f"input_size={input_size} is too small; give the side of the input in pixels, such as 224")
    for what, values in (("mean", mean), ("std", std)):
        if len(values) != 3:
            raise FuncamError(f"{what} has {len(values)} values; expected 3, for red, green and blue in 0..1")
    if min(std) <= 0:
        raise FuncamError(f"std={tuple(std)} divides by zero or less; expected 3 positive values, such as 0.25")
    if interpolation not in ("bilinear", "bicubic"):
        raise FuncamError(f"interpolation={interpolation!r} is unknown; expected 'bilinear' or 'bicubic'")


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
