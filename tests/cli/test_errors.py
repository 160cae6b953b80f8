"""What goes wrong, and the one line that says it: exit code 2 where the words are wrong, 1 where the matter is."""

from __future__ import annotations

import errno
import io
import os
import pickle
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import SCENES, Funcam, photo
from PIL import Image

from funcam.zoo.nets import build_net

# Images


def test_a_missing_file(funcam: Funcam, image: Path) -> None:
    funcam("explain", "pik.png").error(2, "'pik.png' does not exist; nearest: 'pic.png'")


def test_several_missing_files(funcam: Funcam) -> None:
    line = funcam("explain", "a.png", "b.png").error(2, "'a.png' does not exist")

    assert "'b.png' does not exist" in line


def test_a_folder_without_images(funcam: Funcam) -> None:
    Path("notes").mkdir()
    Path("notes/pic.txt").write_text("no image")

    funcam("explain", "notes").error(2, "folder 'notes' holds no images")
    funcam("explain", "notes/*").error(2, r"glob 'notes/\*' matches 1 file\(s\), but no images")


@pytest.mark.parametrize(
    "line", ["explain x.png --contrast", "compare x.png --metrics", "batch x --out", "nets --json=1"]
)
def test_wrong_use_of_a_command_leads_to_its_own_help(funcam: Funcam, line: str) -> None:
    funcam(*line.split()).error(2, f"see `funcam {line.split()[0]} --help`")


def test_a_picture_of_a_gigapixel_is_not_drawn(funcam: Funcam, image: Path) -> None:
    funcam("explain", image, "--net", "scenes", "--size", 100_000).error(2, "65535")
    funcam("explain", image, "--net", "scenes", "--size", 30_000).error(1, "larger than 179 million; give a smaller")


@pytest.mark.parametrize("layer", ["nope", "x"])  # the network's input is called x, and is no layer
def test_a_layer_that_is_not_there_is_told_once(funcam: Funcam, image: Path, layer: str) -> None:
    shutil.copy(image, "other.png")
    funcam("explain", image, "other.png", *SCENES, "--layer", layer).error(1, f"funcam: layer '{layer}' is not in")


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photo()).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "'bad.png' is empty"),
        (png()[:400], "'bad.png' is truncated or damaged"),
        (b"Once upon a time", "'bad.png' is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "'bad.png' is not an image"),
    ],
    ids=["empty", "truncated", "text", "a program"],
)
def test_a_file_that_is_no_image(funcam: Funcam, content: bytes, message: str) -> None:
    Path("bad.png").write_bytes(content)

    funcam("explain", "bad.png", *SCENES).error(1, message)
    assert not list(Path("results").iterdir())


def test_a_name_with_a_line_break_is_still_one_line(funcam: Funcam) -> None:
    Path("a\nb.png").write_bytes(b"x")

    funcam("explain", "a\nb.png", *SCENES).error(1, "is not an image")


@pytest.mark.parametrize(
    ("size", "message"),
    [((8, 40), "40x8 pixels and squeezenet1_1 needs at least 17"), ((2001, 2000), "more than the 4 megapixels")],
)
def test_sizes_that_native_refuses(funcam: Funcam, size: tuple[int, int], message: str) -> None:
    Image.new("L", size[::-1]).save("pic.png")

    run = ("explain", "pic.png", "--net", "squeezenet", "--weights", "random", "--fit", "native")
    assert "use --fit squash, crop or pad" in funcam(*run).error(1, message)


# Networks, layers, classes, labels


@pytest.mark.parametrize(
    ("net", "offered"), [("resnet5", "'resnet50'"), ("incepton", "'inception'"), ("shufle", "'shufflenet'")]
)
def test_an_unknown_network(funcam: Funcam, image: Path, net: str, offered: str) -> None:
    line = funcam("explain", image, "--net", net).error(2, f"network '{net}' is not in the zoo")

    assert offered in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--net", "nope"), r"network 'nope' is not in the zoo; `funcam nets` lists them all$"),
        (("--net", "scenes", "-m", "0"), r"unknown method '0'; `funcam methods` lists them all$"),
    ],
)
def test_nothing_is_near(funcam: Funcam, image: Path, words: tuple[str, ...], told: str) -> None:
    funcam("explain", image, *words).error(2, told)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder that takes no files, of Linux")
