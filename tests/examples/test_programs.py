"""The other programs in `examples/`: each run, and what it gives held against the API."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_line import photo
from example_programs import EXAMPLES, example
from PIL import Image
from torch import nn

import funcam
from funcam.store import open_store

pytestmark = pytest.mark.long


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.fromarray(photo(seed=number)).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_short_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 220
    assert f"python examples/{path.name}" in text.split('"""')[1]
    assert path.name in (EXAMPLES.parent / "docs" / "examples.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fit", ["crop", *(pytest.param(fit, marks=pytest.mark.slow) for fit in ("squash", "pad"))])
def test_boxes_of_a_store_are_where_the_map_is(photos: Path, fit: str) -> None:
    (photos / "2.png").write_bytes(b"")
    words = ["batch", "photos", "--net", "scenes", "--out", "store", "--fit", fit, "-q"]
    assert subprocess.run([sys.executable, "-m", "funcam", *words], capture_output=True, check=False).returncode == 1
    run = [sys.executable, EXAMPLES / "coco_boxes.py", "store", "boxes.json"]
    ran = subprocess.run(run, capture_output=True, text=True, check=True)
    assert ran.stdout == "2 boxes of 2 images in boxes.json\n"
    told = json.loads(Path("boxes.json").read_text())
    assert [image["file_name"] for image in told["images"]] == ["photos/0.png", "photos/1.png"]
    named = {category["id"]: category["name"] for category in told["categories"]}
    net = funcam.load_net("scenes")
    for found, image in zip(told["annotations"], told["images"], strict=True):
        batch = funcam.fit_images(net, [image["file_name"]], fit=fit)
        result = funcam.explain(net, batch)
        assert named[found["category_id"]] == net.classes[int(result.targets[0])]
        grid = np.repeat(np.repeat(result.maps[0].numpy(), 4, 0), 4, 1)
        placed = np.nan_to_num(funcam.onto_image(grid, batch.views[0]))
        row, column = np.unravel_index(placed.argmax(), placed.shape)
        x, y, width, height = found["bbox"]
        assert x - 1 <= column <= x + width + 1
        assert y - 1 <= row <= y + height + 1
        assert 0 <= x < x + width <= image["width"]
        assert 0 <= y < y + height <= image["height"]


def test_boxes_of_what_speaks_against_a_class_are_of_a_category_that_says_so(photos: Path) -> None:
    words = ["batch", "photos", "--net", "scenes", "--class", "not bolt", "--out", "store", "-q"]
    subprocess.run([sys.executable, "-m", "funcam", *words], check=True)
    told = example("coco_boxes").coco_of(open_store("store"))
    (category,) = told["categories"]
    assert category["name"] == "not bolt"
    assert told["annotations"]
    assert {found["category_id"] for found in told["annotations"]} == {category["id"]}


