"""Pictures that are pasted, or taken by the webcam, are explained: in a browser with a camera that pretends."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import Browser, started
from PIL import Image

from funcam.scenes import scene

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
THERE = "return document.querySelector('#maps img')?.src"
BUTTON = (
    "[...document.querySelectorAll('#picture button')].find((it) => "
    "(it.getAttribute('aria-label') || it.title || it.innerText).trim() === arguments[0])"
)
COPY = """
const [content, done] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
navigator.clipboard.write([new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})})])
  .then(() => done(""), (error) => done(String(error)));
"""


@pytest.fixture
def window(tmp_path: Path, served: str) -> Iterator[Browser]:
    """The page before a browser that may read the clipboard and has a camera."""
    with started(tmp_path / "profile", *CAMERA) as one:
        granted = {"origin": served.rstrip("/"), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        one.driver.execute_cdp_cmd("Browser.grantPermissions", granted)
        one.driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
        one.size(1280)
        one.driver.get(served)
        one.wait(THERE)
        yield one


def press(window: Browser, label: str) -> None:
    window.wait(f"return {BUTTON}", label)
    window.js(f"{BUTTON}.click()", label)


def test_a_picture_that_is_pasted_is_explained(window: Browser) -> None:
    before = window.js(THERE)
    picture = io.BytesIO()
    Image.fromarray(scene(3, "different").image).resize((200, 120)).save(picture, "PNG")
    copied = window.driver.execute_async_script(COPY, base64.b64encode(picture.getvalue()).decode())
    assert copied == ""
    press(window, "Paste from clipboard")
    window.wait(f"{THERE} && {THERE.removeprefix('return ')} !== arguments[0]", before)
    assert window.js("const it = document.querySelector('#maps img'); return it.naturalWidth / it.naturalHeight") == (
        pytest.approx(200 / 120, rel=0.02)
    )


def test_a_picture_of_the_webcam_is_explained(window: Browser) -> None:
    before = window.js(THERE)
    press(window, "Capture from camera")
    press(window, "Click to Access Webcam")
    window.wait("return document.querySelector('#picture video')?.videoWidth")
    press(window, "capture photo")
    window.wait(f"{THERE} && {THERE.removeprefix('return ')} !== arguments[0]", before)
    assert window.js("return document.querySelectorAll('#classes input').length") > 1
