"""Names of results: whoever has one keeps it, no other's file is touched, and two images never share one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.imaging.marks import MARK
from funcam.imaging.reading import folded
from funcam.pipeline.earlier import ImageSource, asked_of, told_apart
from funcam.resuming.places import Place, results_place

A, B = "a" * 32, "b" * 32


def write(place: Place, text: str = "") -> str:
    """Results as a command writes them."""
    name = place.name("results", lambda name: [f"{name}.json", f"{name}.csv"])
    record = {"files": {"record": f"{name}.json", "table": f"{name}.csv"}, "asked": place.asked}
    (place.folder / f"{name}.json").write_text(json.dumps(record))
    (place.folder / f"{name}.csv").write_text(text)
    place.done(record)
    return name


def test_each_question_has_one_name_and_keeps_it(tmp_path: Path) -> None:
    other = f"results-{B[:10]}"
    assert write(results_place(tmp_path, "results", A), "1") == "results"
    assert write(results_place(tmp_path, "results", B), "2") == other
    assert write(results_place(tmp_path, "results", A), "3") == "results"
    for name in ("results.json", "results.csv"):
        (tmp_path / name).unlink()
    assert write(results_place(tmp_path, "results", B), "4") == other
    assert {path.name for path in tmp_path.iterdir()} == {f"{other}.json", f"{other}.csv"}
    assert write(results_place(tmp_path, "results", B, overwrite=True), "5") == "results"
    assert {path.name: path.read_text() for path in tmp_path.glob("*.csv")} == {"results.csv": "5"}


def test_a_table_of_the_users_stays(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("mine")
    assert write(results_place(tmp_path, "results", A)) == f"results-{A[:10]}"
    assert (tmp_path / "results.csv").read_text() == "mine"


def test_what_one_cannot_tell_from_the_users_goes_before_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever was killed in between would find a table that nobody tells of, and leave it alone for ever."""
    write(results_place(tmp_path, "results", A))
    gone: list[str] = []
    monkeypatch.setattr("funcam.resuming.places.remove", lambda path: gone.append(path.name))
    results_place(tmp_path, "results", A).name("results", lambda name: [f"{name}.json", f"{name}.csv"])
    assert gone == ["results.csv", "results.json"]


def test_both_names_taken_is_told(tmp_path: Path) -> None:
    for name in ("results", f"results-{A[:10]}"):
        (tmp_path / f"{name}.csv").write_text("mine")
    with pytest.raises(FuncamError, match="of another question; choose another --out, or add --overwrite"):
        write(results_place(tmp_path, "results", A))


def test_what_another_image_of_the_call_writes_meanwhile_stays(tmp_path: Path) -> None:
    """Threads write them: when the second began, nothing of the first was there."""
    first, second = Place(tmp_path, "dog", "dog-net", A), Place(tmp_path, "dog", "dog-net", B, plain=False)
    files = {"record": "dog-net.json", "panel": "dog-net-panel.png"}
    assert first.name("dog-net", lambda name: [f"{name}.json", f"{name}-panel.png"]) == "dog-net"
    (tmp_path / "dog-net.json").write_text(json.dumps({"files": files, "explained": [], "asked": A}))
    (tmp_path / "dog-net-panel.png").write_bytes(MARK)
    name = second.name("dog-net", lambda name: [f"{name}.json"])
    assert name == f"dog-net-{B[:10]}"
    second.done({"files": {"record": f"{name}.json"}, "explained": []})
    assert {path.name for path in tmp_path.iterdir()} == set(files.values())


NAMES = ["x.jpg", "X.png", "a/x.jpg", "x-2.jpg", "a/x-2.png", "é.jpg", "e\u0301.png", "y.jpg"]


@given(st.lists(st.sampled_from(NAMES), unique=True), st.integers(0, len(NAMES) - 1))
def test_no_two_images_of_a_call_have_one_name(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], at: int
) -> None:
    folder = tmp_path_factory.mktemp("results")
    sources = [ImageSource(name, Path(name).stem) for name in names]
    has = sources[at % len(names)] if sources else None
    if has is not None:
        record = {"asked": asked_of("options", has, folder)}
        (folder / f"{has.stem}-net.json").write_text(json.dumps(record))
    apart = told_apart(sources, "options", folder, "net")
    assert [source.name for source in apart] == names
    plain = [source for source in apart if source.plain]
    assert sorted(folded(source.stem) for source in plain) == sorted({folded(source.stem) for source in sources})
    assert has is None or has in plain
    for source in plain:
        alike = [each for each in sources if folded(each.stem) == folded(source.stem)]
        assert source == (has if has in alike else alike[0])
