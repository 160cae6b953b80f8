"""A store that was interrupted, at any moment and in any way, becomes byte for byte the one that was not."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import batches
import pytest
from batches import QUESTION, content_of, fill, write_store

from funcam import files
from funcam.errors import FuncamError
from funcam.sources import list_items
from funcam.store import Row, Shard, Writer, open_store

BATCHES = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]


def test_two_runs_make_the_same_bytes(photos):
    assert write_store(photos, "a") == BATCHES
    write_store(photos, "b")
    assert content_of("a") == content_of("b")
    assert sorted(content_of("a")) == [
        "listing/00000.jsonl",
        "listing/00001.jsonl",
        "listing/00002.jsonl",
        "listing/whole.json",
        "maps-00000.parquet",
        "maps-00001.parquet",
        "maps-00002.parquet",
        "question.json",
    ]


@pytest.mark.parametrize("at", range(1, 8))
def test_a_run_that_stops_behind_a_batch_goes_on_with_the_next(photos, at):
    write_store(photos, "whole")
    with Writer("store", QUESTION) as writer:
        writer.list_items(list_items([photos]))
        left = at
        for number in writer.missing():
            for _ in fill("store", number):
                left -= 1
                if not left:
                    break
            if not left:
                break
        expected = sum(len(Shard("store", number).items(batch)) for number, batch in BATCHES[:at])
        assert writer.written() == expected
    assert not open_store("store").whole
    assert write_store(photos, "store") == BATCHES[at:]
    assert content_of("store") == content_of("whole")
    assert write_store(photos, "store") == []


class Killed(BaseException):
    """As sudden as a kill: nothing of ours catches it."""


@pytest.mark.parametrize("step", range(26))
def test_a_run_that_ends_before_any_of_its_writes_goes_on(photos, monkeypatch, step):
    """Each rename and each removal in turn is the one before which the process ends."""
    write_store(photos, "whole")
    left = step

    def sudden(function):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", sudden(os.replace))
        patch.setattr(Path, "unlink", sudden(Path.unlink))
        with pytest.raises(Killed):
            write_store(photos, "store")
    again = write_store(photos, "store")
    assert len(again) <= len(BATCHES)
    passing = [name for name in content_of("store") if name.endswith(".tmp")]  # the process is still there
    assert len(passing) <= 1
    assert {name: data for name, data in content_of("store").items() if name not in passing} == content_of("whole")


@pytest.mark.long
def test_a_process_that_is_killed_three_times_at_random(photos):
    for number in range(25, 300):
        (Path(photos) / f"{number:03}.jpg").write_bytes(b"%d" % number)
    write_store(photos, "whole")
    command = [sys.executable, batches.__file__, photos, "store"]
    chance, done = random.Random(14), []
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 20)):
                done.append(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            done += process.stdout.readlines()
    done += subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines(keepends=True)
    assert content_of("store") == content_of("whole")
    twice = len(done) - len(set(done))
    assert twice <= 3  # a batch whose writing was done when the process was killed is told by none, or by both
    assert len(set(done)) >= 30 * 3 - 3


def test_one_writer_at_a_time(photos):
    with Writer("store", QUESTION), pytest.raises(FuncamError, match="another process writes to 'store'"):
        Writer("store", QUESTION)
    with Writer("store", QUESTION):
        pass


@pytest.mark.long
def test_a_killed_writer_leaves_no_lock(photos):
    program = (
        "import os, batches; from funcam.store import Writer\n"
        "writer = Writer('store', batches.QUESTION); print('locked', flush=True); input()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, os.path.dirname(batches.__file__)])}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(FuncamError, match="another process"):
            Writer("store", QUESTION)
        process.kill()
        process.wait()
    Writer("store", QUESTION).close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_stops_with_what_to_do_and_a_rerun_goes_on(photos, monkeypatch, code):
    write_store(photos, "whole")
    replace, left = os.replace, 8

    def full(*args):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(code, os.strerror(code))
        return replace(*args)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(FuncamError, match=r"can't write .*; (make room|choose)"):
            write_store(photos, "store")
    assert not [name for name in content_of("store") if name.endswith(".tmp")]
    assert len(write_store(photos, "store")) < len(BATCHES)
    assert content_of("store") == content_of("whole")


def test_what_a_power_cut_damages_is_done_again(photos):
    write_store(photos, "whole")
    write_store(photos, "store")
    for damage in (b"", b"PAR1", b"\0" * 500):
        Path("store/maps-00001.parquet").write_bytes(damage)
        assert write_store(photos, "store") == BATCHES[3:6]
        assert content_of("store") == content_of("whole")
    with Writer("store", QUESTION) as writer:
        Path("store/maps-00002.parquet").unlink()
        assert writer.missing() == [2]
        next(fill("store", 2))
    Path("store/parts/00002-0000.parquet").write_bytes(b"PAR1")
    assert write_store(photos, "store") == BATCHES[6:]
    assert content_of("store") == content_of("whole")


@pytest.mark.parametrize("source", ["maps-00000.parquet", "parts/00001-0000.parquet"])
def test_a_file_that_holds_another_ones_rows_is_made_again(photos, source):
    """As copying between the stores of two machines leaves it: the right number of rows, and another run of them."""
    write_store(photos, "whole")
    write_store(photos, "store")
    if source.startswith("parts"):
        Path("store/maps-00001.parquet").unlink()
        with Writer("store", QUESTION):
            next(fill("store", 1))
    copy = Path("store") / source.replace("00001-0000", "00001-0001").replace("00000", "00001")
    copy.write_bytes((Path("store") / source).read_bytes())
    if not source.startswith("parts"):
        with pytest.raises(FuncamError, match="holds the rows of another shard; remove it"):
            list(open_store("store").rows())
    write_store(photos, "store")
    assert content_of("store") == content_of("whole")


def test_a_batch_that_was_halved_is_halved_again(photos):
    with Writer("store", QUESTION) as writer:
        writer.list_items(list_items([photos]))
        shard = Shard("store", 0)
        shard.halve(1)
        shard.halve(1)
    shard = Shard("store", 0)
    assert [shard.halvings(batch) for batch in range(3)] == [0, 2, 0]
    write_store(photos, "store")
    assert os.listdir("store/parts") == []
    for _ in range(16):
        shard.halve(0)
    with pytest.raises(FuncamError, match="memory runs out even for one image"):
        shard.halve(0)


def test_a_listing_that_was_interrupted_is_made_anew(photos):
    def some():
        yield from list(list_items([photos]))[:15]
        raise Killed

    with Writer("store", QUESTION) as writer:
        with pytest.raises(Killed):
            writer.list_items(some())
        assert writer.count == 0
        with pytest.raises(FuncamError, match="aren't all listed yet"):
            writer.list_items(None)
        with pytest.raises(FuncamError, match="aren't listed yet"):
            Shard("store", 0)
    write_store(photos, "whole")
    write_store(photos, "store")
    assert content_of("store") == content_of("whole")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda: Path("photos/0000.jpg").write_bytes(b"x"), "image 1 was 'photos/001.jpg', now 'photos/0000.jpg'"),
        (lambda: Path("photos/024.jpg").unlink(), "image 24 was 'photos/024.jpg', now not there"),
        (lambda: Path("photos/999.jpg").write_bytes(b"x"), "image 25 was not there, now 'photos/999.jpg'"),
    ],
)
def test_a_changed_source_is_told_and_the_listing_stands(photos, change, told):
    write_store(photos, "store")
    Path("store/maps-00002.parquet").unlink()
    change()
    with pytest.raises(FuncamError) as error:
        write_store(photos, "store")
    assert told in str(error.value)
    with Writer("store", QUESTION) as writer:
        writer.list_items(None)
        assert (writer.count, writer.missing()) == (25, [2])


def test_a_class_that_changed_is_told(photos):
    for label in "12":
        Path("list.csv").write_text(f"path,class\nphotos/001.jpg,{label}\n")
        if label == "1":
            write_store("list.csv", "store")
    with pytest.raises(FuncamError, match=r"'photos/001.jpg' \(1.*now 'photos/001.jpg' \(2"):
        write_store("list.csv", "store")


def test_every_row_is_there_once_and_tells_of_its_image(photos):
    write_store(photos, "store")
    store = open_store("store")
    rows = list(store.rows())
    assert [row.index for row in rows] == list(range(25))
    assert [row.path for row in rows] == [f"photos/{number:03}.jpg" for number in range(25)]
    assert store.whole
    assert "empty" in (rows[7].error or "")
    assert rows[7].map is None
    assert (rows[22].content, rows[22].figures) == (rows[0].content, rows[0].figures)
    assert all(store.item(row.index).path == row.path for row in rows)
    with pytest.raises(FuncamError, match="there is no image 25"):
        store.item(25)


def test_rows_of_one_content_and_one_class_say_what_the_first_says(photos):
    Path("photos/009.jpg").write_bytes(b"0")
    with Writer("store", QUESTION) as writer:
        writer.list_items(list_items([photos]))
    done = list(zip(range(3), fill("store", 0), strict=False))
    assert len(done) == 3
    with Writer("again", QUESTION) as writer:
        writer.list_items(list_items([photos]))
    shard = Shard("again", 0)
    shard.add(2, [Row(index, item.path, content="c") for index, item in shard.items(2)])
    shard.add(0, [Row(index, item.path, content="c", target=0) for index, item in shard.items(0)])
    shard.add(1, [Row(index, item.path, "x", content="c", target=1) for index, item in shard.items(1)])
    assert (shard.contents(0), shard.contents(1)) == ({("c", None)}, {("c", "x")})
    shard.finish()
    told = [(row.index, row.target) for row in open_store("again").rows()]
    assert told == [(index, 1 if 4 <= index < 8 else 0) for index in range(len(told))]


def test_rows_that_are_not_the_batch_are_refused(photos):
    with Writer("store", QUESTION) as writer:
        writer.list_items(list_items([photos]))
    shard = Shard("store", 0)
    for indices in ((), (0,), (0, 1, 3, 2), range(5)):
        with pytest.raises(FuncamError, match="other rows"):
            shard.add(0, [Row(index, "x") for index in indices])
    with pytest.raises(FuncamError, match="lacks 3 batches"):
        shard.finish()
    for number in (-1, 3):
        with pytest.raises(FuncamError, match="isn't in the store"):
            Shard("store", number)
