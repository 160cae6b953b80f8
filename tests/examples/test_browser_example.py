"""`examples/browser` in a real browser: pictures and a camera are explained as `explain` does; nobody else is asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from browsers import Browser, started
from PIL import Image

import funcam
from funcam.scenes import scene
from funcam.zoo.nets import load_net
from funcam.zoo.preprocessing import normalised

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PIXELS = """
const canvas = document.querySelector('#overlay');
return Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data);
"""
DROP = """
const answer = await fetch(arguments[0]);
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([await answer.blob()], arguments[0]));
document.querySelector('#drop').dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true}));
"""
PICTURE = np.asarray(Image.fromarray(scene(7).image).resize((128, 128)))  # as large as the network takes it
pytestmark = [pytest.mark.browser, pytest.mark.slow]  # three files are exported first


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built, with explainers of the network of scenes and a picture beside it."""
    folder = tmp_path_factory.mktemp("site") / "browser"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "*.onnx"))
    if not (folder / "ort").is_dir():
        _build(folder)
    net = load_net("scenes")
    for name, targets, preprocessing in (("explainer", None, True), ("asked", "input", False), ("all", "all", True)):
        funcam.export(
            net.model,
            folder / f"{name}.onnx",
            example=torch.zeros(1, *net.image_shape),
            targets=targets,
            classes=net.classes,
            mean=net.mean,
            std=net.std,
            preprocessing=preprocessing,
        )
    Image.fromarray(PICTURE).save(folder / "scene.png")
    return folder


