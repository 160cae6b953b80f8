"""What a hundred million images cost: arithmetic over measured figures, and over assumptions that are said."""

from __future__ import annotations

from typing import NamedTuple

IMAGES = 100_000_000


class Rates(NamedTuple):
    """What the estimate is made of.

    Attributes:
        decoded: images a second that one core reads, decodes and fits (measured).
        serial: seconds that the process of a GPU spends on an image around the network, in one thread (measured).
        explained: images a second that one GPU explains (assumed).
        cores: cores for each GPU, one of them its process's own (assumed).
        read: bytes of an image as it is read (measured).
    """

    decoded: float
    serial: float
    explained: float
    cores: int
    read: float


class Cost(NamedTuple):
    """Hours, which stage they are due to, the cores that a GPU would need to be that stage, and what is read."""

    gpus: int
    hours: float
    gpu_hours: float
    bottleneck: str
    needed_cores: float
    read_gb_s: float


def cost(rates: Rates, gpus: int) -> Cost:
    """A pipeline is as fast as its slowest stage.

    Example:
        >>> cost(Rates(400, 1e-4, 3000, 16, 1e5), 1).bottleneck
        'explaining'
        >>> cost(Rates(400, 1e-4, 3000, 4, 1e5), 1).bottleneck
        'decoding'
    """
    stages = {
        "explaining": gpus * rates.explained,
        "decoding": gpus * (rates.cores - 1) * rates.decoded,
        "the process around the GPU": gpus / rates.serial,
    }
    slowest = min(stages, key=lambda stage: stages[stage])
    rate = stages[slowest]
    return Cost(
        gpus,
        IMAGES / rate / 3600,
        gpus * IMAGES / rate / 3600,
        slowest,
        rates.explained / rates.decoded,
        rate * rates.read / 1e9,
    )
