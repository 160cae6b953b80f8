"""What can't be meant on a command line: values of no letters, and what is given again where it counts once."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Funcam


@pytest.mark.parametrize("words", [("--out", ""), ("-o", ""), ("--out=",)])
def test_a_folder_of_no_letters_is_not_the_one_one_is_in(funcam: Funcam, image: Path, words: tuple[str, ...]) -> None:
    funcam("explain", image, "--net", "scenes", *words).error(2, "names no folder")
    assert [path.name for path in Path().iterdir()] == [image.name]


@pytest.mark.parametrize(
    "words",
    [
        *(("explain", option, "") for option in ("--layer", "-m", "--smooth", "--colormap", "--weights", "--labels")),
        *(("explain", *words) for words in (("--layer=",), ("-m", " , "))),
        *(("compare", option, "") for option in ("--truth", "--against", "--target", "--metrics", "--report")),
        *(("evaluate", option, "") for option in ("--method", "--layer", "--truth", "--by")),
        *(("batch", option, "") for option in ("--method", "--layer", "--smooth")),
        ("export", "--format", ""),
    ],
    ids=" ".join,
)
def test_a_value_of_no_letters_is_not_left_out(funcam: Funcam, image: Path, words: tuple[str, ...]) -> None:
    """As `$LAYER` that isn't set: what runs without it is another thing."""
    given = [] if words[0] == "export" else [image]
    line = funcam(words[0], *given, "--net", "scenes", *words[1:]).error(2, "is empty; give a value, or leave it out")
    assert words[1].rstrip("=") in line
    assert [path.name for path in Path().iterdir()] == [image.name]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--net", "mobilenet_v2="), "--net 'mobilenet_v2=' names no weights behind ="),
        (("--net", "scenes", "--layer", "scenes="), "--layer 'scenes=' names no layer"),
    ],
)
def test_nothing_behind_an_equals_sign(funcam: Funcam, image: Path, words: tuple[str, ...], told: str) -> None:
    funcam("explain", image, *words).error(2, told)


def test_an_empty_source_of_a_batch(funcam: Funcam) -> None:
    funcam("batch", "", "--net", "scenes", "--out", "store").error(2, "an empty source was given")


@pytest.mark.parametrize(
    "line",
    [
        "batch photos --net scenes --out store --class 3 -c 4",
        "batch photos --net scenes --out store --method=cam -m fem",
        "batch photos --net scenes --out store --net alexnet",
        "evaluate --net scenes -n alexnet",
        "export --net scenes --out a.pt2 --layer stem.0 --layer stem.2",
    ],
)
def test_what_is_repeated_elsewhere_and_has_one_value_here_is_given_once(funcam: Funcam, line: str) -> None:
    """All values but the last would count for nothing."""
    funcam(*line.split()).error(2, "was given 2 times and has one value here; give it once")
    assert funcam(*line.split(), "--help").code == 0
