"""Links, pipes and folders that somebody planted in the folder of results: nothing is written through them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_line import Funcam, photo
from PIL import Image

from funcam.errors import FuncamError
from funcam.files import append, make_folder, opened, write_atomically
from funcam.imaging.render import save_picture

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")

RUNS = {
    "explain": "explain pic.png --net scenes -m grad-cam -m guided-backprop --maps --out out",
    "compare": "compare --scenes 2 --net scenes --report out/page.html --report out/gallery.md --out out",
    "evaluate": "evaluate --scenes 2 --net scenes --quick -m layer-cam -l trunk_output --out out",
}
MINE = b"mine, and nobody else's"


def written(folder: Path) -> set[str]:
    """The files in a folder, by their paths in it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A photo, and a file that nobody was told to write to."""
    Image.fromarray(photo()).save(tmp_path / "pic.png")
    (tmp_path / "victim").write_bytes(MINE)
    return tmp_path


PLANTS = ("link", "broken link", "link to a device", "pipe")


@pytest.mark.long
@pytest.mark.parametrize(
    ("plant", "run"),
    [
        *((plant, "explain") for plant in PLANTS),
        *(("link", run) for run in ("compare", "evaluate")),
        *(pytest.param(plant, run, marks=pytest.mark.slow) for plant in PLANTS[1:] for run in ("compare", "evaluate")),
    ],
)
def test_what_lies_where_a_result_is_to_be_is_not_followed(funcam: Funcam, place: Path, plant: str, run: str) -> None:
    """Every file that the command writes, in turn, but for the journal, which is not replaced but refused."""
    words = RUNS[run].split()
    assert funcam(*words).code == 0
    names = written(place / "out") - {"images.jsonl"}
    assert len(names) >= {"explain": 6, "compare": 4, "evaluate": 2}[run]
    for name in names:
        path = place / "out" / name
        path.unlink()
        if plant == "pipe":
            os.mkfifo(path)
        else:
            target = {"link": "victim", "broken link": "nothing"}.get(plant)
            path.symlink_to(place / target if target else "/dev/full")
    assert funcam(*words).code == 0
    assert (place / "victim").read_bytes() == MINE
    assert not (place / "nothing").exists()
    for name in names:
        assert (place / "out" / name).is_file()
        assert not (place / "out" / name).is_symlink()


@pytest.mark.long
@pytest.mark.parametrize("run", ["compare", "evaluate"])
def test_a_journal_that_is_a_link_is_refused(funcam: Funcam, place: Path, run: str) -> None:
    (place / "out").mkdir()
    (place / "out" / "images.jsonl").symlink_to(place / "victim")
    ran = funcam(*RUNS[run].split(), "--quiet")
    ran.error(1, "can't read 'out/images.jsonl': it is a link; remove it or choose another")
    assert (place / "victim").read_bytes() == MINE


@pytest.mark.long
def test_the_folders_beside_a_report_are_no_links(funcam: Funcam, place: Path) -> None:
    (place / "out").mkdir()
    (place / "elsewhere").mkdir()
    (place / "out" / "gallery-gallery").symlink_to(place / "elsewhere")
    funcam(*RUNS["compare"].split()).error(1, "gallery-gallery': it is a link; remove it")
    assert not list((place / "elsewhere").iterdir())


def test_a_passing_file_that_is_there_is_not_written_through(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if its name was guessed."""
    import uuid

    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=7))
    write_atomically(place / "a", b"a")
    passing: list[Path] = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: passing.append(Path(source)) or replace(source, target))
    write_atomically(place / "a", b"a")
    passing[0].symlink_to(place / "victim")
    with pytest.raises(FuncamError, match="can't write"):
        write_atomically(place / "a", b"b")
    assert (place / "victim").read_bytes() == MINE
    assert (place / "a").read_bytes() == b"a"


def test_the_users_own_path_is_followed_and_a_name_of_ours_is_not(place: Path) -> None:
    (place / "link.png").symlink_to(place / "victim")
    (place / "other").symlink_to(place / "victim")
    save_picture(place / "link.png", photo())
    write_atomically(place / "other", b"other", links=False)
    for name in ("link.png", "other"):
        assert not (place / name).is_symlink()
        assert (place / name).is_file()
    assert (place / "victim").read_bytes() == MINE
    (place / "own").symlink_to(place / "elsewhere")
    write_atomically(place / "own", b"own")
    assert (place / "own").is_symlink()
    assert (place / "elsewhere").read_bytes() == b"own"
    (place / "below").mkdir()
    with pytest.raises(FuncamError, match="that is a folder"):
        write_atomically(place / "below", b"", links=False)


def test_lines_are_appended_whole(place: Path) -> None:
    append(place / "lines", b"1\n")
    append(place / "lines", b"2\n3\n")
    with open(place / "lines", "ab") as stream:
        stream.write(b"4 cut o")
    append(place / "lines", b"5\n")
    assert (place / "lines").read_bytes() == b"1\n2\n3\n4 cut o\n5\n"
    assert (place / "lines").stat().st_mode == (place / "pic.png").stat().st_mode
    with opened(place / "lines") as stream:
        assert stream is not None
        assert stream.readline() == b"1\n"
    with pytest.raises(FuncamError, match="make the folder first"):
        append(place / "no" / "lines", b"")
    with pytest.raises(FuncamError, match="no regular file"):
        append("/dev/null", b"1\n")


def test_what_a_dead_process_left_is_removed_and_nothing_else(place: Path) -> None:
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    write_atomically(place / "a", b"a")
    host = name_of_this_machine(place)
    kept = {f".{host}-{os.getpid()}-{'a' * 32}.tmp", f".00000000-{dead}-{'a' * 32}.tmp", ".mine.tmp", "tmp"}
    for name in (*kept, f".{host}-{dead}-{'a' * 32}.tmp"):
        (place / name).write_bytes(b"part")
    make_folder(place)
    assert {path.name for path in place.iterdir()} == kept | {"a", "pic.png", "victim"}


def name_of_this_machine(place: Path) -> str:
    """The first word of the names of passing files."""
    names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", lambda source, _target: names.append(Path(source).name))
        write_atomically(place / "a", b"")
    (place / names[0]).unlink()
    return names[0][1:9]
