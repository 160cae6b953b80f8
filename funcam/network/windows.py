"""What becomes of the image's axes where cells are taken together in patches, or taken apart."""

from __future__ import annotations

from funcam.network.call import Call
from funcam.network.factors import (
    Atom,
    Dims,
    Moved,
    joined,
    plain,
    resized,
    size_of,
    viewed,
    whole,
)


def shuffle(call: Call) -> Dims:
    """Channels that become cells, or cells that become channels."""
    dims = (*call.first[:-3], plain(call.shape[-3]), *call.first[-2:])
    return resized(dims, call.shape[-2:])


def patches(call: Call) -> Dims:
    """Patches that don't overlap."""
    axis, size = call.args["dimension"] % len(call.first), call.args["size"]
    if size != call.args["step"] or size_of(call.first[axis]) % size:
        raise Moved
    outer, inner = viewed((call.first[axis],), (size_of(call.first[axis]) // size, size))
    return (*call.first[:axis], outer, *call.first[axis + 1 :], inner)


def im2col(call: Call) -> Dims:
    """Patches that may overlap, as the columns of a matrix."""
    names = ("kernel_size", "dilation", "padding", "stride")
    each = zip(*(call.args[name] for name in names), strict=True)
    dims = call.first
    sizes = [
        (size_of(dim) + 2 * pad - dilation * (kernel - 1) - 1) // step + 1
        for dim, (kernel, dilation, pad, step) in zip(dims[-2:], each, strict=True)
    ]
    small = resized((*dims[:-3], (), *dims[-2:]), sizes)
    return (*small[:-3], plain(call.shape[-2]), joined([*small[-2], *small[-1]]))


def col2im(call: Call) -> Dims:
    """The patches of `im2col`, added up where they were."""
    cells: list[Atom] = list(call.first[-1])
    if len(cells) != 2 or not all(map(whole, cells)) or cells[0] == cells[1]:
        raise Moved
    dims = (*call.first[:-2], plain(call.shape[-3]), *((cell,) for cell in cells))
    return resized(dims, call.shape[-2:])
