"""The most memory that `funcam batch` has, for few images and for many."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.stores import generated
from benchmarks.stores.generated import write_shards
from benchmarks.stores.peak import WORD

NETWORK = generated.__file__


def measured(count: int) -> dict[str, Any]:
    """A store of so many small images in tar shards: the peak, the seconds, the bytes of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = write_shards(folder / "shards", count)
        words = [
            *map(str, shards),
            "--net",
            f"{NETWORK}:tiny",
            "--input-size",
            "64",
            "--out",
            str(folder / "store"),
            "--quiet",
        ]
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.stores.peak", "batch", *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        if ran.returncode:
            raise SystemExit(ran.stderr)
        peak = float(ran.stderr.rpartition(WORD)[2])
        log = [json.loads(line) for line in (folder / "store" / "log.jsonl").read_text().splitlines()]
        return {"images": count, "peak_mib": peak, "seconds": round(sum(line["seconds"] for line in log), 1)}
