"""One entry of the matrix judged: funcam against what a deep copy, a hook and autograd say, as a record for JSON."""

from __future__ import annotations

import dataclasses
import re
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import funcam
from benchmarks.models import alignment, purity
from benchmarks.models import reference as ref
from benchmarks.models.entry import Entry
from benchmarks.models.ways_out import try_ways_out

Record = dict[str, Any]
Report = Callable[[Record], None]
TOLERANCE, OF_HALF = 1e-3, 3e-2
ROUNDING = 1e-6  # of the terms that a map is the sum of: in front of a norm the gradient's mean is zero but for that
_DETECTOR_PREFIX = "backbone."
_ROOT = Path(__file__).parents[2]


def judge(entry: Entry, report: Report = lambda record: None, *, peers: bool = False) -> Record:
    """Judge an entry.

    Args:
        entry: the entry.
        report: is given the record after each step, so that a process that is stopped has said how far it came.
        peers: whether pytorch-grad-cam and torchcam are tried too.

    Returns:
        `named` and `default` (each `{"verdict", ...}`), `changed` (a list), `seconds`, `way`, `alignment`, `verdict`.
    """
    record: Record = {"name": entry.name, "kind": entry.kind, "verdict": "did not finish", "stage": "making"}

    def stage(name: str) -> None:
        record["stage"] = name
        report(record)

    stage("making")
    model = _seeded(entry.make)
    before = purity.snapshot(model)
    images = ref.images_of(entry)
    stage("reference")
    try:
        right = _measured(entry, model, images, record)
    except Exception as error:
        record |= {"verdict": "no reference", "message": _line(error)}
        return record
    stage("first call")
    subject, target = _subject(entry, model), entry.target
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", funcam.FuncamWarning)
        record["default"] = _default(entry, model, subject, images, right, record)
    said = (str(one.message) for one in told if issubclass(one.category, funcam.FuncamWarning))
    record["default"]["told"] = list(dict.fromkeys(said))
    record["default"]["by_name"] = record["default"].get("layer") in record["right_layers"]
    stage("named layer")
    record["named"] = _named(entry, model, images, right, record)
    stage("second call")
    if "layer" in record["default"]:
        record["seconds"]["second"] = _timed(lambda: _explain(entry, subject, images, target))[1]
    stage("untouched")
    record["changed"] = purity.differences(before, purity.snapshot(model))
    if not record["changed"]:
        off = ref.distance_of_all(_plain(model, entry, images), right.outputs)
        record["changed"] = [f"outputs: off by {off:.2g} afterwards"] if off > TOLERANCE else []
    record["verdict"] = overall(record)
    if peers:
        stage("peers")
        from benchmarks.models.peers import peers_of

        record["peers"] = peers_of(entry, lambda: _seeded(entry.make), images, right)
    record.pop("stage")
    return record


def overall(record: Record) -> str:
    """The worst that was seen: `changed model`, `wrong`, `raw exception`, `refused`, `other layer` or `right`."""
    verdicts = [record["named"]["verdict"], record["default"]["verdict"]]
    if record["changed"]:
        return "changed model"
    for worst in ("wrong", "raw exception", "refused", "other layer"):
        if worst in verdicts:
            return worst
    return "right"


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def _measured(entry: Entry, model: nn.Module, images: Tensor, record: Record) -> ref.Reference:
    """The reference, the names that are right, the hook's alignment and the time of a plain forward pass."""
    twin = ref.copied(model, lambda: _seeded(entry.make))
    right = ref.measure(entry, twin, images)
    if tuple(right.features.shape[2:]) != entry.grid:
        raise LookupError(f"{entry.layers[0]} holds {list(right.features.shape)}, not a map over {entry.grid}")
    twin = ref.copied(model, lambda: _seeded(entry.make))
    again, seconds = _timed(lambda: _plain(twin, entry, images))
    record["seconds"] = {"forward": seconds}
    record["deterministic"] = ref.distance_of_all(again, right.outputs) <= TOLERANCE
    record["right_layers"] = sorted(ref.names_of_same(entry, twin, images))
    first = dataclasses.replace(entry, layers=entry.layers[:1])
    record["first_layers"] = sorted(ref.names_of_same(first, twin, images))
    record["alignment"] = alignment.of_hook(entry, twin, images)
    record["gradient"] = float(right.gradient.abs().max())
    return right


