"""Where a layer's tensor has the image's axes: followed through the operations that made it of the image."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from funcam.network.call import Call, tensors_in
from funcam.network.factors import BATCH, Axis, Dim, Dims, Moved, axes_in, has_batch, plain
from funcam.network.layout import Layout, of_images
from funcam.network.layout_words import AXES
from funcam.network.operations import SHAPE_ONLY, dims_made, mixes_images
from funcam.network.reach import Reach
from funcam.network.standing import layout_of_dims
from funcam.network.tracing import Following


class Provenance(Following):
    """Inside, it is followed where tensors have the image's axes.

    Example:
        >>> images = torch.rand(1, 3, 8, 6)
        >>> with Provenance(images) as followed:
        ...     tokens, other = images.flatten(2).transpose(1, 2), images.flip(-1)
        >>> followed.layout_of(tokens).kind, followed.layout_of(other)
        ('tokens', None)
    """

    supports_higher_order_operators = True  # `torch.cond` and its like: what they make isn't followed

    def __init__(self, images: Tensor, dims: Dims | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        own = of_images(images.shape)
        self._axes = max(images.ndim - 2, 1)
        # The tensors are kept alive, so that no identity and no storage is used twice.
        self._known: dict[int, tuple[Tensor, Dims | None]] = {}
        self._memory: set[int] = set()
        self._spoilt: set[int] = set()
        self._marks: dict[int, int] = {}  # by memory, a bit each: views of a tensor were made of what it was made of
        self._mixed = False
        self._asleep = False
        self._learn(images, _dims_of_images(images, AXES[own.kind]) if dims is None else dims)

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Nothing is followed meanwhile: for what only looks at tensors."""
        self._asleep = True
        try:
            yield
        finally:
            self._asleep = False

    def axes_of(self, tensor: Tensor) -> Layout | Unknown | None:
        """How a tensor holds the map: a layout, None where it is in none of them, or that it is unknown."""
        if not self._is_followed(tensor):  # inside `vmap` the operations are seen with other tensors
            return UNKNOWN
        try:
            return layout_of_dims(self.dims_of(tensor), self._axes)
        except Moved:
            return UNKNOWN

    def parts_of(self, tensor: Tensor) -> dict[int, Reach]:
        """Of which of the image's axes a tensor's cells cover, or lie over, another part than the whole."""
        try:
            axes = [axis for dim in self.dims_of(tensor) for axis in axes_in(dim)]
        except Moved:
            return {}
        cells = ((axis, axis.size * axis.outer) for axis in axes)
        far = (axis for axis, size in cells if axis.reach.misses(size) or axis.reach.is_beside(size))
        return {int(axis.name[1:]): axis.reach for axis in far}

    def layout_of(self, tensor: Tensor) -> Layout | None:
        """How a tensor holds the map, if that is known."""
        axes = self.axes_of(tensor)
        return None if isinstance(axes, Unknown) else axes

    def dims_of(self, tensor: Tensor) -> Dims:
        """What a tensor's dimensions are made of; a tensor that wasn't made of the image has no place.

        Raises:
            Moved: it is unknown.
        """
        memory = _memory_of(tensor)
        dims = self._known[id(tensor)][1] if id(tensor) in self._known else None
        if memory in self._spoilt or (dims is None and (id(tensor) in self._known or memory in self._memory)):
            raise Moved
        return tuple(map(plain, tensor.shape)) if dims is None else dims

    def mark(self, tensor: Tensor, number: int) -> int:
        """Number a tensor: what is made of it has its mark.

        Returns:
            The numbers of those that the tensor itself was made of, as bits.

        Example:
            >>> images = torch.rand(1, 3, 8, 6)
            >>> with Provenance(images) as followed:
            ...     one, other = images + 1, images + 2
            ...     _ = followed.mark(one, 0), followed.mark(other, 1)
            ...     product = one * 3
            >>> bin(followed.mark(product, 2))
            '0b1'
        """
        memory = _memory_of(tensor)
        before = self._marks.get(memory, 0)
        self._marks[memory] = before | 1 << number
        return before

    def keeps_apart(self, tensors: Iterable[Tensor]) -> bool:
        """Whether it is certain that the images never met: their axis was never summed over, and is first in each.

        Example:
            >>> images = torch.rand(1, 3, 8, 6)
            >>> with Provenance(images) as followed:
            ...     means = images.mean((2, 3))
            >>> followed.keeps_apart([means])
            True
            >>> with Provenance(images) as followed:
            ...     means = images.mean((2, 3)) - images.mean()
            >>> followed.keeps_apart([means])
            False
        """
        dims = [self._dims_or_none(tensor) for tensor in tensors]
        return not self._mixed and all(one is not None and one and has_batch(one[:1]) for one in dims)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._asleep:
            return func(*args, **kwargs)
        given = list(tensors_in((*args, *kwargs.values())))
        followed = any(self._is_followed(tensor) for tensor in given)
        if not isinstance(func, torch._ops.OpOverload):
            self.leave_alone()  # `torch.cond` and its like are compiled
            return self._lost(func(*args, **kwargs), given if followed else [])
        name = str(func.overloadpacket.__name__)
        if not followed or name in SHAPE_ONLY:
            return func(*args, **kwargs)
        schema = _schema_of(func)
        named = schema.by_name(args, kwargs)
        written = list(tensors_in(named.get(name) for name in schema.written))
        before = {id(tensor): self._dims_or_none(tensor) for tensor in written}
        returned = func(*args, **kwargs)
        made = list(tensors_in((returned,)))
        self._pass_on(given, [*made, *written])
        name = name.removesuffix("_") if written else name
        call = Call(name, named, made, self.dims_of)
        of_images = any(map(has_batch, filter(None, map(self._dims_or_none, given))))
        dims = dims_made(call, pointwise=torch.Tag.pointwise in func.tags)
        kept = all(has_batch(one) for one in dims if one is not None)
        self._mixed |= of_images and (mixes_images(call) or not kept)
        after = {id(tensor): known for tensor, known in zip(made, dims, strict=True)}
        for tensor in written:
            if after.get(id(tensor)) is None or after[id(tensor)] != before[id(tensor)]:
                self._spoilt.add(_memory_of(tensor))  # other views of the same memory have changed too
                self._learn(tensor, None)
        for tensor, known in zip(made, dims, strict=True):
            self._learn(tensor, known)
        return returned

    def _lost(self, returned: Any, given: Sequence[Tensor]) -> Any:
        """What was made, in a way that nobody knows, of tensors that are followed."""
        made = [leaf for leaf in pytree.tree_leaves(returned) if given and isinstance(leaf, Tensor)]
        self._pass_on(given, made)
        for tensor in made:
            self._learn(tensor, None)
        return returned

    def _pass_on(self, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        marks = 0
        for tensor in given if self._marks else ():
            marks |= self._marks.get(_memory_of(tensor), 0)
        for tensor in made if marks else ():
            memory = _memory_of(tensor)
            self._marks[memory] = self._marks.get(memory, 0) | marks

    def _is_followed(self, tensor: Tensor) -> bool:
        return id(tensor) in self._known or _memory_of(tensor) in self._memory

    def _dims_or_none(self, tensor: Tensor) -> Dims | None:
        try:
            return self.dims_of(tensor)
        except Moved:
            return None

    def _learn(self, tensor: Tensor, dims: Dims | None) -> None:
        self._known[id(tensor)] = (tensor, dims)
        self._memory.add(_memory_of(tensor))


def _dims_of_images(images: Tensor, own: tuple[int, int]) -> Dims:
    batch, channels = (axis % images.ndim for axis in own) if images.ndim > 2 else (0, None)  # a waveform has none
    number = iter(range(images.ndim))

    def of(axis: int, size: int) -> Dim:
        if axis == batch:
            return (Axis(BATCH, size),)
        return plain(size) if axis == channels else (Axis(f"S{next(number)}", size),)

    return tuple(of(axis, size) for axis, size in enumerate(images.shape))


def _memory_of(tensor: Tensor) -> int:
    """Where a tensor's values are; those of other kinds (sparse ones, wrappers) have no memory that could be shared."""
    try:
        return tensor.untyped_storage().data_ptr() or -id(tensor)
    except (NotImplementedError, RuntimeError):
        return -id(tensor)


@dataclass(frozen=True)
class _Schema:
    """An operation's arguments.

    Attributes:
        names: their names, in order.
        defaults: their values where none is given.
        written: the names of those that it writes to.
    """

    names: tuple[str, ...]
    defaults: dict[str, Any]
    written: tuple[str, ...]

    def by_name(self, args: Any, kwargs: Any) -> dict[str, Any]:
        """What was given by name, with the defaults."""
        return {**self.defaults, **dict(zip(self.names, args, strict=False)), **kwargs}


@functools.lru_cache(maxsize=1024)
def _schema_of(func: Any) -> _Schema:
    given = func._schema.arguments
    return _Schema(
        tuple(one.name for one in given),
        {one.name: one.default_value for one in given if one.has_default_value()},
        tuple(one.name for one in given if one.alias_info is not None and one.alias_info.is_write),
    )


class Unknown:
    """That the image's axes were lost on the way to a tensor."""


UNKNOWN = Unknown()
