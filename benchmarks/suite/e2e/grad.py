"""Grad-CAM and Grad-CAM++ beside the peers, as their documentation says and tuned, and guided backpropagation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

import funcam
from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network, tuned
from benchmarks.suite.peers import CLASS_GIVEN, FORWARD, PEERS, grad_cases, peer_case, there
from benchmarks.suite.roofline import forward_work

TITLE = "Grad-CAM beside the peers"
FOR = "any"
TAKES: tuple[str, ...] = ("nets", "batches")


def groups(setting: Setting) -> Iterator[Group]:
    for name in setting.nets_or("resnet50"):
        for batch in setting.batches_or(1, 8, 16):
            yield Group(f"{name}, batch {batch}", partial(_cases, setting, name, batch), FORWARD, memory=True)


def _cases(setting: Setting, name: str, batch: int) -> dict[str, Case]:
    model, images = network(name, setting), setting.images(batch)
    layer = funcam.split(model, example=images).layer
    calls = grad_cases(model, layer, batch)
    frozen = tuned(model, layer)
    for peer in filter(there, PEERS):
        given = peer == "captum"
        calls[f"{peer} {CLASS_GIVEN if given else 'Grad-CAM'}, tuned"] = peer_case(
            peer, "grad-cam", frozen, layer, class_given=given
        )
    work = forward_work(model, images)
    cases = {title: Case(call(images), images=batch, work=work) for title, call in calls.items()}
    return cases | {"forward (inference_mode)": Case(partial(_inference, model, images), images=batch, work=work)}


@torch.inference_mode()
def _inference(model: torch.nn.Module, images: torch.Tensor) -> object:
    return model(images)
