"""`python -m benchmarks report`: RESULTS.md and its plots, from the JSON alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results", metavar="FOLDER")
    parser.add_argument("--page", type=Path, default=ROOT / "benchmarks/RESULTS.md", metavar="MD")


def main(arguments: argparse.Namespace) -> int:
    """Write the page, and the plots into `plots/` beside it."""
    from benchmarks.files import put
    from benchmarks.suite import costs, page, records, throughputs

    try:
        machines = records.machines_in(arguments.results)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not machines:
        print(f"no results in {arguments.results}; `python -m benchmarks run` measures them", file=sys.stderr)
        return 2
    text, plots = page.page_of(machines)
    folder = arguments.page.parent / page.PLOTS
    try:
        for name, picture in plots.items():
            put(folder / name, picture)
        for path in folder.glob("*.svg"):  # of groups that are no longer there
            if path.name not in plots and path.name.startswith(tuple(f"{page.slug(name)}-" for name in machines)):
                path.unlink()
        put(arguments.page, text)
    except OSError as error:
        print(
            f"{arguments.page} and its plots can't be written: {error.strerror}; give another --page", file=sys.stderr
        )
        return 1
    print(f"{arguments.page} and {len(plots)} plots, of {', '.join(machines)}")
    if arguments.results.resolve() == records.RESULTS:  # those of this checkout, of which its pages tell
        pages = [ROOT / "README.md", ROOT / "docs/benchmarks.md"]
        for shown in [*costs.put_into(pages, machines), *throughputs.put_into(pages, machines)]:
            print(f"a table in {shown}")
    return 0
