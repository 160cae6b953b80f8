"""What is fuzzed: good files of each kind, how they are made worse, what reads them, and how it says no at the door."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import fuzz_journals as journals
import fuzz_mutations as change
from fuzz_mutations import Mutation
from fuzz_pictures import pictures
from fuzz_weights import deceive_pickle, deceive_safetensors, deceive_zip

CLASSES = ("tabby cat", "dog", "crane", "crane bird", "²", "7")


class Seed(NamedTuple):
    """A good file, and the ways to make it worse."""

    suffix: str
    data: bytes
    mutations: tuple[Mutation, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        seeds: good files of it.
        read: reads one.
        door: what refusals say of a file that is not even of the kind; all others were past its header.
        readers: the modules of the package that read it.
    """

    seeds: Callable[[], list[Seed]]
    read: Callable[[Path], Any]
    door: str
    readers: tuple[str, ...]


def _saved(save: Callable[[str], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        save(str(path))
        return path.read_bytes()


def _weights() -> list[Seed]:
    import torch
    from safetensors.torch import save_file

    state = {f"module.layer{i}.weight": torch.full((3, 2, 2), float(i)) for i in range(3)}
    state |= {"module.half": torch.ones(4, dtype=torch.float16), "module.count": torch.tensor(3)}
    state |= {"module.tied": state["module.layer0.weight"], "module.wide": torch.ones(1).expand(4, 4)}
    optimizer = {"state": {0: {"step": 3, "exp": torch.ones(2)}}, "groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]}
    whole = {"state_dict": state, "epoch": 3, "optimizer": optimizer, "note": "best", "flags": {True, 2}}
    whole["parameter"] = torch.nn.Parameter(torch.ones(2))
    seeds = []
    for content in (state, whole):
        zipped = _saved(lambda path, content=content: torch.save(content, path))  # type: ignore[misc]
        legacy = _saved(
            lambda path, content=content: torch.save(content, path, _use_new_zipfile_serialization=False)  # type: ignore[misc]
        )
        seeds.append(Seed(".pth", zipped, (change.change_zip, change.change_zip, change.keeping(64), deceive_zip)))
        seeds.append(
            Seed(".pth", legacy, (change.change_legacy, change.change_legacy, change.keeping(90), deceive_pickle))
        )
    plain = {name: tensor.clone() for name, tensor in state.items()}
    safe = (change.change_safetensors, change.keeping(9), deceive_safetensors)
    seeds.append(Seed(".safetensors", _saved(lambda path: save_file(plain, path)), safe))
    return seeds


def _read_weights(path: Path) -> Any:
    from funcam.zoo.checkpoints import read_checkpoint

    return {name: tensor.sum() for name, tensor in read_checkpoint(path).items()}


_COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 6}, {"id": "b", "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 2], "segmentation": [[0, 0, 4, 0, 4, 3]]},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": {"counts": [8, 4, 36], "size": [6, 8]}},
        {"id": 3, "image_id": "b", "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        {"id": 4, "image_id": 1, "category_id": 1, "segmentation": {"counts": "84T1", "size": [6, 8]}},
    ],
    "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "Tabby_Cat"}],
}
_VOC = """<annotation><filename>a.jpg</filename><size><width>8</width><height>6</height></size>
<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>4</ymax></bndbox></object>
<object><name>crane</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>7</xmax><ymax>5</ymax></bndbox></object></annotation>"""
_CSV = "file,class_index,x0,y0,x1,y1\na.jpg,1,0,0,5,5\nb.jpg,0 2,1,1,6,4\nc.jpg,dog,0,1,2,3\n"
_SOLUTION = "ImageId,PredictionString\nILSVRC_1,n01440764 1 2 3 4 n01443537 0 0 5 5\nILSVRC_2,n01440764 0 0 2 2\n"
_LIST = "a.jpg 1\nb.jpg 2\nfolder/c.jpg 3\n"


def _truth() -> list[Seed]:
    many_rows = change.many(rb"[^\n]*\n|[^, \n]+ ", b"a\n", b",", b"1 ", "\u0300\u0316".encode())
    words = (change.change_words, change.change_words, change.change_words, change.change_bytes, many_rows)
    below = (_below_header, _below_header, _below_header, words[0], many_rows)
    seeds = [Seed(".csv", _CSV.encode(), below), Seed("_solution.csv", _SOLUTION.encode(), below)]
    tags = change.change_between_tags
    many_elements = change.many(rb"<object>.*?</object>|<(\w+)>[^<]*</\1>", b"<object/>", b"<a>", b'<a b="" c=""/>')
    xml_ways = (tags, tags, words[0], many_elements)
    seeds += [Seed(".xml", _VOC.encode(), xml_ways), Seed(".txt", _LIST.encode(), words)]
    entry = rb'\{[^{}]*\}, |\[[^\[\]]*\], |[-\d.]+, |"[^"]*": [\d.]+, |(?<="counts": ")\d'
    many_entries = change.many(entry, b"{}, ", b"[], ", b"0, ", b"[")
    json_ways = (change.change_json, change.change_json, change.change_json, change.change_words, many_entries)
    return [*seeds, Seed(".json", json.dumps(_COCO).encode(), json_ways)]


def _below_header(rng: random.Random, data: bytes) -> bytes:
    header, _, rest = data.partition(b"\n")
    return header + b"\n" + change.change_words(rng, rest)


def _read_truth(path: Path) -> Any:
    from funcam.truth import match, read_truth

    found = read_truth(path, CLASSES)
    masks = [each.mask(6, 8).sum() for truth in found.by_file.values() for each in truth.objects if each.mask]
    return masks, match(found.by_file, [Path(name.replace("\0", "")) for name in list(found.by_file)[:20]])


def _labels() -> list[Seed]:
    words = (change.change_words, change.change_words, change.change_bytes)
    documents = [["cat", "dog", "crane"], {"0": "cat", "1": "dog"}, {"cat": 0, "dog": 1}, {"0": ["n01", "cat"]}]
    json_ways = (change.change_json, change.change_json, change.change_json, change.change_words)
    seeds = [Seed(".json", json.dumps(each).encode(), json_ways) for each in documents]
    return [*seeds, Seed(".txt", b"cat\ndog\ncrane bird\n", words), Seed(".txt", b"", (_many_names,))]


def _many_names(rng: random.Random, _data: bytes) -> bytes:
    """Names by the thousand, of letters that take long to compare: of two letters, or of accents in no order."""
    length, letters = rng.choice([1, 20, 199, 1000]), rng.choice(["ab", "\u0300\u0316", "a ", "\ufdfa"])
    name = "a" + "".join(rng.choice(letters) for _ in range(length))
    return "\n".join(f"{name}{number}" for number in range(rng.choice([3, 1000, 400_000 // length]))).encode()


def _read_labels(path: Path) -> Any:
    from funcam.errors import FuncamError
    from funcam.zoo.labels import find_class, read_labels

    names = read_labels(path)
    with suppress(FuncamError):
        find_class("ba" * 99, names)  # the nearest are looked for
    return find_class(names[0], names)


def _names() -> list[Seed]:
    text = "name,class_index\ncat,0 1\nkitten,tabby cat\nbird,2\nbird,crane bird\n"
    ways = (change.keeping(17), change.change_words, _below_header)
    return [Seed(".csv", text.encode(), ways), Seed(".csv", text.replace(",", ";").encode(), ways)]


def _read_names(path: Path) -> Any:
    from funcam.truth import read_names

    return read_names(path, CLASSES)


def _recipes() -> list[Seed]:
    best = {"method": "layer-cam", "layers": ["a", "b"], "combine": "mean", "smooth": ["aug"], "input_size": 448}
    documents = [{"net": "x", "best": {**best, "cost": 9.5}}, best]
    ways = (change.change_json, change.change_json, change.change_json, change.change_words)
    return [Seed(".json", json.dumps(each).encode(), ways) for each in documents]


def _read_recipe(path: Path) -> Any:
    from funcam.pipeline.recipes import find_recipe

    return find_recipe(str(path)).size_for(224)


def _images() -> list[Seed]:
    return [Seed(".bin", data, ways) for data, ways in pictures()]


def _read_image(path: Path) -> Any:
    from funcam.imaging.reading import read_image
    from funcam.truth.masks import file_pixels

    try:
        return read_image(path).sum()
    finally:
        if path.stat().st_size % 2:
            file_pixels(path)


KINDS = {
    "weights": Kind(
        _weights,
        _read_weights,
        r"it starts with|cut short|no PyTorch checkpoint|is a tar file|is empty|header is longer",
        ("zoo/checkpoints.py", "zoo/containers.py", "zoo/pickles.py", "zoo/pickle_calls.py", "files.py"),
    ),
    "truth": Kind(
        _truth,
        _read_truth,
        r"is not JSON|is not COCO|is not XML|can't be read as CSV|begins with|is not UTF-8|is empty|no truth that",
        (*(f"truth/{name}.py" for name in ("coco", "csv_boxes", "ilsvrc", "masks", "names", "voc")), "files.py"),
    ),
    "labels": Kind(_labels, _read_labels, r"is not JSON|is not UTF-8", ("zoo/labels.py", "files.py")),
    "names": Kind(
        _names,
        _read_names,
        r"begins with|is not UTF-8|can't be read as CSV|is empty",
        ("truth/name_file.py", "truth/csv_boxes.py", "files.py"),
    ),
    "recipes": Kind(_recipes, _read_recipe, r"is not JSON|is not UTF-8", ("pipeline/recipes.py", "files.py")),
    "journals": Kind(
        lambda: [Seed(".jsonl", journals.journal(), (journals.edit, journals.edit, change.change_bytes))],
        journals.read,
        r"no line can be used",
        ("comparison/journal.py", "files.py"),
    ),
    "images": Kind(
        _images,
        _read_image,
        r"is not an image|begins like a|is empty",
        (*(f"imaging/{name}.py" for name in ("reading", "bounds", "memory", "decoding", "webp", "ending")), "files.py"),
    ),
}


def made_worse(kind: str, seeds: list[Seed], number: int) -> tuple[str, bytes]:
    """The file of a kind and a number: its suffix and its bytes; the same ones everywhere."""
    rng = random.Random(f"{kind} {number}")
    seed = seeds[number % len(seeds)]
    return seed.suffix, rng.choice(seed.mutations)(rng, seed.data)
