"""Every page of the site does what it shows: Python runs, sessions print what they show, command lines exist.

A command line that stands behind `$` with what it prints below is run and has to print that; one without is only read.
"""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from snippets import Block, Command, blocks, commands
from typer.main import get_command

from funcam.cli.main import app, main

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
COMMANDS = {
    page: [command for block in blocks(DOCS / page) if block.language == "console" for command in commands(block)]
    for page in PAGES
}


def _runs(page: str) -> bool:
    languages = {block.language for block in blocks(DOCS / page)}
    return bool({"python", "pycon"} & languages) or any(command.shown for command in COMMANDS[page])


@pytest.mark.long
@pytest.mark.parametrize("page", [page for page in PAGES if _runs(page)])
@pytest.mark.filterwarnings("ignore::funcam.FuncamWarning")  # random weights have maps of zeros
def test_what_a_page_shows_runs_from_top_to_bottom(
    page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    session: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(DOCS / page):
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, page, "exec"), session)
        elif block.language == "pycon":
            _talk(page, block, session)
        elif block.language == "console":
            for command in commands(block):
                if command.shown:
                    capfd.readouterr()
                    monkeypatch.setattr(sys, "argv", ["funcam", *command.arguments])
                    with pytest.raises(SystemExit):
                        main()
                    _compare(page, command, "".join(capfd.readouterr()))


def _talk(page: str, block: Block, session: dict[str, Any]) -> None:
    """A session of the interpreter, with what it prints; names go on to the next block."""
    test = doctest.DocTestParser().get_doctest(block.text, session, page, page, block.line)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=SHOWN, verbose=False).run(test, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    session.update(test.globs)


def _compare(page: str, command: Command, printed: str) -> None:
    agrees = doctest.OutputChecker().check_output(command.shown, printed, SHOWN)
    assert agrees, f"{page}:{command.line}: {' '.join(command.arguments)} printed\n{printed}"


def test_every_command_has_python_beside_it() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    sections = [section.partition("\n") for section in text.split("\n## ")]
    beside = {
        name
        for heading, _, body in sections
        for name in re.findall(r"`funcam ([a-z ]+)`", heading)
        if "```console\n" in body and re.search("```py(thon)?\n", body)
    }
    assert beside == set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", [page for page in PAGES if COMMANDS[page]])
def test_its_command_lines_exist(page: str) -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    for words in (command.arguments for command in COMMANDS[page] if not command.shown):
        count = 2 if " ".join(words[:2]) in known else 1  # `batch show`
        name, arguments = " ".join(words[:count]), list(words[count:])
        if not name.startswith("-"):
            context = known[name].make_context(name, arguments)  # a usage error for what does not exist
            assert context.info_name == name
