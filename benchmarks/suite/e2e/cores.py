"""A folder of photos to pictures on several processors over one: wall time, with as many of torch's threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.e2e import files

TITLE = "files to pictures, on several processors over one"
FOR = "cpu"
TAKES: tuple[str, ...] = ("nets", "photos", "pictures")
ONE = "1 processor"


def groups(setting: Setting) -> Iterator[Group]:
    if not hasattr(os, "sched_setaffinity"):  # nothing keeps a process to some processors
        return
    for name in setting.nets_or("mobilenet_v2"):
        for title, options in [*files.COMMANDS.items()][: 1 if setting.quick else None]:
            group = f"{name}, {title}, {files.told_number(setting)}"
            yield Group(group, partial(_cases, setting, name, options), ONE, once=True)


def _cases(setting: Setting, name: str, options: tuple[str, ...]) -> dict[str, Case]:
    paths, folder = files.pictures(setting)
    there = len(os.sched_getaffinity(0))
    run = partial(files.command, name, paths, *options)

    def case(count: int, of_torch: int) -> Case:
        return Case(partial(_on, count, of_torch, run), images=len(paths), keeps=folder)

    several = [count for count in (2, 4) if count <= there]
    return {
        ONE: case(1, 1),
        **{f"{count} processors": case(count, count) for count in several},
        **{f"{count} processors, 1 thread of torch's": case(count, 1) for count in several},
    }


def _on(count: int, of_torch: int, run: Callable[[], object]) -> None:
    """Run on so many processors, with so many of torch's threads; threads that it starts stay there."""
    allowed, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, sorted(allowed)[:count])
    torch.set_num_threads(of_torch)
    try:
        run()
    finally:
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(threads)
