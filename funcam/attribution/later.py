"""Answers of a device that is still at work: asked for now, read when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch

Read = Callable[[], list[bool]]


def later(answers: Sequence[torch.Tensor]) -> Read:
    """Ask for answers behind what the device was given so far; nobody waits for it before they are read.

    Args:
        answers: booleans, each of shape `[]`, on any devices.

    Returns:
        A function that waits until they are there, and not for what the device was given since.

    Example:
        >>> read = later([torch.tensor(True), torch.ones(2).sum() > 3])
        >>> read()
        [True, False]
    """
    if not answers:
        return list
    together = torch.stack([answer.to(answers[0].device, non_blocking=True) for answer in answers])
    if together.device.type not in _QUEUES:
        return together.tolist
    copied = together.to("cpu", non_blocking=True)
    there = torch.accelerator.current_stream(together.device).record_event()

    def read() -> list[bool]:
        there.synchronize()
        return copied.tolist()

    return read


def aside(ask: Callable[[], Sequence[torch.Tensor]], device: torch.device) -> Read:
    """The same beside what the device is given next, instead of in front of it.

    Args:
        ask: makes the answers.
        device: whose work it is.

    Example:
        >>> aside(lambda: [torch.tensor(True)], torch.device("cpu"))()
        [True]
    """
    if device.type not in _QUEUES:
        return later(ask())
    beside = _beside(device)
    beside.wait_stream(torch.accelerator.current_stream(device))
    with beside:
        return later(ask())


@cache
def _beside(device: torch.device) -> torch.Stream:
    return torch.Stream(device)


_QUEUES = ("cuda", "xpu")
"""Devices whose work is queued, and which copy to the processor's memory meanwhile."""
