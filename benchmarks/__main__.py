"""`python -m benchmarks COMMAND`: everything that is measured, one subcommand a module."""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks import browser, exports, report_page
from benchmarks.models import command as models
from benchmarks.stores import command as batch
from benchmarks.suite import compare, report, run

COMMANDS = {
    "batch": batch,
    "browser": browser,
    "exports": exports,
    "models": models,
    "run": run,
    "compare": compare,
    "report": report,
    "report-page": report_page,
}  # each: HELP, add_arguments(parser), main(arguments) -> exit status


def main(argv: list[str] | None = None) -> int:
    """Parse the line and run the subcommand."""
    for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before torch is imported
        os.environ.setdefault(threads, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does that is measured
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        module.add_arguments(subparsers.add_parser(name, help=module.HELP, description=module.HELP))
    arguments = parser.parse_args(argv)
    return COMMANDS[arguments.command].main(arguments)


if __name__ == "__main__":
    sys.exit(main())
