"""How fast the report of many images opens and scrolls, in headless Chromium: a page of drawn scenes."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.arguments import count
from benchmarks.browser import driver_of
from benchmarks.files import put
from benchmarks.machine import describe_for
from benchmarks.pages import filled

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "benchmarks" / "results" / "report-page.json"
PAGE = ROOT / "docs" / "benchmarks.md"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
WIDTHS = {1280: "a desktop's window", 390: "a phone's"}
OPENED = "return document.querySelector('.card') && performance.timing.loadEventEnd > 0"
TIMES = "const t = performance.timing; return t.loadEventEnd - t.navigationStart"
# What is in view and has no map yet is counted, once a card, while the wheel turns.
WATCHED = """
document.querySelector(".card").scrollIntoView();
window.late = new Set();
const look = () => {
  for (const x of [0.15, 0.5, 0.85]) for (const y of [0.3, 0.95]) {
    const card = document.elementFromPoint(innerWidth * x, innerHeight * y)?.closest(".card");
    if (card && !(card.querySelector("canvas")?.width > 0)) window.late.add(card);
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
SHOWN = "Display::DrawAndSwap"  # the display compositor's: a frame on the screen
FIRST, MOVED = "InputLatency::GestureScrollBegin", "InputLatency::GestureScrollUpdate"  # each ends on the screen
FAR, SPEED = 17820, 3600  # pixels, and pixels a second: 60 a frame
# The same way by script, each step of which waits for the page's own thread, as a wheel's doesn't.
SCROLLED = """
const done = arguments[0], frames = [];
document.querySelector(".card").scrollIntoView();
let last = performance.now();
const step = () => {
  const now = performance.now();
  frames.push(now - last);
  last = now;
  window.scrollBy({ top: 60, behavior: "instant" });
  if (frames.length < 300) requestAnimationFrame(step); else done(frames.slice(3));
};
requestAnimationFrame(step);
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--images", type=count, default=1000)
    parser.add_argument("--times", type=count, default=5, help="how often each is measured")


def main(given: argparse.Namespace) -> int:
    """Make the report, measure, and write what was found."""
    with tempfile.TemporaryDirectory() as folder:
        page = _report(Path(folder), given.images)
        rows = {str(width): _measured(page, width, given.times) for width in WIDTHS}
        megabytes = page.stat().st_size / 1e6
    command = f"python -m benchmarks report-page --images {given.images} --times {given.times}"
    report = {"command": command, "machine": describe_for("cpu"), "megabytes": round(megabytes, 1), "rows": rows}
    put(REPORT, json.dumps(report, indent=1, sort_keys=True) + "\n")
    put(PAGE, filled(PAGE.read_text(), {"report page": table(report)}))
    print(table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    heads = (
        "window",
        "opens in: median, most",
        "a frame while the wheel turns: median, p99, most",
        "over 50 ms",
        "seen before they were drawn",
        "the same way by script",
        "over 50 ms",
    )
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for width, row in report["rows"].items():
        opened = f"{row['opened'][0]:.2f} s, {row['opened'][1]:.2f} s"
        wheel, script = (
            (f"{', '.join(f'{value:.0f}' for value in frames['ms'])} ms", f"{frames['over']} of {frames['number']}")
            for frames in (row["wheel"], row["script"])
        )
        cells = [f"{width} pixels, {WIDTHS[int(width)]}", opened, *wheel, str(row["late"]), *script]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _report(folder: Path, images: int) -> Path:
    page = folder / "report.html"
    what = ["--scenes", str(images), "--net", "scenes", "--method", "grad-cam", "--method", "grad-cam++"]
    line = [
        "compare",
        *what,
        "--report",
        str(page),
        "--out",
        str(folder / "out"),
        "--metrics",
        "localisation",
        "--quiet",
    ]
    subprocess.run([sys.executable, "-m", "funcam", *line], check=True, cwd=ROOT)
    return page


def _measured(page: Path, width: int, times: int) -> dict[str, Any]:
    opened, wheel, script, late = [], [], [], 0
    for _ in range(times):
        with _opened(page, width) as driver:
            opened.append(driver.execute_script(TIMES) / 1e3)
            script += driver.execute_async_script(SCROLLED)
        with _opened(page, width, traced="viz,latencyInfo") as driver:
            wheel += _wheeled(driver, width)
            late += driver.execute_script("return window.late.size")
    return {
        "opened": [statistics.median(opened), max(opened)],
        "wheel": _told(wheel),
        "late": late,
        "script": _told(script),
    }


@contextmanager
def _opened(page: Path, width: int, traced: str | None = None) -> Iterator[Any]:
    """A browser in which the page is open, in a window of that width."""
    driver = driver_of(FLAGS, traced)
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(page.as_uri())
        _wait(driver)
        yield driver
    finally:
        driver.quit()


def _wheeled(driver: Any, width: int) -> list[float]:
    """How long each frame was on the screen while the wheel turned, in milliseconds."""
    driver.execute_script(WATCHED)
    turn = {"x": width // 2, "y": 500, "yDistance": -FAR, "speed": SPEED, "gestureSourceType": "mouse"}
    driver.execute_cdp_cmd("Input.synthesizeScrollGesture", turn)
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return scrolled(one["params"] for one in messages if one["method"] == "Tracing.dataCollected")


def scrolled(events: Iterable[dict[str, Any]]) -> list[float]:
    """How long each frame of one scroll was on the screen, in milliseconds, from Chromium's trace.

    From the wheel's first turn to the frame that shows its last: afterwards the page stands, and a screen
    that has nothing new to show owes no frame.
    """
    told = list(events)
    begins = min(each["ts"] for each in told if (each["name"], each["ph"]) == (FIRST, "b"))
    ends = max(each["ts"] for each in told if (each["name"], each["ph"]) == (MOVED, "e"))
    shown = sorted(each["ts"] for each in told if each["name"] == SHOWN and begins <= each["ts"] <= ends)
    return [(after - before) / 1e3 for before, after in pairwise([begins, *shown])]


def _told(frames: list[float]) -> dict[str, Any]:
    percentile = statistics.quantiles(frames, n=100)[98]
    return {
        "ms": [statistics.median(frames), percentile, max(frames)],
        "over": sum(one > 50 for one in frames),
        "number": len(frames),
    }


def _wait(driver: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60, poll_frequency=0.05).until(lambda _: driver.execute_script(OPENED))
