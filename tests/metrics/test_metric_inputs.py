"""Boxes to masks and maps to what is measured, against NumPy written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.metrics import box_masks, pad_boxes, prepared

_edges = st.integers(-8, 40).map(lambda step: step / 4)
_box = st.tuples(_edges, _edges, _edges, _edges).map(
    lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3]))
)


def touched(box: tuple[float, ...], height: int, width: int) -> np.ndarray:
    """A pixel is the square from its number to the next: touched where its inside meets the box's floor and ceiling."""
    x0, y0, x1, y1 = box
    return np.array(
        [
            [np.floor(x0) <= x < np.ceil(x1) and np.floor(y0) <= y < np.ceil(y1) for x in range(width)]
            for y in range(height)
        ]
    )


@given(st.lists(st.lists(_box, max_size=3), min_size=1, max_size=3), st.integers(1, 9), st.integers(1, 9))
def test_padded_boxes_become_the_pixels_they_touch(boxes, height, width):
    padded, valid = pad_boxes(boxes)
    masks = box_masks(padded, valid, (height, width)).numpy()
    assert valid.sum(1).tolist() == [len(rows) for rows in boxes]
    for image, rows in enumerate(boxes):
        for index in range(masks.shape[1]):
            expected = touched(rows[index], height, width) if index < len(rows) else np.zeros((height, width), bool)
            np.testing.assert_array_equal(masks[image, index], expected)


def test_boxes_come_as_lists_arrays_and_tensors():
    row = [(0.0, 1.0, 2.0, 3.0)]
    padded, valid = pad_boxes([row, np.array(row, np.float32), torch.tensor(row), [], np.zeros((0, 4))])
    assert padded.shape == (5, 1, 4)
    assert valid[:, 0].tolist() == [True, True, True, False, False]
    assert (padded[:3] == torch.tensor(row)).all()
    assert pad_boxes([[], []])[1].shape == (2, 1)


@pytest.mark.parametrize("boxes", [[(0, 0, 1)], [(2, 0, 1, 1)], [(0, 0, 1, float("nan"))], [(0, 0, 1, 1), (0,)], "box"])
def test_boxes_that_are_none_are_refused(boxes):
    with pytest.raises(FuncamError, match=r"boxes of image 1 are .*; expected \[m, 4\]"):
        pad_boxes([[], boxes])


def test_maps_are_cut_at_zero_divided_then_resized():
    maps = torch.tensor([[[-4.0, 2.0]], [[-1.0, -3.0]]])
    assert prepared(maps, (1, 4)).tolist() == [[[0.0, 0.25, 0.75, 1.0]], [[0.0] * 4]]
    peak = torch.zeros(1, 3, 3)
    peak[0, 1, 1] = 5.0
    assert prepared(peak, (12, 12)).max() < 1  # the maximum is divided out before the map is resized
