"""Every network of torchvision's as an exported explainer: how far its maps are, and what they cost in ONNX Runtime."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import funcam
from benchmarks.files import put
from benchmarks.machine import describe
from benchmarks.pages import filled
from funcam import Exported, FuncamWarning
from funcam.errors import reason_in
from funcam.zoo.nets import NETS, Net, build_net, load_net, net_infos

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "benchmarks" / "results" / "exports.json"
PAGE = ROOT / "docs" / "export.md"
TIMED = (
    *("shufflenet_v2_x1_0", "mobilenet_v2", "squeezenet1_1", "efficientnet_b0", "densenet121", "resnet18", "resnet50"),
    *("convnext_tiny", "mobilenet_v3_large", "alexnet", "vgg11", "vit_b_32", "swin_t"),
)
ASSETS = Path(os.environ.get("FUNCAM_ASSETS", ROOT.parent / "shared/assets"))
_ROUNDS = 40
Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("names", nargs="*", help="networks; else all that have no row yet, the smallest first")
    parser.add_argument("--assets", type=Path, default=ASSETS)
    parser.add_argument("--latency", action="store_true", help=f"measure the cost, of {', '.join(TIMED)} or NAMES")
    parser.add_argument("--tables", action="store_true", help="only write the tables again")


def main(given: argparse.Namespace) -> int:
    """Measure, a process for each network, and write what was found after each."""
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {"maps": {}, "latency": {}}
    what, measure = ("latency", latency_of) if given.latency else ("maps", row_of)
    unknown = [name for name in given.names if name not in NETS]
    if unknown:
        print(f"{unknown[0]!r} is none of {', '.join(NETS)}", file=sys.stderr)
        return 2
    names = given.names or (TIMED if given.latency else [name for name in _by_size() if name not in report["maps"]])
    for name in () if given.tables else names:
        report |= {"command": "python -m benchmarks exports [--latency]", "machine": describe()}
        report[what][name] = _alone(measure, name, given.assets)
        print(name, json.dumps(report[what][name]), flush=True)
        _write(report)
    _write(report)
    return 0


def _write(report: Row) -> None:
    put(REPORT, json.dumps(report, indent=1, sort_keys=True) + "\n")
    put(PAGE, filled(PAGE.read_text(), tables(report)))


def _by_size() -> list[str]:
    sizes = {info.name: info.parameters for info in net_infos()}
    return sorted((name for name in NETS if name != "scenes"), key=sizes.__getitem__)


def _alone(measure: Callable[[str, Path], Row], name: str, assets: Path) -> Row:
    """In a process of its own, so that what one needs is given back."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sending.send(measure(name, assets)))
    child.start()
    sending.close()
    try:
        return receiving.recv()
    except EOFError:
        return {"error": "the process ended early"}
    finally:
        child.join()


def net_of(name: str, assets: Path) -> Net:
    """A network with real weights where they are, else random ones of which every layer says something."""
    weights = assets / "weights" / f"{name}.pth"
    if weights.is_file():
        return load_net(name, weights)
    net = build_net(name)
    for each in net.model.parameters():
        if each.ndim > 1 and not each.any():  # a Vision Transformer's last layer begins with zeros, and so do its maps
            torch.nn.init.normal_(each, std=0.02)
    return net


def row_of(name: str, assets: Path) -> Row:
    """Export one and say how far its maps are from `explain`'s."""
    torch.set_num_threads(1)
    net, start = net_of(name, assets), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", FuncamWarning)  # of maps that are zero everywhere, which agree with anything
        try:
            made = _exported(net, Path(folder) / "explainer.onnx")
        except Exception as error:
            return {"error": f"{type(error).__name__}: {reason_in(error)}"}
        return {
            "layer": made.layer,
            "size": net.input_size,
            "weights": "random" if "random" in net.weights else "real",
            "difference": made.difference,
            "of logits": made.of_logits,
            "megabytes": round(sum(file.stat().st_size for file in made.files) / 1e6, 1),
            "files": len(made.files),
            "seconds": round(time.perf_counter() - start),
        }


def _exported(net: Net, path: Path) -> Exported:
    """Of the predicted class; where random weights say nothing for it, of any classes."""
    example = torch.rand(1, *net.image_shape)
    try:
        return funcam.export(net.model, path, example=example)
    except FuncamWarning:
        return funcam.export(net.model, path, example=example, targets="input")


