"""The algebra of what dimensions are made of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcam.network.factors import (
    Axis,
    Beside,
    Moved,
    agreed,
    check_one,
    concatenated,
    cut,
    padded,
    plain,
    resized,
    rolled,
    size_of,
    viewed,
)

ROWS, COLUMNS = (Axis("S0", 12),), (Axis("S1", 6),)
SIDES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@given(SIDES, SIDES)
def test_a_view_and_back_is_what_it_was(rows, columns):
    dims = ((Axis("S0", math.prod(rows)),), (Axis("S1", math.prod(columns)),))
    shape = [size_of(dim) if size_of(dim) > 1 else 1 for dim in dims]
    there = viewed(dims, (*rows, *columns))
    assert [size_of(dim) for dim in there] == [*rows, *columns]
    back = viewed(there, shape)
    assert back == tuple(dim if size > 1 else () for dim, size in zip(dims, shape, strict=True))


def test_parts_are_one_axis_only_in_their_order():
    outer, inner = viewed((ROWS,), (3, 4))
    assert viewed((outer, inner), (12,)) == (ROWS,)
    assert viewed((inner, outer), (12,)) == (inner + outer,) != (ROWS,)
    with pytest.raises(Moved):
        resized((inner + outer,), (6,))


def test_an_axis_is_not_split_where_a_dimension_has_no_room():
    with pytest.raises(Moved):
        viewed((ROWS, plain(2)), (8, 3))
    assert viewed((plain(12), plain(2)), (8, 3)) == (plain(8), plain(3))
    with pytest.raises(Moved):
        viewed(((Beside(1, ROWS, 0),),), (13, 1, 1, 0))


@given(st.integers(0, 3), st.integers(0, 3))
def test_what_stands_beside_is_cut_off_exactly(front, behind):
    dim = concatenated([plain(front), ROWS, plain(behind)])
    assert size_of(dim) == front + 12 + behind
    assert cut(dim, front, front + 12) == ROWS
    assert cut(padded(ROWS, front, behind), front, front + 12) == ROWS
    with pytest.raises(Moved):
        cut(dim, front + 2, front + 12)
    with pytest.raises(Moved):
        cut(padded(ROWS, front, behind), front + 2, front + 14)


def test_a_roll_is_undone_by_as_much_only():
    away = rolled(ROWS, -3)
    assert rolled(away, 3) == ROWS == rolled(away, 15)
    assert rolled(away, 2) != ROWS
    with pytest.raises(Moved):
        resized((away,), (6,))
    with pytest.raises(Moved):
        cut(rolled(padded(ROWS, 0, 2), 1), 0, 12)


def test_two_places_do_not_agree():
    assert agreed([ROWS, plain(12), ()]) == ROWS
    assert agreed([plain(3), ()]) == plain(3)
    with pytest.raises(Moved):
        agreed([(Axis("S0", 6),), COLUMNS])
    with pytest.raises(Moved):
        concatenated([ROWS, ROWS])


def test_one_of_the_places_is_not_all():
    check_one(plain(5), 2)
    check_one((Beside(1, ROWS, 0),), 0)
    for dim, index in ((ROWS, 0), ((Beside(1, ROWS, 0),), 1), (viewed((ROWS,), (3, 4))[0], 0)):
        with pytest.raises(Moved):
            check_one(dim, index)
