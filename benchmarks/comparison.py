"""What `funcam compare` costs: against plain forward passes and decoding, with insertion and deletion, and in memory.

    python benchmarks/comparison.py PHOTOS BOXES --net NAME=WEIGHTS --net NAME=WEIGHTS --threads 1 --clock cpu
    python benchmarks/comparison.py --memory 100,2000

The first runs two methods over the photos with truth, and right before it the same networks' forward passes on the same
decoded photos. The second runs the comparison on so many scenes, each number in a process of its own, and prints the
peak of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from funcam.comparison import Plan, Rival, compare, image_examples, scene_examples
from funcam.comparison.instances import instances_of
from funcam.errors import FuncamError
from funcam.imaging.reading import find_images
from funcam.metrics import deletion, insertion, prepared
from funcam.truth import match, read_truth
from funcam.zoo.nets import load_net
from funcam.zoo.preprocessing import normalised

_clock = time.perf_counter


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", nargs="?")
    parser.add_argument("boxes", nargs="?")
    parser.add_argument("--net", action="append", default=[])
    parser.add_argument("--most", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--memory", help="numbers of scenes, with commas between")
    parser.add_argument("--scenes", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.clock == "cpu":
        global _clock
        _clock = time.process_time
    if options.scenes:
        print(_peak_of(options.scenes))
        return
    found: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if options.memory:
        found["peak megabytes by scenes"] = {
            count: int(_own_process(count)) for count in map(int, options.memory.split(","))
        }
    elif options.photos and options.boxes and options.net:
        try:
            found |= _times(options)
        except FuncamError as error:
            parser.error(str(error))
    else:
        parser.error("give PHOTOS, BOXES and --net NAME=WEIGHTS, or --memory")
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(
            json.dumps({"command": [_named(word) for word in sys.argv[1:]], **found}, indent=1) + "\n"
        )


def _named(word: str) -> str:
    """An argument without the folders of this machine."""
    label, equals, path = word.rpartition("=")
    return f"{label}{equals}{Path(path).name}"


def _times(options: argparse.Namespace) -> dict[str, Any]:
    named = [each.partition("=") for each in options.net]
    rivals = [Rival(name, load_net(name, weights or None)) for name, _, weights in named]
    paths = find_images([options.photos]).paths[: options.most]
    if not paths:
        raise FuncamError(f"{options.photos} holds no pictures; expected a folder of some")
    truths = match(read_truth(options.boxes, rivals[0].net.classes).by_file, paths).truths
    examples = image_examples(paths, truths)
    decoded_and_forward(rivals, examples[:8])
    plain, whole = [], []
    for _ in range(options.rounds):
        plain.append(_seconds(lambda: decoded_and_forward(rivals, examples)))
        with tempfile.TemporaryDirectory() as folder:
            whole.append(_seconds(lambda folder=folder: compare(rivals, examples, Plan(), Path(folder))))
    passes, curves = _curves(rivals[0], examples)
    ratios = [found / alone for found, alone in zip(whole, plain, strict=True)]
    return {
        "images": len(examples),
        "seconds of decoding and forward passes": plain,
        "seconds of the comparison, the first with tracing the networks": whole,
        "ratios": ratios,
        "median ratio": statistics.median(ratios),
        "insertion and deletion against their forward passes": curves / passes,
    }


def decoded_and_forward(rivals: list[Rival], examples: list[Any]) -> None:
    """Decoding and the batched forward passes alone: what a comparison can't do without."""
    plan = Plan()
    for rival in rivals:
        for start in range(0, len(examples), plan.batch):
            chunk = examples[start : start + plan.batch]
            items = [instances_of(example, example.load(), rival, plan)[0] for example in chunk]
            with torch.no_grad():
                rival.net.model(normalised(rival.net, [item.image for item in items], "cpu"))


def _curves(rival: Rival, examples: list[Any]) -> tuple[float, float]:
    """Seconds of 2 x 51 forward passes in chunks of 64, and of insertion and deletion with 50 steps, for two images."""
    items = [instances_of(example, example.load(), rival, Plan())[0] for example in examples[:2]]
    images = normalised(rival.net, [item.image for item in items], "cpu")
    maps = prepared(torch.rand(2, 7, 7), images.shape[2:])
    targets = torch.tensor([0, 1])
    rows = images[:1].expand(51, -1, -1, -1).contiguous()

    def network(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = rival.net.model(batch)
            return logits

    def curves() -> None:
        for curve in (insertion, deletion):
            curve(network, images, maps, targets, steps=50, chunk=51)

    passes, measured = [], []
    for _ in range(5):
        passes.append(_seconds(lambda: [network(rows) for _ in range(4)]))
        measured.append(_seconds(curves))
    return min(passes), min(measured)


def _seconds(run: Any) -> float:
    started = _clock()
    run()
    return _clock() - started


def _own_process(count: int) -> str:
    command = [sys.executable, str(Path(__file__)), "--scenes", str(count)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]


def _peak_of(count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        compare([Rival("scenes", load_net("scenes"))], scene_examples(count), Plan(), Path(folder))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
