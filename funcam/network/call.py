"""An operation that was run, with what is known of the dimensions of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from funcam.network.factors import Dims


@dataclass(frozen=True)
class Call:
    """An operation that was run.

    Attributes:
        name: its name, without the underscore of those that work in place.
        args: its arguments by name.
        made: the tensors that it returned.
        dims_of: the dimensions of a tensor that was given; it raises where they are unknown.
    """

    name: str
    args: dict[str, Any]
    made: Sequence[Tensor]
    dims_of: Callable[[Tensor], Dims]

    def dims(self, name: str) -> Dims:
        """The dimensions of the tensor given by this name."""
        return self.dims_of(self.args[name])

    @property
    def first(self) -> Dims:
        """The dimensions of the tensor given first."""
        return self.dims_of(next(value for value in self.args.values() if isinstance(value, Tensor)))

    @property
    def shape(self) -> Sequence[int]:
        """The shape of the tensor that was made first."""
        return self.made[0].shape

    def axes(self, name: str, count: int) -> list[int]:
        """The axes given by a name, counted from the front; all of them where none is given."""
        given = self.args.get(name)
        if given is None or given == []:
            return list(range(count))
        return [axis % max(count, 1) for axis in (given if isinstance(given, list | tuple) else [given])]


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among what an operation of torch's takes or returns, and in lists of these."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)
