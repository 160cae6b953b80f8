"""Models that draw random numbers: the numbers of one call of theirs, and every random state as it would be then."""

# ruff: noqa: NPY002 - models draw from the state that all share

from __future__ import annotations

import queue
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

import funcam

IMAGES = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))


class Draws(nn.Module):
    def __init__(self, draw):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.fc, self.draw = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), nn.Linear(8, 5), draw

    def forward(self, images):
        features = self.body(images)
        return self.fc(features.mean((2, 3)) * self.draw())


DRAWS = {
    "Python": random.random,
    "Python's choice": lambda: random.choice([1.0, 2.0]),
    "NumPy": lambda: float(np.random.rand()),
    "a seldom branch on NumPy's": lambda: 1.0 if np.random.rand() < 0.8 else 5.0,
    "torch": lambda: torch.rand(()),
    "torch, as a number": lambda: 1.0 if float(torch.rand(())) < 0.5 else 2.0,
    "nothing": lambda: 1.0,
}


def seeded(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def next_numbers():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("layer", [None, "body"])
@pytest.mark.parametrize("kind", DRAWS)
def test_an_explanation_draws_what_one_call_of_the_model_draws(kind, layer):
    model, seen = Draws(DRAWS[kind]).eval(), set()
    for seed in range(8):  # the first call finds out how to cut the model
        seeded(seed)
        with torch.no_grad():
            want = model(IMAGES)
        left = next_numbers()
        seeded(seed)
        found = funcam.explain(model, IMAGES, 1, layer=layer)
        assert next_numbers() == left
        torch.testing.assert_close(found.logits, want)
        seen.add(float(want[0, 0]))
    assert (len(seen) == 1) == (kind == "nothing")


def test_numbers_that_another_thread_draws_are_not_the_models():
    """As those that read and augment pictures do, whenever it happens to be."""

    waiting = queue.SimpleQueue()
    waiting.put(lambda: (random.random(), np.random.rand()))

    class Beside(Draws):
        def forward(self, images):
            if not (isinstance(images, torch.fx.Proxy) or waiting.empty()):
                other = threading.Thread(target=waiting.get())
                other.start()
                other.join()
            return self.fc(self.body(images).mean((2, 3)))

    assert funcam.split(Beside(None).eval(), "body", example=IMAGES).way == "fx"
    assert waiting.empty()


def test_guided_backpropagation_of_numbers_that_are_drawn_is_refused():
    with pytest.raises(funcam.FuncamError, match="draws random numbers of Python's or NumPy's"):
        funcam.explain(Draws(DRAWS["Python's choice"]).eval(), IMAGES, 1, method="guided-backprop")
