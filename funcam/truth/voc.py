"""Ground truth from Pascal VOC XML files, one for each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from funcam.errors import FuncamError
from funcam.files import parsing, read_bytes
from funcam.truth.csv_boxes import number
from funcam.truth.names import Labels, in_order, synsets, with_synsets, wordnet_ids
from funcam.truth.tally import Tally
from funcam.truth.truth import Box, Object, Truth

_LARGEST = 16 * 2**20
_MOST_ELEMENTS = 2**16
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(paths: Sequence[Path], labels: Labels, tally: Tally, classes: Sequence[str]) -> dict[str, Truth]:
    """The truth in XML files as Pascal VOC, LabelImg and ILSVRC's localisation task write them.

    VOC counts pixels from 1 and includes the last: its box 1..10 is 0.0 to 10.0 here. Where the names are WordNet ids
    (ILSVRC), pixels count from 0, and a mapping file beside or above the files says which class is meant
    (`LOC_synset_mapping.txt`, `synset_words.txt`, `synsets.txt`, `imagenet_class_index.json`); without one the
    sorted ids are the classes, if there are as many.

    Args:
        paths: the files.
        labels: from names to classes, see `names.labeller`.
        tally: takes the problems; a file or an object with one is left out.
        classes: the name of each of the network's classes.

    Returns:
        The truth by the image's name: what `filename` says, else the XML file's stem.

    Example:
        >>> read_voc([Path("Annotations/2007_000027.xml")], labels, Tally(), classes)  # doctest: +SKIP
        {'2007_000027.jpg': Truth(image='2007_000027.jpg', objects=(...), size=(486, 500))}
    """
    pages = list(_pages(paths, tally))
    names = {name for page in pages for name, _ in page.objects}
    first = 1.0
    if wordnet_ids(names):
        labels = with_synsets(labels, synsets(paths[0].parent, classes) or in_order(names, classes))
        first = 0.0
    truths: dict[str, Truth] = {}
    for page in pages:
        if page.image in truths:
            tally.note("two XML files are about one image; the first counts", f"{page.file} and {page.image}")
        else:
            truths[page.image] = Truth(page.image, tuple(_objects(page, labels, tally, first)), page.size)
    return truths


def safe_xml(data: bytes, name: str) -> ElementTree.Element:
    """The root of an XML document that declares no document type, and so no entities.

    Raises:
        FuncamError: it is no XML, too large, has too many elements, or has a DOCTYPE.

    Example:
        >>> safe_xml(b"<a><b/></a>", "x.xml").tag
        'a'
    """
    if len(data) > _LARGEST:
        raise FuncamError(f"{name!r} is larger than {_LARGEST >> 20} MiB, too large for one image's boxes; check it")
    try:
        with parsing(f"{name!r} is not XML", "export it again"):
            return ElementTree.fromstring(data, ElementTree.XMLParser(target=_Builder()))
    except _Refused as error:
        raise FuncamError(f"{name!r} {error}") from None


class _Page(NamedTuple):
    """What counts in one XML file; the rest of a hundred thousand of them would fill the memory."""

    file: str
    image: str
    size: tuple[int, int] | None
    objects: list[tuple[str, Box | None]]


class _Refused(FuncamError):
    """What a file of a good page never holds begins."""


class _Builder(ElementTree.TreeBuilder):
    """A builder that stops where a document type begins: entities are declared in it, and files are asked for.

    And where more elements begin than the objects of any image have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left = _MOST_ELEMENTS

    def start(self, tag: Any, attrs: Any, /) -> ElementTree.Element:
        self.left -= 1
        if self.left < 0:
            raise _Refused(f"has more than {_MOST_ELEMENTS:,} elements, too many for one image's boxes; check it")
        return super().start(tag, attrs)

    def doctype(self, *_: Any) -> None:
        raise _Refused("has a DOCTYPE, which could ask for other files; delete that line")


def _pages(paths: Sequence[Path], tally: Tally) -> Iterator[_Page]:
    for path in paths:
        try:
            root = safe_xml(read_bytes(path, most=_LARGEST, advice="check it: it is about one image"), str(path))
        except FuncamError as error:
            tally.note("an XML file can't be read; it is left out", str(error))
        else:
            if root.tag == "annotation":
                objects = [((each.findtext("name") or "").strip(), _sides(each)) for each in root.findall("object")]
                yield _Page(path.name, _image(root, path), _size(root), objects)
            else:
                tally.note(f"an XML file holds <{root.tag}>, not VOC's <annotation>; it is left out", str(path))


def _image(root: ElementTree.Element, path: Path) -> str:
    """The image's name. ILSVRC's own files have ones that say `%s`."""
    name = (root.findtext("filename") or "").strip().replace("\\", "/")
    return name if name and "%" not in name else path.stem


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    sides = [number(root.findtext(f"size/{side}") or "") for side in ("width", "height")]
    width, height = (int(side or 0) for side in sides)
    return (width, height) if width > 0 and height > 0 else None


def _sides(element: ElementTree.Element) -> Box | None:
    x0, y0, x1, y1 = (number(element.findtext(f"bndbox/{side}") or "") for side in _SIDES)
    return None if x0 is None or y0 is None or x1 is None or y1 is None else (x0, y0, x1, y1)


def _objects(page: _Page, labels: Labels, tally: Tally, first: float) -> Iterator[Object]:
    for name, sides in page.objects:
        if sides is None:
            tally.note("an object has no <bndbox> of four numbers; it is left out", page.file)
            continue
        x0, y0, x1, y1 = sides
        # Tools that count from 0 write 0 for the edge; nothing lies before it.
        box = (x0 - first if x0 else x0, y0 - first if y0 else y0, x1, y1)
        try:
            yield Object(labels(name), name, box)
        except FuncamError as error:
            tally.note(f"{error}; its objects are left out", page.file)
