"""Exporting: from a model to a file that explains without it, verified before it is there."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from funcam.attribution.arguments import inputs_of
from funcam.attribution.batch_run import run_batch
from funcam.attribution.dispatch import MethodLike, ResolvedMethod, apply_methods, resolve_method, uses_gradient
from funcam.attribution.explanation import Explanation, explain
from funcam.attribution.finite import without_warnings
from funcam.attribution.uniform import is_uniform
from funcam.errors import FuncamError, FuncamWarning, shown, whole_number
from funcam.exporting.files import write, written
from funcam.exporting.form import OUTPUTS, Form, check_normalisation
from funcam.exporting.kinds import ALL, Format, check_opset, explained_of, format_of, refuse_method, require_packages
from funcam.exporting.place import check_place
from funcam.exporting.tracing import traced
from funcam.exporting.verifying import verified
from funcam.network.alone import alone
from funcam.network.cutting import split
from funcam.network.known import known_of
from funcam.network.naming import LayerLike
from funcam.network.wrappers import unwrapped
from funcam.targets.target import Output

OPSET = 18
_TYPES = (torch.float32, torch.float64, torch.float16)
_UNBOUNDED = 2**60  # one chunk: the graph holds no loop


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what it is.

    Attributes:
        path: the file.
        files: all that belongs to it: the weights lie in a second one where the first would be too large.
        format: `onnx` or `pt2`.
        inputs: the names of what goes in.
        outputs: the names of what comes out.
        method: the name of the method.
        layer: where the model is cut.
        difference: the largest difference of a map from `explain`'s, as a share of that map's largest value.
        of_logits: the same of the logits.
        images: how many images it was verified with.
        metadata: what the file tells of itself.
    """

    path: Path
    files: tuple[Path, ...]
    format: Format
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    method: str
    layer: str
    difference: float
    of_logits: float
    images: int
    metadata: dict[str, str]


def export(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    example: torch.Tensor,
    targets: str | int | None = None,
    method: MethodLike = "grad-cam",
    layer: LayerLike | None = None,
    format: str | None = None,  # noqa: A002
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    preprocessing: bool = False,
    output: Output = None,
    opset: int | None = None,
    **options: Any,
) -> Exported:
    """Write a model and a method as one graph: images -> logits, class and map, for ONNX Runtime or torch alone.

    The graph takes any number of images of the example's size. Before the file is there it is opened again and
    compared with `explain`, on other images and other numbers of them; what differs by more than 1e-4 of a map's
    maximum is refused. The model is only read. The file tells of itself (`metadata`): the classes' names, layer,
    method, normalisation, funcam's version.

    Args:
        model: a module; it is exported as it is in evaluation mode, in its own type.
        path: where to. An explainer of that name is replaced; where weights are larger than an .onnx file may be,
            they lie beside it (`NAME.data`).
        example: images of the kind that will be explained, `[B, channels, *size]`, as the model takes them.
        targets: None or `"predicted"` for the predicted class, an index for that class, `"input"` for a class that is
            given with each image, `"all"` for every class, where the head is the mean over space and a linear layer.
        method: one that is made of features and their gradient in one pass, as in `explain`.
        layer: where to cut the model, as in `explain`.
        format: `"onnx"` or `"pt2"`; None for what the path's name says.
        classes: the names of the classes, for the file to tell.
        mean: what is subtracted of each channel in 0..1 before the model, for the file to tell, or to do.
        std: what the difference is divided by.
        preprocessing: whether the file takes pixels, uint8 RGB `[B, H, W, 3]` of the example's size, and normalises
            them itself.
        output: where the logits are in what the model returns, as in `explain`.
        opset: the version of ONNX's operators; None for 18.
        **options: the method's own, and `hooks` and `layout` as in `split`.

    Returns:
        What was written, and how far its maps are from `explain`'s.

    Raises:
        FuncamError: the model or the method can't be one graph, the file says another thing than `explain`, or it
            can't be written. No file is left then, and one that was there is as it was.

    Example:
        >>> import tempfile, torchvision
        >>> model = torchvision.models.resnet18().eval()
        >>> file = os.path.join(tempfile.mkdtemp(), "explainer.pt2")
        >>> made = export(model, file, example=torch.rand(1, 3, 64, 64))
        >>> made.layer, made.difference < 1e-4, made.inputs, made.outputs
        ('layer4', True, ('image',), ('logits', 'class', 'map'))
    """
    kind, explained, target = format_of(path, format), explained_of(targets), check_place(path)
    how = {name: options.pop(name) for name in ("hooks", "layout") if name in options}
    resolved = resolve_method(method, options, False)
    _check(model, example, layer)
    refuse_method(resolved.method)
    require_packages(kind)
    check_opset(kind, opset)
    opset = OPSET if opset is None else whole_number("opset", opset, 1)
    numbers = check_normalisation(example, mean, std, preprocessing)
    cut = split(model, layer, **how)

    def eager(images: torch.Tensor, targets: Any) -> Explanation:
        with without_warnings():
            return explain(cut, images, targets, method=method, output=output, **options)

    first = Form(example, explained, 1, *numbers, preprocessing)
    result = eager(first.normalised(first.sample()[0]), None)
    form = Form(example, explained, _count(result, classes, explained), *numbers, preprocessing)
    told = {**_told(result, options, classes), **form.told()}
    with written(target) as passing:
        settled = _settled(cut, form, resolved, output)
        with known_of(unwrapped(model)).lock, alone():
            program = traced(settled, resolved, form)
            run = write(program, passing, kind, form, told, opset)
        agreement = verified(run, eager, form)
        del run  # a file that is open can't be moved on every system
        names = sorted(each.name for each in passing.parent.iterdir())
    if agreement.empty == agreement.count:
        warnings.warn(
            FuncamWarning(
                f"all maps of {result.method} that the file was verified with are zero everywhere: their logits agree"
            ),
            stacklevel=2,
        )
    return Exported(
        path=target,
        files=tuple(target.parent / name for name in names),
        format=kind,
        inputs=form.inputs,
        outputs=OUTPUTS,
        method=result.method,
        layer=result.layer,
        difference=agreement.maps,
        of_logits=agreement.logits,
        images=agreement.images,
        metadata=told,
    )


