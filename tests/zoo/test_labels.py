"""Finding a class by what a user types, and reading files of class names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcam.errors import FuncamError, nearest, quoted
from funcam.zoo.labels import find_class, folded, numbered, read_labels

NAMES = (
    *("tench", "tabby", "Persian cat", "Siamese cat", "crane", "golden retriever", "crane", "Café au lait"),
    "crane fly",
)


@pytest.fixture(scope="module")
def imagenet() -> tuple[str, ...]:
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("0", 0),
        (" 8 ", 8),
        ("tabby", 1),
        ("TABBY", 1),
        ("persian_cat", 2),
        ("siamese", 3),  # a whole word
        ("gold", 5),  # a beginning
        ("triever", 5),  # any part
        ("café", 7),
        ("cafe\N{COMBINING ACUTE ACCENT} AU lait", 7),
        ("fly", 8),
        ("３", 3),
    ],
)
def test_a_class_is_found(text: str, index: int) -> None:
    assert find_class(text, NAMES) == index


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("9", ["class 9", "9 classes", "0 to 8"]),
        ("-1", ["class -1", "out of range"]),
        ("crane", ["ambiguous", "4 'crane'", "6 'crane'", "index"]),
        ("cat", ["2 'Persian cat'", "3 'Siamese cat'"]),
        ("goldn retriever", ["unknown", "'golden retriever'"]),
        ("  ", ["empty"]),
        ("9" * 5000, ["unknown"]),
    ],
)
def test_a_class_that_is_not_found(text: str, parts: list[str]) -> None:
    with pytest.raises(FuncamError) as caught:
        find_class(text, NAMES)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_the_index_of_imagenets_names(imagenet: tuple[str, ...]) -> None:
    with pytest.raises(FuncamError, match=r"134 'crane bird', 517 'crane'"):
        find_class("cran", imagenet)
    assert find_class("tabby", imagenet) == 281
    assert find_class("cardigan", imagenet) == 474
    assert find_class("Cardigan", imagenet) == 264
    with pytest.raises(FuncamError, match=r"264 'Cardigan', 474 'cardigan'"):
        find_class("CARDIGAN", imagenet)
    assert find_class("Egyptian", imagenet) == imagenet.index("Egyptian cat")


def test_many_candidates_are_counted(imagenet: tuple[str, ...]) -> None:
    with pytest.raises(FuncamError, match=r"and \d+ more") as caught:
        find_class("terrier", imagenet)
    assert str(caught.value).count("'") < 30


def test_every_distinct_name_of_imagenet_finds_its_class(imagenet: tuple[str, ...]) -> None:
    folded = [name.casefold() for name in imagenet]
    for index, name in enumerate(imagenet):
        if folded.count(name.casefold()) == 1:
            assert find_class(name.upper(), imagenet) == index


def test_a_numeric_name_yields_to_the_index() -> None:
    assert find_class("7", ("7", "1", "2", "3", "4", "5", "6", "0")) == 7


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8), st.text(max_size=8))
def test_whatever_is_typed_gives_an_index_or_one_line(names: list[str], text: str) -> None:
    try:
        answer: int | str = find_class(text, names)
    except FuncamError as error:
        answer = str(error)
    assert len(answer.splitlines()) == 1 if isinstance(answer, str) else 0 <= answer < len(names)


def test_names_of_accents_in_no_order_are_found_as_they_are() -> None:
    """To put them in Unicode's order takes their length squared: long ones are not."""
    marks = "a" + "\u0300" * 30 + "\u0316" * 30
    assert folded(marks) != folded(marks * 400)
    assert folded(marks * 400) == marks * 400
    assert folded("A\u030a" + "B" * 5000) == "a\u030a" + "b" * 5000
    assert folded("A\u030a_b") == "\xe5 b"
    assert find_class(marks * 4, ("a", marks * 4)) == 1


@pytest.mark.parametrize("length", [10, 300, 5000])
def test_the_nearest_of_many_names_however_long(length: int) -> None:
    names = [f"{'ab' * length}{number:05d}" for number in range(3000)] + ["x" * length + "one", "x" * length + "two"]
    for wanted in ("one", "two"):
        with pytest.raises(FuncamError) as caught:
            find_class("x" * length + wanted[:2] + "?", names)
        assert f"{wanted}'" in str(caught.value)
        assert len(str(caught.value)) <= 1000
    assert nearest("ab" * length + "01234", names).startswith(quoted(names[1234]))


def test_numbered() -> None:
    assert numbered(3) == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.txt", "tench\nKöter\nfar out\n"),
        ("a.txt", "\ufefftench\r\nKöter\r\nfar out\r\n\r\n\n"),
        ("a.json", '["tench", "Köter", "far out"]'),
        ("a.json", '{"2": "far out", "0": "tench", "1": "Köter"}'),
        ("a.json", '{"0": ["n01440764", "tench"], "1": ["n0", "Köter"], "2": ["n1", "far out"]}'),
        ("a.json", '{"tench": 0, "far out": 2, "Köter": 1}'),
        ("a.txt", '{"0": "tench", "1": "Köter", "2": "far out"}'),
    ],
)
def test_labels_are_read(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_bytes(content.encode())
    assert read_labels(tmp_path / file) == ("tench", "Köter", "far out")


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("a.txt", b"", "holds no names"),
        ("a.txt", b"  \n\n", "holds no names"),
        ("a.txt", b"cat\n\ndog\n", "line 2 is empty"),
        ("a.txt", b"cat\n\xff\xfe\n", "not UTF-8 (byte 4)"),
        ("a.json", b"[1, 2]", "other things than names"),
        ("a.json", b'["cat", ""]', "other things than names"),
        ("a.json", b'["cat", []]', "other things than names"),
        ("a.json", b'"cat"', "other things than names"),
        ("a.json", b"[]", "holds no names"),
        ("a.json", b"{}", "holds no names"),
        ("a.json", b"cat\ndog", "not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'{"0": "cat", "2": "dog"}', "index 1 is missing"),
        ("a.json", b'{"cat": 0, "dog": 0}', "index 1 is missing or given twice"),
        ("a.json", b'{"zero": "cat"}', "no indices"),
    ],
)
def test_labels_that_are_refused(tmp_path: Path, file: str, content: bytes, part: str) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(FuncamError) as caught:
        read_labels(tmp_path / file)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FuncamError, match="can't be read"):
        read_labels(tmp_path / "missing.txt")
    with pytest.raises(FuncamError, match="can't be read"):
        read_labels(tmp_path)


def test_a_round_trip_through_class_to_idx(tmp_path: Path) -> None:
    names = [f"folder {number:03}" for number in range(200)]
    (tmp_path / "a.json").write_text(json.dumps({name: index for index, name in enumerate(names)}))
    assert read_labels(tmp_path / "a.json") == tuple(names)


def test_nothing_here_imports_torch() -> None:
    program = "import sys, funcam.zoo.labels, funcam.zoo.nets, funcam.zoo.names; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("text", ["[" + "[]," * 1_100_000 + "[]]", '{"a": [' + "1," * 1_100_000 + "1]}"])
def test_labels_of_more_values_than_any_network_has_classes(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(FuncamError, match="more than 1,048,576 values"):
        read_labels(tmp_path / "labels.json")
