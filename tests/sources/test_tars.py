"""WebDataset's shards, and tar files that are made to hurt: each image one item, and nothing else happens."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.sources import Reader, list_items

BLOCK = 512


def header(name: bytes, size: int, kind: bytes = b"0", *, based: bool = False) -> bytes:
    """A header of a tar file by hand, so that it may claim anything."""
    field = (0x80 << 88 | size % 2**88).to_bytes(12) if size >= 0 else b"\xff" + size.to_bytes(11, signed=True)
    claimed = field if based or size < 0 else b"%011o\0" % size
    block = bytearray(BLOCK)
    block[:100] = name.ljust(100, b"\0")
    block[100:136] = b"0000644\0" + b"0000000\0" * 2 + claimed
    block[136:148] = b"00000000000\0"
    block[148:157] = b" " * 8 + kind
    block[257:265] = b"ustar\00000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def listed(source: str) -> list[tuple[str, str | None, bool]]:
    return [(item.path.removeprefix(f"{source}/"), item.label, item.problem is None) for item in list_items([source])]


def read(source: str) -> list[bytes | None]:
    data: list[bytes | None] = []
    with Reader() as reader:
        for item in list_items([source]):
            try:
                data.append(reader.read(item))
            except FuncamError:
                data.append(None)
    return data


def test_the_class_lies_beside_the_image_before_or_behind_it(tar):
    tar(
        "a.tar",
        {
            "d/0.cls": b"207\n",
            "d/0.jpg": b"0",
            "d/1.jpg": b"1",
            "d/1.json": b'{"caption": "x", "label": "dog"}',
            "d/2.left.png": b"2l",
            "d/2.right.png": b"2r",
            "d/2.cls": b"9",
            "d/3.jpg": b"3",
            "e/3.cls": b"5",
            "e/4.json": b'{"label": [1, 2]}',
            "e/4.webp": b"4",
            "e/5.txt": b"a caption",
        },
    )
    assert listed("a.tar") == [
        ("d/0.jpg", "207", True),
        ("d/1.jpg", "dog", True),
        ("d/2.left.png", "9", True),
        ("d/2.right.png", "9", True),
        ("d/3.jpg", None, True),
        ("e/4.webp", None, True),
    ]
    assert read("a.tar") == [b"0", b"1", b"2l", b"2r", b"3", b"4"]


def test_shards_in_a_bucket_are_read_alike(tar, memory, place):
    tar("a.tar", {"0.cls": b"1", "0.jpg": b"0" * 3000, "1.jpg": b"1"})
    memory.pipe("/b/a-0.tar", (place / "a.tar").read_bytes())
    memory.pipe("/b/a-1.tar", (place / "a.tar").read_bytes())
    assert read("memory://b/a-{0..1}.tar") == read("memory://b/*.tar") == [b"0" * 3000, b"1"] * 2


def test_names_that_lead_elsewhere_are_only_names(tar):
    names = ["../../x.jpg", "/etc/y.jpg", "a/../../z.jpg", "C:\\w.jpg", "v\x1b[2J\n.jpg", "x" * 300 + ".jpg"]
    tar("a.tar", [(name, name.encode()) for name in names])
    assert read("a.tar") == [name.encode() for name in names]
    assert all(item.path.isprintable() for item in list_items(["a.tar"]))
    assert os.listdir(".") == ["a.tar"]


def test_two_members_of_one_name_are_two_items(tar):
    tar("a.tar", [("x.jpg", b"first"), ("x.jpg", b"second")])
    assert read("a.tar") == [b"first", b"second"]


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE],
)
def test_what_is_no_file_is_not_followed(place, kind):
    (place / "secret.jpg").write_bytes(b"secret")
    info = tarfile.TarInfo("l.jpg")
    info.type, info.linkname = kind, "secret.jpg"
    blocks = info.tobuf(tarfile.GNU_FORMAT) + header(b"x.jpg", 1) + padded(b"x") + bytes(2 * BLOCK)
    (place / "a.tar").write_bytes(blocks)
    assert listed("a.tar") == [("l.jpg", None, False), ("x.jpg", None, True)]
    assert read("a.tar") == [None, b"x"]


@pytest.mark.parametrize("size", [300 * 2**20, 2**40, 2**60, 2**80])
def test_a_size_that_is_not_there_is_not_believed(place, size):
    (place / "a.tar").write_bytes(
        header(b"x.jpg", 1) + padded(b"x") + header(b"y.jpg", size, based=True) + bytes(BLOCK)
    )
    tracemalloc.start()
    assert read("a.tar")[:2] == [b"x", None]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("size", [-1, -512, -1024, -(2**40)])
def test_a_size_below_zero_does_not_lead_back_for_ever(place, size):
    (place / "a.tar").write_bytes(header(b"x.jpg", 1) + padded(b"x") + header(b"y.jpg", size) + bytes(2 * BLOCK))
    items = list(list_items(["a.tar"]))
    assert items[0].problem is None
    assert items[-1].problem
    assert len(items) <= 4


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("size", [2**16, 2**30, 2**50, -5])
def test_a_long_name_that_is_claimed_is_not_read(place, kind, size):
    with open(place / "a.tar", "wb") as stream:
        stream.write(header(b"x.jpg", 1) + padded(b"x") + header(b"long", size, kind, based=size > 0))
        stream.truncate(2**26)  # a hole
    tracemalloc.start()
    items = list(list_items(["a.tar"]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item.problem is None for item in items] == [True, False]
    assert "damaged" in (items[1].problem or "")
    assert peak < 2**20


def test_a_tar_file_that_was_cut_off_gives_what_is_whole(tar, place):
    tar("a.tar", {f"{number}.jpg": b"x" * 1000 for number in range(5)})
    data = (place / "a.tar").read_bytes()
    for end in (0, 100, 600, 1536, 2000, 2600, 4000):
        (place / "b.tar").write_bytes(data[:end])
        items = list(list_items(["b.tar"]))
        whole = min((max(end - 512, 0) + 536) // 1536, 5) if end > 512 else 0
        assert sum(item.problem is None for item in items) == whole, end
        assert items[-1].problem, end


@given(data=st.binary(max_size=2000), at=st.integers(0, 3000), change=st.binary(min_size=1, max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_no_bytes_stop_the_listing(tmp_path_factory, data, at, change):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("0.cls", "0.jpg", "1.json"):
            info = tarfile.TarInfo(name)
            info.size = len(data) if name == "0.jpg" else 1
            archive.addfile(info, io.BytesIO(data or b"1"))
    whole = bytearray(stream.getvalue())
    whole[at : at + len(change)] = change
    file = tmp_path_factory.mktemp("t") / "a.tar"
    file.write_bytes(whole)
    with suppress(FuncamError), Reader() as reader:  # where the change hides the image
        for item in list_items([str(file)]):
            with suppress(FuncamError):
                assert reader.read(item)


@pytest.mark.parametrize(
    ("name", "content"), [("0.cls", b"x" * 2000), ("0.cls", b"\xff"), ("0.json", b"{"), ("0.json", b"[" * 9999)]
)
def test_a_class_that_cannot_be_read_is_no_problem_of_the_image(tar, name, content):
    tar("a.tar", {"0.jpg": b"x", name: content, "1.jpg": b"y"})
    first, second = list_items(["a.tar"])
    assert "its class in" in (first.unlabelled or "")
    assert [(item.label, item.problem) for item in (first, second)] == [(None, None)] * 2
    assert second.unlabelled is None


def test_images_that_all_go_by_one_name_are_held_a_thousand_at_most(tar):
    tar("a.tar", {f"photo.{number}.jpg": b"%d" % number for number in range(1500)} | {"photo.cls": b"3"})
    assert read("a.tar") == [b"%d" % number for number in range(1500)]


def test_hidden_members_are_left_out(tar):
    tar("a.tar", {"._x.jpg": b"a resource fork", "x.jpg": b"x"})
    assert read("a.tar") == [b"x"]


def test_formats_that_cannot_be_read_are_told_and_cost_nothing_else(tar, place, monkeypatch):
    monkeypatch.setattr("funcam.imaging.heif.is_installed", lambda: False)
    tar("a.tar", {"0.png": b"0", "d/1.heic": b"1", "d/1.cls": b"7", "2.CR2": b"2", "3.txt": b"3", "4.png": b"4"})
    tar("b.tar", {"0.heif": b"0"})
    for source in ("a.tar", "a*.tar"):
        left = []
        assert [item.path for item in list_items([source], left_out=left.append)] == ["a.tar/0.png", "a.tar/4.png"]
        assert left == ["1.heic", "2.CR2"]
    with pytest.raises(FuncamError, match=r"b.tar' holds no images that can be read: 1 image is .*funcam\[heif"):
        list(list_items(["b.tar"]))


def test_a_shard_that_is_no_tar_file_is_one_item(files):
    files("s/a.tar", "s/b.tar")
    items = list(list_items(["s/*.tar"]))
    assert [item.path for item in items] == ["s/a.tar", "s/b.tar"]
    assert all("damaged" in (item.problem or "") for item in items)


def test_memory_does_not_grow_with_members(place):
    peaks = []
    for count in (200, 4000):
        with tarfile.open(place / "a.tar", "w") as archive:
            for number in range(count):
                archive.addfile(tarfile.TarInfo(f"{number}.jpg"))
        tracemalloc.start()
        assert sum(1 for _ in list_items(["a.tar"])) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 50_000
