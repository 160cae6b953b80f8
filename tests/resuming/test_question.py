"""A question goes by words: by where a network's values came from, not by what they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from funcam.resuming.question import network_named, question_letters
from funcam.zoo import build_net

NET = build_net("scenes")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("as mine makes them (0123abcd)", "as mine makes them (89efcdab)", True),
        ("as mine makes them (0123abcd)", "as yours makes them (0123abcd)", False),
        ("fine (1).pth", "fine (2).pth", False),
        ("as mine makes them (1).pth", "as mine makes them (2).pth", False),
        ("IMAGENET1K_V1", "IMAGENET1K_V2", False),
    ],
)
def test_values_that_a_function_makes_anew_are_the_same_question(one: str, other: str, same: bool) -> None:
    first, second = (question_letters(network_named(replace(NET, weights=weights))) for weights in (one, other))
    assert (first == second) == same
