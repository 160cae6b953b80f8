"""What usual operations return, by their formulas, where there are shapes and no values.

Torch knows that, too, but imports its compiler to say so, a second of work, and says it slowly. In none of these
operations does a row know of another, or move, where the first axis stays as long as it was.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import stochastic_depth

SHAPE_KEPT = frozenset(
    (
        *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU),
        *(nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Dropout),
    )
)


def result_of(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What an operation returns for tensors on the meta device; None where no formula is sure that torch allows it.

    Args:
        operation: a module in evaluation mode, a function, or the name of a tensor's method.
        args: what it is given.
        kwargs: the same by name.

    Example:
        >>> image = torch.empty((1, 3, 224, 224), device="meta")
        >>> result_of(nn.Conv2d(3, 8, 3, stride=2), (image,), {}).shape
        torch.Size([1, 8, 111, 111])
        >>> result_of(nn.Conv2d(4, 8, 3), (image,), {}) is None
        True
    """
    try:
        if isinstance(operation, nn.Module):
            return _MODULES[type(operation)](operation, *args, **kwargs)
        return _FUNCTIONS[operation](*args, **kwargs)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):  # unknown, or given what no formula expects
        return None


def _sized(like: Tensor, *sizes: int) -> Tensor | None:
    return like.new_empty(sizes) if min(sizes) > 0 else None


def _kept(x: Tensor, *_: Any, **__: Any) -> Tensor | None:
    return x if x.is_floating_point() else None


def _module_kept(module: nn.Module, x: Tensor) -> Tensor | None:
    return _kept(x) if getattr(module, "running_mean", module) is not None else None


def _normalized(x: Tensor, shape: Sequence[int], *_: Any, **__: Any) -> Tensor | None:
    return _kept(x) if tuple(x.shape[x.ndim - len(shape) :]) == tuple(shape) else None


