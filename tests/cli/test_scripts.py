"""Names in other scripts: written by a font of the system's, or said to be empty boxes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import SCENES, Funcam

from funcam.imaging import text
from funcam.scenes import CLASSES


@pytest.fixture
def labels(monkeypatch: pytest.MonkeyPatch, funcam: Funcam) -> str:
    """A file of class names of which two are Chinese, on a system without a font for them."""
    monkeypatch.setattr(text, "_OTHERS", ())
    Path("names.txt").write_text("\n".join(["三毛猫", "狗", *CLASSES[2:]]), encoding="utf-8")
    return "names.txt"


def notes(funcam: Funcam, image: Path, labels: str, *words: str) -> list[str]:
    ran = funcam("explain", image, *SCENES, "--labels", labels, "-m", "grad-cam", "--json", *words)
    assert (ran.code, ran.err) == (0, "")
    return [note for note in json.loads(ran.out)["notes"] if "no font" in note]


def test_what_no_font_writes_is_told(funcam: Funcam, image: Path, labels: str) -> None:
    (note,) = notes(funcam, image, labels, "--class", "三毛猫")
    assert note.startswith("no font of this system writes '三毛猫' in '三毛猫'")
    assert "Noto Sans" in note


def test_without_a_panel_nothing_is_written(funcam: Funcam, image: Path, labels: str) -> None:
    assert notes(funcam, image, labels, "--class", "狗", "--pictures", "overlay") == []
    assert notes(funcam, image, labels, "--class", CLASSES[4]) == []


def test_accents_are_written(funcam: Funcam, image: Path, labels: str) -> None:
    renamed = image.rename("naïve café.png")
    assert notes(funcam, renamed, labels, "--class", CLASSES[4]) == []
