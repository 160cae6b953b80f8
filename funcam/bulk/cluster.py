"""The same work on a cluster: Ray Data reads in tasks, explains in actors, and streams between them.

A row between the stages is a batch of a shard: uint8 pixels, so that nothing spills, and never a part of a batch, so
that a store made by a cluster is byte for byte the one made by one machine. A batch is written by whoever explained
it; one that is made twice, because a node died, is written twice and the same. The folder of the store has to be seen
by all nodes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from funcam.bulk.asked import Asked, on_device
from funcam.bulk.ready import Images, Ready
from funcam.bulk.record import logged
from funcam.bulk.rows import Rows
from funcam.bulk.work import explain_batch
from funcam.errors import FuncamError, one_line
from funcam.store import Row, Shard, Writer
from funcam.zoo.net import Net

Block = Mapping[str, Any]
_READING, _EXPLAINING = 0.25, 0.75
"""Shares of a processor, where both stages live on processors: one of each on each."""


def run_cluster(
    asked: Asked,
    writer: Writer,
    done: Callable[[int, int], None],
    *,
    address: str | None = None,
    gpus_per_worker: float = 0,
) -> None:
    """Make every shard that is missing.

    Args:
        asked: what is asked of every image; its network is on the CPU.
        writer: the store, in a folder that all nodes see.
        done: called with how many images of a batch are written, and how many of them have an error.
        address: of a running cluster; None for one on this machine.
        gpus_per_worker: GPUs, or a share of one, for each actor; 0 explains on processors.

    Raises:
        FuncamError: Ray isn't installed, the cluster can't be reached or has no such GPUs, or a disk is full.
    """
    ray = _ray()
    missing = writer.missing()
    if not missing:
        return
    _connect(ray, address)
    folder, device = str(writer.folder.resolve()), "cuda" if gpus_per_worker else "cpu"
    pool = _places(ray, gpus_per_worker)
    kept, reading = ray.put(asked), replace(asked.net, model=nn.Identity())  # who only reads needs no weights
    batches = (
        ray.data.from_items([{"shard": number} for number in missing], override_num_blocks=len(missing))
        .map_batches(
            _read,
            fn_kwargs={"folder": folder, "net": reading, "fit": asked.fit},
            batch_size=1,
            num_cpus=1 if gpus_per_worker else _READING,
        )
        .map_batches(
            _Explainer,
            fn_constructor_kwargs={"folder": folder, "asked": kept, "device": device},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=pool),
            num_gpus=gpus_per_worker or None,
            num_cpus=1 if gpus_per_worker else _EXPLAINING,
        )
    )
    _finish_as_they_come(batches, writer, missing, done)


def _finish_as_they_come(batches: Any, writer: Writer, missing: list[int], done: Callable[[int, int], None]) -> None:
    """Make each shard whole once its last batch is written."""
    left = {number: set(Shard(writer.folder, number).missing()) for number in missing}
    started = time.monotonic()

    def finish(number: int) -> None:
        Shard(writer.folder, number).finish()
        writer.log(logged("ray", number, time.monotonic() - started))

    for number in missing:
        if not left[number]:  # killed between the last batch and the shard
            finish(number)
    try:
        for told in batches.iter_rows():
            number, batch = int(told["shard"]), int(told["batch"])
            done(int(told["images"]), int(told["failures"]))
            left[number].discard(batch)
            if not left[number]:
                finish(number)
    except Exception as error:
        raise _cause(error) from error


def _read(batch: Block, folder: str, net: Net, fit: str) -> Iterator[dict[str, Any]]:
    """The batches that a shard lacks, read and decoded, as they come."""
    for number in batch["shard"]:
        with Images(net, fit, workers=2) as images:
            for index, read in images.missing_of(Shard(folder, int(number))):
                yield {"shard": [number], "batch": [index], "images": _one(read)}


def _one(read: list[Ready]) -> NDArray[np.object_]:
    """A batch as the one value of a column."""
    column = np.empty(1, object)
    column[0] = read
    return column


class _Explainer:
    """An actor: the network loaded once, batches explained and written as they come."""

    def __init__(self, folder: str, asked: Any, device: str) -> None:
        import torch

        if device == "cpu":  # one actor a processor
            torch.set_num_threads(1)
        self._rows = Rows(on_device(_ray().get(asked), device))
        self._folder = folder
        self._shard: Shard | None = None

    def __call__(self, batch: Block) -> dict[str, Any]:
        told: dict[str, list[int]] = {"shard": [], "batch": [], "images": [], "failures": []}
        for number, index, images in zip(batch["shard"], batch["batch"], batch["images"], strict=True):
            rows = self._made(int(number), int(index), images)
            values = (number, index, len(rows), sum(row.error is not None for row in rows))
            for name, value in zip(told, values, strict=True):
                told[name].append(int(value))
        return told

    def _made(self, number: int, batch: int, images: list[Ready]) -> list[Row]:
        if self._shard is None or self._shard.number != number:
            self._shard = Shard(self._folder, number)
        rows = explain_batch(self._rows, self._shard, batch, images)
        self._shard.add(batch, rows)
        return rows


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise FuncamError("--engine ray needs Ray, which isn't installed; pip install 'funcam[ray]'") from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    """Join a cluster, or begin one on this machine."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    if not ray.is_initialized():
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address is None else None,
            )
        except Exception as error:
            raise FuncamError(f"no Ray cluster at {address!r}: {one_line(str(error))}") from error


def _places(ray: Any, gpus_per_worker: float) -> int:
    """How many actors the cluster has room for."""
    there = ray.cluster_resources()
    if not gpus_per_worker:
        return max(int(there.get("CPU", 1)), 1)
    places = int(there.get("GPU", 0) / gpus_per_worker)
    if not places:
        raise FuncamError(
            f"--gpus-per-worker {gpus_per_worker:g}: the cluster has {there.get('GPU', 0):g} GPUs; leave it out to "
            "explain on processors"
        )
    return places


def _cause(error: Exception) -> Exception:
    """Ours, where it stands below Ray's."""
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, FuncamError):
            return FuncamError(str(cause).splitlines()[0])
        cause = inner
    return FuncamError(f"the cluster failed: {one_line(str(error))[:300]}; the same command goes on")
