"""`funcam export`: the explainer as a file that needs neither funcam nor, as ONNX, Python."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from funcam.cli.messages import UsageError, check_file, complain, console, loading
from funcam.cli.net_loading import tell_parts
from funcam.cli.net_option import load, needs_download, parse_net_spec
from funcam.cli.recipe_options import check_methods, settings_of
from funcam.errors import FuncamError, FuncamWarning, json_text
from funcam.exporting.kinds import EXPLAINED, check_opset, format_of, refuse_method, require_packages
from funcam.exporting.place import check_place
from funcam.methods import find_method

if TYPE_CHECKING:
    from funcam.exporting.exports import Exported
    from funcam.zoo.nets import Net


def export(
    net: Annotated[
        str,
        typer.Option(
            "--net", "-n", help="Name (`funcam nets`), or FILE.py:FUNCTION (runs that code); =WEIGHTS behind it."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file, e.g. explainer.onnx or explainer.pt2.")],
    kind: Annotated[str | None, typer.Option("--format", help="onnx or pt2; else what the file's name says.")] = None,
    target: Annotated[
        str, typer.Option("--class", "-c", help="predicted, input (given with each image), all, or an index or name.")
    ] = "predicted",
    method: Annotated[str, typer.Option("--method", "-m", help="Method of one pass (`funcam methods`).")] = "grad-cam",
    layer: Annotated[str | None, typer.Option("--layer", "-l", help="Where to cut (`funcam layers NET`).")] = None,
    preprocessing: Annotated[
        bool, typer.Option("--with-preprocessing", help="Take uint8 RGB pixels [B, H, W, 3], not normalised images.")
    ] = False,
    size: Annotated[int | None, typer.Option("--size", help="Side of the input in pixels; else the network's.")] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="File of class names, one a line or JSON.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A method's option: METHOD.OPTION=VALUE; repeat.")
    ] = None,
    opset: Annotated[int | None, typer.Option("--opset", min=18, help="Version of ONNX's operators; else 18.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON, only.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Write a network and a method as one graph in a file: images -> logits, class and map, verified."""
    spec = parse_net_spec(net)
    format_ = _checked(out, kind, method, opset)
    options = settings_of(settings or [], [method]).get(method, {})
    check_file("--labels", labels)
    require_packages(format_)
    silent = quiet or as_json
    with loading(spec.label, silent or needs_download(spec)):
        loaded = load(spec, labels=labels, progress=not silent)
    if not silent and target not in EXPLAINED:
        tell_parts([target], [loaded.classes])
    with warnings.catch_warnings(record=True) as told, loading(f"{out.name}: tracing, writing, verifying", silent):
        warnings.simplefilter("always", FuncamWarning)
        made = _export(loaded, out, format_, target, method, layer, preprocessing, size, opset, options)
    for warning in told:
        if issubclass(warning.category, FuncamWarning):
            complain(str(warning.message))
    if as_json:
        print(json_text(_document(made), indent=1, ascii_only=True))
    elif not quiet:
        _print(made)


def _checked(out: Path, kind: str | None, method: str, opset: int | None) -> Any:
    """Find every wrong word, and a place that can't be written, before torch is imported; the format."""
    check_methods([method])
    try:
        refuse_method(find_method(method))
        format_ = format_of(out, kind)
        check_opset(format_, opset)
    except FuncamError as error:
        raise UsageError(str(error)) from error
    check_place(out)
    return format_


def _export(
    net: Net,
    out: Path,
    kind: str,
    target: str,
    method: str,
    layer: str | None,
    preprocessing: bool,
    size: int | None,
    opset: int | None,
    options: Mapping[str, Any],
) -> Exported:
    import torch

    from funcam.exporting.exports import export as write
    from funcam.zoo.labels import find_class
    from funcam.zoo.nets import at_size

    net = at_size(net, size)
    return write(
        net.model,
        out,
        example=torch.zeros(1, *net.image_shape),
        targets=target if target in EXPLAINED else find_class(target, net.classes),
        method=method,
        layer=layer,
        format=kind,
        classes=net.classes,
        mean=net.mean,
        std=net.std,
        preprocessing=preprocessing,
        output=net.output,
        opset=opset,
        **options,
    )


def _document(made: Exported) -> dict[str, Any]:
    return {
        "file": str(made.path),
        "files": [str(file) for file in made.files],
        "bytes": sum(file.stat().st_size for file in made.files),
        "format": made.format,
        "inputs": made.inputs,
        "outputs": made.outputs,
        "difference": made.difference,
        "difference of logits": made.of_logits,
        "images": made.images,
        "metadata": made.metadata,
    }


def _print(made: Exported) -> None:
    from funcam.cli.tables import plain, print_prose

    size = sum(file.stat().st_size for file in made.files) / 1e6
    several = f" (with {made.files[-1].name})" if len(made.files) > 1 else ""
    told = made.metadata
    print_prose(console(), plain(f"{made.path}{several}: {made.method} at {made.layer}, {size:.1f} MB"))
    print_prose(console(), plain(f"in: {told['input']} -> logits, class, map {told['map']}"))
    print_prose(
        console(),
        f"verified on {made.images} other images: maps differ by {made.difference:.1e} of their maximum, logits by "
        f"{made.of_logits:.1e}",
    )
