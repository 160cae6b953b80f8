"""Folders and globs, local and remote: which images, in which order, whatever links and names there are."""

from __future__ import annotations

import glob
import os
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funcam.errors import FuncamError
from funcam.sources import Reader, list_items


def paths(*sources: str) -> list[str]:
    return [item.path for item in list_items(sources)]


def test_a_folder_is_the_images_below_it_sorted_without_what_is_hidden(files):
    files("p/b.jpg", "p/a/z.PNG", "p/a/b/y.webp", "p/notes.txt", "p/.h/x.jpg", "p/.x.jpg", "p/c/.git/q.jpg")
    assert paths("p") == ["p/a/b/y.webp", "p/a/z.PNG", "p/b.jpg"]


def test_the_images_of_one_folder_are_those_of_explain(files):
    from funcam.imaging.reading import find_images

    files("p/b.jpg", "p/B.jpeg", "p/.c.jpg", "p/d.avif", "p/e.txt", "p/f", "p/é.tif")
    assert paths("p") == [str(path) for path in find_images(["p"]).paths]


def test_a_link_that_leads_back_ends_and_no_folder_is_listed_twice(files):
    files("p/a/x.jpg", "p/b/y.jpg", "p/c/z.jpg")
    os.symlink("..", "p/a/up")
    os.symlink("../b", "p/a/beside")
    os.symlink("a", "p/self")
    os.symlink("gone.jpg", "p/broken.jpg")
    os.symlink("loop.jpg", "p/loop.jpg")
    assert paths("p") == ["p/a/beside/y.jpg", "p/a/x.jpg", "p/broken.jpg", "p/c/z.jpg", "p/loop.jpg"]
    with Reader() as reader:
        for item in list_items(["p"]):
            if item.path in ("p/broken.jpg", "p/loop.jpg"):
                with pytest.raises(FuncamError, match="can't be read"):
                    reader.read(item)


def test_two_links_in_each_of_many_folders_take_no_power_of_two(files):
    for level in range(40):
        files(f"p/{level:02}/x.jpg")
        for name in ("l", "m"):
            os.symlink(f"../{level + 1:02}", f"p/{level:02}/{name}")
    assert len(paths("p")) == 40


@pytest.mark.long
def test_a_tree_deeper_than_python_nests_calls(place):
    depth = sys.getrecursionlimit() + 100
    os.mkdir("p")
    try:
        os.chdir("p")
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("x.jpg").write_bytes(b"x")
        os.chdir(place)
        assert len(paths("p")) == 1
    finally:  # pytest's own way to remove folders nests calls
        subprocess.run(["rm", "-rf", str(place / "p")], check=True)


@pytest.mark.parametrize(
    "pattern", ["p/*", "p/**", "p/**/*.jpg", "p/?/*", "p/[ab]/*.jpg", "**/y.*", "p/*/*/*", "p/**/b/**/*", "./p/*.jpg"]
)
def test_a_glob_matches_what_python_matches(files, pattern):
    files("p/x.jpg", "p/a/y.png", "p/a/b/z.jpg", "p/b/y.jpg", "p/b/b/w.jpg", "p/.h.jpg", "p/note.txt")
    expected = {path for path in glob.glob(pattern, recursive=True) if path.endswith((".jpg", ".png"))}
    found = paths(pattern)
    assert len(set(found)) == len(found)
    assert {os.path.normpath(path) for path in found} == {os.path.normpath(path) for path in expected}


NAMES = st.text("ab*?[]-", min_size=1, max_size=4).map(lambda text: f"{text}.jpg")


