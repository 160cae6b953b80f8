"""A real browser without a window, where there is one; otherwise the tests that need it are skipped, in CI too."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
]


def found(variable: str, *names: str) -> str | None:
    return os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)


class Browser:
    """A page in headless Chromium, and what it asked for and complained of since it was opened."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path | str) -> None:
        """A file, or an address."""
        self.driver.get("about:blank")
        self.logs()
        self.requests()
        self.driver.get(page if isinstance(page, str) else page.as_uri())

    def size(self, width: int) -> None:
        """Look through a window of so many pixels: below 600 it is a phone's."""
        device = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)

    def js(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: object) -> Any:
        """What a script returns as soon as it is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.driver, 10, poll_frequency=0.03)
        return wait.until(lambda _: self.js(script, *arguments), message=script)

    def set(self, selector: str, value: object) -> None:
        """Set a select, a slider or a field as a reader's hand would, with the events that come of it."""
        self.js(
            "const it = document.querySelector(arguments[0]); it.value = arguments[1];"
            "for (const name of ['input', 'change']) it.dispatchEvent(new Event(name, {bubbles: true}));",
            selector,
            value,
        )
        self.settle()

    def click(self, selector: str) -> None:
        self.js("document.querySelector(arguments[0]).click()", selector)
        self.settle()

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()
        self.settle()

    def to_the_images(self) -> None:
        """Scroll to the first card; what is far from view is not drawn."""
        self.js("document.querySelector('.card').scrollIntoView({behavior: 'instant'})")
        self.wait("return document.querySelector('.card canvas')?.width > 0")

    def settle(self) -> None:
        """Let what is to be drawn be drawn: two pictures on the screen, and the decoding between them."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => setTimeout(done, 20)), 20));"
        )

    def canvas(self, selector: str) -> str:
        """A canvas's pixels as one text, empty if nothing is drawn."""
        return str(
            self.js("const c = document.querySelector(arguments[0]); return c.width ? c.toDataURL() : ''", selector)
        )

    def logs(self) -> list[str]:
        """The console's complaints since they were last asked for."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for since this was last asked."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in asked]


@contextmanager
def started(profile: Path, *flags: str) -> Iterator[Browser]:
    """Chromium with a profile of its own; FUNCAM_CHROMIUM and FUNCAM_CHROMEDRIVER name other programs."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary = found("FUNCAM_CHROMIUM", "chromium", "chromium-browser", "google-chrome")
    program = found("FUNCAM_CHROMEDRIVER", "chromedriver")
    if not binary or not program:
        pytest.skip("no chromium with chromedriver; install both (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*FLAGS, f"--user-data-dir={profile}", *flags]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(program))
    driver.set_script_timeout(20)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with a fresh profile."""
    with started(tmp_path_factory.mktemp("profile")) as one:
        yield one
