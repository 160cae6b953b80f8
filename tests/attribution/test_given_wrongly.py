"""What people give for pictures, targets and backends is used as it reads, or refused with a way out that works."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch

import funcam
from funcam import FuncamError
from funcam.scenes import scene

NET = funcam.load_net("scenes")
IMAGE = scene(7, labels=["star"]).image
BATCH = funcam.fit_images(NET, IMAGE).tensor
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, that they are a prototype
    NESTED = torch.nested.nested_tensor([BATCH[0]])


@pytest.mark.parametrize(
    ("nested", "plain"),
    [
        (IMAGE.tolist(), IMAGE),
        (np.stack([IMAGE, IMAGE]).tolist(), [IMAGE, IMAGE]),
        ((IMAGE / 255).tolist(), IMAGE / 255),
        ([IMAGE.tolist(), IMAGE], [IMAGE, IMAGE]),
        (BATCH.tolist(), BATCH),
    ],
    ids=["bytes", "several", "floats", "one among pictures", "normalised"],
)
def test_nested_lists_of_numbers_are_read_as_their_array(nested, plain):
    torch.testing.assert_close(funcam.explain(NET, nested).maps, funcam.explain(NET, plain).maps, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([[1, 2], [3]], "several lengths"),
        ([[IMAGE, IMAGE, IMAGE]], "given for one picture"),
        (np.full((50, 50, 3), np.nan), r"not finite .*np\.nan_to_num\(images, posinf=1, neginf=0\)"),
        (BATCH * float("inf"), r"not finite .*torch\.nan_to_num\(images, posinf=1, neginf=0\)"),
        ("https://example.com/a.jpg", "'https://example.com/a.jpg' is an address"),
        (b"one.jpg", r"b'one.jpg' are bytes.*os\.fsdecode"),
        (3, "3 is no picture"),
        (BATCH.to_sparse(), r"torch.sparse_coo.*images\.to_dense"),
        (BATCH.to(torch.float8_e4m3fn), r"float8_e4m3fn.*images\.float"),
        (NESTED, r"nested.*unbind"),
    ],
)
def test_what_is_no_picture_is_named(images, message):
    with pytest.raises(FuncamError, match=message):
        funcam.explain(NET, images)


def test_tensors_of_other_kinds_are_refused_of_any_model_and_the_ways_out_work():
    want = funcam.explain(NET.model, BATCH).maps
    for images, way in (
        (BATCH.to_sparse(), torch.Tensor.to_dense),
        (BATCH.to(torch.float8_e4m3fn), torch.Tensor.float),
        (NESTED, lambda images: torch.stack(list(images.unbind()))),
    ):
        with pytest.raises(FuncamError, match="expected a plain float tensor"):
            funcam.explain(NET.model, images)
        assert funcam.explain(NET.model, way(images)).maps.shape == want.shape


def test_values_that_are_not_finite_are_mended_as_the_message_says():
    broken = np.where(IMAGE > 200, np.inf, IMAGE / 255)
    assert funcam.explain(NET, np.nan_to_num(broken, posinf=1, neginf=0)).maps.isfinite().all()


def test_no_class_is_no_number():
    with pytest.raises(FuncamError, match=r"hold no number and have type torch\.float32; expected whole numbers"):
        funcam.explain(NET, IMAGE, [[]])


def test_a_name_with_a_picture_wants_a_network():
    with pytest.raises(FuncamError, match=r"is a name, not a model; .*: funcam.load_net\('scenes'\);"):
        funcam.explain("scenes", IMAGE)


def test_what_was_prepared_says_so_when_it_is_pickled():
    fast = funcam.prepare(NET.model, example=BATCH, backend=None)
    with pytest.raises(FuncamError, match=r"what was prepared .*funcam\.prepare\(model, example=images\)"):
        pickle.dumps(fast)
    again = pickle.loads(pickle.dumps(NET.model))
    torch.testing.assert_close(funcam.prepare(again, example=BATCH, backend=None)(BATCH).maps, fast(BATCH).maps)


@pytest.mark.parametrize("backend", ["inductr", 3])
def test_an_unknown_backend_is_refused_with_those_there_are(backend):
    with pytest.raises(FuncamError, match=f"backend is {backend!r}; .*inductor"):
        funcam.prepare(NET.model, example=BATCH, backend=backend)
