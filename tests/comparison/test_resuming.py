"""A comparison that goes on after something changed gives what one in an empty folder gives."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from funcam.comparison import Example, Plan, Rival, compare, image_examples, scene_examples
from funcam.comparison import run as run_module
from funcam.comparison.contents import Contents
from funcam.comparison.journal import Journal
from funcam.comparison.run import JOURNAL
from funcam.errors import FuncamError
from funcam.recipe import Recipe
from funcam.resuming.identity import letters_of, model_letters
from funcam.truth import Object, Truth
from funcam.truth.masks import MaskFile
from funcam.zoo.nets import build_net, load_net, own_net
from funcam.zoo.user_code import Factory, load_from_factory

PLAN = Plan(Recipe(("grad-cam",)))
NET = load_net("scenes")
Measured = list[str]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """The names of the images that are measured, one after the other."""
    names: Measured = []
    measure = run_module.measure

    def noted(instances: Any, *rest: Any) -> Any:
        names.extend(instance.example.name for instance in instances)
        return measure(instances, *rest)

    monkeypatch.setattr(run_module, "measure", noted)
    return names


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three scenes as files."""
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / f"{number}.png" for number in range(3)]
    for path, example in zip(paths, scene_examples(3), strict=True):
        Image.fromarray(example.load()).save(path)
    return paths


def truths_of(paths: list[Path], **changes: Any) -> dict[Path, Truth]:
    """What is known of each: a box of one class, and what else is said of it."""
    thing = replace(Object((3,), "star", (10.0, 20.0, 120.0, 200.0)), **changes)
    return {path: Truth(path, (thing,), (256, 256)) for path in paths}


def assert_as_fresh(folder: Path, rivals: list[Rival], examples: list[Example], plan: Plan) -> None:
    """The comparison in the folder and one in an empty folder: the same figures."""
    empty = folder.with_name(f"{folder.name}-fresh")
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir()
    ours, fresh = (compare(rivals, examples, plan, place) for place in (folder, empty))
    assert [(repr(row)) for row in ours.rows] == [(repr(row)) for row in fresh.rows]
    assert (ours.images, ours.problems, ours.notes) == (fresh.images, fresh.problems, [])


TRUTHS: dict[str, dict[str, Any]] = {
    "a box": {"box": (11.0, 20.0, 120.0, 200.0)},
    "a class": {"labels": (4,)},
    "the classes that fit": {"labels": (3, 5)},
    "a crowd": {"crowd": True},
    "a mask": {"mask": lambda height, width: np.tri(height, width, dtype=bool)},
}


