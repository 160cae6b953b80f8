"""The garbage collector: off while a command starts, on in the work, and afterwards as it was."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest
from command_line import Funcam

from funcam.cli.collector import collect_again, collector_off


@pytest.fixture(autouse=True)
def on_afterwards() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_it_is_left_as_it_was(before: bool, again: bool) -> None:
    (gc.enable if before else gc.disable)()
    with collector_off():
        assert not gc.isenabled()
        if again:
            collect_again()
            assert gc.isenabled()
    assert gc.isenabled() == before


@pytest.mark.parametrize("words", [("--version",), ("explain", "missing.png"), ("methods",)])
def test_every_end_of_a_command_leaves_it_as_it_was(funcam: Funcam, words: tuple[str, ...]) -> None:
    gc.disable()
    funcam(*words)
    assert not gc.isenabled()


def test_a_command_starts_without_it(funcam: Funcam, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sys.modules["funcam.cli.main"], "app", lambda **_: seen.append(gc.isenabled()))
    assert funcam().code == 0
    assert seen == [False]
    assert gc.isenabled()
