"""`funcam.toml` and `[tool.funcam]`: how pictures look, and nothing that runs or is written somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import SCENES, Funcam
from PIL import Image

STYLE = 'format = "png"\ncolormap = "viridis"\nsize = 50\npictures = ["overlay"]\n'


def longest_side(pattern: str) -> int:
    (path,) = Path("results").glob(pattern)
    with Image.open(path) as picture:
        return max(picture.size)


@pytest.mark.parametrize(
    ("name", "text"), [("funcam.toml", STYLE), ("pyproject.toml", f'[project]\nname = "x"\n[tool.funcam]\n{STYLE}')]
)
def test_defaults_of_style(funcam: Funcam, image: Path, name: str, text: str) -> None:
    Path(name).write_text(text)
    ran = funcam("explain", image, *SCENES, "-m", "grad-cam", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert {path.suffix for path in Path("results").iterdir()} == {".png", ".json"}
    assert longest_side("*.png") == 50


def test_the_command_line_goes_first_and_the_nearest_file_counts(funcam: Funcam, image: Path) -> None:
    Path("funcam.toml").write_text(STYLE)
    below = Path("below")
    below.mkdir()
    (below / "pyproject.toml").write_text('[tool.other]\nformat = "funcam"\n')
    ran = funcam("explain", image, *SCENES, "-m", "grad-cam", "--quiet", "--format", "webp", "--size", "60")
    assert ran.code == 0
    assert longest_side("*.webp") == 60


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('net = "evil.py:make"', "sets 'net', and a configuration says how pictures look"),
        ('weights = "w.pth"', "sets 'weights'"),
        ('out = "/etc"', "sets 'out'"),
        ('colourmap = "jet"', "nearest: 'colormap'"),
        ("size = 0", "sets size to 0; expected a whole number of pixels from 1"),
        ("size = true", "sets size to True"),
        ("alpha = 2.0", "expected a number from 0 to 1"),
        ('alpha = "much"', "expected a number from 0 to 1"),
        ('format = "bmp"', "expected jpg, png or webp"),
        ('colormap = "nope"', "expected a name"),
        ('pictures = ["all"]', "expected a list of heatmap, overlay"),
        ("format = ", "can't be read"),
        ("[" * 100_000, "can't be read"),
        ("#" * 2**21, "can't be read"),
    ],
)
def test_what_a_configuration_cannot_say(funcam: Funcam, image: Path, text: str, told: str) -> None:
    Path("funcam.toml").write_text(text)
    funcam("explain", image, *SCENES).error(2, told)
    assert funcam("explain", "--help").code == 0
    assert funcam("methods").code == 0


def test_a_configuration_that_is_no_table(funcam: Funcam, image: Path) -> None:
    Path("pyproject.toml").write_text('[tool]\nfuncam = "jet"\n')
    funcam("explain", image, *SCENES).error(2, "a configuration says how pictures look")


def test_a_foreign_project_that_cannot_be_read_is_not_ours(funcam: Funcam, image: Path) -> None:
    Path("pyproject.toml").write_text("[tool.other\n")
    assert funcam("explain", image, *SCENES, "-m", "grad-cam", "--quiet").code == 0


def test_no_pictures_and_a_table_too_many(funcam: Funcam, image: Path) -> None:
    Path("funcam.toml").write_text('pictures = ["none"]')
    assert funcam("explain", image, *SCENES, "-m", "grad-cam", "--quiet").code == 0
    assert {path.suffix for path in Path("results").iterdir()} == {".json"}
    Path("funcam.toml").write_text("[tool.funcam]\nalpha = 0.2")
    funcam("explain", image, *SCENES).error(2, r"leave the line \[tool.funcam\] out")
