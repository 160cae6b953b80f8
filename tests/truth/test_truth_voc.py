"""Pascal VOC's XML and ILSVRC's, and what must not be read."""

from __future__ import annotations

import pytest

from funcam.errors import FuncamError
from funcam.truth.names import labeller
from funcam.truth.tally import Tally
from funcam.truth.voc import read_voc, safe_xml

CLASSES = ("cat", "dog")
BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def page(*objects, filename="a.jpg", size="<size><width>50</width><height>40</height><depth>3</depth></size>"):
    parts = "".join(f"<object><name>{name}</name>{inner}</object>" for name, inner in objects)
    return f"<annotation><folder>x</folder><filename>{filename}</filename>{size}{parts}</annotation>"


def read(folder, *pages, classes=CLASSES):
    paths = [folder / f"{index}.xml" for index in range(len(pages))]
    for path, text in zip(paths, pages, strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    tally = Tally()
    return read_voc(paths, labeller(classes), tally, classes), tally.lines()


def test_objects_with_parts_are_read_from_pixels_counted_from_1(tmp_path):
    part = f"<part><name>head</name>{BOX.format(7, 7, 8, 8)}</part>"
    found, problems = read(tmp_path, page(("Dog", part + BOX.format(1, 11, 50, 40)), ("cat", BOX.format(0, 0, 10, 10))))
    assert problems == []
    truth = found["a.jpg"]
    assert truth.size == (50, 40)
    assert [each.box for each in truth.objects] == [(0, 10, 50, 40), (0, 0, 10, 10)]  # 0 is no pixel of VOC's
    assert truth.labels == (1, 0)


def test_the_image_is_the_file_name_or_the_stem(tmp_path):
    cat = ("cat", BOX.format(1, 1, 9, 9))
    found, _ = read(tmp_path, page(cat, filename="set\\a.png"), page(cat, filename="%s"), page(cat, filename=""))
    assert list(found) == ["set/a.png", "1", "2"]
    assert read(tmp_path, page(cat, size=""))[0]["a.jpg"].size is None
    assert read(tmp_path, page(cat, size="<size><width>0</width><height>0</height></size>"))[0]["a.jpg"].size is None


def test_faults_are_told_and_the_rest_is_read(tmp_path):
    good = page(("wolf", BOX.format(1, 1, 5, 5)), ("cat", BOX.format(1, "x", 5, 5)), ("dog", BOX.format(1, 1, 5, 5)))
    again, other, broken = page(("dog", BOX.format(1, 1, 5, 5))), "<kml/>", "<annotation>"
    found, problems = read(tmp_path, good, again, other, broken)
    assert [each.name for each in found["a.jpg"].objects] == ["dog"]
    told = "\n".join(problems)
    for part in ("<kml>", "is not XML", "'wolf' is none of", "no <bndbox>", "two XML files are about one image"):
        assert part in told
    assert len(problems) == 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_and_files_are_never_asked_for(tmp_path, encoding):
    secret = tmp_path / "secret"
    secret.write_text("cat")
    bombs = [
        '<!DOCTYPE annotation [<!ENTITY a "cat"><!ENTITY b "&a;&a;">]>',
        f'<!DOCTYPE annotation [<!ENTITY b SYSTEM "{secret.as_uri()}">]>',
        '<!DOCTYPE annotation SYSTEM "http://localhost/x.dtd">',
    ]
    for bomb in bombs:
        text = f'<?xml version="1.0" encoding="{encoding}"?>{bomb}' + page(("&b;", BOX.format(1, 1, 5, 5)))
        with pytest.raises(FuncamError, match="DOCTYPE"):
            safe_xml(text.encode(encoding), "x.xml")
        found, problems = read(tmp_path, text.encode(encoding))
        assert found == {}
        assert "DOCTYPE" in problems[0]


def test_an_xml_file_too_large_is_refused():
    with pytest.raises(FuncamError, match="larger than 16 MiB"):
        safe_xml(b" " * (2**24 + 1), "x.xml")


def test_wordnet_ids_are_read_through_a_mapping_and_from_pixels_counted_from_0(tmp_path):
    text = page(("n02119789", BOX.format(3, 4, 20, 30)), filename="ILSVRC2012_val_00000001")
    assert "'n02119789' is none of the network's" in read(tmp_path, text)[1][0]
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench\nn02119789 kit fox\n")
    found, problems = read(tmp_path, text)
    (object_,) = found["ILSVRC2012_val_00000001"].objects
    assert problems == []
    assert (object_.labels, object_.box) == ((1,), (3, 4, 20, 30))


def test_as_many_wordnet_ids_as_classes_are_in_their_order(tmp_path):
    pages = [page((name, BOX.format(3, 4, 20, 30)), filename=name) for name in ("n02119789", "n01440764")]
    found, _ = read(tmp_path, *pages)
    assert (found["n02119789"].labels, found["n01440764"].labels) == ((1,), (0,))
