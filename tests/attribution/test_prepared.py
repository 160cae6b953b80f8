"""What was prepared, called again and again: streams, images that no call may believe, models that were changed."""

from __future__ import annotations

from functools import cache
from itertools import repeat

import pytest
import torch
from compiled import COMPILER
from small import small, tiny_vit
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import funcam
from funcam import FuncamError
from funcam.attribution.compiling import owned
from funcam.network.watch import Watch

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
BATCHES = [IMAGES + number for number in range(4)]


@pytest.mark.parametrize("backend", [None, "eager"])
def test_a_stream_says_what_explain_says_batch_by_batch(backend):
    model = small()
    fast = funcam.prepare(model, example=IMAGES, backend=backend)
    results = list(fast.stream(iter(BATCHES)))
    assert len(results) == 4
    for result, images in zip(results, BATCHES, strict=True):
        exact = funcam.explain(model, images)
        torch.testing.assert_close(result.maps, exact.maps, rtol=1e-3, atol=1e-5)
        assert torch.equal(result.targets, exact.targets)
    assert list(fast.stream([])) == []


def test_a_stream_says_what_calls_say():
    model = small().eval()
    fast = funcam.prepare(model, example=IMAGES, targets=[0, 1], backend=None)
    given = [(IMAGES, [0, 1]), (IMAGES + 1, [2, 0]), (IMAGES - 1, torch.tensor([1, 1]))]
    for batches in (given, map(list, given)):
        for result, (images, classes) in zip(fast.stream(batches), given, strict=True):
            assert torch.equal(result.maps, fast(images, classes).maps)
            assert result.targets.tolist() == list(classes)
    alone = funcam.prepare(model, example=IMAGES, backend=None)
    for batches in ([IMAGES], [(IMAGES,)], [[IMAGES, None]]):
        (result,) = alone.stream(batches)
        assert torch.equal(result.maps, alone(IMAGES).maps)


NOT_FINITE = IMAGES.clone()
NOT_FINITE[1, 0, 0, 0] = torch.nan


def _failing():
    yield from (IMAGES, IMAGES)
    raise ValueError("the disk is full")


@pytest.mark.parametrize(
    ("batches", "error", "said"),
    [
        (_failing(), ValueError, "the disk is full"),
        ((open_ / 1 for open_ in (IMAGES, IMAGES, "a name")), TypeError, "unsupported"),
        ([IMAGES, IMAGES, NOT_FINITE, IMAGES], FuncamError, "image 1 holds some"),
        ([IMAGES, IMAGES, IMAGES[:1], IMAGES], FuncamError, "prepared for"),
        ([IMAGES, IMAGES, (IMAGES, None, 1)], FuncamError, "a batch of 3 things"),
        ([IMAGES, IMAGES, ()], FuncamError, "a batch of 0 things"),
    ],
)
def test_what_is_raised_in_a_stream_comes_behind_what_was_explained_before(batches, error, said):
    fast = funcam.prepare(small().eval(), example=IMAGES, backend=None)
    stream, expected = fast.stream(batches), fast(IMAGES).maps
    for _ in range(2):
        assert torch.equal(next(stream).maps, expected)
    with pytest.raises(error, match=said):
        next(stream)


def test_a_stream_of_no_batches_is_refused_at_once():
    fast = funcam.prepare(small().eval(), example=IMAGES, backend=None)
    assert list(fast.stream([])) == []
    with pytest.raises(FuncamError, match="batches are 5; expected"):
        fast.stream(5)


def test_a_stream_of_images_with_their_classes():
    model = small()
    fast = funcam.prepare(model, example=IMAGES, targets=[0, 1], backend=None)
    classes = [[0, 1], [4, 4], [2, 3], [1, 0]]
    for result, images, each in zip(fast.stream(zip(BATCHES, classes, strict=True)), BATCHES, classes, strict=True):
        torch.testing.assert_close(result.maps, funcam.explain(model, images, each).maps, rtol=1e-3, atol=1e-5)


def test_a_data_loader_is_a_stream():
    model = small()
    data = DataLoader(TensorDataset(torch.cat(BATCHES), torch.arange(8) % 5), batch_size=2)
    fast = funcam.prepare(model, example=IMAGES, targets=[0, 1], backend=None)
    results = list(fast.stream(data))
    assert torch.cat([result.targets for result in results]).tolist() == [number % 5 for number in range(8)]
    with pytest.raises(FuncamError, match="settled when it was prepared"):
        next(funcam.prepare(model, example=IMAGES, backend=None).stream(data))


@cache
def compiled():
    """One for all, since none that is refused is to change it."""
    return funcam.prepare(small(), example=IMAGES, backend="eager")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (IMAGES[:1], "prepared for"),
        ((IMAGES, 1, 2), "a batch of 3 things"),
        (IMAGES.double(), "float64"),
        (IMAGES.log(), "not finite"),
        ("dog.jpg", "a tensor"),
    ],
)
def test_what_a_stream_refuses_it_refuses_in_its_turn(wrong, said):
    fast = compiled()
    stream = fast.stream([BATCHES[0], BATCHES[1], wrong, BATCHES[2]])
    for images in BATCHES[:2]:
        assert torch.equal(next(stream).maps, fast(images).maps)
    with pytest.raises(FuncamError, match=said):
        next(stream)


