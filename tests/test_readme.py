"""What the README shows runs as it stands, and what it names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from funcam.cli.main import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_every_python_snippet_runs_in_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # they write files
    session: dict[str, object] = {}
    snippets = _blocks("python")
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), session)
    assert len(snippets) >= 4
    result, maps, several = session["result"], session["maps"], session["several"]
    assert result.maps.shape == (2, 16, 16)  # type: ignore[attr-defined]
    assert several.maps.shape == (2, 2, 16, 16)  # type: ignore[attr-defined]
    assert isinstance(maps, torch.Tensor)
    assert (tmp_path / "star.png").stat().st_size > 1000
    assert session["change"].abs().max() > 0  # type: ignore[attr-defined]
    chosen = maps.transpose(0, 1)[torch.arange(2), result.targets]  # type: ignore[attr-defined]
    torch.testing.assert_close(chosen, result.maps)  # type: ignore[attr-defined]  # the five lines are what explain does


def _commands() -> list[str]:
    lines = "\n".join(_blocks("console")).splitlines()
    return [line for line in lines if line.startswith("funcam ")]


@pytest.mark.parametrize("line", _commands())
def test_every_command_line_has_options_that_exist(line: str) -> None:
    from typer.main import get_command

    name, *arguments = shlex.split(line, comments=True)[1:]
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, arguments)  # raises a usage error for what does not exist
    assert context.info_name == name


def test_what_it_names_exists() -> None:
    named = re.findall(r"\]\((?!https?:)([^)#]+)\)", README) + re.findall(
        r"`((?:bin|benchmarks|tests|docs)/[^` ]*)`", README
    )
    missing = [path for path in named if not (ROOT / path).exists()]
    assert named
    assert not missing


def test_no_words_that_promise_later_work() -> None:
    assert not re.findall(r"\b(TODO|FIXME|TBD)\b", README)
