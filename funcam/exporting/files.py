"""The file of an explainer: written under a passing name, opened again, and put in its place once it was verified."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from funcam.errors import FuncamError, reason_in
from funcam.exporting.form import OUTPUTS, Form
from funcam.exporting.kinds import Format
from funcam.exporting.place import passing_folder

Run = Callable[..., tuple[torch.Tensor, ...]]
INSIDE = 1_500_000_000
"""Bytes of weights up to which they lie in an .onnx file itself: it may have 2 GB."""
_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.:]+)'")
METADATA = "funcam.json"
"""The entry of a .pt2 file that holds what is told of it."""


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A passing folder beside a file: what is written there takes its place at the end, if nothing failed.

    Args:
        path: where the file is to be. Other files of the folder get in beside it.

    Yields:
        Where to write the file.

    Raises:
        FuncamError: as `passing_folder`, or the disk is full.
    """
    folder = passing_folder(path)
    try:
        yield folder / path.name
        beside = [each for each in folder.iterdir() if each.name != path.name]
        if beside:
            path.unlink(missing_ok=True)  # an old file would go with the new weights
        for each in [*beside, folder / path.name]:
            os.replace(each, path.parent / each.name)
    except OSError as error:
        raise FuncamError(
            f"{str(path)!r} can't be written: {error.strerror or error}; make room, or give another"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(program: ExportedProgram, path: Path, kind: Format, form: Form, told: Mapping[str, str], opset: int) -> Run:
    """Write a graph, and open the file again.

    Args:
        program: the graph.
        path: where to.
        kind: the format.
        form: what goes in.
        told: what the file tells of itself.
        opset: the version of ONNX's operators.

    Returns:
        What the file computes, as a function of what goes in.

    Raises:
        FuncamError: ONNX has no operator for what the graph does.
    """
    if kind == "pt2":
        held = BytesIO()  # on a full disk torch's own writer ends the process
        torch.export.save(program, held, extra_files={METADATA: json.dumps(dict(told))})
        path.write_bytes(held.getbuffer())
        held.close()
        with path.open("rb") as file:  # of a path torch complains where it doesn't end in .pt2
            module = torch.export.load(file).module()
        return lambda *inputs: module(*inputs)
    _write_onnx(program, path, form, told, opset)
    return _run_onnx(path, form)


def _write_onnx(program: ExportedProgram, path: Path, form: Form, told: Mapping[str, str], opset: int) -> None:
    try:
        with _untold("onnxscript"):
            made: Any = torch.onnx.export(
                program, input_names=form.inputs, output_names=OUTPUTS, dynamo=True, opset_version=opset, verbose=False
            )
    except Exception as error:
        raise FuncamError(
            f"ONNX has no operators for this ({_reason(error)}); write a .pt2 file, or take grad-cam"
        ) from error
    if made.model.opset_imports[""] != opset:  # which torch only logs
        raise FuncamError(
            f"opset {opset} is none that the packages onnx and onnxscript which are installed can write; give a lower "
            "one such as 18, which is the usual"
        )
    made.model.metadata_props.update(told)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    weights += sum(t.numel() * t.element_size() for t in program.constants.values() if isinstance(t, torch.Tensor))
    made.save(path, external_data=weights > INSIDE)


@contextmanager
def _untold(package: str) -> Iterator[None]:
    """Without what a package logs in this thread: what matters of it is asked for."""
    logger, nowhere = logging.getLogger(package), _Nowhere()
    logger.addHandler(nowhere)
    try:
        yield
    finally:
        logger.removeHandler(nowhere)


class _Nowhere(logging.Handler):
    """The last that hears what this thread logs.

    A filter would see only what is logged by the logger's own name, and to stop it from passing records on would stop
    those of other threads.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            record.levelno = -1  # below every handler's: those of the loggers above leave it


def _reason(error: BaseException) -> str:
    """What stood in the way: the last of a chain says it."""
    while error.__cause__ is not None:
        error = error.__cause__
    missing = _MISSING.search(str(error))
    return missing[1] if missing else f"{type(error).__name__}: {reason_in(error)}"


def _run_onnx(path: Path, form: Form) -> Run:
    import onnxruntime

    def asked(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:  # its own kinds, of operators that it has for some types only, of sizes
            raise FuncamError(
                f"ONNX Runtime can't run the file ({type(error).__name__}: {reason_in(error)}); write a .pt2 file, or "
                "export a model in float32"
            ) from error

    session = asked(lambda: onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"]))

    def run(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        feed = {name: each.cpu().numpy() for name, each in zip(form.inputs, inputs, strict=True)}
        return tuple(torch.from_numpy(each) for each in asked(lambda: session.run(list(OUTPUTS), feed)))

    return run
