"""A stream keeps the order, keeps each item's error to itself, stays small, and ends when whoever takes it stops."""

from __future__ import annotations

import threading
import time

import pytest

from funcam.streaming.in_order import in_order
from funcam.streaming.outcome import Outcome
from funcam.streaming.together import Together

WORKERS = [0, 1, 3]


def half(number):
    if number % 4 == 3:
        raise ValueError(f"{number} is odd")
    return number / 2


@pytest.mark.parametrize("workers", WORKERS)
def test_the_order_is_the_items_and_errors_are_their_own(workers):
    def slow_at_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return half(number)

    outcomes = list(in_order(slow_at_first, range(9), workers, ahead=4))

    assert [outcome.item for outcome in outcomes] == [*range(9)]
    assert [outcome.value for outcome in outcomes] == [0, 0.5, 1, None, 2, 2.5, 3, None, 4]
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == ["3 is odd", "7 is odd"]
    with pytest.raises(ValueError, match="3 is odd"):
        outcomes[3].get()


@pytest.mark.parametrize(("ahead", "most_bytes", "expected"), [(4, 10**9, 4), (16, 30, 3), (16, 5, 1)])
def test_no_more_is_under_way_than_there_is_room_for(ahead, most_bytes, expected):
    """Items taken and not given out: counted where they are taken, whatever the clock."""
    taken, given = [], []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    most = 0
    for outcome in in_order(
        lambda number: number, items(), 2, size_of=lambda _: 10, ahead=ahead, most_bytes=most_bytes
    ):
        most = max(most, len(taken) - len(given))
        given.append(outcome.value)

    assert given == [*range(40)]
    assert most <= expected + 1  # the one that waits for room


@pytest.mark.parametrize("workers", [1, 3])
def test_stopping_leaves_no_thread_and_begins_nothing_more(workers):
    begun, ended = [], []

    def work(number):
        begun.append(number)
        time.sleep(0.02)
        ended.append(number)

    before = threading.active_count()
    stream = in_order(work, range(100), workers, ahead=8)
    next(stream)
    stream.close()

    assert threading.active_count() == before
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 20


def test_an_interrupt_waits_for_what_has_begun_and_comes_through():
    ended = []

    def work(number):
        time.sleep(0.05)
        ended.append(number)

    def items():
        yield from range(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, items(), 2))
    assert len(ended) == 2


def test_what_a_source_raises_is_nobodys_own_error():
    def items():
        yield 1
        raise LookupError("no more of it")

    with pytest.raises(LookupError, match="no more of it"):
        list(in_order(half, items(), 2))


class Recorded:
    """A function of several numbers at once that remembers what it was given, and fails as it is told to."""

    def __init__(self, fails):
        self.fails, self.calls = fails, []

    def __call__(self, numbers):
        self.calls.append(list(numbers))
        if self.fails(numbers):
            raise ValueError(f"not {numbers}")
        return [10 * number for number in numbers]


def outcomes(*values):
    return [Outcome(value, error=value) if isinstance(value, Exception) else Outcome(value, value) for value in values]


def test_items_of_one_kind_go_together_and_come_in_their_order():
    function = Recorded(lambda _: False)
    broken = LookupError("broken")
    together = Together(function, kind_of=lambda number: number % 2, most=4)

    values = [outcome.value for outcome in together.over(outcomes(1, 2, broken, 3, 4, 6, 8))]

    assert values == [10, 20, None, 30, 40, 60, 80]
    assert function.calls == [[1, 3], [2], [4, 6, 8]]


def test_a_bad_item_is_found_and_the_others_are_done():
    function = Recorded(lambda numbers: 5 in numbers)
    together = Together(function, kind_of=lambda _: 0, most=8)

    (*done,) = together.over(outcomes(*range(16)))

    assert [outcome.item for outcome in done if outcome.error] == [5]
    assert [outcome.value for outcome in done if not outcome.error] == [10 * n for n in range(16) if n != 5]
    assert function.calls[-1] == [*range(8, 16)]  # one bad item doesn't part those behind it
    assert len(function.calls) == 8


@pytest.mark.parametrize(("most", "last"), [(1, 1), (2, 2), (3, 2)])
def test_who_takes_fewer_at_once_is_not_asked_over_and_over(most, last):
    function = Recorded(lambda numbers: len(numbers) > most)
    together = Together(function, kind_of=lambda _: 0, most=8)

    (*done,) = together.over(outcomes(*range(24)))

    assert [outcome.value for outcome in done] == [10 * number for number in range(24)]
    assert sum(len(call) > most for call in function.calls) == {1: 3, 2: 2, 3: 2}[most]
    assert {len(call) for call in function.calls[-8 // last :]} == {last}


def test_large_items_go_alone():
    function = Recorded(lambda _: False)
    together = Together(function, kind_of=lambda _: 0, most=4, size_of=lambda number: number, most_bytes=10)

    list(together.over(outcomes(1, 2, 3, 4, 5, 50, 6)))

    assert function.calls == [[1, 2, 3, 4], [5], [50], [6]]
