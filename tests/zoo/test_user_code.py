"""A model of one's own: made ready, with its input and class names; and the function in a file that makes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.zoo.nets import own_net
from funcam.zoo.user_code import Factory, factory_of, load_from_factory

SOURCE = """
import torch
from torch import nn
from funcam.zoo.nets import own_net

def plain():
    layers = nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(*layers)

def net():
    return own_net(plain(), input_size=64, mean=(0.5,) * 3, std=(0.25,) * 3, classes=("a", "b", "c"))

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = plain()

    def forward(self, images):
        return self.model(images)

SHARED = plain()

def shared():
    return SHARED

def half():
    return plain().half()

def broken():
    width = None
    return nn.Linear(width, 3)

def ends():
    raise SystemExit(2)

def wide(width):
    return nn.Linear(width, 3)

def number():
    return 3
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Factory]:
    """A function in a file in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(function: str, text: str = SOURCE, name: str = "own.py") -> Factory:
        Path(name).write_text(text)
        return Factory(name, function)

    return write


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(FuncamError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def small(classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))


# A model


def test_a_model_becomes_a_net_and_stays_as_it_is() -> None:
    model = small().half()
    net = own_net(model)
    assert not net.model.training
    assert {value.dtype for value in net.model.parameters()} == {torch.float32}
    assert model.training
    assert {value.dtype for value in model.parameters()} == {torch.float16}
    assert (net.input_size, net.mean, net.name) == (224, (0.485, 0.456, 0.406), "Sequential")
    assert net.classes == ("class 0", "class 1", "class 2")


def test_a_model_that_is_ready_is_not_copied() -> None:
    model = small().eval()
    assert own_net(model).model is model
    assert own_net(nn.DataParallel(model).eval()).model is model


def test_a_thousand_classes_have_imagenets_names() -> None:
    assert own_net(small(1000)).classes[281] == "tabby"


def test_logits_in_a_dict_are_counted() -> None:
    class Dict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small()

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.inner(images)}

    assert len(own_net(Dict()).classes) == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": ["a", "b"]}, "2 class names were given, but mine .* has 3 classes"),
        ({"input_size": 0}, "input_size=0 is too small"),
        ({"input_size": "64"}, "input_size is '64'; expected a whole number"),
        ({"input_size": True}, "input_size is True; expected a whole number"),
        ({"input_size": 64.0}, "input_size is 64.0; expected a whole number"),
        ({"mean": (0.5, 0.5)}, "mean has 2 values; expected 3"),
        ({"mean": (0.5,)}, r"mine can't take an image \[1, 1, 224, 224\]"),
        ({"std": (0.2, 0.2)}, "std has 2 values; expected 3"),
        ({"std": (0.2,)}, "std has 1 values and mean has 3"),
        ({"input_size": (64, 32, 3)}, "has 3 sides; expected one number"),
        ({"input_size": (64, 0)}, "is too small"),
        ({"frames": 0}, "frames is 0; expected a whole number of at least 1"),
        ({"scores": "maybe"}, "scores is 'maybe'; expected 'softmax'"),
        ({"output": "here"}, "in which there is no 'here'"),
        ({"mean": 0.5}, "mean is 0.5; expected 3 numbers"),
        ({"mean": "abc"}, "mean is 'abc'; expected 3 numbers"),
        ({"std": (0.2, float("nan"), 0.2)}, "std is nan; expected a number"),
        ({"std": (1, 0, 1)}, "divides by zero"),
        ({"interpolation": "cubic"}, "'cubic' is unknown"),
        ({"input_size": 2}, r"mine can't take an image \[1, 3, 2, 2\]"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(FuncamError, match=message):
        own_net(small(), name="mine", **given)


def test_models_that_return_no_logits() -> None:
    assert "expected logits [1, K]" in refusal(lambda: own_net(nn.Conv2d(3, 2, 3)))
    assert "run it once" in refusal(lambda: own_net(nn.Sequential(nn.Flatten(), nn.LazyLinear(3))))
    assert "no model" in refusal(lambda: own_net(3))  # type: ignore[arg-type]


# What is named


def test_what_is_a_function_and_what_is_not(source: Callable[..., Factory]) -> None:
    source("plain")
    assert factory_of("own.py:plain") == Factory("own.py", "plain")
    assert factory_of("./own.py:plain") == Factory("./own.py", "plain")
    assert factory_of("package.module:make") == Factory("package.module", "make")
    for other in ("resnet50", "mine:resnet50", "v1.2:resnet50", "mine:own.py:plain", "mine:package.module:make"):
        assert factory_of(other) is None, other


def test_nothing_runs_when_it_is_named(source: Callable[..., Factory]) -> None:
    source("plain", "open('ran', 'w')")
    factory_of("own.py:plain")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no.py:net", "there is no file 'no.py'"),
        ("own.py", "give own.py:FUNCTION"),
        ("own.py:", "names no function"),
        ("own.py:f()", "names no function"),
    ],
)
def test_functions_that_cannot_be_named(source: Callable[..., Factory], text: str, message: str) -> None:
    source("plain")
    assert message in refusal(lambda: factory_of(text))


# What it makes


def test_a_function_that_returns_a_model(source: Callable[..., Factory]) -> None:
    net = load_from_factory(source("plain"))
    assert (net.name, net.input_size, len(net.classes)) == ("own.py:plain", 224, 3)
    assert not net.model.training


def test_a_function_that_returns_a_net(source: Callable[..., Factory]) -> None:
    net = load_from_factory(source("net"))
    assert (net.name, net.input_size, net.mean, net.classes) == ("own.py:net", 64, (0.5,) * 3, ("a", "b", "c"))


def test_other_values_have_other_names(source: Callable[..., Factory]) -> None:
    """Comparisons go on where they stopped if the names are the same."""
    factory = source("plain")
    load_from_factory(factory)  # imports it, which draws
    torch.manual_seed(0)
    first = load_from_factory(factory)
    again = load_from_factory(factory)
    torch.manual_seed(0)
    assert first.weights == load_from_factory(factory).weights != again.weights


def test_weights(source: Callable[..., Factory]) -> None:
    factory = source("net")
    state = load_from_factory(factory).model.state_dict()
    torch.save(state, "mine.pth")
    net = load_from_factory(factory, "mine.pth")
    assert net.weights == "mine.pth"
    assert all(torch.equal(net.model.state_dict()[name], value) for name, value in state.items())


def test_weights_whose_names_all_begin_alike(source: Callable[..., Factory]) -> None:
    """What looks like a wrapper's prefix is the model's own here, and either file fits."""
    factory = source("Wrapped")
    state = load_from_factory(factory).model.state_dict()
    assert all(name.startswith("model.") for name in state)
    torch.save(state, "mine.pth")
    torch.save({name.removeprefix("model."): value for name, value in state.items()}, "inner.pth")
    for file in ("mine.pth", "inner.pth"):
        found = load_from_factory(factory, file).model.state_dict()
        assert all(torch.equal(found[name], value) for name, value in state.items())


def test_weights_go_into_a_copy_of_what_the_function_keeps(source: Callable[..., Factory]) -> None:
    factory = source("shared")
    before = load_from_factory(factory)
    torch.save({name: value + 1 for name, value in before.model.state_dict().items()}, "other.pth")
    assert load_from_factory(factory, "other.pth").weights == "other.pth"
    assert load_from_factory(factory).weights == before.weights


def test_weights_in_half_precision_are_as_good_as_any(source: Callable[..., Factory]) -> None:
    state = {name: value + 1e-5 for name, value in load_from_factory(source("plain")).model.state_dict().items()}
    torch.save(state, "mine.pth")
    found = load_from_factory(Factory("own.py", "half"), "mine.pth").model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_labels(source: Callable[..., Factory]) -> None:
    Path("names.txt").write_text("x\ny\nz\n")
    assert load_from_factory(source("plain"), labels="names.txt").classes == ("x", "y", "z")


def test_a_file_finds_its_neighbours(source: Callable[..., Factory]) -> None:
    source("", "WIDTH = 5\n", "beside_it_7.py")
    Path("below").mkdir()
    text = "from beside_it_7 import WIDTH\nfrom torch import nn\n"
    text += "def net(): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, WIDTH))\n"
    assert len(load_from_factory(source("net", text)).classes) == 5


def test_two_files_of_one_name(source: Callable[..., Factory]) -> None:
    for folder, width in (("a", 2), ("b", 3)):
        Path(folder).mkdir()
        text = (
            f"from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, {width}))\n"
        )
        assert len(load_from_factory(source("net", text, f"{folder}/random.py")).classes) == width


def test_a_module_in_the_current_folder(source: Callable[..., Factory]) -> None:
    Path("package_of_mine").mkdir()
    source("", SOURCE, "package_of_mine/models.py")
    assert load_from_factory(Factory("package_of_mine.models", "net")).name == "package_of_mine.models:net"


def test_what_the_code_prints_is_not_the_results(
    source: Callable[..., Factory], capsys: pytest.CaptureFixture[str]
) -> None:
    load_from_factory(source("plain", f"print('imported')\n{SOURCE}"))
    assert capsys.readouterr() == ("", "imported\n")


# What goes wrong in it


@pytest.mark.parametrize(
    ("function", "messages"),
    [
        ("plan", ["there is no function 'plan' in own.py; nearest: 'plain'"]),
        (
            "broken",
            [
                "own.py:broken failed: TypeError: ",
                f"own.py, line {1 + SOURCE.splitlines().index('    return nn.Linear(width, 3)')})",
            ],
        ),
        ("ends", ["own.py:ends failed: SystemExit"]),
        ("wide", ["can't be called without arguments", "'width'"]),
        ("number", ["own.py:number returned a value of type int", "expected a function"]),
        ("SHARED", ["own.py:SHARED is no function but a value of type Sequential"]),
    ],
)
def test_functions_that_make_no_network(source: Callable[..., Factory], function: str, messages: list[str]) -> None:
    line = refusal(lambda: load_from_factory(source(function)))
    for message in messages:
        assert message in line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef net(:\n", "SyntaxError: invalid syntax (PATH, line 2)"),
        ("\n\nimport nowhere_7\n", "ModuleNotFoundError: No module named 'nowhere_7' (PATH, line 3)"),
        ("raise ValueError('two\\nlines')", "ValueError: two (PATH, line 1)"),
    ],
)
def test_files_that_cannot_be_imported(source: Callable[..., Factory], text: str, message: str) -> None:
    factory = source("net", text)
    message = message.replace("PATH", str(Path("own.py").resolve()))
    for _ in range(2):  # nothing of it stays imported
        assert refusal(lambda: load_from_factory(factory)) == f"own.py:net can't be imported: {message}"


def test_modules_that_are_not_there(source: Callable[..., Factory]) -> None:
    assert "there is no module 'nowhere_7'" in refusal(lambda: load_from_factory(Factory("nowhere_7.models", "net")))
    assert "there is no module 'torch.nowhere'" in refusal(lambda: load_from_factory(Factory("torch.nowhere", "net")))
    assert "no function 'nix' in torchvision.models" in refusal(
        lambda: load_from_factory(Factory("torchvision.models", "nix"))
    )


def test_weights_that_do_not_fit(source: Callable[..., Factory]) -> None:
    state = load_from_factory(source("net")).model.state_dict()
    state["0.weight"] = torch.zeros(4, 1, 3, 3)
    state["5.weight"] = state.pop("4.weight")
    torch.save(state, "bad.pth")
    line = refusal(lambda: load_from_factory(Factory("own.py", "net"), "bad.pth"))
    for part in ("bad.pth does not fit own.py:net", "1 missing: 4.weight", "1 unexpected: 5.weight", "[4, 1, 3, 3]"):
        assert part in line


def test_weights_with_nan(source: Callable[..., Factory]) -> None:
    state = load_from_factory(source("net")).model.state_dict()
    torch.save({name: value * float("nan") for name, value in state.items()}, "bad.pth")
    assert "bad.pth holds NaN" in refusal(lambda: load_from_factory(Factory("own.py", "net"), "bad.pth"))


def test_a_file_that_was_edited_is_read_again_in_the_same_process(tmp_path: Path) -> None:
    """To one of the same length, at once: neither its size nor its date says so."""
    file = tmp_path / "edited.py"
    stamps = (1_700_000_000_000_000_000,) * 2
    for classes in (3, 4, 3):
        lines = "from torchvision.models import resnet18", f"def f(): return resnet18(num_classes={classes})"
        file.write_text("\n".join(lines))
        os.utime(file, ns=stamps)
        assert len(load_from_factory(Factory(str(file), "f")).classes) == classes
