"""What the log of a store says of a shard: when, where, how long. No part of what the store is."""

from __future__ import annotations

import platform
import time
from typing import Any


def logged(engine: str, shard: int, seconds: float) -> dict[str, Any]:
    """A line of the log.

    Args:
        engine: what made the shard.
        shard: its number.
        seconds: how long it took from its first batch on.

    Example:
        >>> logged("local", 3, 1.23456)["seconds"]
        1.235
    """
    return {
        "shard": shard,
        "seconds": round(seconds, 3),
        "finished": round(time.time(), 3),
        "host": platform.node(),
        "engine": engine,
    }
