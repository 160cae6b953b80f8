"""Ground truth from whatever is given: the format is found from what is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from funcam.errors import FuncamError
from funcam.files import exists, open_regular, parsing
from funcam.truth.coco import read_coco
from funcam.truth.csv_boxes import read_csv
from funcam.truth.ilsvrc import is_solution, read_list, read_solution
from funcam.truth.mask_folder import SUFFIXES, read_masks
from funcam.truth.names import SYNSET_FILES, Labels, labeller
from funcam.truth.tally import Tally
from funcam.truth.truth import Truth, TruthSet
from funcam.truth.voc import read_voc

_FORMATS = (
    "a CSV (file,class_index,x0,y0,x1,y1), VOC's XML, COCO's JSON, ILSVRC's files, or a folder of these or of masks"
)
_KINDS = {".csv": "CSV", ".tsv": "CSV", ".xml": "XML", ".json": "JSON"}
_MASKS = "masks"


def read_truth(
    path: Path | str,
    classes: Sequence[str],
    *,
    names: Mapping[str, Sequence[int]] | None = None,
    images: Iterable[Path] = (),
) -> TruthSet:
    """The ground truth in a file or a folder, in any of the formats that funcam reads.

    In a folder all XML, CSV and JSON files count, also those in its folders if none lies in it directly; pictures count
    as masks where there are no such files. Several formats are told and all read; of an image that is in several the
    first counts, in the order CSV, XML, JSON.

    Args:
        path: a CSV file, a Pascal VOC XML file, a COCO JSON file, `LOC_val_solution.csv`, `val.txt`, or a folder.
        classes: the name of each of the network's classes, in order.
        names: classes for names that the network has under others: `{"cat": [281, 282, 283, 284, 285]}`;
            `read_names` reads them from a file.
        images: the images that the truth may be about; they tell `dog_2.png`, a mask of the image `dog_2`, from one
            of class 2, and of a JSON file of more than 16 MiB only these are kept.

    Returns:
        The truth by the names that it gives the images, and a line for each kind of problem.

    Raises:
        FuncamError: there is no such file, no format is known, or not one object is left.

    Example:
        >>> read_truth("boxes.csv", classes).by_file["dog.jpg"].labels  # doctest: +SKIP
        (207,)
    """
    place, labels, tally = Path(path), labeller(classes, names), Tally()
    readers = _readers(place, labels, tally, classes, list(images))
    if len(readers) > 1:
        counts = ", ".join(f"{kind} ({count})" for kind, count, _ in readers)
        tally.note(f"the truth is in several formats: {counts}; all are read", str(place))
    truths: dict[str, Truth] = {}
    for kind, _, read in readers:
        try:
            new = read()
        except FuncamError as error:
            if len(readers) == 1:
                raise
            tally.note("a file of truth can't be read; it is left out", str(error))
            continue
        for name, truth in new.items():
            if name in truths:
                tally.note(f"an image is in several files; {kind} is not asked about it", name)
            elif truth.objects:
                truths[name] = truth
    if not truths:
        told = "".join(f"; {line}" for line in tally.lines()[:3])
        raise FuncamError(f"{str(place)!r} holds no object of the network's classes{told}; expected {_FORMATS}")
    return TruthSet(truths, tally.lines())


_Reader = tuple[str, int, Callable[[], dict[str, Truth]]]


def _readers(place: Path, labels: Labels, tally: Tally, classes: Sequence[str], images: list[Path]) -> list[_Reader]:
    """What to read: the format, how many files, and how."""
    files = _files(place)
    readers: list[_Reader] = []
    for path in files["CSV"]:
        if is_solution(path):
            readers.append(("Kaggle's CSV", 1, partial(read_solution, path, labels, tally, classes)))
        else:
            readers.append(("CSV", 1, partial(read_csv, path, labels, tally)))
    if files["XML"]:
        readers.append(("XML", len(files["XML"]), partial(read_voc, files["XML"], labels, tally, classes)))
    readers += [("JSON", 1, partial(read_coco, path, labels, tally, images)) for path in files["JSON"]]
    if place.is_file() and place.suffix.lower() == ".txt":
        readers.append(("list", 1, partial(read_list, place, labels, tally)))
    if files[_MASKS] and not readers:
        readers.append((_MASKS, len(files[_MASKS]), partial(read_masks, files[_MASKS], labels, tally, images)))
    if not readers:
        raise FuncamError(f"{str(place)!r} is no truth that funcam can read; expected {_FORMATS}")
    return readers


def _files(place: Path) -> dict[str, list[Path]]:
    """The files that may hold truth, by format."""
    if not exists(place):
        raise FuncamError(f"{str(place)!r} does not exist; expected {_FORMATS}")
    if not os.path.isdir(place):
        open_regular(place).close()
        return _sorted_out([place])
    with parsing(f"folder {str(place)!r} can't be read", "check its permissions"):
        files = _sorted_out(place.iterdir())
        return files if any(files.values()) else _sorted_out(place.rglob("*"))


def _sorted_out(paths: Iterable[Path]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {kind: [] for kind in ("CSV", "XML", "JSON", _MASKS)}
    for path in sorted(paths):
        suffix = path.suffix.lower()
        kind = _KINDS.get(suffix, _MASKS if suffix in SUFFIXES else None)
        if kind and path.name not in SYNSET_FILES and not path.name.startswith(".") and not path.is_dir():
            files[kind].append(path)
    return files
