"""Many images as one stream: what comes of each is what comes of it alone, whatever is beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from funcam.errors import FuncamError
from funcam.imaging.reading import announced_bytes, read_image
from funcam.pipeline.earlier import ImageSource
from funcam.pipeline.explaining import explain_image
from funcam.pipeline.stream import Job, explain_files
from funcam.pipeline.writing import Style
from funcam.recipe import Recipe
from funcam.zoo import own_net
from funcam.zoo.nets import Net, build_net

SIZES = [(40, 60), (60, 40), (40, 60), (33, 33), (60, 40), (40, 60), (50, 90), (40, 60), (40, 60), (60, 40)]


class Mixing(nn.Module):
    """A network that says another thing of an image when others are beside it."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 5, stride=4)
        self.norm = nn.BatchNorm2d(6, track_running_stats=False)
        self.relu = nn.ReLU()
        self.say = nn.Linear(6, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.say(self.relu(self.norm(self.conv(images))).mean((2, 3)))
        return said


def mixing() -> Net:
    return own_net(Mixing().eval(), input_size=48)


@pytest.fixture
def sources(tmp_path: Path) -> list[ImageSource]:
    rng = np.random.default_rng(0)
    (tmp_path / "pics").mkdir()
    for number, size in enumerate(SIZES):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / f"pics/{number}.png")
    return [ImageSource(str(tmp_path / f"pics/{number}.png"), str(number)) for number in range(len(SIZES))]


def job_of(net: Net, out: Path, **changes: Any) -> Job:
    out.mkdir(exist_ok=True)
    style = Style(pictures=(), raw_maps=True)
    return replace(Job("net", net, "cpu", None, None, "squash", Recipe(), None, style, out), **changes)


def maps_of(out: Path, stem: str) -> dict[str, Any]:
    with np.load(out / f"{stem}-net-maps.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("fit", ["squash", "native"])
@pytest.mark.parametrize("net", [lambda: build_net("scenes"), mixing])
@pytest.mark.parametrize("classes", [None, (1, 3)])
def test_together_as_alone(
    sources: list[ImageSource], tmp_path: Path, fit: str, net: Callable[[], Net], classes: tuple[int, ...] | None
) -> None:
    own = net()
    (*done,) = explain_files(job_of(own, tmp_path / "out", fit=fit, classes=classes), sources)

    for outcome, source in zip(done, sources, strict=True):
        record = outcome.get()
        assert outcome.item == source
        assert record["image"] == source.name
        alone = explain_image(own, read_image(source.name), classes, fit=fit)
        assert [entry["index"] for entry in record["explained"]] == [each.index for each in alone.explained]
        together = maps_of(tmp_path / "out", source.stem)
        assert {*together} == {*alone.maps, "classes", "box"}
        for name, expected in alone.maps.items():
            np.testing.assert_allclose(together[name], expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_images_go_together(sources: list[ImageSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight of one size at a time; where sizes differ, those of one size."""
    from funcam.pipeline import explaining

    sizes: list[int] = []
    normalised = explaining.normalised

    def counted(net: Net, images: Any, device: Any) -> torch.Tensor:
        sizes.append(len(images))
        return normalised(net, images, device)

    monkeypatch.setattr(explaining, "normalised", counted)
    for fit, expected in (("squash", [8, 2]), ("native", [4, 2, 1, 1, 1, 1])):
        sizes.clear()
        list(explain_files(job_of(build_net("scenes"), tmp_path / fit, fit=fit), sources))
        assert sizes == expected
    sizes.clear()
    list(explain_files(job_of(build_net("scenes"), tmp_path / "all", recipe=Recipe(("score-cam",))), sources[:3]))
    assert sizes == [1, 1, 1]  # an image takes long enough to be told of


@pytest.mark.parametrize("bad", [0, 3, 9])
def test_a_bad_image_is_its_own_error(sources: list[ImageSource], tmp_path: Path, bad: int) -> None:
    Path(sources[bad].name).write_bytes(b"\x89PNG and no more")
    (*done,) = explain_files(job_of(build_net("scenes"), tmp_path / "out"), sources)

    assert [outcome.item for outcome in done] == sources
    assert [number for number, outcome in enumerate(done) if outcome.error] == [bad]
    assert isinstance(done[bad].error, FuncamError)
    assert sum(path.suffix == ".json" for path in (tmp_path / "out").iterdir()) == len(sources) - 1


class Overflowing(nn.Module):
    """What it says of a bright image is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 4, stride=4, bias=False)
        nn.init.constant_(self.conv.weight, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = self.conv(images).relu().mean((2, 3))
        return means * torch.where(means > 20, torch.inf, 1.0)


def test_an_image_that_fails_among_others(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    sources = [ImageSource(str(tmp_path / f"pics/{number}.png"), str(number)) for number in range(8)]
    for number, source in enumerate(sources):
        Image.fromarray(np.full((32, 32, 3), 255 if number == 5 else 30 + number, np.uint8)).save(source.name)
    net = own_net(Overflowing().eval(), input_size=32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    (*done,) = explain_files(job_of(net, tmp_path / "out", recipe=Recipe(("grad-cam",))), sources)

    assert [number for number, outcome in enumerate(done) if outcome.error] == [5]
    assert "NaN or infinity" in str(done[5].error)
    assert "image " not in str(done[5].error)  # its number among the others says nothing to the user


def test_stopping_early_leaves_whole_results_and_no_thread(sources: list[ImageSource], tmp_path: Path) -> None:
    before, wrote = threading.active_count(), []
    with closing(explain_files(job_of(build_net("scenes"), tmp_path / "out"), sources, wrote.append)) as outcomes:
        next(outcomes).get()

    assert threading.active_count() == before
    records = {path.stem.removesuffix("-net") for path in (tmp_path / "out").glob("*.json")}
    assert records == {source.stem for source in wrote}
    assert records == {path.stem.removesuffix("-net-maps") for path in (tmp_path / "out").glob("*.npz")}


def test_what_a_file_announces_is_what_its_pixels_take(sources: list[ImageSource], tmp_path: Path) -> None:
    assert [announced_bytes(source.name) for source in sources] == [read_image(each.name).nbytes for each in sources]
    (tmp_path / "no.jpg").write_bytes(b"no picture")
    assert announced_bytes(tmp_path / "no.jpg") == announced_bytes(tmp_path / "missing.jpg") == 0
