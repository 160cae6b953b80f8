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


def select_backward(gradient: Tensor, sizes: Sequence[int], dim: int, index: int) -> Any:
    """A gradient where its place was, and zeros on both sides."""
    return slice_backward(gradient.unsqueeze(dim), sizes, dim, index, index + 1, 1)


def slice_backward(gradient: Tensor, sizes: Sequence[int], dim: int, start: int, _end: int, step: int) -> Any:
    """The same of several places in a row."""
    if step != 1:
        return NotImplemented
    size, whole = gradient.shape[dim], sizes[dim]
    if size == whole:
        return gradient.view(gradient.shape)
    first = max(start + whole, 0) if start < 0 else start
    return _aten.constant_pad_nd(gradient, [0, 0] * (len(sizes) - 1 - dim % len(sizes)) + [first, whole - first - size])


def as_strided(values: Tensor, sizes: Sequence[int], strides: Sequence[int], offset: int | None = None) -> Any:
    """Another look at the same memory, where it is a view and a permutation: so autograd undoes writing in place."""
    if offset not in (None, values.storage_offset()):
        return NotImplemented
    if _alike(values, sizes, strides):
        return values.view(values.shape)
    wide = [axis for axis, size in enumerate(sizes) if size != 1]
    order = sorted(wide, key=strides.__getitem__, reverse=True)
    inside = [sizes[axis] for axis in order]
    dense = all(strides[axis] == math.prod(inside[place:]) for place, axis in enumerate(order, start=1))
    if not (dense and values.is_contiguous() and values.numel() == math.prod(inside)):
        return NotImplemented
    return values.view(inside).permute([order.index(axis) for axis in wide]).view(tuple(sizes))


def as_strided_(values: Tensor, sizes: Sequence[int], strides: Sequence[int], _offset: int | None = None) -> Any:
    """The same in place, where nothing changes by it."""
    return values if _alike(values, sizes, strides) else NotImplemented


def new_empty_strided(values: Tensor, sizes: Sequence[int], strides: Sequence[int], **kind: Any) -> Any:
    """Memory in an order of its axes."""
    return as_strided(values.new_empty(math.prod(sizes), **kind), sizes, strides)


def _alike(values: Tensor, sizes: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a tensor has these sizes and strides; the stride of an axis of one place says nothing."""
    return len(sizes) == values.ndim and all(
        size == here and (size == 1 or stride == there)
        for size, here, stride, there in zip(sizes, values.shape, strides, values.stride(), strict=True)
    )


def stable_sort(values: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """The largest or smallest of all: of equals the first comes first in ONNX, as in a stable sort."""
    return _aten.topk(values, values.shape[dim], dim, descending, True)


DECOMPOSED: Table = {
    _aten.sort.stable: stable_sort,
    _aten.select_backward.default: select_backward,
    _aten.slice_backward.default: slice_backward,
    _aten.as_strided.default: as_strided,
    _aten.as_strided_.default: as_strided_,
    _aten.new_empty_strided.default: new_empty_strided,
    _aten.convolution_backward.default: convolution_backward,
    _aten._adaptive_avg_pool2d_backward.default: adaptive_avg_pool2d_backward,
    _aten.avg_pool2d_backward.default: avg_pool2d_backward,
    _aten.max_pool2d_with_indices_backward.default: max_pool2d_backward,
}
"""By torch's operator."""