def test_a_stream_notices_that_the_model_was_changed_meanwhile():
    model = small()
    stream = funcam.prepare(model, example=IMAGES, backend=None).stream(repeat(IMAGES, 5))
    next(stream)
    model.fc.weight.data[2] += 1
    next(stream)  # was begun before
    with pytest.raises(FuncamError, match="prepare it again"):
        next(stream)


def test_an_endless_stream_takes_one_batch_ahead():
    taken = []

    def batches():
        for number in range(100):
            taken.append(number)
            yield BATCHES[number % 4]

    stream = funcam.prepare(small(), example=IMAGES, backend=None).stream(batches())
    for count in (1, 2, 3):
        next(stream)
        assert taken == list(range(count + 1))


def numbers_that_add_up_by_rounding() -> torch.Tensor:
    images = IMAGES.clone()
    images[0, 0, 0, :2] = torch.tensor([3e38, 3e38])  # finite, and their sum is not
    return images


def test_large_numbers_are_explained_as_explain_does():
    model, images = small(), numbers_that_add_up_by_rounding()
    fast = funcam.prepare(model, example=IMAGES, backend="eager")
    try:
        expected = funcam.explain(model, images).maps
    except FuncamError as error:
        with pytest.raises(FuncamError, match=str(error)[:20]):
            fast(images)
    else:
        torch.testing.assert_close(fast(images).maps, expected)


@pytest.mark.slow
@pytest.mark.skipif(
    not COMPILER, reason="torch.compile needs a C++ compiler and Python's headers, and they aren't here"
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_compiled_relu_does_not_hide_what_the_images_hold(value):
    fast = funcam.prepare(small(), example=IMAGES)
    assert fast.compiled, fast.why
    broken = IMAGES.clone()
    broken[1, 0, 3, 3] = value
    with pytest.raises(FuncamError, match="image 1"):
        fast(broken)
    assert torch.equal(fast(IMAGES).maps, fast(IMAGES).maps)


def test_a_model_without_weights():
    model = nn.Sequential(nn.AvgPool2d(4), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    fast = funcam.prepare(model, "1", example=IMAGES, backend=None)
    torch.testing.assert_close(fast(IMAGES).maps, funcam.explain(model, IMAGES, layer="1").maps)
    model[1] = nn.Sigmoid()
    with pytest.raises(FuncamError, match="prepare it again"):
        fast(IMAGES)


CHANGES = {
    "a weight": lambda model: model.fc.weight.data.mul_(1.001),
    "one row": lambda model: model.fc.weight.data[3].add_(1),
    "a buffer": lambda model: model.stem[1].running_mean.data.add_(1),
    "in place": lambda model: nn.init.ones_(model.fc.bias),
    "memory": lambda model: setattr(model.fc.weight, "data", model.fc.weight.data.clone()),
    "a parameter": lambda model: setattr(model.fc, "weight", nn.Parameter(model.fc.weight.detach().clone())),
    "a module": lambda model: setattr(model, "pool", nn.AvgPool2d(2)),
    "a setting": lambda model: setattr(model.pool, "stride", 3),
    "a hook": lambda model: model.fc.register_forward_hook(lambda *_: None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(change):
    model = small()
    watch = Watch(model)
    assert not watch.changed()
    CHANGES[change](model)
    assert watch.changed()


def test_what_changes_no_map_is_no_change():
    model = tiny_vit()  # torch's own modules alone: their tables are compared
    with torch.no_grad():
        model.conv_proj.weight[0, 0, 0, 0] = torch.nan
    watch = Watch(model)
    model.train()
    model.requires_grad_(False)
    model(IMAGES).sum()
    assert not watch.changed()
    model.encoder.layers[0].mlp[1] = nn.ReLU()
    assert watch.changed()


def into_an_empty_table(model):
    model.heads.register_buffer("more", torch.zeros(1))


def by_hand(model):
    model.encoder.ln.__dict__["_parameters"] = {**model.encoder.ln._parameters, "bias": nn.Parameter(torch.ones(8))}


@pytest.mark.parametrize("change", [into_an_empty_table, by_hand])
def test_tables_are_looked_into_whatever_was_in_them(change):
    model = tiny_vit()
    watch = Watch(model)
    change(model)
    assert watch.changed()


def test_hooks_that_came_and_went_are_no_change():
    model = tiny_vit()
    watch = Watch(model)
    hook = model.encoder.register_full_backward_hook(lambda *_: None)  # leaves a mark in the module
    assert watch.changed()
    hook.remove()
    assert not watch.changed()
    model.encoder.ln.eps = 0.5
    assert watch.changed()


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int8, torch.bool, torch.complex64]
)
@pytest.mark.parametrize("size", [1, 3, 5, 64])
def test_a_number_of_any_type_is_looked_at(dtype, size):
    model = nn.Module()
    model.register_buffer("some", torch.zeros(size).to(dtype))
    watch = Watch(model)
    assert not watch.changed()
    model.some.data[0] = 1
    assert watch.changed()


def test_results_share_no_memory_with_what_is_written_over():
    maps, scores, classes = torch.rand(2, 3, 3).mT, torch.rand(()), torch.arange(4)
    expected = [tensor.clone() for tensor in (maps, scores, classes)]
    found = owned({"maps": maps, "rest": [scores, classes], "none": None})
    for tensor in (maps, scores, classes):
        tensor.zero_()
    for one, other in zip((found["maps"], *found["rest"]), expected, strict=True):
        assert torch.equal(one, other)
    assert found["none"] is None
