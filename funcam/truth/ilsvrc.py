"""Ground truth from ILSVRC's lists: Kaggle's `LOC_val_solution.csv` and Caffe's `val.txt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from funcam.errors import FuncamError
from funcam.files import MIB, open_regular, read_text
from funcam.truth.csv_boxes import number, read_rows
from funcam.truth.names import Labels, in_order, synsets, with_synsets
from funcam.truth.tally import Tally
from funcam.truth.truth import MOST_ENTRIES, Object, Truth, refuse_over

_SOLUTION = "expected ImageId,PredictionString with 'n01440764 x0 y0 x1 y1' for each object"
_LARGEST = 16 * MIB
_LIST = "expected a file and a class on each line: ILSVRC2012_val_00000001.JPEG 65"


def is_solution(path: Path) -> bool:
    """Whether a CSV file is Kaggle's solution.

    Example:
        >>> is_solution(Path("LOC_val_solution.csv"))  # doctest: +SKIP
        True
    """
    try:
        with open_regular(path) as stream:
            beginning = stream.readline(200).decode("utf-8-sig", "replace")
    except (FuncamError, OSError):
        return False
    return beginning.strip().lower().replace('"', "") == "imageid,predictionstring"


def read_solution(path: Path, labels: Labels, tally: Tally, classes: Sequence[str]) -> dict[str, Truth]:
    """The truth in Kaggle's `LOC_val_solution.csv` or `LOC_train_solution.csv`.

    A mapping file such as `LOC_synset_mapping.txt` beside it says which class a WordNet id is; without one the
    sorted ids are the classes, if there are as many.

    Args:
        path: the file.
        labels: from names to classes, see `names.labeller`.
        tally: takes the problems; an image with one is left out.
        classes: the name of each of the network's classes.

    Returns:
        The truth by `ImageId`, which has no suffix.

    Raises:
        FuncamError: the file can't be read.

    Example:
        >>> read_solution(Path("LOC_val_solution.csv"), labels, Tally(), classes)["ILSVRC2012_val_00048981"].labels
        ... # doctest: +SKIP
        (794,)
    """
    rows = [(f"{path.name}, row {index}", row) for index, row in enumerate(read_rows(path)[1:], start=2)]
    strings, count = dict[str, list[str]](), 0
    for where, row in rows:
        if len(row) == 2:
            strings[where] = row[1].split()
            count += len(strings[where]) // 5
            refuse_over(count, MOST_ENTRIES, "objects", repr(str(path)))
    ids = {word for words in strings.values() for word in words[::5]}
    labels = with_synsets(labels, synsets(path.parent, classes) or in_order(ids, classes))
    truths: dict[str, Truth] = {}
    for where, row in rows:
        words = strings.get(where, [])
        if not words or len(words) % 5:
            tally.note(f"a row is not as it should be; {_SOLUTION}; it is left out", where)
            continue
        objects = tuple(_objects(words, labels, tally, where))
        if objects:
            truths[row[0].strip()] = Truth(row[0].strip(), objects)
    return truths


def read_list(path: Path, labels: Labels, tally: Tally) -> dict[str, Truth]:
    """The classes in a text file with a file and its class on each line: `val.txt` of Caffe, PyTorch's lists.

    It tells no boxes: the objects have none, so that only the explained class comes from it.

    Args:
        path: the file.
        labels: from names to classes, see `names.labeller`.
        tally: takes the problems; a line with one is left out.

    Returns:
        The truth by the files in the list.

    Raises:
        FuncamError: the file can't be read, or its second column only counts the lines (ILSVRC's `ImageSets`).

    Example:
        >>> read_list(Path("val.txt"), labels, Tally())["ILSVRC2012_val_00000001.JPEG"].labels  # doctest: +SKIP
        (65,)
    """
    try:
        text = read_text(path, most=_LARGEST)
    except FuncamError as error:
        raise FuncamError(f"{error}; {_LIST}") from None
    texts = [line for line in text.splitlines() if line.strip()]
    refuse_over(len(texts), MOST_ENTRIES, "lines", repr(str(path)))
    lines = [line.rsplit(None, 1) for line in texts]
    if len(lines) > 1 and [line[-1] for line in lines] == [str(index) for index in range(1, len(lines) + 1)]:
        raise FuncamError(f"{str(path)!r} only counts its lines, it names no classes; {_LIST}")
    truths: dict[str, Truth] = {}
    for index, line in enumerate(lines, start=1):
        try:
            if len(line) != 2:
                raise FuncamError(f"a line is not as it should be; {_LIST}")
            truths[line[0]] = Truth(line[0], (Object(labels(line[1]), line[1], None),))
        except FuncamError as error:
            tally.note(f"{error}; its objects are left out", f"{path.name}, line {index}")
    return truths


def _objects(words: Sequence[str], labels: Labels, tally: Tally, where: str) -> Iterator[Object]:
    for start in range(0, len(words), 5):
        name, sides = words[start], [number(word) for word in words[start + 1 : start + 5]]
        x0, y0, x1, y1 = sides
        try:
            if x0 is None or y0 is None or x1 is None or y1 is None:
                raise FuncamError(f"corners are no numbers; {_SOLUTION}")
            yield Object(labels(name), name, (x0, y0, x1, y1))
        except FuncamError as error:
            tally.note(f"{error}; its objects are left out", where)
