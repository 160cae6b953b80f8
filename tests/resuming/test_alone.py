"""Of several processes that write into one folder one chooses names at a time; the threads of one don't wait."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from funcam.resuming import alone
from funcam.resuming.alone import alone_in

pytest.importorskip("fcntl", reason="Windows can't hold a folder")

COUNTING = """
import sys, time
from pathlib import Path
from funcam.resuming.alone import alone_in
count = Path(sys.argv[1], "count")
for _ in range(20):
    with alone_in(count.parent):
        seen = int(count.read_text())
        time.sleep(0.005)
        count.write_text(str(seen + 1))
"""


def test_processes_come_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    others = [subprocess.Popen([sys.executable, "-c", COUNTING, str(tmp_path)]) for _ in range(3)]
    assert [other.wait(120) for other in others] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "60"


def test_threads_of_one_process_are_in_together(tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=30)

    def enter() -> None:
        with alone_in(tmp_path):
            together.wait()

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken


def test_others_get_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "_TURN", 0.0)
    entered = threading.Event()

    def enter() -> None:
        with alone_in(tmp_path):
            entered.set()

    thread = threading.Thread(target=enter)
    with alone_in(tmp_path):
        thread.start()
        assert not entered.wait(0.2)
    thread.join()
    assert entered.is_set()


def test_whoever_holds_it_for_ever_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "_PATIENCE", 0.1)
    with alone_in(tmp_path):
        code = "import sys, funcam.resuming.alone as a; from pathlib import Path; a._PATIENCE = 0.1\n"
        code += "with a.alone_in(Path(sys.argv[1])): print('in')"
        said = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert said.stdout == "in\n"


def cannot(_descriptor: int) -> None:
    raise OSError("a folder can't be held here")


def test_a_system_that_cannot_hold_folders_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "lock", cannot)
    with alone_in(tmp_path):
        assert list(tmp_path.iterdir()) == []
