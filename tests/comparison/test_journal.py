"""The journal of a comparison that goes on: damaged lines are told and measured again, whatever became of them."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from funcam.comparison import Plan, Rival, compare, scene_examples
from funcam.comparison.contents import Contents
from funcam.comparison.findings import ComparisonResult
from funcam.comparison.journal import Journal
from funcam.comparison.run import JOURNAL
from funcam.errors import FuncamError
from funcam.recipe import Recipe
from funcam.zoo.nets import load_net

EXAMPLES = scene_examples(4)
PLAN = Plan(Recipe(("grad-cam",)), batch=2)
RIVAL = Rival("a", load_net("scenes"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ComparisonResult]:
    """A journal, and what it says."""
    folder = tmp_path_factory.mktemp("whole")
    result = compare([RIVAL], EXAMPLES, PLAN, folder)
    return (folder / JOURNAL).read_bytes(), result


def entry(line: bytes) -> dict[str, object]:
    document: dict[str, object] = json.loads(line)
    return document


def changed(line: bytes, change: Callable[[list[dict[str, object]]], object]) -> bytes:
    """A line with changed records."""
    document = entry(line)
    change(document["records"])  # type: ignore[arg-type]
    return json.dumps(document).encode() + b"\n"


FORMS = {
    "null": lambda line: b"null\n",
    "a list": lambda line: b"[]\n",
    "a number": lambda line: b"1\n",
    "nested": lambda line: b"[" * 100_000 + b"\n",
    "nested in a record": lambda line: line.replace(b'"maps": [', b'"maps": [' + b"[" * 100_000, 1),
    "a number of 5,000 digits": lambda line: line.replace(b'"class": ', b'"class": ' + b"9" * 5000, 1),
    "NaN": lambda line: changed(line, lambda records: records[0].update(subset=float("nan"))),
    "no key": lambda line: json.dumps({"records": entry(line)["records"]}).encode() + b"\n",
    "no records": lambda line: json.dumps({"key": entry(line)["key"]}).encode() + b"\n",
    "records of nothing": lambda line: json.dumps({"key": entry(line)["key"], "records": []}).encode() + b"\n",
    "no maps": lambda line: changed(line, lambda records: records[0].pop("maps")),  # type: ignore[arg-type, return-value]
    "one map less": lambda line: changed(line, lambda records: records[0]["maps"].pop()),  # type: ignore[attr-defined]
    "another value": lambda line: changed(line, lambda records: records[0]["maps"][0].update(energy=0.5)),  # type: ignore[index]
    "a word": lambda line: changed(line, lambda records: records[0]["maps"][0].update(energy="x")),  # type: ignore[index]
    "another image": lambda line: changed(line, lambda records: records[0].update(image="scene 5000003")),
    "cut off": lambda line: line[:-200],
    "cut off at its end": lambda line: line[:-1],
    "half of UTF-8": lambda line: b"\xff\xfe" + line,
    "zeros": lambda line: bytes(len(line)),
    "twice in a line": lambda line: line[:-1] + line,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_line_of_another_form_is_told_and_measured_again(
    whole: tuple[bytes, ComparisonResult], tmp_path: Path, form: str
) -> None:
    lines = whole[0].splitlines(keepends=True)
    lines[1] = FORMS[form](lines[1])
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    again = compare([RIVAL], EXAMPLES, PLAN, tmp_path)
    assert again.rows == whole[1].rows
    assert (again.images, again.problems) == (4, [])
    if form == "cut off at its end":  # then it holds a line and the next one
        assert len(again.notes) == 1
    (note,) = again.notes
    assert "can't be used" in note
    assert "computed again" in note
    assert "\n" not in note


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no network's name": lambda record: record.pop("name"),
    "a class that is text": lambda record: record.update({"class": "x"}),
    "an image that is a list": lambda record: record.update(image=[1]),
    "content that is a dict": lambda record: record.update(content={}),
    "a subset that is a number": lambda record: record.update(subset=[]),
    "maps that are text": lambda record: record.update(maps="x"),
    "a map that is none": lambda record: record["maps"].append(None),
    "a method that is unknown": lambda record: record["maps"][0].update(method="nothing"),
    "a value that is text": lambda record: record["maps"][0].update(energy="x"),
    "a list that is too short": lambda record: record["maps"][0]["overlaps"].pop(),
    "a list of lists": lambda record: record["maps"][0].update(overlaps=[[]] * 20),
    "a map of other sides": lambda record: record["maps"][0].update(grid=[3, 3**9]),
    "a picture that is none": lambda record: record["maps"][0].update(picture="/9j/4AAQSkZJRg=="),
    "a size of nothing": lambda record: record.update(size=[0, 0]),
}


@pytest.mark.parametrize("form", FORGED)
def test_a_line_that_somebody_sealed_is_told_and_measured_again(
    whole: tuple[bytes, ComparisonResult], tmp_path: Path, form: str
) -> None:
    lines = whole[0].splitlines(keepends=True)
    document: Any = entry(lines[1])
    seal = document["records"][0].pop("seal")
    FORGED[form](document["records"][0])
    before = lines[1][: lines[1].index(seal.encode())]
    behind = f'", {json.dumps(document["records"])[2:]}}}'.encode()
    seal = hashlib.sha256(before + behind).hexdigest()[:32].encode()
    lines[1] = before + seal + behind + b"\n"
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    again = compare([RIVAL], EXAMPLES, PLAN, tmp_path)
    assert (again.rows, again.images, again.problems) == (whole[1].rows, 4, [])
    assert len(again.notes) == 1 or "content" in form  # that is of another image, and no more


def test_a_last_line_without_its_end_is_whole(whole: tuple[bytes, ComparisonResult], tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(whole[0][:-1])
    again = compare([RIVAL], EXAMPLES, PLAN, tmp_path)
    assert (again.rows, again.notes) == (whole[1].rows, [])


def test_a_line_that_is_there_twice_counts_once(whole: tuple[bytes, ComparisonResult], tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(whole[0] * 3)
    assert compare([RIVAL], EXAMPLES, PLAN, tmp_path).rows == whole[1].rows


def test_lines_in_another_order_and_of_other_comparisons_do_no_harm(
    whole: tuple[bytes, ComparisonResult], tmp_path: Path
) -> None:
    """Of other images of these names, too."""
    (tmp_path / "other").mkdir()
    examples = [replace(other, name=own.name) for own, other in zip(EXAMPLES, scene_examples(8)[4:], strict=True)]
    compare([RIVAL], examples, PLAN, tmp_path / "other")
    compare([RIVAL], EXAMPLES, replace(PLAN, target="predicted"), tmp_path / "other")
    lines = [
        *whole[0].splitlines(keepends=True),
        *(tmp_path / "other" / JOURNAL).read_bytes().splitlines(keepends=True),
    ]
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        (tmp_path / JOURNAL).write_bytes(b"".join(lines + lines[:2]))
        again = compare([RIVAL], EXAMPLES, PLAN, tmp_path)
        assert (again.rows, again.images, again.notes) == (whole[1].rows, 4, [])


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes that are changed, cut, doubled, moved or put in, most of them in the middle of a line."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((1, 1, 8, 200, 5000)))
        part = changed[start:end]
        changed[start:end] = rng.choice(
            [
                bytes([rng.randrange(256)]),
                b"",
                part + part,
                b"\n",
                b"null",
                b"[" * rng.choice((1, 5000)),
                b"9" * rng.choice((1, 5000)),
                b'"maps": []',
                bytes(rng.randbytes(len(part))),
            ]
        )
    return bytes(changed)


def fuzz(whole: bytes, folder: Path, seeds: range) -> int:
    """Read mutated journals: what is read is what was written, image by image, or is missing. How many were damaged."""
    contents, path = Contents(EXAMPLES), folder / JOURNAL
    path.write_bytes(whole)
    key = str(entry(whole.splitlines()[0])["key"])
    written = {record["image"]: record for record in Journal(path).records({key}, contents)}
    assert len(written) == len(EXAMPLES)
    damaged = 0
    for seed in seeds:
        path.write_bytes(mutated(whole, random.Random(seed)))
        journal = Journal(path)
        records = list(journal.records({key}, contents))
        assert len({record["image"] for record in records}) == len(records)
        assert all(record == written[record["image"]] for record in records), seed
        assert len(records) == len(EXAMPLES) or journal.damaged, seed
        damaged += journal.damaged > 0
    return damaged


def test_mutated_journals_give_what_was_written_or_less(whole: tuple[bytes, ComparisonResult], tmp_path: Path) -> None:
    assert fuzz(whole[0], tmp_path, range(300)) > 150


@pytest.mark.slow
def test_ten_thousand_mutated_journals(whole: tuple[bytes, ComparisonResult], tmp_path: Path) -> None:
    assert fuzz(whole[0], tmp_path, range(1000, 11_000)) > 5000


@pytest.mark.slow
def test_comparisons_over_mutated_journals_end_as_if_there_was_none(
    whole: tuple[bytes, ComparisonResult], tmp_path: Path
) -> None:
    for seed in range(200):
        (tmp_path / JOURNAL).write_bytes(mutated(whole[0], random.Random(seed)))
        assert compare([RIVAL], EXAMPLES, PLAN, tmp_path).rows == whole[1].rows, seed


def test_a_full_disk_ends_the_comparison_and_what_was_there_stays(
    whole: tuple[bytes, ComparisonResult], tmp_path: Path
) -> None:
    """The system refuses to write on in the middle of a line; on a full disk only the reason reads otherwise."""
    resource = pytest.importorskip("resource", reason="limits are POSIX's")
    first = whole[0].splitlines(keepends=True)[0]
    (tmp_path / JOURNAL).write_bytes(first)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(first) + 500, hard))
    try:
        with pytest.raises(FuncamError, match=rf"can't write '{tmp_path / JOURNAL}': File too large; .*choose"):
            compare([RIVAL], EXAMPLES, PLAN, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / JOURNAL).read_bytes() == first
    assert compare([RIVAL], EXAMPLES, PLAN, tmp_path).rows == whole[1].rows


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("plant", ["link", "pipe", "folder"])
def test_what_is_no_journal_is_refused(tmp_path: Path, plant: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / JOURNAL
    victim.write_bytes(b"mine")
    if plant == "link":
        path.symlink_to(victim)
    elif plant == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(FuncamError, match=rf"can't (read|write) '{path}'.*choose another"):
        compare([RIVAL], EXAMPLES, PLAN, tmp_path)
    assert victim.read_bytes() == b"mine"
