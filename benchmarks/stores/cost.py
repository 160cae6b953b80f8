"""Files to maps: the local engine beside decoding and the plain batched forward pass."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.stores.generated import tiny, write_shards
from funcam.bulk.asked import Asked, question_of
from funcam.bulk.local import run_local
from funcam.imaging.reading import Pixels, read_data
from funcam.recipe import Recipe
from funcam.sources import list_items
from funcam.store import Writer, open_store
from funcam.zoo.net import Net
from funcam.zoo.nets import build_net, own_net
from funcam.zoo.preprocessing import fitted, normalised

BATCH = 32
Times = dict[str, tuple[float, float]]
"""Of each part the wall clock's seconds and the processors'."""


def measured(name: str, photos: Sequence[Path], cores: int, rounds: int) -> dict[str, Any]:
    """The parts and the engine, round after round; the ratios are those of each round, in the median."""
    torch.set_num_threads(cores)
    net = build_net(name)
    asked = Asked(net, Recipe(methods=("grad-cam",)))
    every: list[Times] = []
    for number in range(rounds + 1):
        pixels: list[Pixels] = []
        times = {
            "decoding": _timed(lambda pixels=pixels: pixels.extend(_decoded(net, photos, cores))),  # type: ignore[misc]
            "forward": _timed(lambda pixels=pixels: _forward(net, pixels)),  # type: ignore[misc]
            "engine": _timed(lambda: _engine(asked, photos, cores)),
        }
        if number:  # the first warms up
            every.append(times)
    return {
        "net": name,
        "images": len(photos),
        "cores": cores,
        "rounds": rounds,
        "wall": _ratio(every, 0),
        "processor": _ratio(every, 1),
        **{f"{part}_ms": 1000 * _middle(every, part, 1) / len(photos) for part in every[0]},
    }


def decoding_rate(net: Net, photos: Sequence[Path], rounds: int = 5) -> float:
    """Images a second that one core reads, decodes and fits, by processor time, in the median."""
    seconds = [_timed(lambda: _decoded(net, photos, 1))[1] for _ in range(rounds)]
    return len(photos) / statistics.median(seconds)


def enlarged(photos: Sequence[Path], folder: Path, side: int) -> list[Path]:
    """The photos as a camera would have them, their longer side so many pixels."""
    paths = []
    for photo in photos:
        with Image.open(photo) as image:
            scale = side / max(image.size)
            larger = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
        paths.append(folder / f"{photo.stem}.jpg")
        larger.save(paths[-1], quality=90)
    return paths


def serial_ms(images: int = 3000) -> float:
    """What the thread that explains spends on an image, the network next to nothing: by its own processor time."""
    with tempfile.TemporaryDirectory() as name:
        shards = write_shards(Path(name) / "shards", images)
        asked = Asked(own_net(tiny(), input_size=64), Recipe(methods=("grad-cam",)))
        torch.set_num_threads(1)
        _engine(asked, shards, 2)  # warms up
        started = time.thread_time()
        _engine(asked, shards, 2)
        return 1000 * (time.thread_time() - started) / images


def stored(name: str, photos: Sequence[Path]) -> dict[str, float]:
    """The bytes that a store takes for an image, of the maps' column and of the rest."""
    from pyarrow import parquet

    found: dict[str, float] = {}
    for map_type in ("float16", "uint8", "none"):
        with tempfile.TemporaryDirectory() as folder:
            _engine(Asked(build_net(name), Recipe(methods=("grad-cam",))), photos, 2, Path(folder), map_type)
            (shard,) = Path(folder).glob("maps-*")
            told = parquet.read_metadata(shard)
            columns = [told.row_group(g).column(c) for g in range(told.num_row_groups) for c in range(told.num_columns)]
            maps = sum(c.total_compressed_size for c in columns if c.path_in_schema.startswith("map"))
            found |= {map_type: maps / len(photos), f"{map_type}_file": shard.stat().st_size / len(photos)}
    return found


def _decoded(net: Net, photos: Sequence[Path], threads: int) -> list[Pixels]:
    def one(path: Path) -> Pixels:
        return fitted(net, read_data(path.read_bytes(), str(path)).pixels, "squash")[0]

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, photos))


def _forward(net: Net, pixels: Sequence[Pixels]) -> None:
    with torch.inference_mode():
        for start in range(0, len(pixels), BATCH):
            net.model(normalised(net, list(pixels[start : start + BATCH]), "cpu"))


def _engine(
    asked: Asked, photos: Sequence[Path], workers: int, folder: Path | None = None, map_type: str = "float16"
) -> None:
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            _engine(asked, photos, workers, Path(name), map_type)
        return
    question = question_of(asked, map_type=map_type, shard_size=4096, batch_size=BATCH)
    with Writer(folder, question) as writer:
        writer.list_items(list_items([str(photo) for photo in photos]))
        run_local(asked, writer, lambda _images, _failures: None, workers)
    assert open_store(folder).failures == 0


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def _middle(every: Sequence[Times], part: str, clock: int) -> float:
    return statistics.median(times[part][clock] for times in every)


def _ratio(every: Sequence[Times], clock: int) -> float:
    return statistics.median(
        times["engine"][clock] / (times["decoding"][clock] + times["forward"][clock]) for times in every
    )
