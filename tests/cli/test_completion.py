"""What the shell is told when somebody presses the tab key: without torch, and for every command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from funcam.methods import METHODS
from funcam.zoo.names import NETS

Completed = Callable[[str], list[str]]
PROGRAM = """
import sys
sys.argv = ["funcam"]
from funcam.cli import main
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


@pytest.fixture
def completed(process: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch) -> Completed:
    """Words as bash gives them, the last one not ended yet -> what it is told."""

    def press(line: str) -> list[str]:
        monkeypatch.setenv("_FUNCAM_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        out, err = process("-c", PROGRAM).communicate()
        assert err == ""
        return out.split()

    return press


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("funcam ex", {"explain", "export"}),
        ("funcam explain a.jpg --net resnet1", {name for name in NETS if name.startswith("resnet1")}),
        ("funcam explain -n mine:shufflenet_v2_x2", {"mine:shufflenet_v2_x2_0"}),
        ("funcam compare photos --method layer", {"layer-cam"}),
        ("funcam batch photos -m fullg", {name for name in METHODS if name.startswith("fullg")}),
        ("funcam explain a.jpg --recipe lo", {"localise"}),
        ("funcam layers vgg16", {"vgg16", "vgg16_bn"}),
        ("funcam explain --smooth e", {"eigen"}),
        ("funcam explain --fit na", {"native"}),
        ("funcam batch show store --colormap vir", {"viridis"}),
    ],
)
def test_the_tab_key(completed: Completed, line: str, told: set[str]) -> None:
    assert set(completed(line)) == told
