"""Answers of a device that is still at work: asked for now, read when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch

Read = Callable[[], list[bool]]
Ask = Callable[[], Sequence[torch.Tensor]]


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

    def read(_held: Sequence[torch.Tensor] = answers) -> list[bool]:  # until then nobody else gets their memory
        there.synchronize()
        return copied.tolist()

    return read


def aside(device: torch.device) -> Callable[[Ask], Read]:
    """The same behind what the device was given so far, and beside what it is given next.

    Args:
        device: whose work it is.

    Returns:
        What takes a function that makes the answers, as soon as the device has work of which nothing waits for them.

    Example:
        >>> ask = aside(torch.device("cpu"))
        >>> ask(lambda: [torch.tensor(True)])()
        [True]
    """
    if device.type not in _QUEUES:
        return lambda answers: later(answers())
    before = torch.accelerator.current_stream(device).record_event()

    def ask(answers: Ask) -> Read:
        beside = _beside(device)
        beside.wait_event(before)
        with beside:
            return later(answers())

    return ask


@cache
def _beside(device: torch.device) -> torch.Stream:
    return torch.Stream(device)


_QUEUES = ("cuda", "xpu")
"""Devices whose work is queued, and which copy to the processor's memory meanwhile."""