def test_a_folder_that_takes_no_files(funcam: Funcam, image: Path) -> None:
    for words in (("--report", "/proc/x.html"), ("--out", "/proc")):
        line = funcam("explain", image, *SCENES, *words).error(2, "choose a folder that you may write to")
        assert "make the folder" not in line
    run = ("export", "--net", "scenes", "--out")
    assert "that is there" not in funcam(*run, "/proc/x.pt2").error(1, "/proc/x.pt2.* give another folder")
    funcam(*run, "x.foo").error(2, "or give --format")


def test_an_unknown_layer(funcam: Funcam, image: Path) -> None:
    funcam("explain", image, *SCENES, "--layer", "trunk_outputt").error(1, "nearest: 'trunk_output'")


def test_a_layer_of_another_network(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, *SCENES, "--layer")
    funcam(*run, "resnet18=layer4").error(2, "no network is called 'resnet18'; there are scenes")
    assert funcam(*run, "scenes=trunk_output", "-m", "grad-cam", "--pictures", "none").code == 0


@pytest.mark.parametrize("layer", ["avgpool", "flatten", "fc"])
def test_a_layer_that_is_no_feature_map(funcam: Funcam, image: Path, layer: str) -> None:
    funcam("explain", image, *SCENES, "--layer", layer).error(1, f"pic.png: .*'{layer}'")
    assert not list(Path("results").iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "class 10 is out of range: the network has 10 classes, 0 to 9"),
        ("-1", "class -1 is out of range"),
        ("99999999999999999999999", "class '9+' is unknown"),
        ("starr", "class 'starr' is unknown; nearest: 'star'"),
        ("", "the class is empty"),
    ],
)
def test_an_unknown_class(funcam: Funcam, image: Path, text: str, message: str) -> None:
    funcam("explain", image, *SCENES, f"--class={text}").error(1, message)


def test_an_ambiguous_class_lists_the_candidates(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, "--net", "squeezenet", "--weights", "random", "--class", "setter")
    line = funcam(*run).error(1, "class 'setter' is ambiguous")

    for candidate in ("212 'English setter'", "213 'Irish setter'", "214 'Gordon setter'"):
        assert candidate in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one\ntwo\nthree\n", "3 class names were given, but scenes .* has 10 classes"),
        ("one\n\nthree\n", "line 2 is empty"),
        ("{", "is not JSON"),
        ("", "holds no names"),
    ],
)
def test_labels_that_do_not_fit(funcam: Funcam, image: Path, content: str, message: str) -> None:
    Path("labels.txt").write_text(content)

    funcam("explain", image, *SCENES, "--labels", "labels.txt").error(1, message)


# Weights


def refused(funcam: Funcam, image: Path, content: Any, message: str, net: str = "shufflenet_v2_x0_5") -> str:
    """The line that is said of a file with this content."""
    if isinstance(content, bytes):
        Path("bad.pth").write_bytes(content)
    else:
        torch.save(content, "bad.pth")
    return funcam("explain", image, "--net", net, "--weights", "bad.pth").error(1, message)


def test_weights_with_entries_that_are_missing_unexpected_and_misshapen(
    funcam: Funcam, image: Path, small_weights: Path
) -> None:
    state = torch.load(small_weights, weights_only=True)
    state["surplus.weight"] = state.pop("conv5.1.bias")
    state["conv1.0.weight"] = torch.zeros(24, 1, 3, 3)
    line = refused(funcam, image, state, "does not fit shufflenet_v2_x0_5")

    assert "1 missing: conv5.1.bias" in line
    assert "1 unexpected: surplus.weight" in line
    assert "conv1.0.weight has the shape [24, 1, 3, 3], expected [24, 3, 3, 3]" in line


def test_weights_of_another_network_say_of_which(funcam: Funcam, image: Path, small_weights: Path) -> None:
    line = funcam("explain", image, "--net", "resnet18", "--weights", small_weights).error(1, "does not fit resnet18")

    assert "use --net shufflenet_v2_x0_5" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a checkpoint", "is not a checkpoint"),
        (b"PK\x03\x04 and no more", "is cut short or damaged"),
        (pickle.dumps({"a": 1}, 2), "bad.pth"),
        ({"epoch": 3}, "holds no state dict"),
        ([1, 2], "holds a list"),
    ],
    ids=["empty", "text", "cut", "pickle", "no tensors", "list"],
)
def test_weights_that_are_no_checkpoint(funcam: Funcam, image: Path, content: Any, message: str) -> None:
    refused(funcam, image, content, message)


