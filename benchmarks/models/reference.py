"""What is right, measured without funcam: a deep copy of the model, a forward hook, and autograd."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks.models.entry import Entry

SHARED_ABOVE = 150_000_000  # parameters: a copy of a larger model shares them, and records nothing of its weights


@dataclasses.dataclass
class Reference:
    """A model's outputs, and the features, gradient and map at the expected layer, as `[B, C, *S]` and `[B, *S]`.

    `terms` is how large the map would be if nothing in its sums cancelled: rounding is relative to that.
    """

    outputs: Any
    scores: Tensor
    classes: Tensor | None
    features: Tensor
    gradient: Tensor
    cam: Tensor
    terms: float = 0.0


def images_of(entry: Entry, count: int = 2) -> Tensor:
    """Images in 0 to 1: large blots and some noise, so that two of them differ everywhere in a network."""
    generator = torch.Generator().manual_seed(1)
    if len(entry.image) == 1:  # a waveform, without a channel axis
        return images_of(dataclasses.replace(entry, image=(1, *entry.image)), count)[:, 0]
    size = entry.image[1:]
    mode = ("linear", "bilinear", "trilinear")[len(size) - 1]
    coarse = torch.rand(count, entry.image[0], *[min(side, 4) for side in size], generator=generator)
    blots = interpolate(coarse, size, mode=mode)
    return (blots + 0.2 * (torch.rand(blots.shape, generator=generator) - 0.5)).clamp(0, 1)


def is_detector(model: nn.Module) -> bool:
    """Whether it is a detector of torchvision's, which takes a list of images."""
    from torchvision.models.detection.fcos import FCOS
    from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
    from torchvision.models.detection.retinanet import RetinaNet
    from torchvision.models.detection.ssd import SSD

    return isinstance(model, GeneralizedRCNN | RetinaNet | FCOS | SSD)


def run(model: nn.Module, entry: Entry, images: Tensor) -> Any:
    """What the model returns for a copy of the images (it may change them) and its further inputs."""
    if is_detector(model):
        return model(list(images.clone()))
    return model(images.clone(), **(entry.inputs(images) if entry.inputs else {}))


def copied(model: nn.Module, make: Callable[[], nn.Module]) -> nn.Module:
    """A copy to measure on; made anew where it can't be copied (the old weight_norm)."""
    large = sum(parameter.numel() for parameter in model.parameters()) > SHARED_ABOVE
    shared: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()} if large else {}
    try:
        return copy.deepcopy(model, shared)
    except RuntimeError:
        return make()


def call_of(layer: str) -> tuple[str, int]:
    """`block#3` is the third call of `block`; without a number it is the first."""
    name, _, number = layer.partition("#")
    return name, int(number or 1)


def named_part(entry: Entry) -> str:
    """The first expected layer as funcam calls it, with the part of what it returns: `encoder[0]`."""
    return entry.layers[0] + "".join(f"[{key}]" for key in entry.leaf)


def part_of(value: Any, leaf: tuple[int | str, ...]) -> Any:
    """The part of what a module returned: an index, a key or an attribute, one after the other."""
    for key in leaf:
        value = getattr(value, key) if isinstance(key, str) and not isinstance(value, Mapping) else value[key]
    return value


