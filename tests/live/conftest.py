"""The page as `funcam app` serves it, in a process of its own, and a browser before it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import Browser
from browsers import browser as browser


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page."""
    pytest.importorskip("gradio", reason="Gradio is not installed (pip install 'funcam[app]')")
    folder = tmp_path_factory.mktemp("served")
    environment = {**os.environ, "TMPDIR": str(folder), "TORCH_HOME": str(folder / "no-cache")}
    command = [sys.executable, "-m", "funcam", "app", "--max-upload", "1"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), line
    assert list(folder.glob("funcam-app-*"))
    yield line.split()[0]
    process.terminate()
    _, complaints = process.communicate()
    assert list(folder.glob("funcam-app-*")) == []  # what was uploaded went with it
    assert "Traceback" not in complaints


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Browser]:
    """The page, opened and drawn; afterwards it had asked nobody else for anything, and nothing was complained of."""
    browser.size(1280)
    browser.driver.get("about:blank")
    browser.logs()
    browser.requests()
    browser.driver.get(served)
    browser.wait("return document.querySelector('#maps img') && document.querySelectorAll('#classes input').length")
    yield browser
    asked = [url for url in browser.requests() if not url.startswith(("data:", "blob:", "about:"))]
    assert asked
    assert [url for url in asked if not url.startswith(served)] == []
    assert [line for line in browser.logs() if "Method not implemented" not in line] == []  # Gradio's, at an upload