def _check(model: Any, example: Any, layer: Any) -> None:
    if not isinstance(model, nn.Module):
        raise FuncamError(f"export writes a module and was given {shown(model)}; give the model itself")
    if isinstance(layer, list | tuple):
        raise FuncamError("export takes one layer; export a file for each, and combine their maps")
    if not isinstance(example, torch.Tensor) or example.ndim < 3 or not example.numel():
        raise FuncamError(f"example is {shown(example)}; expected images as the model takes them, [B, channels, *size]")
    if example.dtype not in _TYPES:
        raise FuncamError(f"example has type {example.dtype}; expected torch.float32: export model.float()")


def _count(result: Explanation, classes: Sequence[str] | None, explained: str | int) -> int:
    """How many classes there are; names are as many, and an index is one of them."""
    count = result.logits.shape[1]
    if classes is not None and len(classes) != count:
        raise FuncamError(f"{len(classes)} names of classes were given and the model has {count} logits; give as many")
    if isinstance(explained, int) and not 0 <= explained < count:
        raise FuncamError(f"class {explained} is out of range: the model has {count} classes, 0 to {count - 1}")
    return count


def _settled(cut: Any, form: Form, method: ResolvedMethod, output: Output) -> Any:
    """The model run, and the method applied, on images: what is found out on the way is known when it is traced."""
    images, *classes = form.sample()
    with torch.inference_mode(False), torch.no_grad():
        run = run_batch(
            cut,
            inputs_of(form.normalised(images), (), 0),
            form.targets(classes[0] if classes else None),
            [None],
            memory=_UNBOUNDED,
            output=output,
            gradient=uses_gradient([method]),
        )
        if form.explained == ALL and not is_uniform(run, method.method):
            raise FuncamError(
                f"all classes at once are products of matrices, for which the head has to be the mean over space and "
                f"one linear layer, and {method.method.name} at {run.cuts[0].layer!r} is another thing; export with "
                "targets='input' (--class input)"
            )
        apply_methods(run, [method])
    return run


def _told(result: Explanation, options: dict[str, Any], classes: Sequence[str] | None) -> dict[str, str]:
    version: str = sys.modules["funcam"].__version__  # (of the package itself, which stands above its rooms)
    told = {"funcam": version, "torch": torch.__version__, "method": result.method, "layer": result.layer}
    if options:
        told["options"] = json.dumps(options, default=str)
    if classes is not None:
        told["classes"] = json.dumps(list(classes), ensure_ascii=False)
    return told
