"""Comparing over a data set: figures against the little metrics of the tests, resuming, bad images, fits."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figures import box_overlaps, coverage_of, energy_in, mask_of, max_box_acc, points_at
from PIL import Image

import funcam
from funcam.comparison import METRICS, Example, Plan, Rival, compare, image_examples, scene_examples
from funcam.comparison import run as run_module
from funcam.comparison.findings import COLUMNS
from funcam.comparison.instances import LocatedObjects, instances_of
from funcam.comparison.reporting import report_of
from funcam.errors import FuncamError
from funcam.recipe import Recipe
from funcam.report.data import check_report
from funcam.scenes.network import inputs
from funcam.truth import Object, Truth
from funcam.zoo.nets import Net, at_size, load_net

SUBJECTS = scene_examples(10)


def without_masks(example: Example) -> Example:
    """What is known of a scene, with boxes alone."""
    truth = example.truth
    assert truth is not None
    boxed = replace(truth, objects=tuple(replace(object_, mask=None) for object_ in truth.objects))
    return Example(example.name, example.load, lambda: boxed)


BOXED = [without_masks(example) for example in SUBJECTS]


@pytest.fixture(scope="module")
def net() -> Net:
    return load_net("scenes")


def figures(run, method, subset="all"):
    return {row.metric: row for row in run.rows if row.method == method and row.subset == subset}


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "layer-cam"])
def test_figures_are_those_of_the_little_metrics(net: Net, tmp_path: Path, method: str) -> None:
    run = compare([Rival("a", net)], BOXED, Plan(Recipe((method,))), tmp_path)
    values = []
    for example in BOXED:
        image, truth = instances_of(example, example.load(), Rival("a", net), Plan())[0].image, example.truth
        assert truth is not None
        for label in truth.labels:
            maps = funcam.explain(net.model, inputs([image]), label, method=method).maps
            big = funcam.upsample(funcam.rescale(maps.relu()), (128, 128))[0].numpy()
            boxes = np.array([thing.box for thing in truth.of(label)]) / 2  # scenes have 256 pixels, the network 128
            mask = mask_of(boxes, 128)
            values.append(
                (points_at(big, mask), energy_in(big, mask), coverage_of(big, boxes), box_overlaps(big, boxes))
            )
    found = figures(run, method)
    for index, metric in enumerate(("pointing-game", "energy", "coverage")):
        assert found[metric].value == pytest.approx(np.mean([row[index] for row in values]), abs=1e-4)
        assert found[metric].low <= found[metric].value <= found[metric].high
        assert found[metric].n == len(BOXED)
    parts = max_box_acc(np.stack([row[3] for row in values]))
    assert 100 * found["max-box-acc-v2"].value == pytest.approx(np.mean(parts))
    assert [100 * found[f"max-box-acc@{least}"].value for least in (0.3, 0.5, 0.7)] == pytest.approx(parts)


def test_one_run_for_methods_layers_and_networks(net: Net, tmp_path: Path) -> None:
    rivals = [Rival("one", net), Rival("two", net)]
    plan = Plan(Recipe(("grad-cam", "eigen-cam")), layers={"one": ("trunk_output", "trunk_output.block1")})
    run = compare(rivals, SUBJECTS, plan, tmp_path)
    places = {(row.net, row.layer, row.method) for row in run.rows}
    for layer in ("trunk_output", "trunk_output.block1"):
        assert {("one", layer, "grad-cam"), ("one", layer, "eigen-cam")} <= places
    assert ("two", "trunk_output", "grad-cam") in places
    for baseline in ("centre-gaussian", "uniform", "random"):
        assert ("one", "", baseline) in places
    same = [p for p in run.pairs if p.kind == "net" and p.method == "grad-cam" and p.metric == "energy"]
    assert {(p.a, p.b, p.difference) for p in same} == {("one", "two", 0.0)}


def test_results_are_written(net: Net, tmp_path: Path) -> None:
    run = compare([Rival("a", net)], SUBJECTS, Plan(), tmp_path)
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(run.rows)
    assert {row["subset"] for row in rows} == {"all", "single", "multiple"}
    assert {row["metric"] for row in rows} <= set(METRICS)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["images"] == 10
    assert document["config"]["nets"] == [{"label": "a", "name": "scenes", "weights": "the package"}]
    assert document["conclusions"] == run.conclusions
    assert any("Grad-CAM++ covers more than Grad-CAM" in sentence for sentence in run.conclusions)


def test_what_is_written_says_how_it_was_made(net: Net, tmp_path: Path) -> None:
    """Every row is written as it is, every difference with what its two sides share and without what they have not."""
    recipe = Recipe(("grad-cam", "score-cam"), smooth=("aug",), options={"score-cam": {"strongest": 2}})
    plan = Plan(recipe, layers={"a": ("trunk_output",)}, fit="crop")
    result = compare([Rival("a", net), Rival("b", net)], SUBJECTS[:2], plan, tmp_path)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["config"] == {
        "methods": ["grad-cam", "score-cam"],
        "layers": {"a": ["trunk_output"]},
        "combine": None,
        "smooth": ["aug"],
        "groups": ["localisation"],
        "against": "boxes",
        "target": "truth",
        "fit": "crop",
        "steps": 50,
        "batch": 8,
        "options": {"score-cam": {"strongest": 2}},
        "nets": [{"label": label, "name": "scenes", "weights": "the package"} for label in "ab"],
    }
    assert list(document["results"][0]) == list(COLUMNS)
    assert [row["value"] for row in document["results"]] == [row.value for row in result.rows]
    figures = ["metric", "subset", "difference", "low", "high", "p", "n"]
    for kind, shared in (("net", "method"), ("method", "net")):
        first = next(pair for pair in document["pairs"] if pair["kind"] == kind)
        assert list(first) == ["kind", "a", "b", shared, *figures]


def test_a_recipe_says_the_layers_and_the_size_of_the_input(net: Net, tmp_path: Path) -> None:
    """The same figures as of a network that was put to that size, cut at those layers, before the comparison."""
    small = Plan(Recipe(("layer-cam",), ("stem.2",), input_size=64))
    sized = Plan(Recipe(("layer-cam",)), layers={"a": ("stem.2",)})
    results = []
    for plan, rival in ((small, Rival("a", net)), (sized, Rival("a", at_size(net, 64)))):
        assert plan.key(rival) == small.key(Rival("a", net))
        folder = tmp_path / str(len(results))
        folder.mkdir()
        results.append(compare([rival], SUBJECTS[:2], plan, folder))
    assert results[0].rows == results[1].rows
    assert results[0].pairs == results[1].pairs
    assert small.key(Rival("a", net)) != replace(small, recipe=replace(small.recipe, input_size=128)).key(
        Rival("a", net)
    )


def test_a_comparison_of_no_method_is_refused() -> None:
    with pytest.raises(FuncamError, match="names no method"):
        Plan(Recipe())


def test_the_batch_changes_nothing(net: Net, tmp_path: Path) -> None:
    runs = []
    for batch in (1, 3, 8):
        folder = tmp_path / str(batch)
        folder.mkdir()
        runs.append(compare([Rival("a", net)], SUBJECTS[:5], Plan(batch=batch), folder))
    assert runs[0].rows
    for row, other, third in zip(*(run.rows for run in runs), strict=True):
        assert row.value == pytest.approx(other.value, abs=2e-3)
        assert row.value == pytest.approx(third.value, abs=2e-3)


def test_an_interrupted_run_goes_on_where_it_stopped(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals, plan = [Rival("a", net)], Plan(batch=2)
    whole = compare(rivals, SUBJECTS, plan, tmp_path)
    lines = (tmp_path / "images.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == len(SUBJECTS)
    (tmp_path / "images.jsonl").write_text("".join(lines[:3]) + lines[3][:40])  # cut off in the middle of a line

    measured = []
    measure = run_module.measure
    monkeypatch.setattr(
        run_module,
        "measure",
        lambda items, *rest: measured.extend(i.example.name for i in items) or measure(items, *rest),
    )
    again = compare(rivals, SUBJECTS, plan, tmp_path)
    assert 0 < len(set(measured)) < len(SUBJECTS)
    assert {row.metric for row in again.rows} == {row.metric for row in whole.rows}
    for row, other in zip(whole.rows, again.rows, strict=True):
        assert row.value == pytest.approx(other.value, abs=1e-6)
    measured.clear()
    compare(rivals, SUBJECTS, plan, tmp_path)
    assert measured == []
    compare(rivals, SUBJECTS[:3], replace(plan, recipe=Recipe(("layer-cam",))), tmp_path)
    assert len(set(measured)) == 3  # another plan shares nothing


def test_a_bad_image_is_listed_and_the_rest_is_done(net: Net, tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(SUBJECTS[number].load()).save(paths[-1])
    paths[1].write_bytes(b"no image")
    truths = {path: Truth(path, s.truth.objects) for path, s in zip(paths, SUBJECTS, strict=False) if s.truth}
    run = compare([Rival("a", net)], image_examples(paths, truths), Plan(), tmp_path)
    assert run.images == 2
    assert len(run.problems) == 1
    assert "1.png" in run.problems[0]
    with pytest.raises(FuncamError, match=r"no image could be compared: .*1\.png"):
        compare([Rival("a", net)], image_examples(paths[1:2], truths), Plan(), tmp_path)
    with pytest.raises(FuncamError, match="the data set is empty"):
        compare([Rival("a", net)], [], Plan(), tmp_path)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_boxes_lie_where_the_network_sees_them(net: Net, tmp_path: Path, fit: str) -> None:
    """A bright box on grey: the pixels of its box in the network's input are bright, the others aren't."""
    pixels = np.full((90, 150, 3), 60, np.uint8)
    pixels[30:60, 60:100] = 250
    Image.fromarray(pixels).save(tmp_path / "a.png")
    truth = Truth(tmp_path / "a.png", (Object((3,), "x", (60.0, 30.0, 100.0, 60.0)),))
    (example,) = image_examples([tmp_path / "a.png"], {tmp_path / "a.png": truth})
    (instance,) = instances_of(example, pixels, Rival("a", net), Plan(fit=fit))
    mask = LocatedObjects.of([instance], [3], "cpu").masks[0, 0].numpy()
    bright = instance.image.mean(-1) > 155
    assert (mask & bright).sum() / (mask | bright).sum() > 0.85


def test_without_truth_the_predicted_class_is_measured_for_faithfulness(net: Net, tmp_path: Path) -> None:
    examples = [Example(example.name, example.load) for example in SUBJECTS[:2]]
    plan = Plan(Recipe(("grad-cam", "random-cam")), groups=("faithfulness",), steps=10)
    run = compare([Rival("a", net)], examples, plan, tmp_path)
    found = figures(run, "grad-cam")
    assert set(found) == {"average-drop", "increase", "average-gain", "insertion", "deletion"}
    assert found["insertion"].value > figures(run, "random-cam")["insertion"].value


def test_the_report_has_everything(net: Net, tmp_path: Path) -> None:
    plan = Plan(Recipe(("grad-cam", "guided-backprop")), fit="crop")
    rivals = [Rival("a", net)]
    run = compare(rivals, SUBJECTS[:4], plan, tmp_path)
    report = report_of(run, rivals, SUBJECTS[:4], plan, tmp_path, title="A title", most=3)
    check_report(report)
    assert [entry.file for entry in report.images] == [example.name for example in SUBJECTS[:3]]
    assert {entry.method for entry in report.images[0].explained[0].maps} == {"grad-cam", "guided-backprop"}
    assert report.images[1].boxes


def test_what_no_image_can_have_is_said_once(net: Net, tmp_path: Path) -> None:
    """A layer that the network has not is no fault of the images."""
    with pytest.raises(FuncamError, match=r"a: .*trunk_outputt"):
        compare([Rival("a", net)], SUBJECTS, Plan(layers={"a": ("trunk_outputt",)}), tmp_path)


def test_one_network_under_two_labels_is_computed_once(net: Net, tmp_path: Path) -> None:
    run = compare([Rival("a", net), Rival("b", net)], SUBJECTS[:3], Plan(Recipe(("grad-cam",))), tmp_path)
    of = {label: {(r.method, r.metric, r.subset): r.value for r in run.rows if r.net == label} for label in "ab"}
    assert of["a"] == of["b"]
    assert len((tmp_path / "images.jsonl").read_text().splitlines()) == 3
    again = compare([Rival("a", net), Rival("b", net)], SUBJECTS[:3], Plan(Recipe(("grad-cam",))), tmp_path)
    assert again.rows == run.rows