class Malice:
    """Unpickled, it writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_not_executed(funcam: Funcam, image: Path, zipped: bool) -> None:
    torch.save({"conv1.0.weight": Malice()}, "bad.pth", _use_new_zipfile_serialization=zipped)
    run = ("explain", image, "--net", "resnet18", "--weights", "bad.pth")

    funcam(*run).error(1, "holds Python objects .* and funcam runs no code from a file of weights")
    assert not Path("executed").exists()


def test_weights_with_nan(funcam: Funcam, image: Path, small_weights: Path) -> None:
    state = torch.load(small_weights, weights_only=True)
    state["conv5.0.weight"][3, 3] = float("nan")

    refused(funcam, image, state, "holds NaN in 'conv5.0.weight'")


def test_a_map_that_is_nan(funcam: Funcam, image: Path) -> None:
    """Weights that are numbers, but so large that what is computed from them is none."""
    state = build_net("scenes").model.state_dict()
    for tensor in state.values():
        if tensor.is_floating_point():
            tensor.mul_(1e20)
    torch.save(state, "huge.pth")

    line = funcam("explain", image, "--net", "scenes", "--weights", "huge.pth").error(1, "NaN")
    assert "pic.png" in line
    assert not list(Path("results").iterdir())


def test_weights_that_are_not_published(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, "--net", "resnet18", "--weights")

    funcam(*run, "IMAGENET1K_V9").error(1, "neither published for resnet18 nor a file; expected IMAGENET1K_V1")
    funcam(*run, "no/such.pth").error(2, "--weights 'no/such.pth': there is no such file")


@pytest.mark.parametrize("weights", ["such.pth", "no/such", "such"])
@pytest.mark.parametrize("command", [("explain",), ("compare", "--scenes", 2), ("evaluate", "--scenes", 2), ("batch",)])
def test_weights_that_are_not_there(funcam: Funcam, image: Path, command: tuple[str, ...], weights: str) -> None:
    images = () if "--scenes" in command else (image, "--out", "out")
    funcam(*command, *images, "--net", f"scenes={weights}").error(2, f"there is no file '{weights}'")
    if images:
        funcam(*command, *images, *SCENES, "--weights", weights).error(2, "there is no such file")


def test_no_internet_and_no_file(funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)

    line = funcam("explain", image, "--net", "resnet18").error(1, "IMAGENET1K_V1 of resnet18 can't be downloaded")
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in line
    assert "Name or service not known" in line
    for way in ("--weights FILE", "download resnet18-f37072fd.pth elsewhere", "--net scenes, which needs no download"):
        assert way in line
    assert not list(Path("no-cache").rglob("*.pth"))


# Devices


def test_an_unknown_device(funcam: Funcam, image: Path) -> None:
    funcam("explain", image, "--device", "gpu").error(2, "--device 'gpu' is unknown; expected auto, cpu, cuda")


@pytest.mark.parametrize(("count", "device", "said"), [(0, "cuda", "there is none"), (2, "cuda:2", "cuda:0 to cuda:1")])
def test_a_device_that_is_not_there(
    funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch, count: int, device: str, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    line = funcam("explain", image, *SCENES, "--device", device).error(1, f"--device {device} was asked for and")
    assert said in line
    assert "use --device cpu" in line


# Places to write to


@pytest.mark.parametrize("out", ["pic.png", "pic.png/below", "/dev/null/below", "/proc/nothing", "x" * 300])
def test_a_folder_that_cannot_be_made(funcam: Funcam, image: Path, out: str) -> None:
    if not os.path.exists("/proc"):
        pytest.skip("a path that nobody can write to, not even root, is Linux's")
    before = image.read_bytes()

    funcam("explain", image, *SCENES, "--out", out).error(2, f"--out: .*{re.escape(out[:100])}")
    assert image.read_bytes() == before


def test_a_disk_that_is_full_in_the_middle_of_a_file(funcam: Funcam, image: Path) -> None:
    """The system refuses to write on after 2,000 bytes of a file; on a full disk only the reason reads otherwise."""
    resource = pytest.importorskip("resource", reason="limits are POSIX's")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        ran = funcam("explain", image, *SCENES, "--format", "png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    ran.error(1, r"pic.png: can't write 'results/pic-scenes-[\w+]+\.png': File too large")
    for path in Path("results").iterdir():
        assert not path.name.startswith(".")
        Image.open(path).load()


def test_a_full_disk(funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if "cam++" in Path(target).name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    shutil.copy(image, "next.png")
    ran = funcam("explain", image, *SCENES)

    ran.error(1, "No space left on device; make room or choose another disk")
    assert {path.name for path in Path("results").iterdir()} == {
        f"pic-scenes-{kind}.jpg" for kind in ("heatmap", "cam", "heatmap++")
    }


def test_a_picture_that_the_format_cannot_hold(funcam: Funcam) -> None:
    Image.new("RGB", (200, 1)).save("line.png")
    run = ("explain", "line.png", *SCENES, "--format", "webp", "--size", "20000")

    funcam(*run).error(1, ".webp holds at most 16383 pixels a side")


# Maps of nothing


def test_a_map_that_is_zero_everywhere_is_said_and_drawn_as_nothing(funcam: Funcam, image: Path) -> None:
    state = build_net("scenes").model.state_dict()
    state["fc.weight"] = -state["fc.weight"].abs()  # everything on the image speaks against every class
    state["fc.bias"] = torch.arange(10.0)
    torch.save(state, "against.pth")
    run = ("explain", image, "--net", "scenes", "--weights", "against.pth", "--class", "star", "--format", "png")
    ran = funcam(*run)

    assert (ran.code, ran.err) == (0, "")
    assert "note grad-cam at trunk_output is zero everywhere for class 8" in ran.out
    with Image.open("results/pic-scenes-cam.png") as cam, Image.open(image) as original:
        assert cam.tobytes() == original.tobytes()
    with Image.open("results/pic-scenes-heatmap.png") as heat:
        assert len(heat.getcolors()) == 1


def test_a_file_that_begins_with_a_dash(funcam: Funcam, image: Path) -> None:
    for name in ("-c.png", "-zz.png", "-old.png", "-q.png"):
        Path(name).write_bytes(image.read_bytes())
        ran = funcam("explain", name, "--net", "scenes")
        assert ran.code == 2
        assert f"(the file {name!r} begins with a dash: give it as './{name}', or behind --)" in ran.err
        assert funcam("explain", f"./{name}", *SCENES, "-q", "-m", "grad-cam").code == 0
        assert funcam("explain", *SCENES, "-q", "-m", "grad-cam", "--", name).code == 0


def test_what_is_left_out_is_told(funcam: Funcam, image: Path) -> None:
    Path("photos").mkdir()
    image.rename(Path("photos") / image.name)
    Path("photos/phone.heic").write_bytes(b"?")
    ran = funcam("explain", "photos", *SCENES, "-m", "grad-cam")
    assert ran.code == 0
    assert ran.err.splitlines()[0].startswith("funcam: folder 'photos': 1 image is left out")
    assert funcam("explain", "photos", *SCENES, "-m", "grad-cam", "--quiet").err == ""


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="a folder in which nobody may write is Linux's")
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("explain", "--out"),
        ("explain", "--report"),
        ("compare", "--out"),
        ("compare", "--report"),
        ("evaluate", "--out"),
    ],
)
def test_a_folder_that_may_not_be_written_to_is_found_before_anything_is_loaded(
    funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch, command: str, option: str
) -> None:
    monkeypatch.setattr("funcam.zoo.nets.build_net", lambda *_: pytest.fail("it was loaded"))
    words = (image,) if command == "explain" else ("--scenes", 4)
    path = "/sys/kernel" if option == "--out" else "/sys/kernel/page.html"
    ran = funcam(command, *words, "--net", "scenes", option, path)
    ran.error(2, rf"{option}.*: can't write '/sys/kernel': .*; choose a folder that you may write to")
