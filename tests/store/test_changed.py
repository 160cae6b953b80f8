"""An image that changes under its name after its row was written is explained anew, and nothing else is."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from batches import QUESTION, content_of, fill, write_store

from funcam.errors import FuncamError
from funcam.sources import list_items
from funcam.store import Writer, open_store

OTHER = b"something else"


def _overwritten(path: Path) -> None:
    path.write_bytes(OTHER)


def _moved_there_with_an_old_date(path: Path) -> None:
    other = path.with_name(".other")
    other.write_bytes(OTHER)
    os.utime(other, (1, 1))
    other.rename(path)


def _linked(path: Path) -> None:
    other = Path("other").resolve()
    other.write_bytes(OTHER)
    path.unlink()
    path.symlink_to(other)


def forgotten(source: str, store: str = "store") -> int:
    with Writer(store, QUESTION) as writer:
        writer.list_items(list_items([source]))
        return writer.forget_changed()


@pytest.mark.parametrize("change", [_overwritten, _moved_there_with_an_old_date, _linked])
def test_its_shard_is_made_anew(photos: str, change: Callable[[Path], None]) -> None:
    write_store(photos, "store")
    change(Path(photos) / "012.jpg")
    assert forgotten(photos) == 1
    assert write_store(photos, "store") == [(1, 0), (1, 1), (1, 2)]
    write_store(photos, "whole")
    assert content_of("store") == content_of("whole")


def test_what_was_touched_only_or_is_gone_stays(photos: str) -> None:
    Path("list.txt").write_text("photos/001.jpg\nphotos/012.jpg\n")
    write_store("list.txt", "store")
    (Path(photos) / "001.jpg").touch()
    (Path(photos) / "012.jpg").unlink()
    assert forgotten("list.txt") == 0
    assert write_store("list.txt", "store") == []


def test_one_that_could_not_be_read_is_when_it_is_there(photos: str) -> None:
    Path("list.txt").write_text("photos/001.jpg\nlate.jpg\n")
    write_store("list.txt", "store")
    assert open_store("store").failures == 1
    Path("late.jpg").write_bytes(b"3")
    assert forgotten("list.txt") == 1
    write_store("list.txt", "store")
    assert open_store("store").failures == 0


def test_batches_of_a_shard_that_is_not_whole_are_made_anew(photos: str) -> None:
    with Writer("store", QUESTION) as writer:
        writer.list_items(list_items([photos]))
        filling = fill("store", 0)
        next(filling), next(filling)
    (Path(photos) / "001.jpg").write_bytes(OTHER)
    assert forgotten(photos) == 1
    assert len(write_store(photos, "store")) == 8
    write_store(photos, "whole")
    assert content_of("store") == content_of("whole")


def test_a_tar_shard_with_another_image_of_the_same_size(photos: str) -> None:
    def written(texts: list[bytes]) -> None:
        with tarfile.open("a.tar", "w") as tar:
            for number, text in enumerate(texts):
                member = tarfile.TarInfo(f"{number:03}.jpg")
                member.size = len(text)
                tar.addfile(member, BytesIO(text))

    texts = [b"%03d" % number for number in range(25)]
    written(texts)
    write_store("a.tar", "store")
    written([*texts[:-1], b"xyz"])
    assert forgotten("a.tar") == 1
    assert write_store("a.tar", "store") == [(2, 0), (2, 1)]


def test_pictures_of_what_was_go_too(photos: str) -> None:
    write_store(photos, "store")
    for number in range(3):
        folder = Path("store/pictures") / f"{number:05}"
        folder.mkdir(parents=True)
        (folder / "drawn.jpg").write_bytes(b"")
    (Path(photos) / "001.jpg").write_bytes(OTHER)
    assert forgotten(photos) == 1
    assert sorted(str(path) for path in Path("store/pictures").glob("*/*")) == [
        "store/pictures/00001/drawn.jpg",
        "store/pictures/00002/drawn.jpg",
    ]


def test_a_question_for_which_nothing_is_listed_is_replaced(photos: str) -> None:
    with Writer("store", QUESTION) as writer, pytest.raises(FuncamError):
        writer.list_items(iter(()))
    write_store(photos, "store", {**QUESTION, "layer": "other"})
    with pytest.raises(FuncamError, match="answers another question: layer is 'last', there 'other'"):
        Writer("store", QUESTION)


def test_what_could_not_be_read_is_made_anew_once_it_can_be(photos: str) -> None:
    """A disk that was missing comes back with files that nobody touched; what still can't be read stays as it is."""
    Path("list.txt").write_text("".join(f"photos/{number:03}.jpg\n" for number in range(25)))
    write_store("list.txt", "whole")
    Path(photos).rename("away")
    write_store("list.txt", "store")
    assert all(row.error for row in open_store("store").rows())
    assert forgotten("list.txt") == 0
    Path("away").rename(photos)
    assert forgotten("list.txt") == 3
    write_store("list.txt", "store")
    assert content_of("store") == content_of("whole")
    assert forgotten("list.txt") == 0  # though photos/007.jpg is empty


def test_a_batch_that_could_not_be_read_is_made_anew_too(photos: str) -> None:
    with Writer("store", QUESTION) as writer:
        writer.list_items(list_items([photos]))
        Path(photos).rename("away")
        next(fill("store", 0))
    Path("away").rename(photos)
    assert forgotten(photos) == 1
    write_store(photos, "store")
    write_store(photos, "whole")
    assert content_of("store") == content_of("whole")
