"""Splitting in several threads at once."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from cutting_cases import IMAGES
from small import small, state_of, tiny_densenet
from torch import nn

import funcam
from funcam.network import cutting


def in_threads(count, function):
    barrier = threading.Barrier(count)

    def run(index):
        barrier.wait()
        return function(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_eight_threads_split_one_fresh_model_at_once():
    layers = ["stem", "blocks.0", "blocks.1", None]
    want = [funcam.explain(small(), IMAGES, layer=layer).maps for layer in layers]
    for _ in range(3):
        model = small().train()
        before = state_of(model)
        maps = in_threads(8, lambda i, model=model: funcam.explain(model, IMAGES, layer=layers[i % 4]).maps)
        for i, found in enumerate(maps):
            torch.testing.assert_close(found, want[i % 4])
        assert state_of(model) == before


def test_eight_threads_split_different_models_at_once():
    models = [small(seed) if seed % 2 else tiny_densenet() for seed in range(8)]
    serial = [funcam.explain(copy.deepcopy(model), IMAGES, method="guided-grad-cam").maps for model in models]
    for got, want in zip(
        in_threads(8, lambda i: funcam.explain(models[i], IMAGES, method="guided-grad-cam").maps), serial, strict=True
    ):
        torch.testing.assert_close(got, want)


def test_a_plain_model_runs_in_another_thread_while_models_are_traced_here():
    plain = small(3)
    want = plain(IMAGES)
    stop = threading.Event()
    runs, trouble = [], []

    def run():
        while not stop.is_set():
            try:
                runs.append(torch.equal(plain(IMAGES), want))
            except Exception as error:
                trouble.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for seed in range(12):
            model = tiny_densenet() if seed % 2 else small(seed)
            A, head = funcam.split(model)(IMAGES)
            torch.testing.assert_close(head(A), model(IMAGES))
    finally:
        stop.set()
        thread.join()
    assert not trouble
    assert len(runs) > 5
    assert all(runs)


class SpyNorm(nn.BatchNorm2d):
    """A leaf of the graph that notes when it is put into training mode (its statistics would be overwritten)."""

    switched = ()

    def train(self, mode=True):
        SpyNorm.switched += (id(self),) if mode else ()
        return super().train(mode)


SpyNorm.__module__ = "torch.nn.modules.batchnorm"  # torch.fx then takes it for a leaf


def test_making_a_cut_never_puts_into_training_mode_what_another_thread_may_be_running():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), SpyNorm(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    model.eval()(IMAGES)
    SpyNorm.switched = ()
    for layer in ("0", "2", "3"):
        funcam.split(model, layer)(IMAGES)
    cutting.graph_of(model)
    assert not SpyNorm.switched
