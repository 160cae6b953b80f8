"""`python -m benchmarks COMMAND`: everything that is measured, one subcommand a module."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

COMMANDS = {
    "batch": (
        "benchmarks.stores.command",
        "measure funcam batch: time over the plain passes, memory, bytes, engines, and what 100 million images cost",
    ),
    "browser": ("benchmarks.browser", "measure frames a second of the example in headless Chromium"),
    "exports": (
        "benchmarks.exports",
        "export every classifier of torchvision's, verify the maps and measure their cost in ONNX Runtime",
    ),
    "models": (
        "benchmarks.models.command",
        "judge funcam on every model of the matrix, and write benchmarks/results/models.json and docs/models.md",
    ),
    "run": (
        "benchmarks.suite.run",
        "measure funcam's kernels and calls, in time and memory, beside the limit and the peers",
    ),
    "compare": ("benchmarks.suite.compare", "say what became slower from one run to another on the same machine"),
    "report": ("benchmarks.suite.report", "write benchmarks/RESULTS.md and its plots from the results"),
    "report-page": (
        "benchmarks.report_page",
        "measure how fast a report of many images opens and scrolls in headless Chromium",
    ),
}
"""The module of each, which has `add_arguments(parser)` and `main(arguments) -> exit status`, and what it does."""
STOPPED = 130


def main(argv: list[str] | None = None) -> int:
    """Parse the line and run the subcommand; only its own module is imported."""
    for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before torch is imported
        os.environ.setdefault(threads, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does that is measured
    line = sys.argv[1:] if argv is None else argv
    asked = importlib.import_module(COMMANDS[line[0]][0]) if line and line[0] in COMMANDS else None
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, what) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=what, description=what)
        if asked is not None and name == line[0]:
            asked.add_arguments(subparser)
    arguments = parser.parse_args(line)
    assert asked is not None, "without a command the parser has ended"
    try:
        status: int = asked.main(arguments)
    except KeyboardInterrupt:
        print("stopped; what was written before stays", file=sys.stderr)
        return STOPPED
    return status


if __name__ == "__main__":
    sys.exit(main())