def _convolved(module: Any, x: Tensor) -> Tensor | None:
    weight = module.weight
    fits = x.ndim == weight.ndim and x.dtype == weight.dtype and x.shape[1] == weight.shape[1] * module.groups
    if not fits or module.padding_mode != "zeros":
        return None
    windows = zip(x.shape[2:], weight.shape[2:], module.stride, module.padding, module.dilation, strict=True)
    sizes = [(size + 2 * pad - step * (width - 1) - 1) // stride + 1 for size, width, stride, pad, step in windows]
    return _sized(x, x.shape[0], weight.shape[0], *sizes)


def _linear(module: nn.Linear, x: Tensor) -> Tensor | None:
    weight = module.weight
    fits = x.dtype == weight.dtype and x.shape[-1] == weight.shape[1]
    return _sized(x, *x.shape[:-1], weight.shape[0]) if fits else None


def _attended(module: nn.MultiheadAttention, x: Tensor, key: Tensor, value: Tensor, need_weights: bool = True) -> Any:
    weight = module.out_proj.weight
    fits = x is key and x is value and x.dtype == weight.dtype and x.ndim == 3 and x.shape[-1] == module.embed_dim
    return (x, None) if fits and module.batch_first and not need_weights else None


def _max_pooled(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:
    return None if return_indices else _pooled(x, kernel_size, stride, padding, dilation, ceil_mode)


def _mean_pooled(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *_: Any, **__: Any
) -> Tensor | None:
    return _pooled(x, kernel_size, stride, padding, 1, ceil_mode)


def _pooled(x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Tensor | None:
    widths, strides = _pair(kernel_size), _pair(stride or kernel_size)
    sizes: list[int] = []
    for size, width, step, pad, gap in zip(x.shape[2:], widths, strides, _pair(padding), _pair(dilation), strict=True):
        if 2 * pad > width:
            return None
        covered = size + 2 * pad - gap * (width - 1) - 1
        count = (math.ceil(covered / step) if ceil_mode else covered // step) + 1
        sizes.append(count - (ceil_mode and (count - 1) * step >= size + pad))  # no window begins in the padding
    return _sized(x, *x.shape[:2], *sizes)


def _adapted(x: Tensor, output_size: Any) -> Tensor | None:
    sizes = [old if new is None else new for old, new in zip(x.shape[2:], _pair(output_size), strict=True)]
    return _sized(x, *x.shape[:2], *sizes)


def _pair(value: Any) -> tuple[Any, Any]:
    first, second = (value, value) if value is None or isinstance(value, int) else value
    return first, second


def _together(x: Any, y: Any) -> Tensor | None:
    """What a sum or a product of two is."""
    if not isinstance(x, Tensor):
        x, y = y, x
    if type(y) in (int, float):
        return _kept(x)
    same = isinstance(y, Tensor) and x.dtype == y.dtype
    return _sized(x, *np.broadcast_shapes(x.shape, y.shape)) if same else None


def _joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    axis = range(first.ndim)[dim]
    shapes = [(*one.shape[:axis], *one.shape[axis + 1 :], one.ndim, one.dtype) for one in tensors]
    total = sum(one.shape[axis] for one in tensors)
    return _sized(first, *first.shape[:axis], total, *first.shape[axis + 1 :]) if len(set(shapes)) == 1 else None


def _flat(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor | None:
    first, last = (range(x.ndim)[axis] for axis in (start_dim, end_dim))
    sizes = (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    return _sized(x, *sizes) if first <= last else None


def _averaged(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor | None:
    axes = {range(x.ndim)[axis] for axis in ((dim,) if isinstance(dim, int) else dim)}
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape) if keepdim or axis not in axes]
    return _sized(x, *sizes) if axes and x.is_floating_point() else None


def _viewed(x: Tensor, *sizes: Any) -> Tensor | None:
    return _in_rows(x, x.view(*sizes))


def _reshaped(x: Tensor, *sizes: Any) -> Tensor | None:
    return _in_rows(x, x.reshape(*sizes))


def _in_rows(x: Tensor, made: Tensor) -> Tensor | None:
    return made if made.shape[:1] == x.shape[:1] else None


def _ordered(x: Tensor, *axes: Any) -> Tensor | None:
    made = x.permute(*axes)
    return made if (axes[0] if isinstance(axes[0], int) else axes[0][0]) == 0 else None


def _swapped(x: Tensor, one: int, other: int) -> Tensor | None:
    return x.transpose(one, other) if 0 not in (range(x.ndim)[one], range(x.ndim)[other]) else None


def _parted(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...] | None:
    return x.chunk(chunks, dim) if range(x.ndim)[dim] else None


def _stochastic_depth(x: Tensor, p: float, mode: str, training: bool = True) -> Tensor | None:
    return None if training else x


def _picked(of: Any, index: int) -> Any:
    return of[index] if isinstance(of, tuple) and isinstance(index, int) else None


def _divided(x: Any, y: Any) -> int | None:
    return x // y if isinstance(x, int) and isinstance(y, int) else None


_MODULES: dict[type[nn.Module], Callable[..., Any]] = {
    **dict.fromkeys(SHAPE_KEPT, _module_kept),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolved),
    nn.Linear: _linear,
    nn.Flatten: lambda module, x: _flat(x, module.start_dim, module.end_dim),
    nn.LayerNorm: lambda module, x: _normalized(x, module.normalized_shape),
    nn.MultiheadAttention: _attended,
    nn.MaxPool2d: lambda module, x: _max_pooled(
        x,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        module.return_indices,
    ),
    nn.AvgPool2d: lambda module, x: _mean_pooled(
        x, module.kernel_size, module.stride, module.padding, module.ceil_mode
    ),
    nn.AdaptiveAvgPool2d: lambda module, x: _adapted(x, module.output_size),
}
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((F.relu, F.relu6, F.gelu, F.silu, F.hardswish, F.dropout, torch.relu, torch.sigmoid), _kept),
    **dict.fromkeys(("relu", "sigmoid"), _kept),
    F.layer_norm: _normalized,
    **dict.fromkeys((operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul), _together),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _max_pooled),
    F.avg_pool2d: _mean_pooled,
    F.adaptive_avg_pool2d: _adapted,
    torch.cat: _joined,
    **dict.fromkeys((torch.flatten, "flatten"), _flat),
    **dict.fromkeys((torch.mean, "mean"), _averaged),
    "view": _viewed,
    **dict.fromkeys(("reshape", torch.reshape), _reshaped),
    **dict.fromkeys(("permute", torch.permute), _ordered),
    **dict.fromkeys(("transpose", torch.transpose), _swapped),
    **dict.fromkeys(("chunk", torch.chunk), _parted),
    "contiguous": Tensor.contiguous,
    "size": Tensor.size,
    operator.getitem: _picked,
    operator.floordiv: _divided,
    stochastic_depth: _stochastic_depth,
}
