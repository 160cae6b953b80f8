"""Random states: what a check of a model draws from them is drawn again afterwards."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_NUMPY = "numpy.random"


@contextmanager
def own_random_numbers(images: Tensor) -> Iterator[None]:
    """The random states are what they were afterwards; they are touched only where the model drew from them.

    They are torch's on the images' device and on the CPU, Python's and NumPy's.
    """
    before, beside = torch.get_rng_state(), states_beside_torch()
    python, numpy = random.getstate(), _numpy_state()
    device = images.device
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        if not torch.equal(torch.get_rng_state(), before):
            torch.set_rng_state(before)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)
        if states_beside_torch() != beside:
            random.setstate(python)
            if numpy is not None:
                sys.modules[_NUMPY].set_state(numpy)


def states_beside_torch() -> tuple[Any, ...]:
    """The states of Python's and NumPy's random numbers: others where somebody has drawn some.

    Example:
        >>> before = states_beside_torch()
        >>> before == states_beside_torch(), [random.random() for _ in range(2)] and before == states_beside_torch()
        (True, False)
    """
    return random.getstate(), _comparable(_numpy_state())


def _numpy_state() -> Any:
    """NumPy's; None while nobody has imported its random numbers, which NumPy itself does when they are asked for."""
    numpy = sys.modules.get(_NUMPY)
    return None if numpy is None else numpy.get_state(legacy=False)


def _comparable(state: Any) -> Any:
    if isinstance(state, Mapping):
        return [(key, _comparable(value)) for key, value in state.items()]
    return state.tobytes() if hasattr(state, "tobytes") else state
