"""What `prepare` sets of torch's compiler: while it compiles, while nobody else does, and at no other time."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest
import torch
from small import small
from torch._dynamo.convert_frame import compile_lock
from torch._inductor import config

import funcam

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that needs no compiler."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


def is_free() -> bool:
    """Whether another thread could compile now."""
    found: list[bool] = []

    def tried() -> None:
        found.append(compile_lock.acquire(blocking=False))
        if found[0]:
            compile_lock.release()

    thread = Thread(target=tried)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.usefixtures("uncompiled")
def test_weights_are_constants_while_it_compiles_and_others_may_not_meanwhile() -> None:
    seen: list[Any] = []

    def method(A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        seen.append((config.freezing, is_free()))
        return (A * g).sum(0)

    fast = funcam.prepare(small().eval(), example=IMAGES, method=method, dynamic=True)
    assert (True, False) in seen
    for count, expected in ((3, (False, True)), (2, (True, False)), (2, (False, True)), (1, (True, False))):
        seen.clear()
        fast(IMAGES[:count])
        assert set(seen) == {expected}
