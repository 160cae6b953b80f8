"""`python -m benchmarks.stores.engines ENGINE PHOTOS FOLDER --cpus N`: seconds of one engine after its start.

A process of its own, because Ray may live in another environment than what else is measured. Two stores are made,
one of a few images and one of many, and the rate is that of what the second has more: starting is in both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from funcam.bulk.asked import Asked, question_of
from funcam.bulk.local import run_local
from funcam.recipe import Recipe
from funcam.sources import list_items
from funcam.store import Writer
from funcam.zoo.nets import build_net

SHARD, BATCH = 64, 16


def main() -> None:
    """Measure, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("local", "ray"))
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--net", default="mobilenet_v2")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--images", type=int, nargs=2, default=(128, 768), metavar=("FEW", "MANY"))
    given = parser.parse_args()
    torch.manual_seed(0)
    asked = Asked(build_net(given.net), Recipe(methods=("grad-cam",)))
    question = question_of(asked, map_type="float16", shard_size=SHARD, batch_size=BATCH)
    seconds, spent = [], []
    with Meter() as meter, _engine(given.engine, given.cpus) as run:
        for count in given.images:
            with Writer(given.folder / f"{given.engine}-{count}", question) as writer:
                writer.list_items(list_items([str(_listing(given.photos, given.folder, count))]))
                started, before = time.perf_counter(), meter.seconds()
                run(asked, writer, lambda _images, _failures: None)
                seconds.append(time.perf_counter() - started)
                spent.append(meter.seconds() - before)
    more = given.images[1] - given.images[0]
    told = {
        "images_s": more / (seconds[1] - seconds[0]),
        "processor_ms": 1000 * (spent[1] - spent[0]) / more,
        "few_s": seconds[0],
        "load": os.getloadavg()[0],
    }
    print(json.dumps({"engine": given.engine, "cpus": given.cpus, **told}))


class Meter:
    """The processors' time of this process and of all below it, looked at twice a second: they come and go."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def seconds(self) -> float:
        """What was spent so far."""
        self._look()
        return sum(self._seen.values()) / os.sysconf("SC_CLK_TCK")

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self._look()

    def _look(self) -> None:
        told, found = _processes(), {os.getpid()}
        while found:
            self._seen |= {process: told[process][1] for process in found if process in told}
            found = {process for process, (parent, _) in told.items() if parent in found}


def _processes() -> dict[int, tuple[int, int]]:
    """Every process with its parent and the ticks that it has spent."""
    told = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            told[int(path.parent.name)] = int(words[1]), int(words[11]) + int(words[12])
    return told


def _listing(photos: Path, folder: Path, count: int) -> Path:
    """As many photos as are wanted, by copies: two paths with one content of a shard would be one computation."""
    found = [path for path in sorted(photos.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")][:SHARD]
    if len(found) < SHARD:
        raise SystemExit(f"{photos} holds {len(found)} JPEG files; {SHARD} are needed")
    path = folder / "listing.txt"
    path.write_text("".join(f"{found[number % SHARD].resolve()}\n" for number in range(count)))
    return path


@contextmanager
def _engine(name: str, cpus: int) -> Iterator[Callable[..., None]]:
    if name == "local":
        torch.set_num_threads(cpus)
        yield lambda asked, writer, done: run_local(asked, writer, done, cpus)
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    from funcam.bulk.cluster import run_cluster

    ray.init(num_cpus=cpus, log_to_driver=False, include_dashboard=False, object_store_memory=400 * 2**20)
    yield lambda asked, writer, done: run_cluster(asked, writer, done)
    ray.shutdown()


if __name__ == "__main__":
    main()
