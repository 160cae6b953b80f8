"""Derivatives, and a sort, that ONNX has no operators for, in operators that it has: `make_fx` puts them in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten
Table = dict[Any, Callable[..., Any]]


def convolution_backward(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    _bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> Any:
    """The derivative of a convolution by what it is given: the convolution the other way round."""
    if wanted[1] or wanted[2]:  # by the weights: nothing here asks for it
        return NotImplemented
    if transposed:
        back = _aten.convolution(gradient, weight, None, stride, padding, dilation, False, output_padding, groups)
        return back, None, None
    sizes = zip(images.shape[2:], gradient.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    left = [there - ((here - 1) * s - 2 * p + d * (k - 1) + 1) for there, here, k, s, p, d in sizes]
    return _aten.convolution(gradient, weight, None, stride, padding, dilation, True, left, groups), None, None


def adaptive_avg_pool2d_backward(gradient: Tensor, images: Tensor) -> Tensor:
    """Each side is a product with a matrix of shares, and so is its derivative."""
    rows, columns = (_shares(images.shape[axis], gradient.shape[axis]).to(gradient) for axis in (2, 3))
    return rows.T @ gradient @ columns


def _shares(size: int, cells: int) -> Tensor:
    """What each cell of an adaptive average has of each place, `[cells, size]`."""
    places, number = torch.arange(size), torch.arange(cells)[:, None]
    first, last = number * size // cells, ((number + 1) * size + cells - 1) // cells
    inside = (places >= first) & (places < last)
    return inside / (last - first)


def avg_pool2d_backward(
    gradient: Tensor,
    images: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil: bool,
    _count_padding: bool,
    divisor: int | None,
) -> Any:
    """A window of equal weights, laid back over where it was."""
    if any(padding) or ceil:
        return NotImplemented
    window = gradient.new_full((images.shape[1], 1, *kernel), 1 / (divisor or math.prod(kernel)))
    given = (gradient, images, window, None, stride or kernel, [0, 0], [1, 1], False, [0, 0], images.shape[1])
    return convolution_backward(*given, [True, False, False])[0]


def max_pool2d_backward(gradient: Tensor, images: Tensor, *rest: Any) -> Tensor:
    """Each cell's gradient goes where its maximum was."""
    places = rest[-1].flatten(2)
    return torch.zeros_like(images).flatten(2).scatter_add(2, places, gradient.flatten(2)).view(images.shape)


def stable_sort(values: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """The largest or smallest of all: of equals the first comes first in ONNX, as in a stable sort."""
    return _aten.topk(values, values.shape[dim], dim, descending, True)


DECOMPOSED: Table = {
    _aten.sort.stable: stable_sort,
    _aten.convolution_backward.default: convolution_backward,
    _aten._adaptive_avg_pool2d_backward.default: adaptive_avg_pool2d_backward,
    _aten.avg_pool2d_backward.default: avg_pool2d_backward,
    _aten.max_pool2d_with_indices_backward.default: max_pool2d_backward,
}
"""By torch's operator."""
