"""`funcam compare` on scenes, beside decoding and the plain forward passes; and its memory by the number of images."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.comparison import decoded_and_forward
from benchmarks.suite.case import Case, Group, Setting
from funcam.comparison import Example, Plan, Rival, compare, scene_examples
from funcam.zoo.nets import build_net, load_net

TITLE = "comparing networks and methods over a data set"
FOR = "cpu"
TAKES: tuple[str, ...] = ()
PLAIN = "decoding and forward passes"


def groups(setting: Setting) -> Iterator[Group]:
    count = 4 if setting.quick else 100
    for names in (("scenes",),) if setting.quick else (("scenes",), ("shufflenet_v2_x1_0", "mobilenet_v2")):
        yield Group(f"{' and '.join(names)}, {count} scenes", partial(_cases, names, count), PLAIN, once=True)
    if not setting.quick:
        # The peak grows with the numbers kept of each image, not with the images. (Up to 64 drawn scenes are kept.)
        for count in (100, 400):
            yield Group(
                f"memory with {count} scenes", partial(_cases, ("scenes",), count), PLAIN, memory=True, once=True
            )


def _cases(names: tuple[str, ...], count: int) -> dict[str, Case]:
    rivals = [Rival(name, load_net(name) if name == "scenes" else build_net(name, num_classes=10)) for name in names]
    examples = scene_examples(count)
    return {
        PLAIN: Case(partial(decoded_and_forward, rivals, examples), images=count),
        "funcam compare": Case(partial(_compared, rivals, examples), images=count),
    }


def _compared(rivals: list[Rival], examples: list[Example]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        compare(rivals, examples, Plan(), Path(folder))
