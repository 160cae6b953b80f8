"""`funcam app` where nothing is served: help, wrong use, and without Gradio."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import pytest
from command_line import Funcam

HAS_GRADIO = importlib.util.find_spec("gradio") is not None


def test_help_needs_neither_torch_nor_gradio(process: Callable[..., Any]) -> None:
    program = (
        "import sys; sys.argv = ['funcam', 'app', '--help']\n"
        "from funcam.cli.main import main\n"
        "try: main()\n"
        "finally: print({'torch', 'gradio'} & set(sys.modules))"
    )
    out, _ = process("-c", program).communicate()
    assert "page to drop a picture on" in out
    assert out.endswith("set()\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--net", "resnet5O"], "nearest"),
        (["--net", "scenes", "--device", "gpu"], "--device 'gpu' is unknown"),
        (["--labels", "none.txt"], "there is no such file"),
        (["--port", "0"], "--port"),
        (["--max-upload", "0"], "--max-upload"),
    ],
)
def test_wrong_use_is_found_before_anything_is_served(funcam: Funcam, arguments: list[str], words: str) -> None:
    ran = funcam("app", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert ran.err.count("\n") == 1


def test_without_gradio_one_line_says_what_to_install(funcam: Funcam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    ran = funcam("app")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "funcam: the page needs Gradio, which isn't here: pip install 'funcam[app]'\n"


@pytest.mark.skipif(HAS_GRADIO, reason="Gradio is installed")
def test_in_python_too() -> None:
    import funcam as package
    from funcam.errors import FuncamError

    with pytest.raises(FuncamError, match=r"pip install 'funcam\[app\]'"):
        package.app()
