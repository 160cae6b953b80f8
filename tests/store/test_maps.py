"""Maps as they are kept, and what is told of them in numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from batches import QUESTION, write_store
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from funcam.errors import FuncamError
from funcam.store import MAP_TYPES, Figures, figures, open_store
from funcam.store.encoding import decoded, encoded

VALUES = st.floats(-1e6, 1e6, width=32) | st.floats(-(2.0**-30), 2.0**-30, width=32)
MAPS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=VALUES)


@given(map_=MAPS)
def test_float16_keeps_three_digits_of_the_largest_value(map_):
    back = decoded(encoded(map_, "float16"), "float16")
    assert back.shape == map_.shape
    assert np.abs(back - map_).max() <= 2.0**-11 * np.abs(map_).max() + 1e-44


@given(map_=MAPS)
def test_uint8_keeps_a_256th_of_the_range(map_):
    back = decoded(encoded(map_, "uint8"), "uint8").astype(np.float64)
    reach = float(map_.max()) - float(map_.min())
    assert np.abs(back - map_).max() <= 0.51 * reach / 255 + 1e-6 * np.abs(map_).max() + 1e-38


@given(map_=MAPS, kind=st.sampled_from(["float16"]))
def test_what_was_kept_is_kept_alike(map_, kind):
    """A row of one content is written again from what was read of it."""
    once = encoded(map_, kind)
    again = encoded(decoded(once, kind), kind)
    assert again == once or np.abs(map_).max() < 1e-35


def test_what_is_no_number_stays_so_in_float16_and_is_refused_in_uint8():
    map_ = np.array([[np.nan, 1.0], [-np.inf, 0.5]], np.float32)
    back = decoded(encoded(map_, "float16"), "float16")
    np.testing.assert_array_equal(back, map_)
    with pytest.raises(FuncamError, match="keep maps in float16"):
        encoded(map_, "uint8")


@pytest.mark.parametrize("shape", [(7,), (1, 7, 7), (2**15, 1)])
def test_what_is_no_map_is_not_kept(shape):
    with pytest.raises(FuncamError, match="expected \\[h, w\\]"):
        encoded(np.zeros(shape, np.float32), "float16")


@given(map_=MAPS, threshold=st.floats(0.05, 1))
def test_the_figures_are_those_of_scipy(map_, threshold):
    (told,) = figures(map_[None], threshold)
    positive = map_.astype(np.float64).clip(0)
    if positive.max() <= 0:
        assert told is None
        return
    assert told is not None
    height, width = map_.shape
    row, column = ndimage.maximum_position(positive)
    middle = ndimage.center_of_mass(positive)
    assert told.peak == positive.max()
    assert told.energy == pytest.approx(positive.sum())
    assert (told.peak_x * width, told.peak_y * height) == pytest.approx((column + 0.5, row + 0.5))
    assert (told.centroid_x * width, told.centroid_y * height) == pytest.approx((middle[1] + 0.5, middle[0] + 0.5))
    labelled, count = ndimage.label(positive >= threshold * positive.max(), np.ones((3, 3)))
    sizes = ndimage.sum_labels(np.ones_like(positive), labelled, range(1, count + 1))
    boxes = [
        (x.start / width, y.start / height, x.stop / width, y.stop / height)
        for (y, x), size in zip(ndimage.find_objects(labelled), sizes, strict=True)
        if size == sizes.max()
    ]
    assert any(told[-4:] == pytest.approx(box) for box in boxes)


def test_figures_of_several_maps_are_those_of_each():
    maps = np.random.default_rng(0).standard_normal((9, 5, 7)).astype(np.float32)
    maps[3], maps[5, 0, 0] = 0, np.nan
    assert figures(maps) == [figures(one[None])[0] for one in maps]
    assert figures(maps)[3] is None
    assert all(np.isfinite(one).all() for one in figures(maps) if one)
    assert figures(maps[:0]) == []


@pytest.mark.parametrize("shape", [(7, 7), (1, 0, 7), (1, 2, 3, 4)])
def test_what_has_no_figures(shape):
    with pytest.raises(FuncamError, match="expected \\[N, h, w\\]"):
        figures(np.zeros(shape))
    for threshold in (0, -1, 1.5, float("nan")):
        with pytest.raises(FuncamError, match="threshold"):
            figures(np.ones((1, 2, 2)), threshold)


@pytest.mark.parametrize("map_type", MAP_TYPES)
def test_a_map_of_7_by_7_takes_at_most_150_bytes(photos, map_type):
    for number in range(400):
        (Path(photos) / f"{number:04}.jpg").write_bytes(b"photo %d" % number)
    write_store(photos, "store", {**QUESTION, "map_type": map_type, "shard_size": 500, "batch_size": 50})
    told = pq.read_metadata("store/maps-00000.parquet")
    columns = [told.row_group(0).column(number) for number in range(told.num_columns)]
    beside = sum(column.total_compressed_size for column in columns if column.path_in_schema.startswith("map"))
    assert beside <= 150 * told.num_rows
    assert any(row.map is not None for row in open_store("store").rows()) == (map_type != "none")


def test_the_map_that_is_read_is_the_one_that_was_drawn(photos):
    write_store(photos, "store")
    row = next(open_store("store").rows(["index = 3"]))
    assert row.content is not None
    assert row.map is not None
    drawn = np.random.default_rng(int(row.content[:15], 16)).standard_normal((7, 7)).astype(np.float32)
    np.testing.assert_allclose(row.map, drawn, atol=2.0**-11 * np.abs(drawn).max())
    assert row.figures == pytest.approx(Figures(*(np.float32(value) for value in figures(drawn[None])[0])))
    assert next(open_store("store").rows(["index = 3"], maps=False)).map is None
