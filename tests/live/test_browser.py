"""The page in a browser: drop, switch, click, two at once, a wrong file, a phone, the keyboard, and contrasts."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
from browsers import Browser
from PIL import Image

from funcam.scenes import scene

ENTER, RIGHT, UP = "\ue007", "\ue014", "\ue013"  # WebDriver's names for keys

DROP = """
const [content, name, kind] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const given = new DataTransfer();
given.items.add(new File([bytes], name, {type: kind}));
const target = document.querySelector("#picture .upload-container");
for (const event of ["dragenter", "dragover", "drop"])
  target.dispatchEvent(new DragEvent(event, {dataTransfer: given, bubbles: true, cancelable: true}));
"""


def png(seed: int, size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene(seed, "different").image).resize(size).save(stream, "PNG")
    return stream.getvalue()


def drop(page: Browser, content: bytes, name: str, kind: str = "image/png") -> None:
    page.js(DROP, base64.b64encode(content).decode(), name, kind)


def point(page: Browser, x: float, y: float) -> None:
    """Click into the first map, at parts of its width and height."""
    page.js(
        "const it = document.querySelector('#maps img'), box = it.getBoundingClientRect();"
        "const at = {clientX: box.x + arguments[0] * box.width, clientY: box.y + arguments[1] * box.height};"
        "it.dispatchEvent(new MouseEvent('click', {bubbles: true, ...at}));",
        x,
        y,
    )
    page.wait("return document.querySelector('#place table')")


def shown(page: Browser, number: int = 0) -> np.ndarray:
    """The pixels of a map."""
    source = page.js(f"return document.querySelectorAll('#maps img')[{number}].src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def classes(page: Browser) -> list[str]:
    return list(page.js("return [...document.querySelectorAll('#classes label')].map((it) => it.innerText.trim())"))


def test_a_picture_that_is_dropped_is_explained(page: Browser) -> None:
    drop(page, png(5, (200, 150)), "mine.png")
    page.wait("return document.querySelector('#maps img')?.naturalWidth == 200")
    assert shown(page).shape == (150, 200, 3)
    shares = [float(label.split(",")[1].rstrip(" %")) for label in classes(page)]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 6


def test_each_class_is_a_button_with_its_own_map(page: Browser) -> None:
    names = [label.partition(",")[0] for label in classes(page)]
    maps = []
    for number, name in enumerate(names[:3]):
        page.js("document.querySelectorAll('#classes input')[arguments[0]].click()", number)
        page.wait("return document.querySelector('#maps img').alt.includes(arguments[0])", name)
        assert page.js("return document.querySelector('#maps figcaption').innerText").startswith(name)
        maps.append(shown(page))
    assert not np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[1], maps[2])


def test_a_place_says_what_it_speaks_for(page: Browser) -> None:
    point(page, 0.51, 0.51)
    assert "column 9 of 16, row 9 of 16" in page.js("return document.querySelector('#place caption').innerText")
    adds = page.js("return [...document.querySelectorAll('#place td:nth-child(2)')].map((it) => +it.innerText)")
    assert adds == sorted(adds, reverse=True)
    assert "Exact" in page.js("return document.querySelector('#place').innerText")
    mark = page.js("return document.querySelector('#maps i').getBoundingClientRect().toJSON()")
    frame = page.js("return document.querySelector('#maps .seen').getBoundingClientRect().toJSON()")
    assert abs(mark["x"] - (frame["x"] + frame["width"] / 2)) < 2


def test_the_keyboard_reaches_every_cell(page: Browser) -> None:
    page.js("document.querySelector('#maps .seen').focus()")
    page.keys(ENTER)
    page.wait("return document.querySelector('#place table')")
    for key, where in ((RIGHT, "column 10 of 16, row 9"), (UP, "column 10 of 16, row 8")):
        page.keys(key)
        page.wait("return document.querySelector('#place caption').innerText.includes(arguments[0])", where)
        assert page.js("return document.activeElement.className") == "seen"
    page.js("document.querySelectorAll('#classes input')[1].focus()")  # where Tab comes to
    page.keys(" ")
    page.wait("return document.querySelectorAll('#classes input')[1].checked")
    name = classes(page)[1].partition(",")[0]
    page.wait("return document.querySelector('#maps img').alt.includes(arguments[0])", name)


def test_two_methods_stand_side_by_side(page: Browser) -> None:
    page.js("document.querySelector('#two input').click()")
    page.wait("return document.querySelectorAll('#maps img').length == 2")
    words = page.js("return [...document.querySelectorAll('#maps figcaption')].map((it) => it.innerText)")
    assert "Grad-CAM at" in words[0]
    assert "Grad-CAM++ at" in words[1]
    tops = page.js("return [...document.querySelectorAll('#maps img')].map((it) => it.getBoundingClientRect().top)")
    assert tops[0] == tops[1]
    page.js("document.querySelectorAll('#classes input')[1].click()")
    page.wait("return document.querySelectorAll('#maps figcaption')[1].innerText.startsWith('triangle')")
    assert not np.array_equal(shown(page, 0), shown(page, 1))


def test_the_slider_goes_over_the_layers(page: Browser) -> None:
    page.set("#first-layer input[type=range]", 3)
    page.wait("return document.querySelector('#maps figcaption').innerText.includes('32 x 32 cells')")
    assert "Layer 4 of 10" in page.js("return document.querySelector('#first-layer').innerText")


def test_a_wrong_file_is_told_and_the_next_one_taken(page: Browser) -> None:
    drop(page, b"no picture", "bad<i>.png")
    page.wait("return document.querySelector('#problem [role=alert]')")
    words = page.js("return document.querySelector('#problem').innerText")
    assert "'bad<i>.png' is not an image" in words or "badi.png" in words
    assert "/tmp" not in words
    assert not page.js("return document.querySelector('#maps img')")  # the map of the picture before
    page.js("document.querySelector('#picture [aria-label^=Remove]').click()")
    page.wait("return document.querySelector('#picture .upload-container:not(.hidden)')")
    drop(page, png(3, (90, 90)), "good.png")
    page.wait("return (document.querySelector('#maps img') || {}).naturalWidth == 90")
    assert page.js("return document.querySelector('#problem').innerText").strip() == ""


def test_a_file_of_another_kind_is_told_and_forgotten_with_the_next(page: Browser) -> None:
    page.js("document.querySelector('#picture [aria-label^=Remove]')?.click()")
    page.wait("return document.querySelector('#picture .upload-container:not(.hidden)')")
    for name, kind, words in (
        ("<i>.md", "text/markdown", "'<i>.md' is text/markdown and no picture"),
        ("none", "", "'none' has no type that is known and no picture"),
    ):
        drop(page, b"# no picture", name, kind)
        page.wait("return document.querySelector('#given [role=alert]')?.innerText.includes(arguments[0])", words)
        assert len(page.js("return [...document.querySelectorAll('#given [role=alert]')]")) == 1
    drop(page, png(4, (90, 90)), "good.png")
    page.wait("return (document.querySelector('#maps img') || {}).naturalWidth == 90")
    assert not page.js("return document.querySelector('#given [role=alert]')")


def test_a_large_file_is_refused(page: Browser) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    assert len(stream.getvalue()) > 2**20
    drop(page, stream.getvalue(), "large.png")
    page.wait("return document.body.innerText.includes('maximum allowed size')")
    assert page.js("return document.querySelector('#maps img').naturalWidth") != 900
    page.logs()  # the browser's own line about the answer 413


def test_the_files_are_in_the_page(page: Browser) -> None:
    page.wait("return document.querySelectorAll('#files a').length == 2")
    links = page.js("return [...document.querySelectorAll('#files a')].map((it) => [it.download, it.href])")
    (panel, picture), (name, text) = links
    assert panel.endswith(".png")
    assert Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).width > 300
    record = json.loads(base64.b64decode(text.partition(",")[2]))
    assert name.endswith(".json")
    assert record["method"] == "grad-cam"
    assert np.array(record["maps"]).shape == (1, 6, 16, 16)


def test_on_a_phone_everything_fits_and_the_map_comes_before_the_settings(page: Browser) -> None:
    page.size(390)
    page.js("document.querySelector('#two input').click()")
    page.wait("return document.querySelectorAll('#maps img').length == 2")
    assert page.js("return document.documentElement.scrollWidth") <= 390
    boxes = page.js(
        "return [...document.querySelectorAll('#maps img')].map((it) => it.getBoundingClientRect().toJSON())"
    )
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert boxes[1]["top"] >= boxes[0]["bottom"]
    settings = page.js("return document.querySelector('#first-net').getBoundingClientRect().top")
    assert settings > boxes[1]["bottom"]


CONTRASTS = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const behind = (it) => {
  for (; it; it = it.parentElement) {
    const [r, g, b, a = 1] = numbers(getComputedStyle(it).backgroundColor);
    if (a > 0.99) return [r, g, b];
  }
  return [255, 255, 255];
};
const light = (rgb) => rgb.slice(0, 3)
  .map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
const found = [];
const walker = document.createTreeWalker(document.querySelector(".gradio-container"), NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const it = walker.currentNode.parentElement;
  if (walker.currentNode.textContent.trim() && it.checkVisibility({opacityProperty: true, visibilityProperty: true})
      && it.getBoundingClientRect().width > 1)
    found.push([it.outerHTML.slice(0, 200), ratio(light(numbers(getComputedStyle(it).color)), light(behind(it)))]);
}
return found;
"""


def test_texts_can_be_read_and_pictures_have_words(page: Browser) -> None:
    point(page, 0.3, 0.6)
    found = page.js(CONTRASTS)
    assert len(found) > 20
    assert [each for each in found if each[1] < 4.5] == []  # WCAG 2, level AA
    assert page.js("return [...document.querySelectorAll('img')].filter((it) => !it.alt).map((it) => it.src)") == []
    assert "strongest at the" in page.js("return document.querySelector('#maps img').alt")
    nameless = page.js(
        "return [...document.querySelectorAll('.gradio-container button')].filter((it) => it.checkVisibility() && "
        "!it.innerText.trim() && !it.ariaLabel && !it.title).map((it) => it.outerHTML)"
    )
    assert nameless == []