def _build(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm; install Node.js, or build examples/browser")
    done = subprocess.run([npm, "ci"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"npm can't fetch onnxruntime-web: {(done.stderr.splitlines() or [''])[-1]}")
    subprocess.run([npm, "run", "build"], cwd=folder, check=True, capture_output=True)


@contextmanager
def served(folder: Path, *command: str) -> Iterator[str]:
    """The address of a folder on loopback while a program serves it."""
    line = [sys.executable, "-u", *command]
    with subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = re.search(r":(\d+)|port (\d+)", server.stdout.readline())
            assert port is not None
            yield f"http://localhost:{port[1] or port[2]}/"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("profile"), *CAMERA) as one:
        yield one


@pytest.fixture(scope="module")
def plain(site: Path) -> Iterator[str]:
    with served(site, "-m", "http.server", "0", "--bind", "127.0.0.1") as address:
        yield address


@pytest.fixture(scope="module")
def isolated(site: Path) -> Iterator[str]:
    with served(site, "serve.py", "0") as address:
        yield address


def opened(window: Browser, address: str) -> None:
    window.open(address)
    window.wait("return document.querySelector('#status').textContent.startsWith('Ready')")


def drop(window: Browser, file: str) -> None:
    window.driver.execute_script(f"return (async () => {{{DROP}}})()".replace("arguments[0]", repr(file)))


def listed(window: Browser) -> list[list[str]]:
    """Class, probability, and whether it is the one that is explained."""
    return window.js(
        "return [...document.querySelectorAll('#classes button')].map((button) => "
        "[...[...button.children].map((each) => each.textContent), button.getAttribute('aria-pressed')])"
    )


def assert_explained(window: Browser, target: int | None = None) -> None:
    """The page says what `explain` says: classes with their probabilities, and where the map is largest."""
    net = load_net("scenes")
    result = funcam.explain(net.model, normalised(net, [PICTURE], "cpu"), target)
    said = listed(window)
    probabilities = result.logits[0].softmax(0)
    assert said[0][0] == net.classes[int(probabilities.argmax())]
    assert [name for name, _, explained in said if explained == "true"] == [net.classes[int(result.targets)]]
    for name, share, _ in said:
        assert abs(float(share.removesuffix(" %")) - 100 * probabilities[net.classes.index(name)].item()) <= 0.06
    window.set("#strength", 0)
    np.testing.assert_array_equal(_drawn(window), PICTURE)
    window.set("#strength", 1)
    assert np.corrcoef(_drawn(window).ravel() - PICTURE.ravel(), _change(result.maps).ravel())[0, 1] > 0.99


def _drawn(window: Browser) -> np.ndarray:
    return np.array(window.js(PIXELS), dtype=float).reshape(*PICTURE.shape[:2], 4)[..., :3]


def _change(maps: torch.Tensor) -> np.ndarray:
    """What a map in the colours of jet, as opaque as it is large, changes of the picture."""
    heat = maps.relu() / maps.max()
    colours = torch.cat([heat * (1.5 - (4 * heat - middle).abs()).clamp(0, 1) for middle in (3, 2, 1)])
    opacity, *light = funcam.upsample(torch.cat([heat, colours]), PICTURE.shape[:2]).numpy()
    return 255 * np.stack(light, 2) - opacity[..., None] * PICTURE


def assert_quiet(window: Browser, address: str) -> None:
    """Nothing was complained of, and nobody else was asked for anything."""
    asked = [urlsplit(url) for url in window.requests()]
    assert len(asked) > 5
    assert {each.netloc for each in asked if each.scheme not in ("data", "blob")} == {urlsplit(address).netloc}
    assert [line for line in window.logs() if "SEVERE" in line or "Security" in line] == []


@pytest.mark.parametrize(("server", "threads"), [("plain", "one thread"), ("isolated", "threads")])
def test_a_photo(server: str, threads: str, window: Browser, site: Path, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(server)
    opened(window, address)
    window.driver.find_element("id", "file").send_keys(str(site / "scene.png"))
    window.wait("return document.querySelector('#status').textContent.startsWith('scene.png')")
    assert window.js("return document.querySelector('#status').textContent").endswith(threads)
    assert window.js("return self.crossOriginIsolated") is (server == "isolated")
    assert_explained(window)
    assert_quiet(window, address)


@pytest.mark.parametrize("explainer", ["asked.onnx", "all.onnx"])
def test_any_class_of_a_photo_that_is_dropped(explainer: str, window: Browser, plain: str) -> None:
    opened(window, plain)
    drop(window, explainer)
    window.wait("return document.querySelector('#status').textContent.startsWith('Ready')")
    drop(window, "scene.png")
    window.wait("return document.querySelector('#classes button:enabled')")
    assert_explained(window)
    other = window.js(
        "const button = document.querySelector('#classes li:nth-child(2) button'); button.click();"
        "return button.dataset.index"
    )
    window.wait(f"return document.querySelector('[data-index=\"{other}\"][aria-pressed=true]')")
    assert_explained(window, int(other))
    assert_quiet(window, plain)


@pytest.mark.slow
def test_a_real_photo(assets: Path, window: Browser, site: Path, plain: str) -> None:
    net = load_net("mobilenet_v2", assets / "weights" / "mobilenet_v2.pth")
    given = {"classes": net.classes, "mean": net.mean, "std": net.std, "preprocessing": True}
    funcam.export(net.model, site / "real.onnx", example=torch.zeros(1, *net.image_shape), **given)
    photo = assets / "photos" / "seed" / "pic1.jpg"
    result = funcam.explain(net, photo)
    opened(window, plain)
    drop(window, "real.onnx")
    window.wait("return document.querySelector('#status').textContent.includes('224 × 224')")
    window.driver.find_element("id", "file").send_keys(str(photo))
    window.wait("return document.querySelector('#classes button')")
    assert listed(window)[0][0] == net.classes[int(result.targets)]
    assert_quiet(window, plain)


def test_the_camera(window: Browser, plain: str) -> None:
    opened(window, plain)
    window.click("#webcam")
    window.wait("return /^[1-9].* frames a second/.test(document.querySelector('#status').textContent)")
    assert len(listed(window)) >= 5
    first = window.canvas("#overlay")
    window.driver.execute_async_script("setTimeout(arguments[0], 500)")
    assert window.canvas("#overlay") != first
    window.click("#webcam")
    assert window.js("return document.querySelector('#video').srcObject") is None
    assert_quiet(window, plain)


@pytest.mark.parametrize(
    ("file", "words"), [("style.css", "style.css is no picture"), ("index.html.onnx", "no .onnx file")]
)
def test_what_is_no_picture_and_no_explainer(file: str, words: str, window: Browser, site: Path, plain: str) -> None:
    (site / "index.html.onnx").write_bytes((site / "index.html").read_bytes())
    opened(window, plain)
    drop(window, file)
    window.wait(f"return document.querySelector('#status').textContent.includes({words!r})")
    assert listed(window) == []
