"""`python -m benchmarks models`: judge the matrix, each entry in a fresh process, and write docs/models.md."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.arguments import count, positive
from benchmarks.files import put

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "benchmarks/results/models.json", ROOT / "docs/models.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="PATTERN", help="names that match, as 'torchvision/resnet*' or 'lstm'")
    parser.add_argument("--origin", metavar="NAME", help="what is in front of the slash: torchvision, timm, traps, ...")
    parser.add_argument("--quick", action="store_true", help="a sample over origins and kinds, under a minute")
    parser.add_argument("--jobs", type=count, default=2, metavar="N", help="processes at a time (2)")
    parser.add_argument("--seconds", type=positive, default=60, metavar="S", help="the limit for an entry (60)")
    parser.add_argument("--memory", type=positive, default=4, metavar="GB", help="the limit for an entry (4)")
    parser.add_argument("--peers", action="store_true", help="pytorch-grad-cam and torchcam by their defaults, too")
    parser.add_argument("--resume", action="store_true", help="leave out what the results have already")
    parser.add_argument(
        "--out", type=Path, metavar="JSON", help=f"the results ({RESULTS.relative_to(ROOT)}, of a whole run)"
    )
    parser.add_argument("--page", type=Path, metavar="MD", help=f"the page ({PAGE.relative_to(ROOT)}, of a whole run)")


def main(arguments: argparse.Namespace) -> int:
    """Run what was asked for; the exit status is 1 where a model was explained wrongly or changed."""
    from benchmarks import machine
    from benchmarks.models import collecting, page, processes

    entries, missing = collecting.collect()
    chosen = collecting.chosen(entries, arguments.only, arguments.origin, quick=arguments.quick)
    if not chosen:
        print(
            f"no entry matches; {len(entries)} are known, from {', '.join(collecting.origins(entries))}",
            file=sys.stderr,
        )
        return 2
    part = bool(arguments.only or arguments.origin or arguments.quick)
    out = arguments.out or (None if part else RESULTS)
    results: dict[str, Any] = {"machine": machine.describe(), "missing": missing, "records": {}}
    if arguments.resume and out and out.exists():
        results["records"] = json.loads(out.read_text(encoding="utf-8"))["records"]
    waiting = [entry for entry in chosen if entry.name not in results["records"]]
    limits = processes.Limits(arguments.seconds, arguments.memory)
    for record in processes.judged(waiting, jobs=arguments.jobs, limits=limits, peers=arguments.peers):
        results["records"][record["name"]] = record
        _write(out, results)
    names = [entry.name for entry in entries if entry.name in results["records"]]
    results["records"] = {name: results["records"][name] for name in names}
    _write(out, results)
    target = arguments.page or (None if part else PAGE)
    if target:
        put(target, page.page_of(results, {entry.name: entry for entry in entries}))
    if part:
        print(page.failures(results["records"]), end="\n\n")
    print(page.in_short(results["records"]))
    bad = {"wrong", "changed model"}
    return int(any(record["verdict"] in bad for record in results["records"].values()))


# Where packages and this folder lie on a machine is that machine's affair.
_WHERE = re.compile(rf"[^\\s\"'()]*/site-packages/|{re.escape(str(ROOT))}/")


def _write(out: Path | None, results: dict[str, Any]) -> None:
    if out is not None:
        put(out, _WHERE.sub("", json.dumps(results, indent=1)))