@given(names=st.sets(NAMES, min_size=1, max_size=6), pattern=st.text("ab*?", max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_names_with_wildcards_are_matched_as_names(tmp_path_factory, names, pattern):
    folder = tmp_path_factory.mktemp("g")
    for name in names:
        (folder / name).write_bytes(b"x")
    wanted = f"{folder}/{pattern}*.jpg"
    expected = [wanted] if f"{pattern}*.jpg" in names else sorted(glob.glob(wanted))
    try:
        found = sorted(paths(wanted))
    except FuncamError:
        found = []
    assert found == expected


def test_a_file_that_is_called_like_a_glob_is_that_file(files):
    files("photo[1].jpg", "photo1.jpg")
    assert paths("photo[1].jpg") == ["photo[1].jpg"]


def test_names_of_any_bytes_are_shown_safely_and_read(place):
    for name in (b"a\x1b[31m.jpg", b"b\n.jpg", b"\xff.jpg"):
        with open(os.path.join(os.fsencode(place), name), "wb") as stream:
            stream.write(name)
    items = list(list_items(["."]))
    assert all(item.path.isprintable() and item.path.encode() for item in items)
    with Reader() as reader:
        assert {reader.read(item) for item in items} == {b"a\x1b[31m.jpg", b"b\n.jpg", b"\xff.jpg"}


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders of others are Unix's")
def test_a_folder_within_that_cannot_be_read_is_an_item_with_its_problem(files, monkeypatch):
    files("p/a/x.jpg", "p/b/y.jpg")
    scandir = os.scandir

    def denied(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    first, second = list_items(["p"])
    assert (first.path, second.path) == ("p/a", "p/b/y.jpg")
    assert "Permission denied" in (first.problem or "")
    assert second.problem is None


@pytest.mark.parametrize("letters", string.ascii_lowercase[:3])
def test_a_range_of_shards_is_each_of_them(files, letters):
    files(*(f"{letters}-{number:03}.jpg" for number in (8, 9, 10, 11)))
    assert paths(f"{letters}-{{009..011}}.jpg") == [f"{letters}-{number:03}.jpg" for number in (9, 10, 11)]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("gone", "'gone' does not exist; give a folder"),
        ("", "an empty source"),
        ("empty", "folder 'empty' holds no images"),
        ("shards", "holds no images, but 'a.tar'; give 'shards/*.tar'"),
        ("empty/*.jpg", "'empty/*.jpg' holds no image"),
        ("train.tar.gz", "is compressed"),
        ("http://a.example/b.jpg", "is an address that isn't read; expected a path or s3://"),
        ("file:///etc/passwd", "is an address that isn't read"),
        ("simplecache::s3://bucket/a.tar", "is an address that isn't read"),
        ("s3://simplecache::http://a.example", "is an address that isn't read"),
        ("a-{0..99999999}.tar", "is no range of up to 1,000,000 shards"),
        ("-", "there is none; pipe them in"),
    ],
)
def test_a_source_that_is_none(files, place, source, told):
    files("shards/a.tar", "train.tar.gz")
    (place / "empty").mkdir()
    with pytest.raises(FuncamError) as error:
        list(list_items([source]))
    assert told in str(error.value)


def test_one_text_is_no_list_of_sources():
    with pytest.raises(FuncamError, match="give a list of them"):
        list(list_items("photos"))


def test_a_wrong_source_is_told_before_anything_is_listed(files):
    files("p/x.jpg")
    with pytest.raises(FuncamError, match="does not exist"):
        next(list_items(["p", "gone"]))


def test_a_bucket_is_listed_like_a_folder(memory):
    for path in ("/b/p/z.jpg", "/b/p/a/y.png", "/b/p/.h/x.jpg", "/b/p/n.txt"):
        memory.pipe(path, path.encode())
    items = list(list_items(["memory://b/p"]))
    assert [item.path.removeprefix("memory://").lstrip("/") for item in items] == ["b/p/a/y.png", "b/p/z.jpg"]
    with Reader() as reader:
        assert [reader.read(item) for item in items] == [b"/b/p/a/y.png", b"/b/p/z.jpg"]
    for pattern in ("memory://b/p/**/*.png", "memory://b/p/*/y.*", "memory://b/*/a/*"):
        assert [reader.read(item) for item in list_items([pattern])] == [b"/b/p/a/y.png"]
    with pytest.raises(FuncamError, match="does not exist"):
        list(list_items(["memory://b/gone"]))


def test_a_package_that_is_missing_is_named(monkeypatch):
    import fsspec.core

    def missing(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(FuncamError, match=r"Install s3fs.*install what is named"):
        list(list_items(["s3://bucket/photos"]))
