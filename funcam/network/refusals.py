"""Models that can't be explained as they are: what each one is, why not, and which way is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from funcam.errors import FuncamError
from funcam.network.failures import PAIR

_QUANTISED_MODULES = (
    *("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse.quantized"),
    *("bitsandbytes", "torchao.", "optimum.quanto", "quanto", "auto_gptq", "gptqmodel", "awq", "hqq", "eetq"),
)
_QUANTISED_TENSORS = ("torchao.", "bitsandbytes", "optimum.quanto", "quanto", "hqq")
_TRAINING = ("torchao.float8", "torchao.quantization.qat")  # float weights all the same
_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
_GATHER = (
    "gather them into a plain module: plain.load_state_dict(get_model_state_dict(model, "
    "options=StateDictOptions(full_state_dict=True))), both of torch.distributed.checkpoint.state_dict"
)


def refuse(model: nn.Module) -> None:
    """Refuse a model that can't be explained whichever way it is followed.

    Raises:
        FuncamError: it or a part of it is TorchScript, sharded over processes, quantised, offloaded, or lazy.
    """
    for path, module in model.named_modules():
        where = f"{path!r} ({type(module).__name__})" if path else type(module).__name__
        _refuse_module(where, module)
        for name, tensor in _tensors(module):
            _refuse_tensor(f"{name!r} of {where}", tensor)


def refuse_kept_weights(model: nn.Module) -> None:
    """Refuse parametrised weights that torch keeps between calls now.

    It keeps them by a module's place in memory, and funcam's copies of it take such places in turn: they would be
    given each other's weights, and so would the model.

    Raises:
        FuncamError: the call stands in `torch.nn.utils.parametrize.cached()`.
    """
    if not parametrize._cache_enabled:
        return
    held = next((path for path, module in model.named_modules() if parametrize.is_parametrized(module)), None)
    if held is not None:
        raise FuncamError(
            f"{type(model).__name__} has parametrised weights ({held!r}), and torch.nn.utils.parametrize.cached() "
            "keeps them by where a module is in memory, which copies of it can't share; explain it outside of cached()"
        )


def _refuse_module(where: str, module: nn.Module) -> None:
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise FuncamError(
            f"{where} is TorchScript, which can't be looked into, copied or put into evaluation mode apart; give the "
            f"Python module that it was made from, or {PAIR}"
        )
    if _SHARDED & {base.__name__ for base in kind.__mro__}:
        raise FuncamError(
            f"{where} is sharded (FSDP): its weights are spread over processes and brought together by hooks of its "
            f"own; {_GATHER}"
        )
    if kind.__module__.startswith(_QUANTISED_MODULES) and not kind.__module__.startswith(_TRAINING):
        raise FuncamError(_quantised(where))
    if _is_offloaded(getattr(module, "_hf_hook", None)):
        raise FuncamError(
            f"{where} is offloaded (device_map): accelerate's hooks fetch its weights at each call and drop them "
            "afterwards, before they can be differentiated; accelerate.hooks.remove_hook_from_submodules(model) brings "
            "them back, or load the model without device_map"
        )


def _is_offloaded(hook: Any) -> bool:
    return any(map(_is_offloaded, getattr(hook, "hooks", ()))) or bool(getattr(hook, "offload", False))


def _refuse_tensor(what: str, tensor: Tensor) -> None:
    kind = type(tensor)
    if is_lazy(tensor):
        raise FuncamError(f"{what} is lazy: it has no shape before the model ran; run it once: model(images)")
    if kind.__name__ == "DTensor":
        raise FuncamError(f"{what} is a DTensor, spread over the devices of a mesh; {_GATHER}")
    of_library = kind.__module__.startswith(_QUANTISED_TENSORS) and not kind.__module__.startswith(_TRAINING)
    if tensor.is_quantized or of_library:
        raise FuncamError(_quantised(what))


def _quantised(what: str) -> str:
    return f"{what} is quantised and can't be differentiated; explain the float model it was made from"


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for table in (module._parameters, module._buffers):
        for name, tensor in table.items():
            if tensor is not None:
                yield name, tensor


def refuse_without_values(model: nn.Module, images: Tensor) -> None:
    """Refuse to run a model, or images, on the meta device: shapes without values; layers can be listed all the same.

    Raises:
        FuncamError: which of its weights are there, and how they come by values.
    """
    if images.is_meta:
        raise FuncamError("images are on the meta device and have no values; give images with values (torch.rand(...))")
    without = [path for path, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]
    if without:
        more = f" and {len(without) - 1} more" * (len(without) > 1)
        raise FuncamError(
            f"{without[0]!r}{more} of {type(model).__name__} have no values (meta device); load them: "
            f"model.to_empty(device={str(images.device)!r}), then model.load_state_dict(...)"
        )


def devices_apart(model: nn.Module, images: Tensor) -> str:
    """Which devices a model and images are on where that is why it can't run, and what to do; "" where they are one."""
    devices = list(dict.fromkeys(str(parameter.device) for parameter in model.parameters()))
    if len(devices) > 1:
        return (
            f"the weights of {type(model).__name__} are on several devices ({', '.join(devices)}), between which its "
            f"code doesn't move what it computes; bring it onto one: model.to({devices[0]!r})"
        )
    if devices and devices[0] != str(images.device):
        return (
            f"images are on {images.device} and the weights of {type(model).__name__} on {devices[0]}; give "
            f"images.to({devices[0]!r})"
        )
    return ""
