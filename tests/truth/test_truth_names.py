"""From a truth's class names and WordNet ids to the network's classes."""

from __future__ import annotations

import json

import pytest

from funcam.errors import FuncamError
from funcam.truth.names import in_order, labeller, synsets, wordnet_ids

CLASSES = ("tench", "crane bird", "Golden Retriever", "crane", "bullet train", "7")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *[("tench", 0), ("TENCH", 0), ("golden_retriever", 2), ("crane", 3), ("4", 4), ("7", 5), ("class 7", None)],
        *[("bird", None), ("train", None), ("dog", None), ("6", None), ("", None), ("-1", None)],
    ],
)
def test_a_name_is_the_whole_name_of_a_class(text, label):
    labels = labeller(CLASSES)
    if label is not None:
        assert labels(text) == (label,)
        return
    with pytest.raises(FuncamError, match="none of the network's"):
        labels(text)


def test_names_that_the_network_has_under_others():
    labels = labeller(CLASSES, {"bird": [1, 3], "tench": [5]})
    assert labels("bird") == (1, 3)
    assert labels("tench") == (5,)
    assert labels("crane") == (3,)
    with pytest.raises(FuncamError, match="'bird' means class 6, but the network has 6"):
        labeller(CLASSES, {"bird": [6]})


def test_wordnet_ids_and_their_order():
    assert wordnet_ids({"n01440764", "n02119789"})
    assert not wordnet_ids(["n01440764", "nose"])
    assert not wordnet_ids([])
    assert in_order(["n03", "n01", "n02", "n01"], ("a", "b", "c")) == {"n01": (0,), "n02": (1,), "n03": (2,)}
    assert in_order(["n03", "n01"], ("a", "b", "c")) == {}


def test_a_mapping_with_a_line_for_each_class_is_in_their_order(tmp_path):
    inner = tmp_path / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    inner.mkdir(parents=True)
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 x, y\nn01443537 z\n")
    assert synsets(inner, ("a", "b")) == {"n01440764": (0,), "n01443537": (1,)}
    assert synsets(inner, ("tench", "z", "other")) == {"n01443537": (1,)}  # by a name, as the counts differ
    assert synsets(inner, ("q", "y", "other")) == {"n01440764": (1,)}


def test_other_mapping_files(tmp_path):
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps({"1": ["n02", "b"], "0": ["n01", "a"]}))
    assert synsets(tmp_path, ("p", "q")) == {"n01": (0,), "n02": (1,)}
    (tmp_path / "synsets.txt").write_text("n01440764\nn01443537\n")
    assert synsets(tmp_path, ("p", "q")) == {"n01440764": (0,), "n01443537": (1,)}
    (tmp_path / "LOC_synset_mapping.txt").write_text("tench n01440764\n")
    with pytest.raises(FuncamError, match="WordNet id"):
        synsets(tmp_path, ("p", "q"))
