"""The Markdown gallery: the original's tables, pictures that exist, texts that stay texts."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
import report_sample as sample

from funcam.errors import FuncamError
from funcam.imaging.reading import read_image
from funcam.imaging.render import heatmap
from funcam.report import write_gallery


def written(folder, report, **options):
    write_gallery(folder / "my gallery.md", report, **options)
    return (folder / "my gallery.md").read_text(encoding="utf-8")


def tables(text):
    """Each table of the text as rows of cells."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] if line.startswith("|") else None for line in text.splitlines()]
    found = [[]]
    for row in rows:
        if row is None:
            found.append([])
        else:
            found[-1].append([cell.strip() for cell in row])
    return [table for table in found if table]


def links(text):
    return re.findall(r"\]\(([^)]*)\)", text)


def test_networks_go_down_and_the_original_s_columns_across(tmp_path):
    text = written(tmp_path, sample.report(2))
    table = tables(text)[-1]
    assert table[0] == ["network", "image", "HeatMap", "Grad-CAM", "HeatMap++", "Grad-CAM++", "Guided backpropagation"]
    assert [row[0].split("<br>")[0] for row in table[2:]] == [
        f"{net}, {layer}" for net in ("small", "large") for _ in range(2) for layer in ("late", "early")
    ]
    assert all(len(row) == 7 and all(row) for table in tables(text)[3:] for row in table)
    assert text.index("## Conclusions") < text.index("## Figures, all") < text.index("## Single object")
    assert text.index("## Single object") < text.index("### &lt;script") < text.index("## Multiple objects")
    assert text.index("## Multiple objects") < text.index("### photo-001")


def test_every_link_is_a_picture_and_every_picture_is_linked(tmp_path):
    text = written(tmp_path, sample.report(3))
    found = {unquote(link) for link in links(text)}
    assert len(found) == 3 * (1 + 2 * 2 * 2 * 5)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg")} == found
    assert all(read_image(tmp_path / link).shape[2] == 3 for link in found)


def test_pictures_of_an_earlier_gallery_go_and_those_of_others_stay(tmp_path):
    written(tmp_path, sample.report(3))
    folder = tmp_path / "my gallery-gallery"
    for name in ("0009-mine.jpg", "notes.txt"):
        (folder / name).write_bytes(b"mine")
    text = written(tmp_path, sample.report(1))
    found = {path.relative_to(tmp_path).as_posix() for path in folder.iterdir()}
    assert found == {unquote(link) for link in links(text)} | {
        f"{folder.name}/0009-mine.jpg",
        f"{folder.name}/notes.txt",
    }


def test_the_pictures_show_the_maps(tmp_path):
    report = sample.report(2)
    link = next(
        link for link in links(written(tmp_path, report, colormap="jet")) if "0002" in link and "heatmap" in link
    )
    values = report.images[1].explained[0].maps[0].values
    want = heatmap(cv2.resize(values, (64, 48), interpolation=cv2.INTER_LINEAR), "jet")
    assert np.abs(read_image(tmp_path / unquote(link)).astype(int) - want).mean() < 4


def test_texts_stay_texts(tmp_path):
    text = written(tmp_path, sample.report(2))
    assert "<script" not in text
    assert "<img" not in text
    assert r"&lt;script&gt;alert\(1\)&lt;/script&gt;.jpg" in text
    assert all("<" not in link and " " not in link for link in links(text))
    many = written(tmp_path, replace(sample.report(0), conclusions=["a|b `c` [d](e) *f* _g_\nh"]))
    assert r"- a\|b \`c\` \[d\]\(e\) \*f\* \_g\_ h" in many


def test_figures_have_their_intervals(tmp_path):
    table = tables(written(tmp_path, sample.report(0)))[0]
    assert table[0] == ["network", "layer", "method", "Energy", "Deletion"]
    assert table[2] == ["small", "late", "Grad-CAM", "0.300 [0.200, 0.400]", "0.500 [0.400, 0.600]"]
    assert len(table) == 2 + 4


def test_a_map_that_is_missing_leaves_its_cells_empty(tmp_path):
    entry = sample.image(1)
    first, second = entry.explained[0], entry.explained[2]
    explained = [replace(first, maps=first.maps[:1]), replace(second, maps=second.maps[2:3])]
    report = replace(sample.report(0), results=[], images=[replace(entry, explained=explained)])
    rows = tables(written(tmp_path, report))[0][2:]
    assert [[bool(cell) for cell in row[2:]] for row in rows] == [
        [True, True, False, False],
        [False, False, True, True],
    ]


def test_an_unknown_colour_map_is_refused(tmp_path):
    with pytest.raises(FuncamError, match="colour map 'red'"):
        written(tmp_path, sample.report(1), colormap="red")
    assert not (tmp_path / "my gallery.md").exists()
