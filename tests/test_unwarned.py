"""What is warned of while funcam reads or exports: silence is one thread's, and leaves nothing behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import funcam
from funcam.errors import unwarned
from funcam.network import forward_mode
from funcam.streaming.in_order import in_order
from funcam.zoo import checkpoints


@pytest.fixture(autouse=True)
def filters() -> Iterator[list[Any]]:
    """Those of all threads, which stay what they were."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        before = [*warnings.filters]
        yield before
        assert list(warnings.filters) == before


def told(message: str) -> bool:
    """Whether somebody hears it who warns of it in this thread."""
    with pytest.MonkeyPatch.context() as patched:
        heard: list[Any] = []
        patched.setattr(warnings, "showwarning", lambda said, *_: heard.append(str(said)))
        warnings.warn(message, stacklevel=1)
    return heard == [message]


def elsewhere(function: Callable[[], Any]) -> Any:
    """What a function returns in another thread."""
    found: list[Any] = []
    thread = Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_it_is_one_threads() -> None:
    with unwarned():
        assert not told("inside")
        assert elsewhere(lambda: told("of another thread"))
        with unwarned():
            assert not told("inside twice")
        assert not told("inside again")
    assert told("outside")


def test_two_threads_overlap() -> None:
    """The first in is the first out."""
    steps = Barrier(2, timeout=60)

    def first() -> None:
        with unwarned():
            steps.wait()
            steps.wait()
        steps.wait()

    def second() -> None:
        steps.wait()
        with unwarned():
            steps.wait()
            steps.wait()
            assert not told("still inside")

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told("outside")


@pytest.mark.parametrize("ours_first", [True, False])
def test_somebody_elses_filters_overlap(ours_first: bool) -> None:
    ours, theirs = ExitStack(), ExitStack()
    ours.enter_context(unwarned())
    theirs.enter_context(warnings.catch_warnings())
    for stack in (ours, theirs) if ours_first else (theirs, ours):
        stack.close()
    assert told("outside")


def test_what_is_read_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image is opened, weights are opened, the image is closed, the weights are closed."""
    picture, weights = tmp_path / "a.png", tmp_path / "a.pth"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
    torch.save({"a": torch.ones(2)}, weights)
    steps, load = Barrier(2, timeout=60), torch.load

    def slow_image(*arguments: Any, **options: Any) -> Any:
        steps.wait()
        steps.wait()
        return opened(*arguments, **options)

    def slow_load(*arguments: Any, **options: Any) -> Any:
        steps.wait()
        thread.join()
        return load(*arguments, **options)

    opened = Image.open
    monkeypatch.setattr(Image, "open", slow_image)
    monkeypatch.setattr(torch, "load", slow_load)
    thread = Thread(target=funcam.read_image, args=(picture,))
    thread.start()
    steps.wait()
    assert told("while an image is read")
    checkpoints.read_checkpoint(weights)
    assert told("behind both")


def test_what_is_imported_for_forward_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_mode.importlib, "import_module", lambda _: warnings.warn("deprecated", stacklevel=1))
    forward_mode._import_quietly.__wrapped__()
    assert told("outside")


def test_filters_that_are_set_while_items_are_made_stay() -> None:
    with warnings.catch_warnings():
        outcomes = in_order(abs, [-2, 1], workers=1)
        assert next(outcomes).value == 2
        warnings.simplefilter("ignore")
        assert [outcome.value for outcome in outcomes] == [1]
        assert not told("left out")
