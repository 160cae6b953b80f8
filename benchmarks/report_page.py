"""How fast the report of many images opens and scrolls, in headless Chromium: a page of drawn scenes."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.browser import driver_of
from benchmarks.machine import describe_for
from benchmarks.pages import filled

HELP = "measure how fast a report of many images opens and scrolls in headless Chromium"
ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "benchmarks" / "results" / "report-page.json"
PAGE = ROOT / "docs" / "benchmarks.md"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
WIDTHS = {1280: "a desktop's window", 390: "a phone's"}
OPENED = "return document.querySelector('.card') && performance.timing.loadEventEnd > 0"
TIMES = "const t = performance.timing; return t.loadEventEnd - t.navigationStart"
# Scrolls by a fifth of a picture a frame, and notes how long each frame took.
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
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--times", type=int, default=5, help="how often each is measured")


def main(given: argparse.Namespace) -> int:
    """Make the report, measure, and write what was found."""
    with tempfile.TemporaryDirectory() as folder:
        page = _report(Path(folder), given.images)
        rows = {str(width): _measured(page, width, given.times) for width in WIDTHS}
        megabytes = page.stat().st_size / 1e6
    command = f"python -m benchmarks report-page --images {given.images} --times {given.times}"
    report = {"command": command, "machine": describe_for("cpu"), "megabytes": round(megabytes, 1), "rows": rows}
    REPORT.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), {"report page": table(report)}))
    print(table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    heads = ("window", "opens in: median, most", "a frame while scrolling: median, p99, most", "frames over 50 ms")
    lines = [f"| {' | '.join(heads)} |", "| --- | --- | --- | --- |"]
    for width, row in report["rows"].items():
        opened = f"{row['opened'][0]:.2f} s, {row['opened'][1]:.2f} s"
        frames = ", ".join(f"{value:.0f}" for value in row["frame"])
        lines.append(
            f"| {width} pixels, {WIDTHS[int(width)]} | {opened} | {frames} ms | {row['over']} of {row['frames']} |"
        )
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
    opened, frames = [], []
    for _ in range(times):
        driver = driver_of(FLAGS)
        try:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get(page.as_uri())
            _wait(driver)
            opened.append(driver.execute_script(TIMES) / 1e3)
            frames += driver.execute_async_script(SCROLLED)
        finally:
            driver.quit()
    percentile = statistics.quantiles(frames, n=100)[98]
    return {
        "opened": [statistics.median(opened), max(opened)],
        "frame": [statistics.median(frames), percentile, max(frames)],
        "over": sum(one > 50 for one in frames),
        "frames": len(frames),
    }


def _wait(driver: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60, poll_frequency=0.05).until(lambda _: driver.execute_script(OPENED))
