"""What becomes of a function of a model when it is copied, or is to leave the process."""

from __future__ import annotations

from typing import Any, Self

from funcam.errors import FuncamError


class OfAModel:
    """A function of a model that lives in this process: like any function its copy is itself; it can't be pickled."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> Any:
        raise FuncamError(
            "a split can't be pickled: it belongs to a model that lives in this process; pickle the model, and split "
            "it again where it is loaded with funcam.split(model, layer)"
        )