def _plain(model: nn.Module, entry: Entry, images: Tensor) -> Any:
    with torch.no_grad():
        return ref.run(model, entry, images)


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def _subject(entry: Entry, model: nn.Module) -> Any:
    """What is handed to funcam: the model, or for torchvision's detectors the pair."""
    return funcam.detector(model) if ref.is_detector(model) else model


def _explain(entry: Entry, subject: Any, images: Tensor, target: Any, layer: str | None = None) -> Any:
    options: dict[str, Any] = {} if layer is None else {"layer": layer}
    if entry.inputs:
        options["inputs"] = _others(entry, images)
    if entry.output is not None and target is None:
        options["output"] = entry.output
    return funcam.explain(subject, images.clone(), target, **options)


def _others(entry: Entry, images: Tensor) -> dict[str, Any]:
    """What goes into the model beside the images, by name."""
    return entry.inputs(images) if entry.inputs else {}


def _guarded(check: Callable[[], Record]) -> Record:
    """The check's record; what it raises is a refusal if it is a FuncamError, else a raw exception."""
    try:
        return check()
    except funcam.FuncamError as error:
        return {"verdict": "refused", "message": without_folders(str(error))}
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {"verdict": "raw exception", "message": f"{_line(error)} ({frame.name}, line {frame.lineno})"}


def _line(error: Exception) -> str:
    said = without_folders(str(error)).strip() or "no message"
    return f"{type(error).__name__}: {said.splitlines()[0]}"[:300]


def without_folders(message: str) -> str:
    """A message without this machine's folders in front of the files that it names."""
    return re.sub(r"/\S*/site-packages/|/\S*/lib/python[\d.]+/", "", message.replace(f"{_ROOT}/", ""))


def _verdict(faults: list[str], **more: Any) -> Record:
    return {"verdict": "wrong" if faults else "right", "faults": faults, **more}


def _tolerance(tensor: Tensor) -> float:
    return OF_HALF if tensor.dtype in (torch.bfloat16, torch.float16) else TOLERANCE


def _default(
    entry: Entry, model: nn.Module, subject: Any, images: Tensor, right: ref.Reference, record: Record
) -> Record:
    """`explain` as a user calls it, without a layer."""

    def check() -> Record:
        if entry.inputs:
            return _default_with_inputs(entry, model, images, right, record)
        result, seconds = _timed(lambda: _explain(entry, subject, images, entry.target))
        record["seconds"]["first"] = seconds
        detector = ref.is_detector(model)
        features = subject[0](images)[0] if detector else None
        layer = _name_of_pair(entry, features, right) if detector else result.layer
        faults = _of_outputs(result.outputs, right) + _of_scores(result.scores, right)
        if layer in record["right_layers"]:
            there = right if detector else _measured_at(entry, model, images, right, layer, record, result.maps)
            faults += _of_map(result.maps, there) if there else []
            return _verdict(faults, layer=layer, grid=list(result.maps.shape[1:]))
        if not detector and _holds_the_first(result.layer, model, images, right):
            return _verdict(faults + _of_map(result.maps, right), layer=layer, grid=list(result.maps.shape[1:]))
        faults += [] if detector else _elsewhere(entry, model, result.layer, images, right, record)
        verdict = _verdict(faults, layer=layer, grid=list(result.maps.shape[1:]))
        same = not detector and (_inside(layer, entry, result.maps) or _holds_the_same(entry, model, layer, images))
        return verdict if faults or same else {**verdict, "verdict": "other layer"}

    outcome = _guarded(check)
    if outcome["verdict"] == "refused":
        outcome["way_out"] = try_ways_out(entry, model, images, right, outcome["message"])
    return outcome


def _elsewhere(
    entry: Entry, model: nn.Module, layer: str, images: Tensor, right: ref.Reference, record: Record
) -> list[str]:
    """What is wrong with a default layer that nobody expected: the scores don't depend on it, or it lies elsewhere."""

    def features(changed: Tensor) -> Tensor:
        return funcam.split(model, layer, example=changed)(changed)[0]

    A, head = funcam.split(model, layer, example=images)(images)
    aligned = alignment.of_function(entry, features, images)
    record["alignment_of_default"] = aligned
    if not float(_gradient_of(entry, A, head, right).abs().max()):
        return [f"the scores don't depend on layer {layer!r}"]
    if aligned is not None and aligned < alignment.ENOUGH <= (record["alignment"] or 0):
        return [f"the map of layer {layer!r} lies elsewhere than the image: {aligned} of 4 places"]
    return []