@pytest.mark.parametrize(
    ("program", "words", "told"),
    [
        ("coco_boxes.py", ["nowhere", "boxes.json"], "'nowhere' is no store"),
        ("coco_boxes.py", [".", "boxes.json"], "'.' is no store"),
        ("serve.py", ["--net", "nothing"], "network 'nothing' is not in the zoo"),
        ("serve.py", ["--port", "70000"], "port must be 0-65535"),
        ("browser/serve.py", ["70000"], "port must be 0-65535"),
        pytest.param("callbacks.py", ["--logs", "photos/0.png"], "photos/0.png", marks=pytest.mark.slow),
        pytest.param("hugging_face.py", ["photos/0.png", "--model", "photos"], "photos", marks=pytest.mark.slow),
    ],
)
def test_wrong_use_ends_in_words(photos: Path, program: str, words: list[str], told: str) -> None:
    run = [sys.executable, EXAMPLES / program, *words]
    ran = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode != 0
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_wrong_picture_is_found_before_a_model_is_fetched(photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    words = ["photos/0.png", "photos/broken.png", "--model", "nowhere/nothing"]
    run = [sys.executable, EXAMPLES / "hugging_face.py", *words]
    ran = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 1
    assert "photos/broken.png" in ran.stderr
    assert "nowhere" not in ran.stderr


class Tiny(nn.Module):
    """With a BatchNorm, whose statistics a pass in training mode would move."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1))
        self.head = nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).relu().mean((2, 3)))  # type: ignore[no-any-return]


def test_a_training_loop_logs_overlays_and_trains_as_without() -> None:
    callbacks = example("callbacks")
    calls = []
    writer = SimpleNamespace(add_images=lambda *told, **options: calls.append((told, options)))
    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([2, 0])
    model = Tiny().train()
    model.head.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    callbacks.OverlayLogger(writer, (images - 0.5) / 0.25, labels, mean=(0.5,) * 3, std=(0.25,) * 3)(model, 7)
    assert [module.training for module in (model, model.body[1], model.head)] == [True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    (((tag, pictures, step), options),) = calls
    assert (tag, step, options) == ("funcam", 7, {"dataformats": "NHWC"})
    result = funcam.explain(model.eval(), (images - 0.5) / 0.25, labels)
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for one in range(2):
        expected = funcam.overlay(pixels[one], funcam.onto_image(result.maps[one], (32, 32)))
        assert np.abs(pictures[one].numpy().astype(int) - expected.astype(int)).max() <= 2


@pytest.mark.parametrize(
    ("checking", "zero", "epoch", "logged"), [(0, 1, 2, 1), (1, 1, 2, 0), (0, 0, 2, 0), (0, 1, 3, 0)]
)
def test_a_trainer_that_calls_as_lightning_does(checking: bool, zero: bool, epoch: int, logged: int) -> None:
    callbacks = example("callbacks")
    calls = []
    writer = SimpleNamespace(add_images=lambda *told, **_: calls.append(told))
    trainer = SimpleNamespace(
        sanity_checking=checking,
        is_global_zero=zero,
        current_epoch=epoch,
        global_step=40,
        logger=SimpleNamespace(experiment=writer),
    )
    callbacks.LightningOverlays(torch.rand(2, 3, 32, 32), every=2).on_validation_epoch_end(trainer, Tiny())
    assert [told[2] for told in calls] == [40] * logged


def test_the_training_program_writes_what_tensorboard_reads(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = [sys.executable, EXAMPLES / "callbacks.py", "--epochs", "2", "--logs", tmp_path / "runs"]
    subprocess.run(run, capture_output=True, check=True)
    events = accumulator.EventAccumulator(str(tmp_path / "runs"), size_guidance={"images": 0})
    events.Reload()
    assert [image.step for image in events.Images("funcam")] == [0, 1]
    assert len(events.Scalars("loss")) == 2


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ResNet of random weights and its processor, as the Hub would give them."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("hub")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        labels = {0: "cat", 1: "dog", 2: "bird"}
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], id2label=labels, label2id={"cat": 0}
        )
        transformers.ResNetForImageClassification(config).eval().save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_pipeline_of_hugging_face_s_with_maps(hub: Path, photos: Path) -> None:
    transformers = pytest.importorskip("transformers")
    explain = example("hugging_face").CamPipeline.from_pretrained(str(hub), batch_size=2)
    paths = [str(path) for path in sorted(photos.iterdir())]
    found = explain(paths, top_k=2)
    classify = transformers.pipeline("image-classification", model=str(hub), top_k=2)
    for path, rows, expected in zip(paths, found, classify(paths), strict=True):
        assert [row["label"] for row in rows] == [each["label"] for each in expected]
        np.testing.assert_allclose([row["score"] for row in rows], [each["score"] for each in expected], atol=1e-4)
        with Image.open(path) as image:
            assert rows[0]["overlay"].size == image.size
    alone = explain(paths[2], top_k=1)[0]
    torch.testing.assert_close(alone["map"], found[2][0]["map"], rtol=1e-3, atol=1e-6)
    assert explain(Image.open(paths[2]), top_k=1)[0]["label"] == alone["label"]
