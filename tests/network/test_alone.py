"""What torch keeps once for all threads is one thread's at a time, and what it was when it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from small import randomised, small, tiny_vit
from torch import nn

import funcam
from funcam.exporting import tracing
from funcam.network import layers
from funcam.network.alone import alone

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def is_anothers() -> bool:
    """Whether a second thread would have to wait."""
    entered: list[bool] = []

    def enter() -> None:
        with alone():
            entered.append(True)

    thread = Thread(target=enter, daemon=True)
    thread.start()
    thread.join(0.2)
    return not entered


def vit() -> nn.Module:
    return randomised(tiny_vit()).eval()


CALLS: dict[str, tuple[Any, str, Callable[[Path], Any]]] = {
    "a file": (torch.export, "export", lambda file: funcam.export(small().eval(), file, example=IMAGES)),
    "its operations": (tracing, "make_fx", lambda file: funcam.export(small().eval(), file, example=IMAGES)),
    "a graph": (torch.export, "export", lambda _: funcam.split(vit(), example=IMAGES, via="export")),
    "forward": (torch.func, "jvp", lambda _: funcam.explain(vit(), IMAGES, method="shapley-cam")),
    "shapes": (layers._ShapeRecorder, "run", lambda _: funcam.list_layers(vit(), IMAGES)),
    "compiled": (
        torch,
        "compile",
        lambda _: funcam.prepare(small().eval(), example=IMAGES, backend="aot_eager"),
    ),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if kind in ("a file", "a graph") else kind for kind in CALLS]
)
def test_it_is_one_threads_at_a_time(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, name, call = CALLS[kind]
    own, seen = getattr(place, name), []

    def watched(*arguments: Any, **options: Any) -> Any:
        if name != "compile":
            seen.append(is_anothers())
            return own(*arguments, **options)
        return lambda *given: seen.append(is_anothers()) or arguments[0](*given)  # what compiles at its first call

    monkeypatch.setattr(place, name, watched)
    call(tmp_path / "explainer.pt2")
    assert seen
    assert all(seen)
    assert not is_anothers()


@pytest.mark.slow
def test_threads_that_export_derive_and_look_for_shapes(tmp_path: Path) -> None:
    """Each had put back, or been stopped by, what torch's tracer had set for another."""
    before = {name: vars(nn.Module)[name] for name in ("__call__", "__getattr__")}
    expected = funcam.explain(vit(), IMAGES, method="shapley-cam").maps
    failed: list[BaseException] = []

    def several(call: Callable[[int], Any]) -> None:
        try:
            for number in range(2):
                call(number)
        except BaseException as error:
            failed.append(error)

    def derive(_: int) -> None:
        torch.testing.assert_close(funcam.explain(vit(), IMAGES, method="shapley-cam").maps, expected)

    calls = [
        lambda number: funcam.export(small().eval(), tmp_path / f"{number}.pt2", example=IMAGES),
        lambda _: funcam.split(vit(), example=IMAGES, via="export"),
        derive,
    ]
    threads = [Thread(target=several, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {name: vars(nn.Module)[name] for name in before} == before
