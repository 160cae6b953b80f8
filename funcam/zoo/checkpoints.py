"""Reading a file of weights: the state dict in it, as float32 tensors; code in the file is never run."""

from __future__ import annotations

import os
import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from funcam.errors import FuncamError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
"""Where training scripts keep the state dict beside their optimizer and epoch."""

_PREFIXES = ("module.", "model.", "net.", "network.")
"""What DataParallel, Lightning and averaged models put before every name; stripped only where all names have it."""

_COUNTERS = frozenset({"n_averaged"})
"""Entries of `torch.optim.swa_utils.AveragedModel` that belong to no network."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the state dict in a file of weights.

    The dict may lie in the file directly or under `state_dict`, `model` and the like; `module.` and `_orig_mod.`
    are taken off the names; other entries (epoch, optimizer) are left out. The file's pickle may hold tensors and
    plain containers only: anything else is refused before it runs.

    Args:
        path: a `.safetensors` file, or anything that `torch.save` wrote.

    Returns:
        Names and tensors, copied from the file to memory on the CPU; floating point numbers of any width as float32.

    Raises:
        FuncamError: the file is missing, is not a checkpoint, is damaged, holds code or holds no state dict.

    Example:
        >>> read_checkpoint("mobilenet_v2.pth")["classifier.1.weight"].shape  # doctest: +SKIP
        torch.Size([1000, 1280])
    """
    file = Path(path)
    _check_file(file)
    content = _read_safetensors(file) if file.suffix.lower() == ".safetensors" else _read_torch(file)
    state = _without_prefixes(_find_state_dict(content, file))
    return {name: _own_copy(tensor, name, file) for name, tensor in state.items()}


def _check_file(file: Path) -> None:
    if file.is_dir():
        raise FuncamError(f"weights {file} is a folder; give a file of weights (.pth, .pt or .safetensors)")
    if not file.exists():
        raise FuncamError(f"weights file {file} does not exist; check the path")
    try:
        with file.open("rb") as stream:
            start = stream.read(40)
    except OSError as error:
        raise FuncamError(f"weights file {file} can't be read ({error.strerror}); check its permissions") from None
    if not start:
        raise FuncamError(f"weights file {file} is empty; download or save it again")
    if start.startswith(b"version https://git-lfs"):
        raise FuncamError(f"weights file {file} is a Git LFS pointer, not the weights; run `git lfs pull` first")


def _read_safetensors(file: Path) -> Mapping[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        message = f"reading {file} needs the package safetensors; run: pip install 'funcam[safetensors]'"
        raise FuncamError(message) from None
    try:
        content: Mapping[str, Tensor] = load_file(file)
    except (SafetensorError, OSError) as error:
        raise FuncamError(f"{file} is not a safetensors file ({_line(error)}); download or save it again") from None
    return content


def _read_torch(file: Path) -> Any:
    """The content of a file that `torch.save` wrote; the ones that can't be such a file never reach torch."""
    with file.open("rb") as stream:
        start = stream.read(12)
    is_zip = start.startswith(b"PK\x03\x04")
    if is_zip:
        _check_zip(file)
    else:
        _check_pickle(file, start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on the pickle's protocol
            # Mapped, so that the optimizer's state beside the weights is not read; only the zip format allows it.
            return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # a foreign pickle makes the unpickler raise anything, KeyError included
        raise FuncamError(_why_unreadable(file, error)) from None


def _check_zip(file: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {name.rpartition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        raise FuncamError(f"weights file {file} is cut short or damaged; download or copy it again") from None
    if "constants.pkl" in members:
        advice = "save model.state_dict() and give that file"
        raise FuncamError(f"{file} is a TorchScript program, not a state dict; {advice}")
    if "data.pkl" not in members:
        raise FuncamError(f"{file} is a zip file but no PyTorch checkpoint; give a file that torch.save wrote")


def _check_pickle(file: Path, start: bytes) -> None:
    if start.startswith(b"\x80"):
        return
    if tarfile.is_tarfile(file):
        advice = "if you trust it, torch.load(..., weights_only=False) it once and torch.save() what comes back"
        raise FuncamError(f"{file} is a tar file, the checkpoint format of PyTorch before 0.4; {advice}")
    raise FuncamError(f"{file} is not a checkpoint (it starts with {start!r}); give a .pth, .pt or .safetensors file")


def _why_unreadable(file: Path, error: Exception) -> str:
    """One line for what torch says in twenty."""
    foreign = re.search(r"GLOBAL `?([\w.]+)", str(error))
    if foreign:
        advice = "save model.state_dict() and give that file"
        return f"{file} holds Python objects ({foreign[1]}), and funcam runs no code from a file of weights; {advice}"
    return f"{file} is not a checkpoint or is damaged ({_line(error)}); download or save it again"


def _line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0].partition(". ")[0]
    known = text and not text.startswith("Weights only load failed")
    return f"{type(error).__name__}: {text[:80]}" if known else type(error).__name__


def _find_state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    """The tensors in `content`, or in the entry of it that holds them."""
    if not isinstance(content, Mapping):
        advice = "expected a dict of tensors: save model.state_dict()"
        raise FuncamError(f"{file} holds a {type(content).__name__}; {advice}")
    for key in _WRAPPERS:
        if isinstance(content.get(key), Mapping):
            return _find_state_dict(content[key], file)
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        return tensors
    inner = [value for value in content.values() if isinstance(value, Mapping) and _has_tensors(value)]
    if len(inner) == 1:
        return _find_state_dict(inner[0], file)
    keys = ", ".join(repr(key) for key in list(content)[:6]) or "nothing"
    raise FuncamError(
        f"{file} holds no state dict (it has {keys}); expected a dict of tensors: save model.state_dict()"
    )


def _has_tensors(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(entry, Tensor) for entry in value.values())


def wrapping(names: Iterable[str]) -> str:
    """What all names begin with and `read_checkpoint` takes off, such as `module.`; "" if there is nothing.

    Example:
        >>> wrapping(["model.net.weight", "model.net.bias"]), wrapping(["model.weight", "bias"])
        ('model.net.', '')
    """
    names = list(names)
    for prefix in _PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            return prefix + wrapping(name.removeprefix(prefix) for name in names)
    return ""


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # torch.compile puts its prefix before any module it wrapped, so it may stand in the middle of a name.
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items() if name not in _COUNTERS}
    around = wrapping(state)
    return {name.removeprefix(around): tensor for name, tensor in state.items()}


def _own_copy(tensor: Tensor, name: str, file: Path) -> Tensor:
    """A copy in memory: the mapped file may be overwritten by a training that goes on."""
    if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        kind = "without values" if tensor.is_meta else f"of {tensor.dtype}, {tensor.layout}"
        raise FuncamError(f"{file}: {name!r} is a tensor {kind}; expected dense float tensors: save a plain state dict")
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(dtype, copy=True)
