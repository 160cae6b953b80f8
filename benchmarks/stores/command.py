"""`python -m benchmarks batch [WHAT ...]`: measure what `funcam batch` costs, keep it, and fill its page's tables."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.arguments import count
from benchmarks.files import put
from benchmarks.pages import filled
from benchmarks.stores.tables import tables

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "results" / "batch.json"
PAGE = ROOT / "docs" / "batch.md"
NET = "mobilenet_v2"
PHOTOS = 128
LARGE = 2048  # pixels of a photo's longer side, as a camera makes it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"{', '.join(MEASURES)} (default: all)")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEG files: at least 128")
    parser.add_argument("--counts", type=count, nargs="+", default=[1000, 100_000], help="images of `memory`")
    parser.add_argument("--python", default=sys.executable, help="for `engines`, one that has Ray")
    parser.add_argument("--images", type=count, nargs=2, default=[64, 320], help="images of `engines`: few, and many")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--tables", action="store_true", help="only write the tables again")


def main(given: argparse.Namespace) -> int:
    """Measure what was asked for, and write after each."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line sets it
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    for what in () if given.tables else given.what or MEASURES:
        if what not in MEASURES:
            print(f"{what!r} is none of {', '.join(MEASURES)}", file=sys.stderr)
            return 2
        found = MEASURES[what](given)
        report[what] = {"figures": found, "date": datetime.now(UTC).date().isoformat(), "machine": _machine()}
        print(json.dumps({what: found}), flush=True)
        put(REPORT, json.dumps(report, indent=1) + "\n")
    put(PAGE, filled(PAGE.read_text(), tables(report)))
    return 0


def _machine() -> dict[str, Any]:
    from benchmarks.machine import describe_for

    return describe_for("cpu")


def _photos(given: argparse.Namespace) -> list[Path]:
    suffixes = (".jpg", ".jpeg")
    found = sorted(path for path in (given.photos or Path()).rglob("*") if path.suffix.lower() in suffixes)
    if len(found) < PHOTOS:
        raise SystemExit(f"--photos has {len(found)} JPEG files; {PHOTOS} are needed")
    return found[:PHOTOS]


def _cost(given: argparse.Namespace) -> Any:
    from benchmarks.stores.cost import measured

    return measured(NET, _photos(given), 2, given.rounds)


def _bytes(given: argparse.Namespace) -> Any:
    from benchmarks.stores.cost import stored

    return stored(NET, _photos(given))


def _decoding(given: argparse.Namespace) -> Any:
    from benchmarks.stores.cost import decoding_rate, enlarged, serial_ms
    from funcam.zoo.nets import build_net

    net, small = build_net(NET), _photos(given)
    with tempfile.TemporaryDirectory() as folder:
        large = enlarged(small[:16], Path(folder), LARGE)
        sizes = [
            {"images_s": decoding_rate(net, photos, given.rounds), "bytes": _mean_size(photos)}
            for photos in (small, large)
        ]
    return {"sizes": sizes, "serial_ms": serial_ms()}


def _mean_size(photos: list[Path]) -> float:
    return sum(path.stat().st_size for path in photos) / len(photos)


def _memory(given: argparse.Namespace) -> Any:
    from benchmarks.stores.memory import measured

    return [measured(count) for count in given.counts]


def _engines(given: argparse.Namespace) -> Any:
    _photos(given)
    return [_engine(given, engine, cpus) for _ in range(given.rounds) for cpus in (1, 2) for engine in ("local", "ray")]


def _engine(given: argparse.Namespace, engine: str, cpus: int) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        words = [
            engine,
            str(given.photos),
            folder,
            "--net",
            NET,
            "--cpus",
            str(cpus),
            "--images",
            *map(str, given.images),
        ]
        ran = subprocess.run(
            [given.python, "-P", "-m", "benchmarks.stores.engines", *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        if ran.returncode:
            raise SystemExit(ran.stderr)
        told = json.loads(ran.stdout.splitlines()[-1])
        print(told, file=sys.stderr, flush=True)
        return told


MEASURES: dict[str, Callable[[argparse.Namespace], Any]] = {
    "cost": _cost,
    "bytes": _bytes,
    "decoding": _decoding,
    "memory": _memory,
    "engines": _engines,
}
