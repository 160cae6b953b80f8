"""The groups of metrics of a comparison, each against the plain formula on the same maps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

import funcam
from funcam import metrics
from funcam.comparison import (
    METRICS,
    ComparisonResult,
    Example,
    Plan,
    Rival,
    compare,
    image_examples,
    scene_examples,
)
from funcam.comparison.batches import baselines
from funcam.comparison.instances import LocatedObjects, instances_of
from funcam.comparison.plan import GROUPS
from funcam.comparison.shuffled import cascading, independent
from funcam.recipe import Recipe
from funcam.scenes import scene
from funcam.scenes.network import inputs
from funcam.truth import Object, Truth
from funcam.zoo.nets import Net, load_net

SUBJECTS = scene_examples(4)


@pytest.fixture(scope="module")
def net() -> Net:
    return load_net("scenes")


def maps_of(net: Net, example: Example, method: str = "grad-cam") -> list[tuple[torch.Tensor, torch.Tensor, int]]:
    """For each class of a scene: the network's input, the map as it is measured, the class."""
    assert example.truth is not None
    (instance, *_) = instances_of(example, example.load(), Rival("a", net), Plan())
    images = inputs([instance.image])
    found = []
    for label in example.truth.labels:
        map_ = funcam.explain(net.model, images, label, method=method).maps
        found.append((images, funcam.upsample(funcam.rescale(map_.relu()), (128, 128)), label))
    return found


def figure(run, method: str, metric: str) -> float:
    (row,) = [r for r in run.rows if (r.method, r.metric, r.subset) == (method, metric, "all")]
    return float(row.value)


def test_masks_are_measured_where_the_truth_has_them(net: Net, tmp_path: Path) -> None:
    """IoU and energy on the drawn pixels of the things, PxAP against scikit-learn's average precision."""
    run = compare([Rival("a", net)], SUBJECTS, Plan(Recipe(("grad-cam",)), against="masks"), tmp_path)
    energies, overlaps, heats, objects = [], [], [], []
    for number, example in enumerate(SUBJECTS):
        things = scene(5_000_000 + number, ("single", "multiple")[number % 2]).things
        for _, big, label in maps_of(net, example):
            mask = np.any([thing.mask[1::2, 1::2] for thing in things if thing.label == label], axis=0)
            heat = big[0].numpy()
            energies.append(heat[mask].sum() / heat.sum())
            overlaps.append(((heat > 0.5) & mask).sum() / ((heat > 0.5) | mask).sum())
            heats.append(heat.ravel())
            objects.append(mask.ravel())
    assert figure(run, "grad-cam", "energy") == pytest.approx(np.mean(energies), abs=1e-5)
    assert figure(run, "grad-cam", "iou") == pytest.approx(np.mean(overlaps), abs=1e-5)
    expected = average_precision_score(np.concatenate(objects), np.concatenate(heats))
    assert figure(run, "grad-cam", "pxap") == pytest.approx(expected, abs=5e-3)  # 100 thresholds, not all


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_masks_lie_where_the_network_sees_them(net: Net, fit: str) -> None:
    pixels = np.full((90, 150, 3), 60, np.uint8)
    shape = np.zeros((90, 150), bool)
    shape[30:60, 60:100] = True
    shape[30:45, 60:80] = False  # an L: the box alone would be another
    pixels[shape] = 250
    image = Image.fromarray(shape)

    def mask(height: int, width: int) -> np.ndarray:
        return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))

    truth = Truth("a", (Object((3,), "x", (60.0, 30.0, 100.0, 60.0), mask),))
    example = Example("a", lambda: pixels, lambda: truth)
    (instance,) = instances_of(example, pixels, Rival("a", net), Plan(fit=fit))
    placed = LocatedObjects.of([instance], [3], "cpu", "masks")
    bright = instance.image.mean(-1) > 155
    assert (placed.masks[0, 0].numpy() ^ bright).mean() < 0.01
    assert placed.exact is not None
    assert torch.equal(placed.exact, placed.masks)
    boxed = LocatedObjects.of([instance], [3], "cpu")
    assert boxed.masks.sum() > placed.masks.sum()
    assert boxed.exact is not None
    assert torch.equal(boxed.exact, placed.exact)


