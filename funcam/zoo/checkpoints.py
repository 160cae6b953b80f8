"""Reading a file of weights: the state dict in it, as float32 tensors; code in the file is never run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from funcam.errors import FuncamError, shown, unwarned
from funcam.files import MIB, exists, open_regular, parsing
from funcam.zoo.containers import ZIP, check_pickles, check_safetensors, check_zip, is_tar
from funcam.zoo.pickle_calls import Damaged, Foreign

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
"""Where training scripts keep the state dict beside their optimizer and epoch."""

_PREFIXES = ("module.", "model.", "net.", "network.")
"""What DataParallel, Lightning and averaged models put before every name; stripped only where all names have it."""

_DEPTH = 8
"""So deep a state dict may lie in its file."""

_MOST_CLAIMED = 32
"""So many bytes in memory a byte of the file may become: 4 of a half, in each of several names for it."""

_ALWAYS = 640 * MIB
"""So many bytes are claimed without a question."""

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
    name = f"weights file {file}"
    if os.path.isdir(file):
        raise FuncamError(f"weights {file} is a folder; give a file of weights (.pth, .pt or .safetensors)")
    if not exists(file):
        raise FuncamError(f"{name} does not exist; check the path")
    again = "download or save it again"
    with open_regular(file, name) as stream:
        size = os.fstat(stream.fileno()).st_size
        try:
            with parsing(f"{name} is not a checkpoint or is damaged", again):
                content = (_read_safetensors if file.suffix.lower() == ".safetensors" else _read_torch)(
                    file, stream, size
                )
        except Damaged as error:
            raise FuncamError(f"{name} is not a checkpoint or is damaged: {error}; {again}") from None
        except Foreign as error:
            raise FuncamError(
                f"{file} holds Python objects ({error}), and funcam runs no code from a file of weights; "
                "save model.state_dict() and give that file"
            ) from None
    with parsing(
        f"{name} holds no plain state dict", "save model.state_dict() and give that"
    ):  # a state shadows methods
        state = _without_prefixes(_find_state_dict(content, file))
        _check_claims(state, size, file)
    with parsing(f"{name} holds tensors that can't be read as float32", "save a plain state dict"):
        return {name: _own_copy(tensor, name, file) for name, tensor in state.items()}


def _read_safetensors(file: Path, stream: BinaryIO, size: int) -> Mapping[str, Tensor]:
    try:
        import safetensors.torch
    except ImportError:
        message = f"reading {file} needs the package safetensors; run: pip install 'funcam[safetensors]'"
        raise FuncamError(message) from None
    _check_beginning(stream, file)
    with parsing(f"{file} is not a safetensors file", "download or save it again"):
        try:
            check_safetensors(stream, size)
        except Damaged as error:
            raise ValueError(str(error)) from None
        content: Mapping[str, Tensor] = safetensors.torch.load_file(file)
    return content


def _read_torch(file: Path, stream: BinaryIO, size: int) -> Any:
    """The content of a file that `torch.save` wrote; the ones that can't be such a file never reach torch."""
    start = _check_beginning(stream, file)
    is_zip = start.startswith(ZIP)
    if is_zip:
        check_zip(stream, size, f"weights file {file}")
    elif is_tar(start):
        advice = "if you trust it, torch.load(..., weights_only=False) it once and torch.save() what comes back"
        raise FuncamError(f"{file} is a tar file, the checkpoint format of PyTorch before 0.4; {advice}")
    elif start.startswith(b"\x80"):
        check_pickles(stream, size)
    else:
        raise FuncamError(
            f"{file} is not a checkpoint (it starts with {start[:12]!r}); give a .pth, .pt or .safetensors file"
        )
    try:
        with unwarned():  # torch remarks on the pickle's protocol
            # Mapped, so that the optimizer's state beside the weights is not read; only the zip format allows it.
            return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # its unpickler raises anything, KeyError included
        raise Damaged(_line(error)) from None


def _check_beginning(stream: BinaryIO, file: Path) -> bytes:
    start = stream.read(512)
    stream.seek(0)
    if not start:
        raise FuncamError(f"weights file {file} is empty; download or save it again")
    if start.startswith(b"version https://git-lfs"):
        raise FuncamError(f"weights file {file} is a Git LFS pointer, not the weights; run `git lfs pull` first")
    return start


