"""`explain(..., fast=True)` is what `explain` says, by a prepared function that is kept, and renewed with the model."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from compiled import COMPILER, Branching
from small import small
from torch import nn

import funcam
from funcam import FuncamError, FuncamWarning
from funcam.attribution.fast import prepared_for, said_of

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_it_is_kept_for_images_and_classes_of_a_kind():
    model = small().eval()

    def run(images=IMAGES, targets=None, **options):
        return prepared_for(model, images, targets, backend=None, **options)

    first = run()
    assert run(-IMAGES) is first
    others = [run(targets=1), run(targets="all"), run(targets=[0, 1]), run(targets=[[0, 1], [1, 2]]), run(layer="stem")]
    assert len({id(each) for each in [first, *others]}) == 6
    assert run(targets=[2, 2]) is others[2]
    assert run(targets=torch.tensor([1, 0])) is others[2]
    with torch.autocast("cpu", torch.bfloat16):
        half = run()
        assert half(IMAGES).outputs.dtype == torch.bfloat16
    assert half is not first


def test_another_number_of_images_is_prepared_once_for_any():
    model = small().eval()
    prepared_for(model, IMAGES, backend=None)
    more = prepared_for(model, IMAGES[:1], backend=None)
    assert prepared_for(model, torch.cat([IMAGES, IMAGES]), backend=None) is more
    assert prepared_for(model, IMAGES, backend=None) is more


@pytest.mark.parametrize("change", ["weights", "a module"])
def test_it_is_renewed_when_the_model_is_changed(change):
    model = small().eval()
    first = prepared_for(model, IMAGES, backend=None)
    if change == "weights":
        model.load_state_dict(small(seed=3).state_dict())
    else:
        model.fc = nn.Linear(model.fc.in_features, 4)
    second = prepared_for(model, IMAGES, backend=None)
    assert second is not first
    assert second is prepared_for(model, IMAGES, backend=None)
    torch.testing.assert_close(second(IMAGES).maps, funcam.explain(model, IMAGES).maps, rtol=1e-3, atol=1e-5)


def test_it_lives_no_longer_than_the_model():
    model = small().eval()
    prepared_for(model, IMAGES, backend=None)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_prepared_function_outlives_its_model():
    fast = funcam.prepare(small().eval(), example=IMAGES, backend=None)
    gc.collect()
    torch.testing.assert_close(fast(IMAGES).maps, funcam.explain(small().eval(), IMAGES).maps, rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore::funcam.FuncamWarning")
@pytest.mark.parametrize("targets", [None, 1, [0, 2], [[0, 1], [2, 2]], "all"])
def test_where_nothing_can_be_compiled_it_works_all_the_same(targets):
    model = Branching().eval()
    ours = funcam.explain(model, IMAGES, targets, method="grad-cam++", fast=True)
    exact = funcam.explain(model, IMAGES, targets, method="grad-cam++")
    torch.testing.assert_close(ours.maps, exact.maps)
    assert torch.equal(ours.targets, exact.targets)


def test_it_is_said_how_it_was_prepared():
    with pytest.warns(FuncamWarning, match="neither folded nor compiled"):
        run = prepared_for(Branching().eval(), IMAGES)
    assert "neither folded nor compiled" in said_of(run)
    assert "5 BatchNorms folded" in said_of(prepared_for(small().eval(), IMAGES, backend=None))


def test_no_image_needs_no_preparing():
    assert funcam.explain(small().eval(), IMAGES[:0], fast=True).maps.shape[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fast": 1}, "True or False"),
        ({"targets": lambda z: z[:, 0]}, r"fast=True explains classes.*funcam.prepare"),
        ({"targets": funcam.contrast(0)}, r"fast=True explains classes.*funcam.prepare"),
        ({"targets": [[0], [1, 2]]}, "no class indices"),
        ({"targets": "most"}, "not known"),
        ({"inputs": {"mask": 1}}, "without fast=True"),
        ({"differentiable": True}, "without fast=True"),
        ({"layer": ["stem", "blocks"], "combine": "max"}, "one layer"),
        ({"dynamic": True}, "no option 'dynamic'"),
        ({"samples": 3}, "no option 'samples'"),
        ({"images": [1]}, "tensor"),
        ({"model": (nn.ReLU(), nn.ReLU())}, "copy of a module"),
    ],
)
def test_what_can_not_be_fast_is_refused(options, said):
    with pytest.raises(FuncamError, match=said):
        funcam.explain(**{"model": small().eval(), "images": IMAGES, "fast": True, **options})


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler and Python's headers")
def test_compiled_it_is_what_explain_says():
    model = small().eval()
    for images in (IMAGES, -IMAGES, IMAGES[:1]):
        ours, exact = funcam.explain(model, images, fast=True), funcam.explain(model, images)
        torch.testing.assert_close(ours.maps, exact.maps, rtol=1e-3, atol=1e-5)
    run = prepared_for(model, IMAGES)
    assert run.compiled
    assert "torch keeps what it compiled in" in said_of(run)