def test_the_top_1_error_counts_wrong_classes(net: Net, tmp_path: Path) -> None:
    """With the right class it is what MaxBoxAcc at 0.5 misses; where the network is wrong the box is no help."""
    right = compare([Rival("a", net)], SUBJECTS[::2], Plan(Recipe(("grad-cam",))), tmp_path)
    assert figure(right, "grad-cam", "top-1-error") == pytest.approx(1 - figure(right, "grad-cam", "max-box-acc@0.5"))
    wrong = []
    for example in SUBJECTS[::2]:
        truth = example.truth
        assert truth is not None
        moved = replace(truth, objects=tuple(replace(o, labels=((o.labels[0] + 1) % 10,)) for o in truth.objects))
        wrong.append(Example(example.name, example.load, lambda moved=moved: moved))
    (tmp_path / "wrong").mkdir()
    run = compare([Rival("a", net)], wrong, Plan(Recipe(("grad-cam",))), tmp_path / "wrong")
    assert figure(run, "grad-cam", "top-1-error") == 1
    assert figure(run, "centre-gaussian", "top-1-error") == 1


@pytest.fixture(scope="module")
def run_of_all(net: Net, tmp_path_factory: pytest.TempPathFactory) -> ComparisonResult:
    """One scene, measured by every group of metrics."""
    plan = Plan(Recipe(("grad-cam",)), groups=GROUPS, steps=5)
    return compare([Rival("a", net)], SUBJECTS[:1], plan, tmp_path_factory.mktemp("all"))


