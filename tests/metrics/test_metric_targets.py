"""What is scored of an image: classes of every kind, rules and functions, against the same classes as a tensor."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from metric_arguments import COUNT, arguments, call, with_parameter

import funcam
from funcam import metrics
from funcam.errors import FuncamError

METRICS = with_parameter("network", "targets")
CLASSES = [3, 1, 4]


def same(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> None:
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", METRICS)
def test_classes_come_as_numbers_lists_arrays_and_tensors(name):
    expected = call(name, targets=torch.tensor(CLASSES))
    for kind in (CLASSES, tuple(CLASSES), np.array(CLASSES), torch.tensor(CLASSES, dtype=torch.uint8)):
        same(call(name, targets=kind), expected)
    expected = call(name, targets=torch.tensor([2] * COUNT))
    for number in (2, np.int64(2), torch.tensor(2)):
        same(call(name, targets=number), expected)


@pytest.mark.parametrize("name", METRICS)
def test_none_is_the_predicted_class(name):
    network, images = arguments()["network"], arguments()["images"]
    predicted = network(images).argmax(1)
    assert len(set(predicted.tolist())) > 1
    same(call(name, targets=None), call(name, targets=predicted))


@pytest.mark.parametrize("name", METRICS)
def test_a_rule_is_the_score(name):
    expected = call(name, targets=CLASSES, score=metrics.probabilities)
    same(call(name, targets=funcam.probability(CLASSES)), expected)
    logs = call(name, targets=CLASSES, score=lambda logits: logits.log_softmax(1))
    same(call(name, targets=funcam.log_probability(torch.tensor(CLASSES))), logs)


@pytest.mark.parametrize("name", METRICS)
def test_a_function_of_the_outputs_is_the_score(name):
    expected = call(name, targets=2, score=metrics.identity)
    same(call(name, targets=lambda outputs: outputs[:, 2]), expected)
    same(call(name, targets=lambda outputs: outputs[:, 2:3], score=metrics.identity), expected)
    difference = call(name, targets=0, score=lambda logits: logits - logits[:, 1:2])
    same(call(name, targets=lambda outputs: outputs[:, 0] - outputs[:, 1]), difference)


@pytest.mark.parametrize("name", METRICS)
def test_a_contrast_is_with_the_runner_up_of_the_image_itself(name):
    """It is found once, not for every changed image: the same as the two classes written out."""
    logits = arguments()["network"](arguments()["images"]).detach()
    first, second = logits.topk(2).indices.T
    bound = funcam.targets.target.bind(lambda outputs: outputs[:, 0], logits, COUNT)
    assert bound.constants == ()
    pairs = torch.stack([first, second], 1)
    rule = call(name, targets=funcam.contrast())
    per_image = funcam.targets.target.PerImage(
        lambda outputs, own: outputs.gather(1, own[:, :1])[:, 0] - outputs.gather(1, own[:, 1:])[:, 0], (pairs,)
    )
    same(rule, call(name, targets=per_image))


@pytest.mark.parametrize("name", METRICS)
def test_a_rule_or_a_function_takes_no_other_score(name):
    for targets in (funcam.probability(1), lambda outputs: outputs[:, 1]):
        with pytest.raises(FuncamError, match="leave score out"):
            call(name, targets=targets, score=lambda logits: logits.sigmoid())
    with pytest.raises(FuncamError, match=r"the rule's classes have shape \[3, 2\]"):
        call(name, targets=funcam.probability([[0, 1]] * COUNT))
    with pytest.raises(FuncamError, match=r"gave shape \[.*5\] for .* images; expected .*, one score an image"):
        call(name, targets=lambda outputs: outputs)
    with pytest.raises(FuncamError, match=r"gave a float for"):
        call(name, targets=lambda outputs: 0.5)


@pytest.mark.parametrize("name", METRICS)
def test_networks_that_hold_their_logits_in_something(name):
    network = arguments()["network"]
    expected = call(name)
    for wrapped in (
        lambda images: {"logits": network(images), "loss": None},
        lambda images: {"out": network(images)},
        lambda images: (network(images), images),
        lambda images: SimpleNamespace(logits=network(images)),
    ):
        same(call(name, network=wrapped), expected)
    for nothing in (lambda images: {"a": images, "b": images}, lambda images: 3, lambda images: None):
        with pytest.raises(FuncamError, match=r"the network gave a (dict with 'a', 'b'|int|NoneType); expected logits"):
            call(name, network=nothing)
    same(
        call(name, network=lambda images: {"a": network(images), "b": images}, targets=lambda o: o["a"][:, 2]),
        call(name, targets=2, score=metrics.identity),
    )


@pytest.mark.parametrize("name", METRICS)
def test_the_result_does_not_depend_on_the_chunk(name):
    for targets in (CLASSES, funcam.contrast(CLASSES), lambda outputs: outputs[:, 0]):
        same(call(name, targets=targets, chunk=1), call(name, targets=targets, chunk=64))


@pytest.mark.parametrize("name", METRICS)
def test_a_function_that_holds_something_for_each_image_is_refused(name):
    """Rows of all images pass in chunks, as many as there are images here: what it holds would fit the wrong ones."""
    own = torch.arange(15.0).view(3, 5)
    functions = (lambda z: (z * own).sum(1), lambda z: z[torch.arange(3), CLASSES], lambda z: z.softmax(0)[:, 1])
    for function in functions:
        for size in (3, 64):
            with pytest.raises(FuncamError, match=r"scored together here|one score an image"):
                call(name, targets=function, chunk=size)