def _inside(layer: str, entry: Entry, maps: Tensor) -> bool:
    """Whether a layer is a part of an expected block: inside of a block any layer will do that has the same grid."""
    if tuple(maps.shape[1:]) != entry.grid:
        return False
    return any("." in name and layer.startswith(f"{name}.") for name in entry.layers)


def _holds_the_first(layer: str, model: nn.Module, images: Tensor, right: ref.Reference) -> bool:
    """Whether a layer of another name holds the features of the first expected one (a node inside of its module)."""
    A = funcam.split(model, layer, example=images)(images)[0]
    return ref.distance(A.float(), right.features) < _tolerance(A)


def _holds_the_same(entry: Entry, model: nn.Module, layer: str, images: Tensor) -> bool:
    """Whether a layer of another name holds the values of an expected one (a node that takes them out of a tuple)."""
    A = funcam.split(model, layer, example=images)(images)[0]
    twin = ref.copied(model, lambda: _seeded(entry.make))
    held: list[Tensor] = []
    handles = [
        twin.get_submodule(ref.call_of(name)[0]).register_forward_hook(
            lambda module, args, outputs: held.extend(t.detach().clone() for t in ref.tensors_in(outputs))
        )
        for name in entry.layers
        if ref.call_of(name)[0] in dict(twin.named_modules())
    ]
    _plain(twin, entry, images)
    for handle in handles:
        handle.remove()
    values = A.detach().float().flatten().sort().values
    return any(
        tensor.numel() == A.numel() and ref.distance(tensor.float().flatten().sort().values, values) < TOLERANCE
        for tensor in held
    )


def _measured_at(
    entry: Entry, model: nn.Module, images: Tensor, right: ref.Reference, layer: str, record: Record, maps: Tensor
) -> ref.Reference | None:
    """The reference at another right layer, in the layout that gives such a map; None for a node of a graph."""
    if layer in record["first_layers"]:
        return right
    if ref.call_of(layer)[0] not in dict(model.named_modules()):
        return None
    layouts = (entry.layout,) if entry.layout == "other" else ("channels-first", "channels-last", "tokens")
    for layout in dict.fromkeys((entry.layout, *layouts)):
        there = dataclasses.replace(entry, layers=(layer,), leaf=(), layout=layout, grid=tuple(maps.shape[1:]))
        try:
            measured = ref.measure(there, ref.copied(model, lambda: _seeded(entry.make)), images)
        except (RuntimeError, LookupError, AttributeError, TypeError):
            continue
        if measured.cam.shape == maps.shape:
            return measured
    return None


def _name_of_pair(entry: Entry, features: Any, right: ref.Reference) -> str:
    """A pair's layer has no name: it is the expected one if it holds the same."""
    same = isinstance(features, Tensor) and ref.distance(features, right.features) < TOLERANCE
    return entry.layers[0] if same else "another"


def _default_with_inputs(
    entry: Entry, model: nn.Module, images: Tensor, right: ref.Reference, record: Record
) -> Record:
    """With further inputs they are given, `explain(model, images, inputs={...})`, and the split is called with them."""
    result, record["seconds"]["first"] = _timed(lambda: _explain(entry, model, images, entry.target))
    # What no target is given to looks at what the model returns first; a function may look elsewhere.
    split = funcam.split(model, None if entry.target is None else result.layer)
    A, head = split(images.clone(), **_others(entry, images))
    faults = _of_outputs(result.outputs, right) + _of_scores(result.scores, right) + _of_outputs(head(A), right)
    if split.layer != result.layer:
        faults.append(f"explain takes layer {result.layer!r} and split {split.layer!r}")
    if result.layer in record["first_layers"]:
        faults += _of_map(result.maps, right)
    verdict = _verdict(faults, layer=split.layer, grid=list(A.shape[2:]))
    return verdict if faults or split.layer in record["right_layers"] else {**verdict, "verdict": "other layer"}


