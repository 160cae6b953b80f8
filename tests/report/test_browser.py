"""The page in a real browser: what is drawn, what switches do, the order of images, keys, themes, a phone."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
import report_sample as sample
from PIL import Image

from funcam.imaging.render import COLORMAPS, heatmap
from funcam.report import write_report


def pixels(browser, selector):
    data = browser.canvas(selector).split(",")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)


def files(browser):
    script = "return [...document.querySelectorAll('.cards > :not([hidden]) h3')].map((each) => each.textContent)"
    return browser.js(script)


def field(values, height=240, width=320):
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)


def test_texts_are_shown_as_they_are(opened, page):
    assert opened.js("return document.title").split() == page[1].title.split()
    assert opened.js("return document.querySelector('h1').textContent") == page[1].title
    shown = opened.js("return [...document.querySelectorAll('#conclusion-list li')].map((each) => each.textContent)")
    assert shown == list(page[1].conclusions)
    assert files(opened)[0] == sample.NASTY_FILE
    assert opened.js("return document.querySelector('.said b').textContent") == sample.NASTY_CLASS
    assert opened.js("return document.querySelectorAll('img[src=x], [onerror]').length + document.scripts.length") == 2
    assert opened.js("return document.querySelector('.card img').alt") == f"The image {sample.NASTY_FILE}"
    label = opened.js("return document.querySelector('.card canvas').getAttribute('aria-label')")
    assert label == f"Grad-CAM of {sample.NASTY_CLASS}, by small at late, on {sample.NASTY_FILE}"


def test_maps_begin_with_the_heat_that_the_report_asks_for(browser, tmp_path):
    write_report(tmp_path / "report.html", replace(sample.report(2), alpha=0.25))
    browser.open(tmp_path / "report.html")
    browser.to_the_images()
    slider = "return document.querySelector('{}').value"
    assert [browser.js(slider.format(one)) for one in ("#blend", ".card .blend input")] == ["25", "25"]


@pytest.mark.parametrize("colormap", ["cividis", "viridis", "turbo", "jet"])
def test_the_map_alone_is_the_heatmap_that_render_draws(opened, page, card, colormap):
    opened.set("#blend", 100)
    opened.set("#colormap", colormap)
    got = pixels(opened, card(2, "canvas"))
    want = heatmap(field(page[1].images[1].explained[0].maps[0].values), colormap)
    assert (got[..., 3] == 255).all()
    assert np.abs(got[..., :3] - want).mean() < 2
    assert np.abs(got[..., :3] - heatmap(field(sample.blob(3)), colormap)).mean() > 10


def test_the_slider_goes_from_the_image_alone_to_the_map_alone(opened, card):
    opened.set("#blend", 0)
    assert (pixels(opened, card(1, "canvas"))[..., 3] == 0).all()
    means = []
    for blend in (20, 50, 80, 100):
        opened.set("#blend", blend)
        opacity = pixels(opened, card(1, "canvas"))[..., 3]
        means.append(opacity.mean())
        assert opacity[np.unravel_index(opacity.argmax(), opacity.shape)] > opacity.mean() or blend == 100
    assert means == sorted(means)
    assert means[-1] == 255


def test_a_card_s_slider_is_its_own_until_the_slider_of_all_moves(opened, card):
    first, second = opened.canvas(card(1, "canvas")), opened.canvas(card(2, "canvas"))
    opened.set(card(1, "input[type=range]"), 95)
    own = opened.canvas(card(1, "canvas"))
    assert own != first
    assert opened.canvas(card(2, "canvas")) == second
    opened.set("#blend", 30)
    assert opened.canvas(card(1, "canvas")) not in (first, own)
    assert opened.canvas(card(2, "canvas")) != second
    assert opened.js("return document.querySelector(arguments[0]).value", card(1, "input[type=range]")) == "30"


def test_the_contour_lies_where_the_map_crosses_the_threshold(opened, page, card):
    opened.set("#blend", 100)
    opened.set("#colormap", "jet")
    opened.click("#contour")
    opened.set("#level", 40)
    got = pixels(opened, card(2, "canvas"))
    values = field(page[1].images[1].explained[0].maps[0].values)
    white = (got[..., :3] > 235).all(-1)
    assert white.sum() > 100
    assert np.abs(values[white] - 0.4).max() < 0.02
    assert not (COLORMAPS["jet"] > 200).all(-1).any()


@pytest.mark.parametrize(
    ("name", "value"), [("net", "large"), ("classIndex", "4"), ("method", "grad-cam++"), ("layer", "early")]
)
def test_a_switch_of_a_card_changes_its_map_and_no_other(opened, page, card, name, value):
    opened.set("#blend", 100)
    before, other = opened.canvas(card(3, "canvas")), opened.canvas(card(2, "canvas"))
    opened.set(card(3, f"select[name={name}]"), value)
    chosen = {"net": "small", "classIndex": "3", "method": "grad-cam", "layer": "late"} | {name: value}
    (want,) = (
        entry.values
        for explained in page[1].images[2].explained
        for entry in explained.maps
        if (explained.net, str(explained.class_index)) == (chosen["net"], chosen["classIndex"])
        and (entry.method, entry.layer) == (chosen["method"], chosen["layer"])
    )
    assert opened.canvas(card(3, "canvas")) != before
    assert opened.canvas(card(2, "canvas")) == other
    assert np.abs(pixels(opened, card(3, "canvas"))[..., :3] - heatmap(field(want), "cividis")).mean() < 2


@pytest.mark.parametrize(("selector", "value"), [("#net", "large"), ("#layer", "early")])
def test_the_switches_of_all_change_every_map(opened, card, selector, value):
    before = [opened.canvas(card(number, "canvas")) for number in (1, 2, 3)]
    opened.set(selector, value)
    assert all(opened.canvas(card(number, "canvas")) != was for number, was in zip((1, 2, 3), before, strict=True))


def test_a_method_that_gives_pixels_shows_its_picture_whatever_the_layer(opened, page, card):
    opened.set("#layer", "early")
    opened.click("#methods button:nth-child(3)")
    opened.set("#blend", 100)
    opened.wait(
        "return document.querySelector(arguments[0]).getAttribute('aria-label').startsWith('Guided')", card(2, "canvas")
    )
    got = pixels(opened, card(2, "canvas"))[..., :3]
    want = cv2.resize(page[1].images[1].explained[0].maps[-1].values, (320, 240), interpolation=cv2.INTER_LINEAR)
    assert np.abs(got - want).mean() < 10


def test_boxes_lie_where_they_are_given_and_can_be_hidden(opened, card):
    script = (
        "const place = (part) => document.querySelector(arguments[0] + part).getBoundingClientRect();"
        "const [f, b] = [place('.frame'), place('.box')];"
        "return [(b.left - f.left) / f.width, (b.top - f.top) / f.height, b.width / f.width, b.height / f.height]"
    )
    got = opened.js(script, card(1, ""))
    assert np.allclose(got, [8 / 64, 12 / 48, 32 / 64, 24 / 48], atol=0.01)
    opened.click("#boxes")
    assert opened.js(script, card(1, ""))[2:] == [0, 0]


def test_images_are_sorted_by_a_metric_both_ways(opened, page):
    names = [image.file for image in page[1].images]
    rising = [names[i] for i in sorted(range(12), key=sample.energy)]
    assert files(opened) == names
    opened.set("#sort", "energy")
    assert files(opened) == rising[::-1]
    opened.click("#order")
    assert files(opened) == rising
    assert opened.js("return document.querySelector('#order').textContent") == "Lowest first"
    opened.set("#sort", "file")
    assert files(opened) == [names[0], *sorted(names[1:])]


def test_an_order_by_a_metric_follows_the_network(opened, page):
    opened.set("#sort", "energy")
    before = files(opened)
    opened.set("#net", "large")
    assert files(opened) == [image.file for image in page[1].images] != before


def test_the_best_and_the_worst_lead_to_their_cards(opened, page):
    shown = opened.js("return [...document.querySelectorAll('#extremes button')].map((each) => each.title)")
    names = [image.file for image in page[1].images]
    rising = [names[i] for i in sorted(range(12), key=sample.energy)]
    assert shown == rising[::-1][:4] + rising[:4]
    opened.set("#search", "no such file")
    opened.click("#extremes li:nth-child(3) button")
    assert opened.js("return document.activeElement.querySelector('h3').textContent") == rising[::-1][2]


def test_images_are_found_by_subset_and_by_name(opened, page):
    opened.set("#subset", "multiple")
    assert files(opened) == [image.file for image in page[1].images if image.subset == "multiple"]
    assert opened.js("return document.querySelector('#count').textContent") == "6 of 12 images"
    opened.set("#search", "PHOTO-00")
    assert files(opened) == [f"photo-00{number}.jpg" for number in (1, 3, 5, 7, 9)]
    opened.set("#subset", "")
    opened.set("#search", "<script>")
    assert files(opened) == [sample.NASTY_FILE]


def test_the_curves_of_the_chosen_map_are_drawn(opened, card):
    points = opened.js(
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.getAttribute('points'))",
        card(2, "polyline"),
    )
    assert points == ["0,40 50,20 100,4", "0,4 50,32 100,40"]
    label = opened.js("return document.querySelector(arguments[0]).getAttribute('aria-label')", card(2, ".curves svg"))
    assert label == "Curves: insertion, area 0.475; deletion"


def test_all_maps_stand_in_the_original_s_table(opened, page, card):
    opened.click("#view button:nth-child(2)")
    opened.wait("return document.querySelector(arguments[0])?.width > 0", card(2, "td:nth-child(3) canvas"))
    heads = opened.js(
        "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", card(2, "thead th")
    )
    titles = ["Grad-CAM, heatmap", "Grad-CAM", "Grad-CAM++, heatmap", "Grad-CAM++", "Guided backpropagation"]
    assert heads == ["Network", "Image", *titles]
    assert opened.js("return document.querySelectorAll(arguments[0]).length", card(2, "tbody tr")) == 2
    got = pixels(opened, card(2, "tbody tr:nth-child(2) td:nth-child(5) canvas"))[..., :3]
    want = heatmap(field(page[1].images[1].explained[2].maps[2].values, 120, 160), "cividis")
    assert np.abs(got - want).mean() < 2
    overlay = opened.canvas(card(2, "tbody tr:nth-child(2) td:nth-child(6) canvas"))
    opened.set("#blend", 20)
    assert opened.canvas(card(2, "tbody tr:nth-child(2) td:nth-child(6) canvas")) != overlay
    opened.click("#view button:nth-child(1)")
    opened.wait("return document.querySelector('.card canvas')?.width > 0")


def table(browser, name):
    script = (
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
        ".map((row) => [...row.children].map((cell) => cell.innerText.replace(/\\s+/g, ' ').trim()))"
    )
    return browser.js(script, name)


def test_results_by_subset_sorted_by_a_column_with_the_best_marked(opened):
    assert table(opened, "results-table")[0] == [
        "small",
        "Grad-CAM",
        "0.300 0.200 to 0.400",
        "0.500 best 0.400 to 0.600",
    ]
    opened.click("#results-table thead th:nth-child(3) button")
    rows = table(opened, "results-table")
    assert [row[:2] for row in rows[:2]] == [["large", "Grad-CAM++"], ["large", "Grad-CAM"]]
    assert rows[0][2] == "0.450 best 0.350 to 0.550"
    sorting = "return [...document.querySelectorAll('[aria-sort]')].map((each) => each.getAttribute('aria-sort'))"
    assert opened.js(sorting) == ["descending"]
    opened.click("#results-subset button:nth-child(3)")
    assert table(opened, "results-table")[0][2] == "1.250 best 1.150 to 1.350"
    bars = "return [...document.querySelectorAll('.chart:first-child rect')].map((each) => each.getAttribute('width'))"
    assert np.allclose(sorted(map(float, opened.js(bars))), [100 * value / 1.35 for value in (1.1, 1.15, 1.2, 1.25)])
    whisker = opened.js("return document.querySelector('.chart:first-child path').getAttribute('d')")
    assert np.allclose(float(whisker[1:].split()[0]), 100 * 1.15 / 1.35)


def test_paired_differences_have_signs_and_intervals(opened):
    first, second = table(opened, "pairs-table")
    assert first == ["Grad-CAM++ − Grad-CAM", "small", "Multiple objects, 6", "+0.100", "", "+0.020 to +0.180", "0.010"]
    assert second == ["large − small", "Grad-CAM", "All images, 12", "−0.050", "", "−0.200 to +0.100", "0.400"]
    assert opened.js("return [...document.querySelectorAll('#pairs-table .clear')].map((each) => each.innerText)") == [
        "+0.100"
    ]


def focused(browser):
    return browser.js("return document.activeElement.querySelector?.('h3')?.textContent ?? document.activeElement.id")


def test_the_keyboard_does_what_the_help_says(opened, page):
    from selenium.webdriver.common.keys import Keys

    names = [image.file for image in page[1].images]
    opened.keys(Keys.ARROW_RIGHT)
    assert focused(opened) == names[0]
    opened.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert focused(opened) == names[1]
    assert opened.js("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    columns = opened.js(
        "const cards = [...document.querySelectorAll('.card')];"
        "return cards.filter((card) => card.offsetTop === cards[0].offsetTop).length"
    )
    opened.keys(Keys.ARROW_DOWN)
    assert focused(opened) == names[1 + columns]
    opened.keys("2")
    assert opened.js("return document.querySelector('#methods [aria-pressed=true]').textContent") == "Grad-CAM++"
    opened.keys("b", "c", "n")
    state = (
        "const at = (id) => document.getElementById(id);"
        "return [at('boxes').checked, at('contour').checked, at('net').value]"
    )
    assert opened.js(state) == [False, True, "large"]
    opened.keys("/", "b", "2", Keys.ARROW_RIGHT)
    assert (focused(opened), opened.js("return document.activeElement.value")) == ("search", "b2")
    assert opened.js(state) == [False, True, "large"]
    opened.keys(Keys.ESCAPE, "?")
    assert opened.js("return document.querySelector('#help').open") is True
    opened.keys(Keys.ESCAPE)
    assert opened.js("return document.querySelector('#help').open") is False


def test_dark_and_light_follow_the_reader_and_the_button(opened):
    colour = "return getComputedStyle(document.body).backgroundColor"

    def prefer(scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    try:
        prefer("light")
        light = opened.js(colour)
        prefer("dark")
        dark = opened.js(colour)
        assert light != dark
        opened.click("#theme-button")
        assert opened.js(colour) == light
        opened.click("#theme-button")
        assert opened.js(colour) == dark
    finally:
        opened.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("view", [1, 2])
def test_a_phone_scrolls_down_only(opened, view):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    try:
        opened.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        opened.click(f"#view button:nth-child({view})")
        assert opened.js("return [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    finally:
        opened.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_shows_at_the_edge_of_the_fixed_column(opened, card):
    """Of 390 pixels on a screen of 1,024 none begins where one of the screen's does."""
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2.625, "mobile": True}
    scroll = (
        "const frame = document.querySelector(arguments[0]);"
        "frame.scrollIntoView({block: 'center', behavior: 'instant'});"
        "frame.scrollLeft = arguments[1]; const {x, y, height} = frame.getBoundingClientRect();"
        "return [x, y + scrollY, height]"
    )
    edges = []
    try:
        opened.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        opened.click("#view button:nth-child(2)")
        opened.wait("return document.querySelector(arguments[0])?.width > 0", card(2, "td:nth-child(3) canvas"))
        for left in (0, 150.7, 201):
            x, y, height = opened.js(scroll, card(2, ".scroller"), left)
            opened.settle()
            clip = {"x": x, "y": y + 40, "width": 8, "height": height - 60, "scale": 1}
            shot = opened.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})
            edges.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")))
    finally:
        opened.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.click("#view button:nth-child(1)")
        opened.wait("return document.querySelector('.card canvas')?.width > 0")
    assert all(np.array_equal(edges[0], edge) for edge in edges[1:])


def test_every_control_has_a_name(opened):
    unnamed = opened.js(
        "return [...document.querySelectorAll('button, select, input')].filter((each) =>"
        "!(each.textContent.trim() && each.tagName === 'BUTTON')"
        "&& !each.getAttribute('aria-label') && !each.labels?.length)"
        ".map((each) => each.outerHTML)"
    )
    assert unnamed == []
    assert opened.js("return [...document.querySelectorAll('img')].filter((each) => !each.alt).length") == 0