def _line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0].partition(". ")[0]
    known = text and not text.startswith("Weights only load failed")
    return f"{type(error).__name__}: {text[:80]}" if known else type(error).__name__


def _find_state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    """The tensors in `content`, or in the entry of it that holds them."""
    if not isinstance(content, Mapping):
        advice = "expected a dict of tensors: save model.state_dict()"
        raise FuncamError(f"{file} holds a {type(content).__name__}; {advice}")
    for _ in range(_DEPTH):  # a dict may hold itself
        inner = _inside(content)
        if not isinstance(inner, Mapping):
            break
        content = inner
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors and not isinstance(inner, Mapping):
        return tensors
    keys = ", ".join(shown(key) for key in list(content)[:6]) or "nothing"
    raise FuncamError(
        f"{file} holds no state dict (it has {keys}); expected a dict of tensors: save model.state_dict()"
    )


def _inside(content: Mapping[Any, Any]) -> Mapping[Any, Any] | None:
    """The dict in a dict that holds the state dict; None where it is the state dict itself, or has none."""
    for key in _WRAPPERS:
        if isinstance(content.get(key), Mapping):
            return content[key]  # type: ignore[no-any-return]
    if any(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        return None
    inner = [value for value in content.values() if isinstance(value, Mapping) and _has_tensors(value)]
    return inner[0] if len(inner) == 1 else None


def _has_tensors(value: Mapping[Any, Any]) -> bool:
    return any(isinstance(entry, Tensor) for entry in value.values())


def wrapping(names: Iterable[str]) -> str:
    """What all names begin with and `read_checkpoint` takes off, such as `module.`; "" if there is nothing.

    Example:
        >>> wrapping(["model.net.weight", "model.net.bias"]), wrapping(["model.weight", "bias"])
        ('model.net.', '')
    """
    names, around = list(names), ""
    for _ in range(_DEPTH if names else 0):
        further = [prefix for prefix in _PREFIXES if all(name.startswith(around + prefix) for name in names)]
        around += further[0] if further else ""
    return around


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # torch.compile puts its prefix before any module it wrapped, so it may stand in the middle of a name.
    state = {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items() if name not in _COUNTERS}
    around = wrapping(state)
    return {name.removeprefix(around): tensor for name, tensor in state.items()}


def _check_claims(state: Mapping[str, Tensor], size: int, file: Path) -> None:
    """Views of one storage may claim terabytes that nobody stored; tied weights are there several times."""
    claimed = sum(tensor.numel() * _bytes_of(tensor) for tensor in state.values() if not tensor.is_meta)
    if claimed > _MOST_CLAIMED * size + _ALWAYS:
        raise FuncamError(
            f"{file} has {size} bytes and its tensors claim {claimed}; save tensors of their own, not expanded views"
        )


def _own_copy(tensor: Tensor, name: str, file: Path) -> Tensor:
    """A copy in memory: the mapped file may be overwritten by a training that goes on."""
    if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
        kind = "without values" if tensor.is_meta else f"of {tensor.dtype}, {tensor.layout}"
        raise FuncamError(f"{file}: {name!r} is a tensor {kind}; expected dense float tensors: save a plain state dict")
    if tensor.is_complex() and tensor.data_ptr() % tensor.element_size():  # to read these ends the process
        raise FuncamError(
            f"{file}: {name!r} lies askew in the file, which something else than torch packed; load it with torch.load "
            "and torch.save what comes back"
        )
    dtype = _read_as(tensor)
    _check_computed_with(dtype)
    if 0 not in tensor.stride():
        return tensor.detach().to(dtype, copy=True)
    single = tuple(slice(0, 1) if step == 0 else slice(None) for step in tensor.stride())  # one value for many is one
    return tensor.detach()[single].to(dtype, copy=True).expand(tensor.shape)


@cache
def _check_computed_with(dtype: torch.dtype) -> None:
    """A type of bits that nothing can compute with has no array, which raises."""
    torch.empty(0, dtype=dtype).numpy()


def _bytes_of(tensor: Tensor) -> int:
    """Of a number of it, in whatever is computed with it: of whole numbers torch makes the longest."""
    return _read_as(tensor).itemsize if tensor.is_floating_point() or tensor.is_complex() else 8


def _read_as(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.is_floating_point() else tensor.dtype
