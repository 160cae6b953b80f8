"""Peak memory, each case in a process of its own: `python -m benchmarks.suite.memory JSON`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.suite import registry
from benchmarks.suite.case import Setting
from benchmarks.suite.records import ROOT, Row
from benchmarks.suite.timers import timer_for

# One threshold for the C library's allocator, so that a freed tensor goes back to the system at once and the process's
# size follows the tensors that live.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def add_peak(row: Row, suite: str, setting: Setting, threads: int) -> None:
    """Fill in a row's memory; where the process fails, the row says so."""
    wanted = json.dumps({"suite": suite, "group": row.group, "case": row.case, "threads": threads} | _plain(setting))
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.suite.memory", wanted],
        env=os.environ | ALLOCATOR | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        row.failed = f"in its own process: {(done.stderr.splitlines() or ['no reason'])[-1][:160]}"
    else:
        row.peak, row.above_start = json.loads(done.stdout.splitlines()[-1])


def _plain(setting: Setting) -> dict[str, object]:
    return {"setting": asdict(setting) | {"photos": setting.photos and str(setting.photos)}}


def main(text: str) -> None:
    """Make the one case and print its peak and what it added, behind a first run that finds out and imports."""
    wanted = json.loads(text)
    plain = wanted["setting"]
    photos = plain["photos"] and Path(plain["photos"])
    setting = Setting(**plain | {"nets": tuple(plain["nets"]), "batches": tuple(plain["batches"]), "photos": photos})
    timer = timer_for(setting.device, threads=wanted["threads"])
    groups = registry.suite(wanted["suite"]).groups(setting)
    group = next(group for group in groups if group.title == wanted["group"])
    run = group.make()[wanted["case"]].run
    run()
    print(json.dumps(timer.peak(run)))


if __name__ == "__main__":
    main(sys.argv[1])