def latency_of(name: str, assets: Path) -> Row:
    """The explainer's time over that of the same graph without the map, one image and one thread, turn by turn.

    Where several linear layers lie behind the layer, what their derivatives take alone is measured beside them.
    """
    import onnx

    torch.set_num_threads(1)
    net = net_of(name, assets)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole, plain, backward = (f"{folder}/{file}.onnx" for file in ("explainer", "plain", "backward"))
        made = funcam.export(net.model, whole, example=torch.rand(1, *net.image_shape))
        onnx.utils.extract_model(whole, plain, ["image"], ["logits"])
        linears = linears_behind(net, made.layer)
        files = [plain, whole]
        if len(linears) > 1:
            _write_backward(linears, backward)
            files.append(backward)
        seconds = _interleaved(files)
    forward, explained, *rest = (min(taken) for taken in seconds)
    ratios = [b / a for a, b, *_ in zip(*seconds, strict=True)]
    return {
        "forward ms": 1e3 * forward,
        "ratio": explained / forward,
        "median of ratios": statistics.median(ratios),
        "over linear layers": explained / (forward + sum(rest)),
        "linear layers": len(linears),
    }


def _interleaved(files: list[str]) -> list[list[float]]:
    """Seconds of this thread's, which does it all: others may keep the machine busy."""
    import numpy as np
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    numbers = np.random.default_rng(0)
    sessions = [onnxruntime.InferenceSession(file, settings) for file in files]
    feeds = [
        {each.name: numbers.normal(size=[side if isinstance(side, int) else 1 for side in each.shape]).astype("f4")}
        | {other.name: numbers.normal(size=other.shape).astype("f4") for other in others}
        for each, *others in (session.get_inputs() for session in sessions)
    ]
    seconds: list[list[float]] = [[] for _ in files]
    for _ in range(_ROUNDS):
        for session, feed, taken in zip(sessions, feeds, seconds, strict=True):
            start = time.thread_time()
            session.run(None, feed)
            taken.append(time.thread_time() - start)
    return seconds


class _Linears(TorchDispatchMode):
    """The sizes of products of rows with a matrix: (rows, in, out)."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.addmm.default, torch.ops.aten.mm.default):
            rows, matrix = args[-2:]
            self.sizes.append((len(rows), *matrix.shape))
        return func(*args, **(kwargs or {}))


def linears_behind(net: Net, layer: str) -> list[tuple[int, int, int]]:
    """The linear layers behind a layer, for one image: (rows, in, out)."""
    with _Linears() as seen:
        module = dict(net.model.named_modules()).get(layer)
        handle = module.register_forward_hook(lambda *_: seen.sizes.clear()) if module is not None else None
        net.model.eval()(torch.rand(1, *net.image_shape).requires_grad_())
    if handle is not None:
        handle.remove()
    return seen.sizes


def _write_backward(linears: list[tuple[int, int, int]], path: str) -> None:
    """The derivatives of linear layers by what they are given, and nothing else."""

    class Products(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterList(torch.randn(size[2], size[1]) for size in linears)

        def forward(self, *cotangents: torch.Tensor) -> list[torch.Tensor]:
            return [one @ weight for one, weight in zip(cotangents, self.weights, strict=True)]

    given = tuple(torch.rand(size[0], size[2]) for size in linears)
    torch.onnx.export(Products(), given, path, dynamo=True, verbose=False)


def tables(report: Row) -> dict[str, str]:
    """The tables of `docs/export.md`."""
    rows = report["maps"]
    agree = [name for name, row in rows.items() if "difference" in row]
    lines = [
        f"{len(agree)} of {len(rows)} agree, of {len(_by_size())} that there are.",
        "",
        "| network | layer | map | logits | MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in sorted(rows):
        row = rows[name]
        if "error" in row:
            lines.append(f"| `{name}` | {row['error'].replace('|', '/')} | | | |")
            continue
        size = f"{row['megabytes']:.0f}{' (two files)' if row['files'] > 1 else ''}"
        real = "" if row["weights"] == "random" else " (real weights)"
        lines.append(
            f"| `{name}`{real} | `{row['layer']}` | {row['difference']:.0e} | {row['of logits']:.0e} | {size} |"
        )
    costs = [
        "| network | forward (ms) | explainer / forward | linear layers | explainer / (forward + their backward) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in report["latency"].items():
        if "ratio" not in row:
            costs.append(f"| `{name}` | | {row['error']} | | |")
            continue
        several = f"{row['over linear layers']:.2f}" if row["linear layers"] > 1 else ""
        costs.append(
            f"| `{name}` | {row['forward ms']:.1f} | {row['ratio']:.2f} | {row['linear layers']} | {several} |"
        )
    return {"exported networks": "\n".join(lines), "latency": "\n".join(costs)}