def test_every_group_is_measured(net: Net, run_of_all: ComparisonResult) -> None:
    """Each group's figures are those of the public functions on the same maps, and every metric is in some group."""
    run = run_of_all
    measured = {row.metric for row in run.rows if row.method == "grad-cam"}
    assert measured == set(METRICS) - {"evenness"}  # of one object nothing can be uneven
    ((images, big, label),) = maps_of(net, SUBJECTS[0])
    targets = torch.tensor([label])
    road = metrics.road(net.model, images, big, targets)
    assert figure(run, "grad-cam", "road") == pytest.approx(float(road.combined), abs=1e-4)
    assert figure(run, "grad-cam", "road-most") == pytest.approx(float(road.most), abs=1e-4)
    infidelity = metrics.infidelity(net.model, images, big, targets)
    assert figure(run, "grad-cam", "infidelity") == pytest.approx(float(infidelity), rel=1e-3)
    sensitivity = metrics.sensitivity_n(net.model, images, big, targets, n=128 * 128 // 10)
    assert figure(run, "grad-cam", "sensitivity-n") == pytest.approx(float(sensitivity), abs=1e-3)

    again = funcam.explain(net.model, images * big[:, None], label).maps
    coherency = metrics.coherency(big, metrics.prepared(again, (128, 128)))
    drop = metrics.average_drop(metrics.confidence(net.model, images, big, targets))
    parts = [float(coherency), 1 - float(big.mean()), 1 - float(drop)]
    assert figure(run, "grad-cam", "coherency") == pytest.approx(parts[0], abs=1e-4)
    assert figure(run, "grad-cam", "adcc") == pytest.approx(3 / sum(1 / part for part in parts), abs=1e-4)

    alike = [
        metrics.rank_correlation(big, metrics.prepared(funcam.explain(copy, images, label).maps, (128, 128)))
        for copy in cascading(net.model)
    ]
    assert figure(run, "grad-cam", "cascading") == pytest.approx(float(torch.cat(alike).mean()), abs=1e-4)
    assert figure(run, "grad-cam", "cascading-all") == pytest.approx(float(alike[-1]), abs=1e-4)
    assert figure(run, "grad-cam", "cascading-all") < 0.9


def test_baselines_stand_beside_every_group_that_means_something_for_them(run_of_all: ComparisonResult) -> None:
    run, groups = run_of_all, ("faithfulness", "road", "arcc", "sanity")
    rows = [row for row in run.rows if METRICS[row.metric].group in groups]
    of = {name: {row.metric for row in rows if row.method == name} for name in ("random", "uniform")}
    assert of["random"] == {m.name for m in METRICS.values() if m.group in ("faithfulness", "road")}
    assert of["uniform"] == {"average-drop", "increase", "average-gain"}  # it has no order
    assert figure(run, "uniform", "average-drop") == pytest.approx(0, abs=1e-6)  # the image itself


def test_shuffled_copies_share_no_learnt_weight_in_the_end(net: Net) -> None:
    copies = cascading(net.model)
    assert len(copies) == 4
    for ours, theirs in zip(net.model.parameters(), copies[-1].parameters(), strict=True):
        same = torch.equal(ours, theirs)
        assert not same or len(ours.unique()) < 2
    changed = [
        [not torch.equal(a, b) for a, b in zip(net.model.parameters(), copy.parameters(), strict=True)]
        for copy in copies
    ]
    assert sorted(map(sum, changed)) == list(map(sum, changed))
    first, _, last = independent(net.model)
    assert torch.equal(first.stem[0].weight, net.model.stem[0].weight)
    assert not torch.equal(first.fc.weight, net.model.fc.weight)
    assert not torch.equal(last.stem[0].weight, net.model.stem[0].weight)


def test_of_several_classes_that_fit_the_most_probable_is_explained(net: Net, tmp_path: Path) -> None:
    """As with breeds: an object may be of any of three classes, and the network's favourite of them is explained."""
    example = SUBJECTS[0]
    truth = example.truth
    assert truth is not None
    right = truth.objects[0].labels[0]
    fitting = ((right + 1) % 10, right, (right + 2) % 10)
    loose = replace(truth, objects=(replace(truth.objects[0], labels=fitting),))
    compare([Rival("a", net)], [Example("x", example.load, lambda: loose)], Plan(Recipe(("grad-cam",))), tmp_path)
    (line,) = (tmp_path / "images.jsonl").read_text().splitlines()
    (record,) = json.loads(line)["records"]
    (instance,) = instances_of(example, example.load(), Rival("a", net), Plan())
    logits = net.model(inputs([instance.image]))[0]
    assert record["class"] == max(fitting, key=lambda label: float(logits.detach()[label])) == right
    assert record["asked"] == fitting[0]


def test_random_baselines_belong_to_their_images() -> None:
    images = torch.zeros(3, 3, 16, 16)
    together = baselines(["a", "b", "c"], images)[2].big
    alone = baselines(["b"], images[:1])[2].big
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])


def test_networks_are_held_against_each_other_on_what_both_have_done(net: Net, tmp_path: Path) -> None:
    """One network can't take an image: the pair is of the other images, each with itself."""
    paths = []
    for number, example in enumerate(SUBJECTS):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(example.load()).save(paths[-1])
    truths = {path: example.truth for path, example in zip(paths, SUBJECTS, strict=True) if example.truth}
    few = replace(net, classes=net.classes[: SUBJECTS[0].truth.labels[0]])  # the first scene's class is none of its
    run = compare(
        [Rival("a", net), Rival("b", few)], image_examples(paths, truths), Plan(Recipe(("grad-cam",))), tmp_path
    )
    assert any("0.png names no class" in problem for problem in run.problems)
    pairs = [p for p in run.pairs if p.kind == "net" and p.metric == "energy" and p.subset == "all"]
    counts = {
        row.net: row.n
        for row in run.rows
        if row.metric == "energy" and row.method == "grad-cam" and row.subset == "all"
    }
    assert [p.difference for p in pairs] == [0.0]
    assert pairs[0].n == counts["b"] < counts["a"]