def _named(entry: Entry, model: nn.Module, images: Tensor, right: ref.Reference, record: Record) -> Record:
    """The cut at the expected layer: features, head, gradient and map."""
    name = ref.named_part(entry)

    def check() -> Record:
        if ref.is_detector(model):
            subject: Any = funcam.detector(model, name.removeprefix(_DETECTOR_PREFIX))
            A, rest = subject[0](images.clone())
            head: Callable[[Tensor], Any] = lambda value: subject[1](value, rest)  # noqa: E731
            record["way"], layer = "pair", None
        else:
            subject = model
            split = funcam.split(model, name, example=None if entry.inputs else images)
            A, head = split(images.clone(), **_others(entry, images))
            record["way"], record["why_this_way"], layer = *way_of(split), name
        faults = _of_features(A, right)
        faults += _of_outputs(head(A), right)
        if not faults:
            faults += _of_gradient(entry, A, head, right)
        result = _explain(entry, subject, images, entry.target, layer)
        faults += _of_outputs(result.outputs, right, "explain's outputs") + _of_scores(result.scores, right)
        faults += _of_map(result.maps, right)
        return _verdict(faults, grid=list(A.shape[2:]))

    outcome = _guarded(check)
    if outcome["verdict"] == "refused":
        outcome["way_out"] = try_ways_out(entry, model, images, right, outcome["message"])
    return outcome


def way_of(split: Any) -> tuple[str, str]:
    """Which way a split went, and why: fx, tap or export."""
    way = getattr(split, "way", None)
    if isinstance(way, str):
        return way, str(getattr(split, "why", ""))
    return ("fx" if getattr(getattr(split, "_cut", None), "image", None) is None else "export"), ""


def _of_outputs(outputs: Any, right: ref.Reference, what: str = "head(A)") -> list[str]:
    off = ref.distance_of_all(outputs, right.outputs)
    half = any(_tolerance(tensor) == OF_HALF for tensor in ref.tensors_in(right.outputs))
    return [f"{what}: another function, off by {off:.2g}"] if off > (OF_HALF if half else TOLERANCE) else []


def _of_scores(scores: Tensor, right: ref.Reference) -> list[str]:
    off = ref.distance(scores.flatten(), right.scores.flatten())
    return [f"scores: off by {off:.2g}"] if off > _tolerance(right.scores) else []


def _of_features(A: Tensor, right: ref.Reference) -> list[str]:
    if A.shape != right.features.shape:
        return [f"A is {list(A.shape)}, not {list(right.features.shape)}"]
    off = ref.distance(A.float(), right.features)
    return [f"A: off by {off:.2g}"] if off > _tolerance(A) else []


def _of_map(maps: Tensor, right: ref.Reference) -> list[str]:
    if maps.shape != right.cam.shape:
        return [f"the map is {list(maps.shape)}, not {list(right.cam.shape)}"]
    off = ref.distance(maps.float(), right.cam)
    if float((maps.float() - right.cam).abs().max()) <= ROUNDING * right.terms:
        return []
    tolerance = OF_HALF if _tolerance(maps) == OF_HALF or right.gradient.dtype != torch.float32 else TOLERANCE
    return [f"map: off by {off:.2g} of its maximum"] if off > tolerance else []


def _of_gradient(entry: Entry, A: Tensor, head: Callable[[Tensor], Any], right: ref.Reference) -> list[str]:
    try:
        gradient = _gradient_of(entry, A, head, right)
    except RuntimeError as error:
        return [f"gradient: the head can't be differentiated, {_line(error)}"]
    off = ref.distance(gradient.float(), right.gradient)
    return [f"gradient: off by {off:.2g}"] if off > _tolerance(A) else []


def _gradient_of(entry: Entry, A: Tensor, head: Callable[[Tensor], Any], right: ref.Reference) -> Tensor:
    """The gradient of the head by autograd, or by `torch.func.vjp` where the head records nothing for autograd."""

    def total(value: Tensor) -> Tensor:
        return ref.scores_of(entry, head(value), right.classes).sum()

    leaf = A.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(total(leaf), leaf, allow_unused=True)
    except RuntimeError:
        value, pullback = torch.func.vjp(total, A.detach())
        (gradient,) = pullback(torch.ones_like(value))
    return torch.zeros_like(A) if gradient is None else gradient
