"""The site: it builds without a warning, asks nobody for anything, and its lists of pages and names are whole."""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from browsers import Browser
from site_reference import FOLDER, pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ASKED = {
    "script": "src",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}
"""What a browser asks for as soon as it meets it."""
HARMLESS = {"canonical", "next", "prev", "alternate"}  # links that say where else a page is


class _Asked(HTMLParser):
    """The addresses that a page asks for by itself."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        address = given.get(ASKED.get(tag, ""))
        if address and not HARMLESS & set((given.get("rel") or "").split()):
            self.addresses.append(address)


def _nav(entries: Any) -> list[str]:
    """The pages of the navigation, from its lists and sections."""
    if isinstance(entries, str):
        return [entries]
    return [page for each in (entries.values() if isinstance(entries, dict) else entries) for page in _nav(each)]


def _pages() -> set[str]:
    return {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


@pytest.mark.long
def test_every_page_is_built(site: Path) -> None:
    for page in _pages():
        where = site / page.removesuffix("index.md").removesuffix(".md")
        assert (where / "index.html").is_file(), page
    assert (site / "llms.txt").is_file()


@pytest.mark.long
def test_a_page_asks_for_its_own_files_only(site: Path) -> None:
    built = sorted(site.rglob("*.html"))
    for page in built:
        for address in _Asked(page).addresses:
            assert not re.match(r"(https?:)?//", address), f"{page.relative_to(site)} asks for {address}"
            if not address.startswith(("data:", "/", "#")):
                assert (page.parent / re.sub(r"[?#].*", "", address)).exists(), f"{page.relative_to(site)}: {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style
    assert len(built) > len(_pages())  # and one for what isn't there


def test_in_a_browser_the_site_asks_nobody_else(site: Path, browser: Browser) -> None:
    """What scripts ask for doesn't stand in the page: a theme may ask GitHub for stars, or a server for fonts."""
    handler = functools.partial(_Silent, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        own = f"http://127.0.0.1:{server.server_address[1]}/"
        browser.driver.get("about:blank")
        browser.requests()
        for page in ("", "choosing/", "coming-from/", "reference/"):
            browser.driver.get(own + page)
            browser.wait("return document.readyState == 'complete'")
            browser.settle()
        asked = browser.requests()
        server.shutdown()
    assert len(asked) > 4
    assert [url for url in asked if not url.startswith((own, "data:", "blob:", "about:"))] == []


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with contextlib.suppress(ConnectionError):  # the browser went on to the next page
            super().copyfile(source, outputfile)


@pytest.mark.long
def test_sessions_in_docstrings_are_code(site: Path) -> None:
    page = (site / "reference" / "index.html").read_text(encoding="utf-8")
    assert "&gt;&gt;&gt;" in page
    assert "<blockquote>" not in page  # what `>>>` is in plain Markdown


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = _nav(yaml.safe_load(text)["nav"])
    assert len(listed) == len(set(listed))
    assert set(listed) == _pages()


def test_llms_txt_names_every_page_but_those_of_the_reference() -> None:
    named = re.findall(r"/main/docs/([\w/.-]+)\)", (DOCS / "llms.txt").read_text(encoding="utf-8"))
    assert len(named) == len(set(named))
    assert set(named) >= {page for page in _pages() if not page.startswith("reference/")} - {"index.md"}
    assert set(named) <= _pages()


def test_the_reference_is_what_is_public() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    assert written == pages(), "run `python benchmarks/site_reference.py`"


def test_the_first_page_has_the_figures_of_the_comparison() -> None:
    answer = (DOCS / "index.md").read_text(encoding="utf-8").split("## Which network localises best?")[1]
    photos = (DOCS / "comparison.md").read_text(encoding="utf-8").split("<!-- photos -->")[1]
    photos = photos.split("<!-- end of photos -->")[0]
    one, several = photos.split("with one object**")[1].split("with several objects**")[:2]
    figures = r"\d+\.\d \(\d+\.\d to \d+\.\d\)"
    names = {"ShuffleNet v2": "shufflenet_v2_x1_0", "MobileNet v2": "mobilenet_v2", "SqueezeNet": "squeezenet1_1"}
    for title, name in names.items():
        (row,) = [line for line in answer.splitlines() if line.startswith(f"| {title}")]
        measured = [
            re.findall(figures, line)[0]
            for half in (one, several)
            for method in ("grad-cam", "grad-cam++")
            for line in half.splitlines()
            if line.startswith(f"| `{name}`") and f"| {method} |" in line
        ]
        assert re.findall(figures, row.replace("*", "")) == measured