def with_part(value: Any, leaf: tuple[int | str, ...], tensor: Tensor) -> Any:
    """The same with another tensor in the place of the part."""
    if not leaf:
        return tensor
    key, *rest = leaf
    inner = with_part(part_of(value, (key,)), tuple(rest), tensor)
    if isinstance(value, tuple):
        items = [inner if index == key else item for index, item in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    changed = copy.copy(value)
    if isinstance(key, str) and not isinstance(value, Mapping):
        setattr(changed, key, inner)
    else:
        changed[key] = inner
    return changed


def to_map(entry: Entry, tensor: Tensor) -> Tensor:
    """What the layer holds as `[B, C, *S]`, by the layout that is expected."""
    if entry.layout == "channels-first":
        return tensor
    if entry.layout == "channels-last":
        return tensor.movedim(-1, 1)
    if entry.layout == "tokens":
        grid = tensor[:, entry.prefix : tensor.shape[1] - entry.suffix]
        return grid.transpose(1, 2).unflatten(2, entry.grid)
    assert entry.to_map is not None, f"{entry.name}: layout 'other' without to_map"
    return entry.to_map(tensor)


def logits_in(entry: Entry, outputs: Any) -> Tensor:
    """The logits, where the entry says that they are."""
    if entry.output is not None:
        outputs = part_of(outputs, (entry.output,))
    elif not isinstance(outputs, Tensor):
        outputs = part_of(outputs, ("logits",)) if "logits" in _names(outputs) else outputs[0]
    assert isinstance(outputs, Tensor), f"{entry.name}: no logits in a {type(outputs).__name__}"
    return outputs


def _names(outputs: Any) -> list[str]:
    return list(outputs) if isinstance(outputs, Mapping) else dir(outputs)


def scores_of(entry: Entry, outputs: Any, classes: Tensor | None) -> Tensor:
    """The scores `[B]` that are explained: the entry's own, or the logits of the classes."""
    if entry.target is not None:
        return entry.target(outputs)
    assert classes is not None
    return logits_in(entry, outputs).gather(1, classes[:, None])[:, 0]


def measure(entry: Entry, model: nn.Module, images: Tensor, *, layer: str | None = None) -> Reference:
    """Features, gradient and Grad-CAM at the layer: what it returns is made a leaf of autograd's.

    Raises:
        LookupError: the layer was not called, or the scores don't depend on it.
    """
    with torch.no_grad():
        outputs = run(model, entry, images)
    classes = None if entry.target else logits_in(entry, outputs).argmax(1)
    if sum(parameter.numel() for parameter in model.parameters()) > SHARED_ABOVE:
        model = copy.deepcopy(model, {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()})
    layer = layer or entry.layers[0]
    held: list[tuple[Tensor, Tensor]] = []

    def place(part: Tensor) -> Tensor:
        with torch.enable_grad():  # a backbone may run under no_grad
            leaf = part.detach().clone().requires_grad_()
            held.append((part.detach().clone(), leaf))
            return leaf.clone()

    with hooked(model, layer, entry.leaf, place), torch.enable_grad():
        total = scores_of(entry, run(model, entry, images), classes)
    if not held:
        raise LookupError(f"{layer} was not called")
    value, leaf = held[0]
    gradient = to_map(entry, _gradient(total.sum(), leaf)).float()
    features = to_map(entry, value).float()
    weights = gradient.flatten(2).mean(2)
    cam = torch.einsum("bc,bc...->b...", weights, features).relu()
    terms = torch.einsum("bc,bc...->b...", gradient.abs().flatten(2).mean(2), features.abs()).max()
    return Reference(outputs, total.detach(), classes, features, gradient, cam, float(terms))


def _gradient(total: Tensor, leaf: Tensor) -> Tensor:
    try:
        (gradient,) = torch.autograd.grad(total, leaf, retain_graph=True)
    except RuntimeError as error:
        if "checkpoint" not in str(error):
            raise LookupError(f"the scores don't depend on the layer: {error}") from error
        total.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return leaf.grad
    return gradient


class hooked:
    """Inside, the numbered call of a layer returns what `place` makes of its tensor."""

    def __init__(
        self, model: nn.Module, layer: str, leaf: tuple[int | str, ...], place: Callable[[Tensor], Tensor | None]
    ) -> None:
        name, self.number = call_of(layer)
        self.module, self.leaf, self.place, self.calls = model.get_submodule(name), leaf, place, 0

    def hook(self, module: nn.Module, args: Any, outputs: Any) -> Any:
        self.calls += 1
        if self.calls != self.number:
            return None
        changed = self.place(part_of(outputs, self.leaf))
        return None if changed is None else with_part(outputs, self.leaf, changed)

    def __enter__(self) -> None:
        self.handle = self.module.register_forward_hook(self.hook)

    def __exit__(self, *error: object) -> None:
        self.handle.remove()


def names_of_same(entry: Entry, model: nn.Module, images: Tensor) -> set[str]:
    """Every name that is right: the entry's layers, and modules that return one of their tensors as it is."""
    returned: dict[str, tuple[int, int]] = {}  # a call's tensor and its version: in-place operations change that
    alive: list[Tensor] = []
    calls: dict[str, int] = {}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: Any, outputs: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(outputs, Tensor):
                alive.append(outputs)
                returned[f"{name}#{calls[name]}"] = (id(outputs), outputs._version)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    with torch.no_grad():
        run(model, entry, images)
    for handle in handles:
        handle.remove()
    numbered = {f"{name}#{number}" for name, number in map(call_of, entry.layers)}
    wanted = {returned[name] for name in numbered if name in returned}
    same = {name for name, key in returned.items() if key in wanted} | numbered
    plain = {name for name, number in map(call_of, same) if number == 1}
    suffixed = {f"{name}_{number - 1}" for name, number in map(call_of, same) if number > 1}  # torchvision's node names
    return same | plain | suffixed | set(entry.layers) | {named_part(entry)}


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in what a model returned: in tuples, lists, dicts, dataclasses."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in tensors_in(item)]
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in tensors_in(item)]
    if dataclasses.is_dataclass(value):
        return [t for field in dataclasses.fields(value) for t in tensors_in(getattr(value, field.name))]
    return []


def distance(value: Tensor, right: Tensor) -> float:
    """The largest difference, relative to the largest value of the right one; infinite where the shapes differ."""
    if value.shape != right.shape:
        return float("inf")
    if not right.numel():
        return 0.0
    value, right = value.detach().double(), right.detach().double()
    largest = float(right.abs().max())
    off = float((value - right).abs().nan_to_num(nan=float("inf")).max())
    return off / largest if largest > 0 else off


def distance_of_all(value: Any, right: Any) -> float:
    """The largest of the distances of all tensors in what two calls returned."""
    values, rights = tensors_in(value), tensors_in(right)
    if len(values) != len(rights):
        return float("inf")
    return max((distance(*pair) for pair in zip(values, rights, strict=True)), default=0.0)