@pytest.mark.parametrize("what", TRUTHS)
def test_another_truth(photos: list[Path], tmp_path: Path, measured: Measured, what: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    compare([Rival("a", NET)], image_examples(photos, truths_of(photos)), PLAN, out)
    measured.clear()
    compare([Rival("a", NET)], image_examples(photos, truths_of(photos)), PLAN, out)
    assert measured == []
    changed = truths_of(photos) | truths_of(photos[1:2], **TRUTHS[what])
    compare([Rival("a", NET)], image_examples(photos, changed), PLAN, out)
    assert str(photos[1]) in measured
    assert_as_fresh(out, [Rival("a", NET)], image_examples(photos, changed), PLAN)
    measured.clear()
    compare([Rival("a", NET)], image_examples(photos, truths_of(photos)), PLAN, out)
    assert measured == []  # what was measured of the first truth is there still


def test_another_mask_in_the_same_file(photos: list[Path], tmp_path: Path, measured: Measured) -> None:
    out, mask = tmp_path / "out", tmp_path / "mask.png"
    out.mkdir()
    plan = replace(PLAN, against="masks")
    for edge in (60, 90):
        pixels = np.zeros((256, 256), np.uint8)
        pixels[:edge] = 255
        Image.fromarray(pixels).save(mask)
        measured.clear()
        assert_as_fresh(out, [Rival("a", NET)], image_examples(photos, truths_of(photos, mask=MaskFile(mask))), plan)
        assert len(measured) == 6  # here and in the empty folder


def test_other_pixels_in_the_same_file(photos: list[Path], tmp_path: Path, measured: Measured) -> None:
    """Of the same size and date, before the same examples."""
    out = tmp_path / "out"
    out.mkdir()
    examples = image_examples(photos, truths_of(photos))
    for path in photos:
        Image.fromarray(examples[0].load()).save(path.with_suffix(".bmp"))
    examples = image_examples([path.with_suffix(".bmp") for path in photos], truths_of(photos))
    examples = [replace(example, know=lambda: truths_of(photos)[photos[0]]) for example in examples]
    assert_as_fresh(out, [Rival("a", NET)], examples, PLAN)
    path, before = Path(examples[2].name), os.stat(examples[2].name)
    Image.fromarray(255 - examples[2].load()).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    measured.clear()
    assert_as_fresh(out, [Rival("a", NET)], examples, PLAN)
    assert measured


def test_an_image_that_cannot_be_read_any_more_has_no_figures(photos: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    examples = image_examples(photos, truths_of(photos))
    assert compare([Rival("a", NET)], examples, PLAN, out).images == 3
    photos[0].write_bytes(b"no image")
    found = compare([Rival("a", NET)], examples, PLAN, out)
    assert (found.images, len(found.problems)) == (2, 1)


def test_an_image_that_changes_while_it_is_read_is_not_written_down(photos: list[Path], tmp_path: Path) -> None:
    def load() -> Any:
        pixels = np.array(Image.open(photos[0]))
        Image.fromarray(255 - pixels).save(photos[0])
        return pixels

    examples = image_examples(photos, truths_of(photos))
    examples[0] = replace(examples[0], load=load)
    found = compare([Rival("a", NET)], examples, PLAN, tmp_path)
    assert found.images == 2
    assert "changed while it was read" in found.problems[0]


def test_other_pixels_of_a_function(tmp_path: Path, measured: Measured) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    plan = replace(PLAN, groups=("faithfulness",), steps=5)
    example = Example("x", lambda: pixels)
    compare([Rival("a", NET)], [example], plan, tmp_path)
    pixels = 255 - pixels
    compare([Rival("a", NET)], [example], plan, tmp_path)
    assert measured == ["x", "x"]


PLANS: dict[str, Callable[[Plan], Plan]] = {
    "methods": lambda plan: replace(plan, recipe=Recipe(("layer-cam",))),
    "layers": lambda plan: replace(plan, layers={"a": ("trunk_output.block1",)}),
    "layers of the recipe": lambda plan: replace(plan, recipe=Recipe(("grad-cam",), ("trunk_output.block1",))),
    "combine": lambda plan: replace(
        plan, recipe=Recipe(("grad-cam",), ("trunk_output", "trunk_output.block1"), "mean")
    ),
    "smooth": lambda plan: replace(plan, recipe=Recipe(("grad-cam",), smooth=("aug",))),
    "options": lambda plan: replace(plan, recipe=Recipe(("score-cam",), options={"score-cam": {"strongest": 3}})),
    "size": lambda plan: replace(plan, recipe=Recipe(("grad-cam",), input_size=64)),
    "scale": lambda plan: replace(plan, recipe=Recipe(("grad-cam",), scale=2)),
    "groups": lambda plan: replace(plan, groups=("arcc",)),
    "against": lambda plan: replace(plan, against="masks"),
    "target": lambda plan: replace(plan, target="predicted"),
    "fit": lambda plan: replace(plan, fit="crop"),
    "steps": lambda plan: replace(plan, groups=("faithfulness",), steps=3),
    "batch": lambda plan: replace(plan, batch=1),
}


@pytest.mark.parametrize("what", PLANS)
def test_other_options(tmp_path: Path, measured: Measured, what: str) -> None:
    rivals, examples = [Rival("a", NET)], scene_examples(2)
    first = replace(PLAN, groups=("faithfulness",), steps=4) if what == "steps" else PLAN
    compare(rivals, examples, first, tmp_path)
    measured.clear()
    assert_as_fresh(tmp_path, rivals, examples, PLANS[what](PLAN))
    assert len(measured) >= 4  # here and in the empty folder


NETS: dict[str, Callable[[], Any]] = {
    "mean": lambda: replace(NET, mean=(0.4, 0.5, 0.6)),
    "std": lambda: replace(NET, std=(0.4, 0.5, 0.6)),
    "interpolation": lambda: replace(NET, interpolation="bicubic"),
    "names of classes": lambda: replace(NET, classes=tuple(reversed(NET.classes))),
    "resize": lambda: replace(NET, resize_size=200),
    "values": lambda: replace(NET, model=build_net("scenes").model),
}


@pytest.mark.parametrize("what", NETS)
def test_another_network_of_the_same_name(tmp_path: Path, measured: Measured, what: str) -> None:
    plan = replace(PLAN, fit="crop")
    compare([Rival("a", NET)], scene_examples(2), plan, tmp_path)
    measured.clear()
    assert_as_fresh(tmp_path, [Rival("a", NETS[what]())], scene_examples(2), plan)
    assert len(measured) == 4


def test_values_that_are_changed_in_place(tmp_path: Path, measured: Measured) -> None:
    """Of the caller's own model, before the same rival."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)).eval()
    rivals = [Rival("a", own_net(model, input_size=32))]
    assert_as_fresh(tmp_path, rivals, scene_examples(2), PLAN)
    model[4].weight.data.neg_()
    measured.clear()
    assert_as_fresh(tmp_path, rivals, scene_examples(2), PLAN)
    assert len(measured) == 4


def test_weights_under_the_same_name_of_the_same_size_and_date(tmp_path: Path, measured: Measured) -> None:
    file, state = tmp_path / "weights.pth", dict(NET.model.state_dict())
    (tmp_path / "out").mkdir()
    torch.save(state, file)
    before = file.stat()
    compare([Rival("a", load_net("scenes", file))], scene_examples(2), PLAN, tmp_path / "out")
    torch.save({name: value.neg() if name == "fc.weight" else value for name, value in state.items()}, file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    measured.clear()
    assert_as_fresh(tmp_path / "out", [Rival("a", load_net("scenes", file))], scene_examples(2), PLAN)
    assert len(measured) == 4


CODE = """
import torch
from torch import nn
from {beside} import scale

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU())
        self.head = nn.Linear(4, 10)

    def forward(self, images):
        from {lazy} import shift
        return self.head((scale * self.features(images)).amax((2, 3)) + shift)

def mine():
    return Mine()
"""


@pytest.mark.parametrize("changed", ["mine", "beside", "lazy", "package/__init__", "package/inner"])
def test_other_code_of_the_same_values(tmp_path: Path, changed: str) -> None:
    """In the file, beside it, in a package beside it, and in what is imported only when the network runs."""
    unique = f"of_{tmp_path.name}"  # Python imports what lies beside a file once in a process
    names = {"beside": f"beside_{unique}", "lazy": f"lazy_{unique}", "package": f"package_{unique}"}
    files = {
        "mine": CODE.format(**names),
        names["beside"]: f"from {names['package']}.inner import scale\n",
        names["lazy"]: "shift = 1\n",
        f"{names['package']}/__init__": "",
        f"{names['package']}/inner": "from . import other\nscale = 1\n",
        f"{names['package']}/other": "",
        "another": "nothing = 0\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)

    def letters() -> str:
        return model_letters(load_from_factory(Factory(str(tmp_path / "mine.py"), "mine")).model)

    first = letters()
    (tmp_path / "another.py").write_text("nothing = 1\n")
    assert letters() == first
    room, _, rest = changed.partition("/")
    file = tmp_path / (f"{names.get(room, room)}/{rest}.py" if rest else f"{names.get(room, room)}.py")
    before = file.read_text()
    file.write_text(f"{before}# other code\n")
    assert letters() != first
    file.write_text(before)
    assert letters() == first


@pytest.mark.parametrize(
    "pair",
    [
        (torch.zeros(5000), torch.cat([torch.zeros(2500), torch.ones(1), torch.zeros(2499)])),
        (nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 1)),
        (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),
        (torch.zeros(3, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.float16)),
        (torch.zeros(0), torch.zeros(0, 2)),
        ({"a": [1, (2, None)]}, {"a": [1, (2, False)]}),
    ],
)
def test_what_is_not_the_same_has_other_letters(pair: tuple[Any, Any]) -> None:
    assert letters_of(pair[0]) == letters_of(pair[0]) != letters_of(pair[1])


def test_hooks_and_shared_values_have_letters() -> None:
    def doubled(_module: nn.Module, _inputs: Any, outputs: torch.Tensor) -> torch.Tensor:
        return 2 * outputs

    plain, hooked, looped = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    hooked.load_state_dict(plain.state_dict())
    looped.load_state_dict(plain.state_dict())
    hooked.register_forward_hook(doubled)
    looped.own = [looped]
    assert model_letters(plain) != model_letters(hooked)
    assert model_letters(looped) == model_letters(looped) != model_letters(plain)


def test_another_version(tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    compare([Rival("a", NET)], scene_examples(1), PLAN, tmp_path)
    monkeypatch.setattr("funcam.resuming.question.all_versions", lambda: (("torch", "3.0"),))
    measured.clear()
    compare([Rival("a", NET)], scene_examples(1), PLAN, tmp_path)
    assert len(measured) == 1


def test_the_journal_holds_no_more_than_was_asked_for(tmp_path: Path) -> None:
    examples = scene_examples(3)
    compare([Rival("a", NET)], examples, PLAN, tmp_path)
    key = PLAN.key(Rival("a", NET))
    journal = Journal(tmp_path / JOURNAL)
    assert journal.done(key, Contents(examples[:2])) == {example.name for example in examples[:2]}
    assert journal.done("0" * 16, Contents(examples)) == set()
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [["key", "records"]] * 3
    with pytest.raises(FuncamError, match="the data set is empty"):
        compare([Rival("a", NET)], [], PLAN, tmp_path)
