"""`python -m benchmarks run [SUITE ...]`: measure, show and keep."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.arguments import count, counts, words
from benchmarks.suite import asking

if TYPE_CHECKING:
    from benchmarks.suite.case import Group, Setting, Suite
    from benchmarks.suite.records import Report, Row
    from benchmarks.suite.table import Screen

SO_FAR = ".so-far"
"""What a suite that was broken off leaves beside its earlier results."""
PEERS = {
    "grad-cam": "pytorch_grad_cam",
    "torchcam": "torchcam",
    "captum": "captum",
    "quantus": "quantus",
    "timm": "timm",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="micro, e2e, grad, 'micro/*', ... (default: all)")
    parser.add_argument("--list", action="store_true", help="say which suites there are, and measure nothing")
    parser.add_argument("--quick", action="store_true", help="small networks and few repeats: under two minutes")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="what is measured (cpu)")
    parser.add_argument("--threads", type=count, default=1, metavar="N", help="torch's threads on the CPU (1)")
    parser.add_argument("--clock", choices=("wall", "cpu"), help="of the CPU; cpu: processor time (wall)")
    parser.add_argument("--rounds", type=count, metavar="N", help="repeats of each case (21; quick: 2)")
    parser.add_argument("--nets", type=words, default=(), metavar="A,B", help="networks instead of each suite's own")
    parser.add_argument("--batches", type=counts, default=(), metavar="1,8", help="batches instead of each suite's own")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="pictures for e2e/files and e2e/cores (drawn)")
    parser.add_argument("--pictures", type=count, metavar="N", help="so many of them (30; quick: 1)")
    parser.add_argument("--no-memory", action="store_true", help="times only")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the results (benchmarks/results)")


def main(arguments: argparse.Namespace) -> int:
    """Run what was asked for; the exit status is 1 where a case of funcam's failed, 2 where it can't be measured."""
    from benchmarks.suite import registry
    from benchmarks.suite.case import Setting
    from benchmarks.suite.table import Screen

    try:
        names = registry.chosen(arguments.suites)
        if arguments.list:
            print("\n".join(f"{name:20} {registry.suite(name).TITLE}" for name in names))
            return 0
        names = asking.measurable(names, arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    chosen = arguments.nets, arguments.batches, arguments.photos, arguments.pictures
    setting = Setting(arguments.device, arguments.quick, *chosen)
    with Screen() as screen:
        done = [_done(name, setting, arguments, screen) for name in names]
    return int(not all(done))


def _done(name: str, setting: Setting, arguments: argparse.Namespace, screen: Screen) -> bool:
    """Measure a suite; whether all of funcam's went well. What one can't do costs the others nothing."""
    from benchmarks.suite import registry
    from benchmarks.suite.measuring import reason

    try:
        suite = registry.suite(name)
        groups = list(suite.groups(setting))
        if not groups:
            print(
                f"{name} has nothing for {', '.join(setting.nets) or 'this machine'}, and is left out", file=sys.stderr
            )
            return True
        report = _reported(name, suite, groups, setting, arguments, screen)
    except Exception as error:
        print(f"{name} failed: {reason(error)}", file=sys.stderr)
        return False
    return not any(row.failed and not is_of_peer(row.case) for row in report.rows)


def is_of_peer(case: str) -> bool:
    """Whether a case is another library's: its name, and what it does.

    Example:
        >>> is_of_peer("grad-cam grad-cam++"), is_of_peer("grad-cam"), is_of_peer("grad-cam, compiled")
        (True, False, False)
    """
    library, _, what = case.partition(" ")
    return library in PEERS and bool(what)


def _reported(
    name: str, suite: Suite, groups: list[Group], setting: Setting, arguments: argparse.Namespace, screen: Screen
) -> Report:
    from importlib.util import find_spec

    from benchmarks import machine
    from benchmarks.suite import measuring, records, roofline, timers

    timer = timers.timer_for(setting.device, clock=arguments.clock or "wall", threads=arguments.threads)
    limits = roofline.Machine(timer, setting.device, setting.quick)
    pace = measuring.Pace(*((2, 1) if setting.quick else (21, 3)), limits)
    pace = replace(pace, rounds=arguments.rounds) if arguments.rounds else pace
    described = machine.describe_for(setting.device)
    absent = [peer for peer, module in PEERS.items() if find_spec(module) is None]
    report = records.Report(
        name, suite.TITLE, _command(name, arguments), setting.quick, described, timer.words(), {}, absent, []
    )
    path = records.path_of(report, arguments.out or records.RESULTS, machine.name_of(described))
    for group in screen.over(name, groups):
        rows = measuring.rows_of(group, timer, pace)
        if group.memory and not arguments.no_memory:
            _add_memory(name, group, rows, setting, arguments.threads)
        for row in rows:
            row.stand_in = suite.FOR not in ("any", setting.device)
        screen.show(name, group.title, rows)
        report.rows += rows
        report.rates = limits.told()
        records.written(report, path.with_suffix(SO_FAR))
    records.written(report, path)
    path.with_suffix(SO_FAR).unlink(missing_ok=True)
    return report


def _add_memory(name: str, group: Group, rows: list[Row], setting: Setting, threads: int) -> None:
    """Quick: only the first case, because each is a process that imports torch."""
    from benchmarks.suite.memory import add_peak

    warm = [row for row in rows if row.temperature == "warm" and not row.failed]
    for row in warm[:1] if setting.quick else warm:
        add_peak(row, name, setting, threads)


def _command(name: str, arguments: argparse.Namespace) -> str:
    """The line that repeats this suite, without the folders of this machine."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = [name]
    for option, value in vars(arguments).items():
        if option in ("suites", "list", "out", "command") or value == parser.get_default(option):
            continue
        words.append(f"--{option.replace('_', '-')}")
        if option == "photos":
            words.append("PHOTOS")
        elif value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, tuple) else str(value))
    return shlex.join(["python", "-m", "benchmarks", "run", *words])
