"""What the whole program costs: `funcam --help`, and one image, beside Python importing torch and torchvision.

    python benchmarks/start.py PHOTO --weights FILE --json FILE

FILE holds mobilenet_v2's weights (`--net` for another network). Each round runs every command once, in turn; the
table shows the median, least and largest wall time, and how long the median is above the import.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
IMPORT = "import torch, torchvision"
FUNCAM = "import sys; from funcam.cli import main; sys.exit(main())"


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(options, Path(folder))
        for command in commands.values():  # reads every file once, so that all of them come from memory
            _seconds(command)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(_seconds(command))
    Console().print(_table(times))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(_report(times, options), indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--net", default="mobilenet_v2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    return parser.parse_args()


def _commands(options: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    funcam = [sys.executable, "-c", FUNCAM]
    explain = ["explain", str(options.photo), "--net", options.net, "--weights", str(options.weights)]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "funcam --help": [*funcam, "--help"],
        IMPORT: [sys.executable, "-c", IMPORT],
        f"funcam explain, {options.net}": [*funcam, *explain, "--out", str(folder)],
    }


def _seconds(command: list[str]) -> float:
    """Wall time of a command; if it fails, its own words end the benchmark."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr or done.stdout}")
    return seconds


def _table(times: dict[str, list[float]]) -> Table:
    table = Table(title="wall time in seconds")
    for heading in ("command", "median", "least", "largest", "above the import"):
        table.add_column(heading, justify="left" if heading == "command" else "right")
    base = statistics.median(times[IMPORT])
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        table.add_row(name, *(f"{value:.2f}" for value in (middle, min(seconds), max(seconds), middle - base)))
    return table


def _report(times: dict[str, list[float]], options: argparse.Namespace) -> dict[str, object]:
    rows = [
        {"case": name, "median": statistics.median(seconds), "least": min(seconds), "largest": max(seconds)}
        for name, seconds in times.items()
    ]
    machine = {
        "cores": os.cpu_count(),
        "load_at_the_end": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
    }
    command = (
        f"python benchmarks/{Path(__file__).name} PHOTO --weights FILE --net {options.net} --rounds {options.rounds}"
    )
    return {"command": command, "machine": machine, "rows": rows}


if __name__ == "__main__":
    main()
