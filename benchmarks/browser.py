"""Frames a second of `examples/browser` in headless Chromium, of its fake camera: MobileNet v2 at 224 x 224."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import funcam
from benchmarks.arguments import count
from benchmarks.exports import ASSETS, PAGE, net_of
from benchmarks.files import put
from benchmarks.machine import describe_for
from benchmarks.pages import filled

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "browser"
REPORT = ROOT / "benchmarks" / "results" / "browser.json"
NET = "mobilenet_v2"
WARM_UP = 5
"""Seconds that don't count."""
SERVERS = {"http.server": ["-m", "http.server"], "serve.py": ["serve.py"]}
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--use-fake-device-for-media-stream=fps=60", "--use-fake-ui-for-media-stream"),
]
STATUS = "return document.querySelector('#status').textContent"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked for."""
    parser.add_argument("--assets", type=Path, default=ASSETS)
    parser.add_argument(
        "--seconds", type=count, default=20, help=f"how long each is watched; its first {WARM_UP} don't count"
    )


def main(given: argparse.Namespace) -> int:
    """Export, build, measure without and with threads, and write what was found."""
    if given.seconds <= WARM_UP:
        print(f"--seconds {given.seconds}: the first {WARM_UP} don't count; give more", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        site = _site(Path(folder) / "browser", given.assets)
        rows = {
            name: _watched(site, line, 8760 + number, given.seconds)
            for number, (name, line) in enumerate(SERVERS.items())
        }
    report = {"command": "python -m benchmarks browser", "machine": describe_for("cpu"), "rows": rows}
    put(REPORT, json.dumps(report, indent=1, sort_keys=True) + "\n")
    lines = ["| served by | threads | frames a second (median) | least |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{name}` | {row['threads']} | {row['median']:.0f} | {row['least']:.0f} |" for name, row in rows.items()
    ]
    table = "\n".join(lines)
    put(PAGE, filled(PAGE.read_text(), {"frames": table}))
    print(table)
    return 0


def _site(folder: Path, assets: Path) -> Path:
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "*.onnx"))
    if not (folder / "ort").is_dir():
        subprocess.run(["npm", "ci"], cwd=folder, check=True)
        subprocess.run(["npm", "run", "build"], cwd=folder, check=True)
    net = net_of(NET, assets)
    told = {"classes": net.classes, "mean": net.mean, "std": net.std}
    funcam.export(
        net.model, folder / "explainer.onnx", example=torch.zeros(1, *net.image_shape), preprocessing=True, **told
    )
    return folder


def _watched(site: Path, line: list[str], port: int, seconds: int) -> dict[str, Any]:
    """What the page says of itself, once a second."""
    server = subprocess.Popen([sys.executable, *line, str(port)], cwd=site, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        driver = driver_of(FLAGS)
        try:
            driver.get(f"http://localhost:{port}/")
            _until(driver, "Ready")
            driver.find_element("id", "webcam").click()
            _until(driver, "frames a second")
            said = [driver.execute_script(STATUS) for _ in range(seconds) if not time.sleep(1)][WARM_UP:]
        finally:
            driver.quit()
    finally:
        server.terminate()
        server.wait()
    rates = [float(re.match(r"[\d.]+", each)[0]) for each in said]
    threads = re.search(r"(\w+) threads?$", said[-1])[1]
    return {"threads": threads, "median": statistics.median(rates), "least": min(rates), "most": max(rates)}


def driver_of(flags: Iterable[str], traced: str | None = None) -> Any:
    """Chromium without a window, which `FUNCAM_CHROMIUM` and `FUNCAM_CHROMEDRIVER` or the path name.

    Args:
        flags: of its command line.
        traced: categories of its trace that the performance log holds.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = os.environ.get("FUNCAM_CHROMIUM") or shutil.which("chromium") or ""
    for flag in flags:
        options.add_argument(flag)
    if traced:
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        options.add_experimental_option("perfLoggingPrefs", {"traceCategories": traced})
    program = os.environ.get("FUNCAM_CHROMEDRIVER") or shutil.which("chromedriver")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(program))


def _until(driver: Any, words: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 60).until(lambda _: words in driver.execute_script(STATUS))
