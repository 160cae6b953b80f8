"""What becomes of the image's axes in convolutions and pooling."""

from __future__ import annotations

import re
from collections.abc import Sequence

from funcam.network.call import Call
from funcam.network.crops import absorbed, slid
from funcam.network.factors import Dim, Dims, Moved, axes_in, padded, plain, resized, size_of


def convolution(call: Call) -> Dims:
    """Convolutions, transposed ones too."""
    dims, weight = call.dims("input"), call.args["weight"]
    if any(map(axes_in, call.dims_of(weight))):
        raise Moved
    count = weight.ndim - 2
    dims = (dims[0], plain(call.shape[1]), *dims[2:])
    if set(weight.shape[2:]) == {1} and tuple(call.shape[2:]) == tuple(map(size_of, dims[2:])):
        return dims
    dims = _slid(call, dims, weight.shape[2:])
    if not call.args.get("transposed"):
        dims = _absorbed(call, dims, weight.shape[2:])
    if not call.args.get("transposed") and set(call.args["stride"]) == {1}:
        dims = (*dims[:2], *map(_grown, dims[2:], call.shape[2:]))
    return resized(dims, call.shape[-count:])


def _absorbed(call: Call, dims: Dims, kernel: Sequence[int]) -> Dims:
    """The last dimensions, without the padding that a kernel without one is given."""
    dilation, padding = (_numbers(call, name, [fill], kernel) for name, fill in (("dilation", 1), ("padding", 0)))
    taken = [(k - 1) * d - 2 * p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    return (*dims[: -len(kernel)], *map(absorbed, dims[-len(kernel) :], taken))


def _numbers(call: Call, name: str, usual: Sequence[int], kernel: Sequence[int]) -> list[int]:
    given = [*(call.args.get(name) or usual)]
    return given * (len(kernel) // len(given))


def _slid(call: Call, dims: Dims, kernel: Sequence[int]) -> Dims:
    """The last dimensions, where the middle of what the kernel sees at each place is."""
    stride, padding, dilation = (
        _numbers(call, name, usual, kernel) for name, usual in (("stride", kernel), ("padding", [0]), ("dilation", [1]))
    )
    made, transposed = call.shape[-len(kernel) :], call.args.get("transposed")
    moved = []
    for dim, size, side, step, pad, apart in zip(
        dims[-len(kernel) :], made, kernel, stride, padding, dilation, strict=True
    ):
        middle = apart * (side - 1) / 2 - pad
        moved.append(slid(dim, size, -middle / step, 1 / step) if transposed else slid(dim, size, middle, step))
    return (*dims[: -len(kernel)], *moved)


def _grown(dim: Dim, size: int) -> Dim:
    """What a convolution adds at the end is often cut off again."""
    return padded(dim, 0, size - size_of(dim), by_itself=False) if size > size_of(dim) else dim


def local(call: Call) -> Dims:
    """Pooling and interpolation: the digit in the name is the number of axes."""
    count = int((re.findall(r"(\d)d", call.name) or ["2"])[-1])
    kernel = call.args.get("kernel_size")
    dims = call.first
    if kernel:
        sides = kernel * (count // len(kernel))
        dims = _absorbed(call, _slid(call, dims, sides), sides)
    return resized(dims, call.shape[-count:])
