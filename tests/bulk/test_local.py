"""A store made by the engine of one machine: its rows say what the API says of the same images."""

from __future__ import annotations

import filecmp
import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import photo
from PIL import Image
from torch import nn

import funcam
from funcam.bulk.asked import Asked, question_of, target_of
from funcam.bulk.local import run_local
from funcam.errors import FuncamError
from funcam.imaging.reading import read_image
from funcam.pipeline.explain_recipe import explain_recipe
from funcam.recipe import Recipe
from funcam.sources import list_items
from funcam.store import Row, Writer, open_store
from funcam.zoo.nets import load_net
from funcam.zoo.preprocessing import fitted, normalised

GRAD_CAM = Recipe(methods=("grad-cam",))


@pytest.fixture
def asked() -> Asked:
    return Asked(load_net("scenes"), GRAD_CAM)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eleven pictures: the fourth is damaged, the last two are the first again."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(9):
        Image.fromarray(photo(seed=number)).save(folder / f"{number:02}.png")
    for number in (9, 10):
        (folder / f"{number:02}.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "03.png").write_bytes((folder / "03.png").read_bytes()[:200])
    return folder


def store_of(
    asked: Asked,
    sources: Sequence[str],
    path: Path,
    *,
    shard: int = 6,
    batch: int = 4,
    done: Callable[[int, int], None] = lambda _images, _failures: None,
) -> list[Row]:
    question = question_of(asked, map_type="float16", shard_size=shard, batch_size=batch)
    with Writer(path, question) as writer:
        writer.list_items(list_items(sources))
        run_local(asked, writer, done)
    return list(open_store(path).rows())


def expected(asked: Asked, path: Path, target: int | None = None) -> funcam.Explanation:
    """What the API says of one picture."""
    pixels = read_image(path)
    images = normalised(asked.net, [fitted(asked.net, pixels, asked.fit)[0]], "cpu")
    return funcam.explain(asked.net.model, images, target)


def same_files(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.glob("maps-*"))
    return names == sorted(path.name for path in other.glob("maps-*")) and all(
        filecmp.cmp(one / name, other / name, shallow=False) for name in names
    )


def test_a_row_says_what_the_api_says(asked: Asked, photos: Path, tmp_path: Path) -> None:
    rows = store_of(asked, [str(photos)], tmp_path / "store")
    assert [Path(row.path).name for row in rows] == [f"{number:02}.png" for number in range(11)]
    for row in (row for row in rows if row.index != 3):
        said = expected(asked, photos / f"{row.index:02}.png")
        probabilities = said.logits.softmax(1)[0]
        assert row.map is not None
        np.testing.assert_allclose(row.map, said.maps[0], atol=2e-3 * float(said.maps.max()))  # float16
        assert row.target == row.top[0][0] == int(said.targets)
        assert row.score == pytest.approx(float(probabilities.max()), rel=1e-4)
        assert (row.width, row.height) == read_image(photos / f"{row.index:02}.png").shape[1::-1]
        assert row.figures is not None
        assert row.figures.peak == pytest.approx(float(said.maps.max()), rel=1e-3)


def test_a_damaged_picture_is_a_row_with_its_error(asked: Asked, photos: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    rows = store_of(asked, [str(photos)], tmp_path / "store", done=lambda *counts: told.append(counts))
    assert [row.index for row in rows if row.error] == [3]
    assert "damaged" in (rows[3].error or "")
    assert (sum(images for images, _ in told), sum(failures for _, failures in told)) == (11, 1)
    assert open_store(tmp_path / "store").failures == 1


def test_pictures_of_one_content_are_explained_once_in_a_shard(
    asked: Asked, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def counting(model: nn.Module, images: torch.Tensor, *rest: Any, **options: Any) -> list[funcam.Explanation]:
        seen.append(len(images))
        return explain_recipe(model, images, *rest, **options)

    monkeypatch.setattr("funcam.bulk.rows.explain_recipe", counting)
    rows = store_of(asked, [str(photos)], tmp_path / "store", shard=11)
    assert sum(seen) == 8
    for index in (9, 10):
        assert (rows[index].index, Path(rows[index].path).name) == (index, f"{index:02}.png")
        assert (rows[index].content, rows[index].top, rows[index].figures) == (
            (rows[0].content, rows[0].top, rows[0].figures)
        )
        assert np.array_equal(rows[index].map, rows[0].map)  # type: ignore[arg-type]


def test_who_is_stopped_goes_on_to_the_same_bytes(asked: Asked, photos: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    whole = store_of(asked, [str(photos)], tmp_path / "whole")
    for after in range(1, 5):
        left = [after]

        def stop(_images: int, _failures: int, left: list[int] = left) -> None:
            left[0] -= 1
            if not left[0]:
                raise Stop

        path = tmp_path / str(after)
        for _ in range(2):
            try:
                store_of(asked, [str(photos)], path, done=stop)
            except Stop:
                assert len(list((path / "parts").iterdir())) <= 2
        if not open_store(path).whole:
            store_of(asked, [str(photos)], path)
        assert same_files(path, tmp_path / "whole")
    assert len(whole) == 11


def test_a_batch_too_large_for_the_memory_is_halved_and_that_is_kept(
    asked: Asked, photos: Path, tmp_path: Path
) -> None:
    class Small(nn.Module):
        """Has memory for two images."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 2:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
            return self.model(images)  # type: ignore[no-any-return]

    small = replace(asked, net=replace(asked.net, model=Small(asked.net.model).eval()))
    rows = store_of(small, [str(photos)], tmp_path / "store")
    assert [row.index for row in rows if row.error] == [3]
    whole = store_of(asked, [str(photos)], tmp_path / "whole")
    for row, other in zip(rows, whole, strict=True):
        assert row.target == other.target
        if row.map is not None:
            np.testing.assert_allclose(row.map, other.map, atol=2e-3 * float(row.map.max()))  # type: ignore[arg-type]


def test_an_image_that_gives_no_number_is_a_row_of_its_own(asked: Asked, photos: Path, tmp_path: Path) -> None:
    class Picky(nn.Module):
        """Has no number for dark images."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            dark = images.mean((1, 2, 3), keepdim=True) < dark_below
            return self.model(torch.where(dark, torch.full_like(images, float("nan")), images))  # type: ignore[no-any-return]

    brightness = [
        float(normalised(asked.net, [fitted(asked.net, read_image(path), "squash")[0]], "cpu").mean())
        for path in sorted(photos.glob("*.png"))
        if path.name != "03.png"
    ]
    dark_below = sorted(set(brightness))[1] - 1e-6
    picky = replace(asked, net=replace(asked.net, model=Picky(asked.net.model).eval()))
    rows = store_of(picky, [str(photos)], tmp_path / "store")
    failed = [row for row in rows if row.error and row.index != 3]
    assert 1 <= len(failed) <= 3
    assert all("NaN" in (row.error or "") for row in failed)
    assert sum(row.map is not None for row in rows) == 10 - len(failed)


def test_classes_come_from_the_source(asked: Asked, photos: Path, tmp_path: Path) -> None:
    names = asked.net.classes
    lines = [f"00.png,{names[2]}", "01.png,5", "02.png,no such class", "04.png,"]
    (photos / "list.csv").write_text("path,class\n" + "\n".join(lines) + "\n")
    rows = store_of(replace(asked, target="label"), [str(photos / "list.csv")], tmp_path / "store")
    assert [row.target for row in rows] == [2, 5, None, None]
    assert "no such class" in (rows[2].error or "")
    assert "no class" in (rows[3].error or "")
    for row, name in zip(rows[:2], ("00.png", "01.png"), strict=True):
        said = expected(asked, photos / name, row.target)
        np.testing.assert_allclose(row.map, said.maps[0], atol=2e-3 * float(said.maps.abs().max()))  # type: ignore[arg-type]


def test_a_class_that_cannot_be_read_costs_only_who_asks_for_it(asked: Asked, photos: Path, tmp_path: Path) -> None:
    (photos / "list.csv").write_text(f"path,class\n00.png,5\n01.png,{'x' * 2000}\n")
    source = [str(photos / "list.csv")]
    predicted = store_of(asked, source, tmp_path / "predicted")
    assert [row.error for row in predicted] == [None, None]
    np.testing.assert_array_equal(predicted[1].target, expected(asked, photos / "01.png").targets[0])
    labelled = store_of(replace(asked, target="label"), source, tmp_path / "labelled")
    assert [row.error for row in labelled] == [None, "its class has more than 1,000 letters"]


def test_what_speaks_against_a_class_of_all_images(asked: Asked, photos: Path, tmp_path: Path) -> None:
    rows = store_of(replace(asked, target=~2), [str(photos)], tmp_path / "store")
    said = expected(asked, photos / "00.png", 2)
    assert rows[0].target == ~2
    assert rows[0].score == pytest.approx(1 - float(said.logits.softmax(1)[0, 2]), abs=1e-5)


def test_a_tar_shard_gives_the_rows_of_its_folder(asked: Asked, photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train-0000.tar", "w") as tar:
        for path in sorted(photos.glob("*.png")):
            info = tarfile.TarInfo(path.name)
            info.size = path.stat().st_size
            tar.addfile(info, io.BytesIO(path.read_bytes()))
    of_tar = store_of(asked, [str(tmp_path / "train-0000.tar")], tmp_path / "tar")
    of_folder = store_of(asked, [str(photos)], tmp_path / "folder")
    for row, other in zip(of_tar, of_folder, strict=True):
        assert (row.content, row.top, row.figures) == (other.content, other.top, other.figures)


def test_the_caller_s_model_is_as_it_was(asked: Asked, photos: Path, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in asked.net.model.state_dict().items()}
    state = torch.get_rng_state()
    store_of(asked, [str(photos)], tmp_path / "store")
    assert all(torch.equal(value, before[name]) for name, value in asked.net.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in asked.net.model.modules())


def test_two_methods_or_gradients_of_the_image_are_refused(asked: Asked) -> None:
    for methods in (("grad-cam", "layer-cam"), ("guided-backprop",)):
        with pytest.raises(FuncamError, match="one map of each image"):
            replace(asked, recipe=Recipe(methods=methods))


def test_a_class_that_means_several_is_refused(asked: Asked) -> None:
    with pytest.raises(FuncamError, match="tells no class"):
        target_of(replace(asked, target="label"))(None)


def test_another_network_or_layer_is_another_question(asked: Asked, photos: Path, tmp_path: Path) -> None:
    store_of(asked, [str(photos)], tmp_path / "store")
    other = replace(asked, net=replace(asked.net, model=nn.Sequential(asked.net.model)))
    for changed in (other, replace(asked, fit="pad"), replace(asked, target=3), replace(asked, threshold=0.4)):
        with pytest.raises(FuncamError, match="answers another question"):
            store_of(changed, [str(photos)], tmp_path / "store")


def test_who_goes_on_halves_at_once_what_was_halved_and_makes_the_same_bytes(
    asked: Asked, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, stops = list[int](), list[int]()

    def small(model: nn.Module, images: torch.Tensor, *rest: Any, **options: Any) -> list[funcam.Explanation]:
        """Has memory for two images, and is interrupted at a call."""
        seen.append(len(images))
        if len(seen) in stops:
            raise KeyboardInterrupt
        if len(images) > 2:
            raise MemoryError
        return explain_recipe(model, images, *rest, **options)

    monkeypatch.setattr("funcam.bulk.rows.explain_recipe", small)
    store_of(asked, [str(photos)], tmp_path / "whole")
    assert seen[0] > 2 >= seen[1]
    whole = list(seen)
    seen.clear()
    stops.append(2)
    with pytest.raises(KeyboardInterrupt):
        store_of(asked, [str(photos)], tmp_path / "store")
    assert [path.suffix for path in (tmp_path / "store" / "parts").iterdir()] == [".halved"]
    seen.clear()
    stops.clear()
    store_of(asked, [str(photos)], tmp_path / "store")
    assert seen == whole[1:]
    assert same_files(tmp_path / "store", tmp_path / "whole")


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("page.png", b"<!doctype html><p>not found</p>", "not an image"),
        ("cut.jpg", b"\xff\xd8\xff\xe0" + bytes(100), "begins like a JPEG"),
        ("empty.webp", b"", "empty"),
    ],
)
def test_what_is_not_what_its_name_says_is_the_error_of_its_row(
    asked: Asked, photos: Path, tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    (photos / name).write_bytes(data)
    (photos / "png.jpg").write_bytes((photos / "00.png").read_bytes())  # what it is counts, not its name
    rows = {Path(row.path).name: row for row in store_of(asked, [str(photos)], tmp_path / "store")}
    assert told in (rows[name].error or "")
    assert rows["png.jpg"].figures == rows["00.png"].figures
    assert [row.error for row in rows.values()].count(None) == len(rows) - 2
