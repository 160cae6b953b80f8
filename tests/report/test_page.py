"""The page as bytes: what it holds, that no text gets out of its place, what is written where."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from dataclasses import asdict, fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import report_sample as sample
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from funcam import files
from funcam.errors import FuncamError
from funcam.imaging.render import COLORMAPS
from funcam.report import Explained, ImageEntry, MapEntry, Report, write_report
from funcam.report.payload import as_script


class Page(HTMLParser):
    """A page as an independent parser reads it: its elements, and the text of each script, style and title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self.inside: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.texts:
            self.inside = tag
            self.texts[tag].append("")

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.texts[self.inside][-1] += data

    @property
    def data(self):
        return json.loads(self.texts["script"][0])


def written(folder: Path, report: Report) -> Page:
    write_report(folder / "report.html", report)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def test_nothing_that_a_text_says_becomes_part_of_the_page(tmp_path):
    plain = written(tmp_path, replace(sample.report(0), title="x", conclusions=[], config={}))
    nasty = written(tmp_path, sample.report(2))
    assert nasty.tags[:3] == plain.tags[:3]
    assert [tag for tag, _ in nasty.tags] == [tag for tag, _ in plain.tags]
    assert nasty.texts["title"] == [f"Two networks {sample.NASTY_CLASS}"]
    assert nasty.data["images"][0]["file"] == sample.NASTY_FILE
    assert nasty.data["images"][0]["explained"][0]["class_name"] == sample.NASTY_CLASS


@given(
    st.recursive(st.text() | st.floats() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner))
)
def test_json_in_a_script_reads_back_and_holds_nothing_that_html_knows(value):
    text = as_script(value)
    assert text.isascii()
    assert not set("<>&") & set(text)

    def finite(item):
        if isinstance(item, dict):
            return {key: finite(each) for key, each in item.items()}
        return None if isinstance(item, float) and not math.isfinite(item) else item

    assert json.loads(text) == finite(value)


