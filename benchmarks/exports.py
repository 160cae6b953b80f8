"""Every network of torchvision's as an exported explainer: how far its maps are, and what they cost in ONNX Runtime."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import funcam
from benchmarks.machine import describe
from benchmarks.pages import filled
from funcam import Exported, FuncamWarning
from funcam.errors import reason_in
from funcam.zoo.nets import NETS, Net, build_net, load_net, net_infos

HELP = "export every classifier of torchvision's, verify the maps and measure their cost in ONNX Runtime"
ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "benchmarks" / "results" / "exports.json"
PAGE = ROOT / "docs" / "export.md"
TIMED = ("mobilenet_v2", "shufflenet_v2_x1_0", "squeezenet1_1", "resnet18", "resnet50", "mobilenet_v3_large", "vgg11")
_ROUNDS = 40
Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("names", nargs="*", help="networks; else all that have no row yet, the smallest first")
    parser.add_argument("--assets", type=Path, default=os.environ.get("FUNCAM_ASSETS", ROOT.parent / "shared/assets"))
    parser.add_argument("--latency", action="store_true", help=f"measure the cost, of {', '.join(TIMED)} or NAMES")
    parser.add_argument("--tables", action="store_true", help="only write the tables again")


def main(given: argparse.Namespace) -> int:
    """Measure, a process for each network, and write what was found after each."""
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {"maps": {}, "latency": {}}
    what, measure = ("latency", latency_of) if given.latency else ("maps", row_of)
    names = given.names or (TIMED if given.latency else [name for name in _by_size() if name not in report["maps"]])
    for name in () if given.tables else names:
        report |= {"command": "python -m benchmarks exports [--latency]", "machine": describe()}
        report[what][name] = _alone(measure, name, given.assets)
        print(name, json.dumps(report[what][name]), flush=True)
        _write(report)
    _write(report)
    return 0


def _write(report: Row) -> None:
    REPORT.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), tables(report)))


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


def _net(name: str, assets: Path) -> Net:
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
    net, start = _net(name, assets), time.perf_counter()
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
    """The explainer's time over that of the same graph without the map, one image and one thread, turn by turn."""
    import numpy as np
    import onnx
    import onnxruntime

    torch.set_num_threads(1)
    net = _net(name, assets)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole, plain = f"{folder}/explainer.onnx", f"{folder}/plain.onnx"
        funcam.export(net.model, whole, example=torch.rand(1, *net.image_shape))
        onnx.utils.extract_model(whole, plain, ["image"], ["logits"])
        sessions = [onnxruntime.InferenceSession(file, settings) for file in (plain, whole)]
        feed = {"image": np.random.default_rng(0).normal(size=(1, *net.image_shape)).astype(np.float32)}
        seconds: list[list[float]] = [[], []]
        for _ in range(_ROUNDS):
            for session, taken in zip(sessions, seconds, strict=True):
                start = time.thread_time()  # (of this thread, which does it all: others may keep the machine busy)
                session.run(None, feed)
                taken.append(time.thread_time() - start)
    forward, explained = (min(taken) for taken in seconds)
    ratios = [b / a for a, b in zip(*seconds, strict=True)]
    return {"forward ms": 1e3 * forward, "ratio": explained / forward, "median of ratios": statistics.median(ratios)}


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
    costs = ["| network | forward (ms) | explainer / forward |", "| --- | --- | --- |"]
    for name, row in report["latency"].items():
        costs.append(
            f"| `{name}` | {row['forward ms']:.1f} | {row['ratio']:.2f} |"
            if "ratio" in row
            else f"| `{name}` | | {row['error']} |"
        )
    return {"exported networks": "\n".join(lines), "latency": "\n".join(costs)}