def test_the_page_asks_nobody_and_runs_its_own_script_alone(tmp_path):
    page = written(tmp_path, sample.report(2))
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "action", "onload", "onerror", "onclick", "style"} & set(attributes), tag
        assert attributes.get("href", "#") in ("#", "#images", "data:,")
    policy = next(each["content"] for _, each in page.tags if each.get("http-equiv") == "Content-Security-Policy")
    for kind, text in (("script", page.texts["script"][1]), ("style", page.texts["style"][0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
        assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "default-src 'none'" in policy
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(", page.texts["script"][1]
    )


def test_the_data_have_the_names_of_the_contract(tmp_path):
    report = sample.report(3)
    data = written(tmp_path, report).data
    assert set(data) == {field.name for field in fields(Report)} | {"colormaps"}
    for key in ("nets", "methods", "metrics", "results", "pairs"):
        assert data[key] == [asdict(each) for each in getattr(report, key)]
    assert data["conclusions"] == list(report.conclusions)
    image, entry = data["images"][1], report.images[1]
    assert set(image) == {field.name for field in fields(ImageEntry)}
    assert image["boxes"][0] == {"box": [8, 12, 40, 36], "label": "cat"}
    assert set(image["explained"][0]) == {field.name for field in fields(Explained)}
    assert set(image["explained"][0]["maps"][0]) == {field.name for field in fields(MapEntry)}
    assert image["explained"][0]["maps"][0]["metrics"] == entry.explained[0].maps[0].metrics
    assert image["explained"][0]["maps"][0]["curves"] == entry.explained[0].maps[0].curves


def test_maps_are_grey_pictures_of_their_grid_and_pictures_stay_alike(tmp_path):
    report = sample.report(2)
    data = written(tmp_path, report).data
    for got, given_ in zip(data["images"], report.images, strict=True):
        assert np.abs(decoded(got["picture"]).astype(int) - given_.picture).mean() < 8
        for explained, of in zip(got["explained"], given_.explained, strict=True):
            for entry, source in zip(explained["maps"], of.maps, strict=True):
                pixels = decoded(entry["values"])
                assert pixels.shape == source.values.shape
                if source.values.ndim == 2:
                    assert pixels.dtype == np.uint8
                    assert np.abs(pixels / 255 - source.values).max() <= 0.5 / 255 + 1e-6


def test_the_colours_of_the_page_are_those_of_render(tmp_path):
    colours = written(tmp_path, sample.report(0)).data["colormaps"]
    assert list(colours) == ["cividis", "viridis", "turbo", "jet"]
    for name, text in colours.items():
        assert (np.frombuffer(base64.b64decode(text), np.uint8).reshape(256, 1, 3) == COLORMAPS[name]).all()


@pytest.mark.parametrize(("count", "beside"), [(60, False), (61, True)])
def test_many_images_lie_beside_the_page(tmp_path, count, beside):
    entries = [replace(sample.image(number), explained=sample.image(number).explained[:1]) for number in range(count)]
    data = written(tmp_path, replace(sample.report(0), images=entries)).data
    addresses = [each["picture"] for each in data["images"]]
    addresses += [each["explained"][0]["maps"][-1]["values"] for each in data["images"]]
    assert len(set(addresses[:count])) == count
    if not beside:
        assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
        assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
        return
    assert addresses[0] == "report-files/0001.jpg"
    assert {path.name for path in (tmp_path / "report-files").iterdir()} == {
        Path(address).name for address in addresses
    }
    assert np.asarray(Image.open(tmp_path / addresses[4])).shape == (48, 64, 3)
    assert all(each["explained"][0]["maps"][0]["values"].startswith("data:image/png") for each in data["images"])


def test_large_pictures_shrink_whether_given_as_pixels_or_as_a_file(tmp_path):
    large = np.zeros((600, 900, 3), np.uint8)
    Image.fromarray(large).save(tmp_path / "large.png")
    entry = sample.image(1)
    pixels = [MapEntry("", "guided-backprop", large), MapEntry("late", "grad-cam", np.ones((640, 640), np.float32))]
    explained = [replace(entry.explained[0], maps=pixels)]
    images = [
        replace(entry, id="a", picture=large, explained=explained),
        replace(entry, id="b", picture=tmp_path / "large.png", explained=[]),
    ]
    data = written(tmp_path, replace(sample.report(0), images=images)).data
    maps = data["images"][0]["explained"][0]["maps"]
    for address in (data["images"][0]["picture"], data["images"][1]["picture"], maps[0]["values"]):
        assert decoded(address).shape == (213, 320, 3)
    assert decoded(maps[1]["values"]).shape == (320, 320)


def test_figures_that_are_no_numbers_are_null(tmp_path):
    nothing = replace(sample.results()[0], value=math.nan, low=math.inf, n=np.int64(3))
    result = written(tmp_path, replace(sample.report(0), results=[nothing])).data["results"][0]
    assert (result["value"], result["low"], result["n"]) == (None, None, 3)


def test_a_page_that_can_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "report.html").write_text("old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(FuncamError, match="No space"):
        write_report(tmp_path / "report.html", sample.report(1))
    assert (tmp_path / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_names_of_files_that_are_no_unicode_are_written(tmp_path):
    data = written(tmp_path, replace(sample.report(0), title="a\udcff", images=[sample.image(0, "b\udcff.jpg")])).data
    assert data["images"][0]["file"] == "b\udcff.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nets": sample.NETS * 2}, "share the net 'small'"),
        ({"images": [sample.image(1), sample.image(1)]}, "share the image id 'i1'"),
        ({"methods": sample.METHODS[:1]}, r"method 'grad-cam\+\+' is not in the report's list"),
        ({"nets": sample.NETS[:1]}, "net 'large' is not"),
        ({"metrics": sample.METRICS[:1]}, "metric 'deletion' is not"),
        ({"methods": [replace(each, kind="pixels") for each in sample.METHODS]}, "uint8 RGB"),
        ({"methods": [replace(each, kind="sound") for each in sample.METHODS]}, "'map' or 'pixels'; got 'sound'"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, change, message):
    with pytest.raises(FuncamError, match=message):
        write_report(tmp_path / "report.html", replace(sample.report(2), **change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [np.full((2, 2), 1.5), np.full((2, 2), -0.1), np.ones((2, 2), int), np.ones(3)])
def test_maps_outside_0_to_1_are_refused(tmp_path, values):
    entry = sample.image(1)
    explained = [replace(entry.explained[0], maps=[MapEntry("late", "grad-cam", values)])]
    with pytest.raises(FuncamError, match=r"grad-cam of 'photo-001\.jpg': a map"):
        write_report(tmp_path / "x.html", replace(sample.report(0), images=[replace(entry, explained=explained)]))
