"""What Typer and Rich bring along and a command doesn't need is left out, and nobody can tell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer.main
from command_line import Funcam

from funcam.cli.as_typed import take_as_typed
from funcam.cli.main import app

Process = Callable[..., "subprocess.Popen[str]"]

LEFT_OUT = """
import sys
from funcam.cli import main
try:
    main()
finally:
    left_out = {"pydantic", "rich.markdown", "markdown_it", "rich.traceback", "pygments", "importlib.metadata"}
    print(sorted(left_out & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.long
@pytest.mark.parametrize("arguments", [["--help"], [], ["explain", "--help"], ["explain", "--nosuch"], ["nope"]])
def test_help_and_usage_errors_read_nothing_that_they_do_not_show(process: Process, arguments: list[str]) -> None:
    told = process("-c", LEFT_OUT, *arguments).communicate()[1]
    assert told.splitlines()[-1] == "[]"


SAME = """
import sys
if sys.argv.pop(1) == "whole":
    import typer.rich_utils
else:
    from funcam.cli.without_markdown import import_tables
    import_tables()
from funcam.cli import main
main()
"""


@pytest.mark.long
@pytest.mark.parametrize("arguments", [["--help"], ["batch", "show", "--help"]])
def test_help_is_as_typer_alone_shows_it(process: Process, arguments: list[str]) -> None:
    with_all, without = (process("-c", SAME, how, *arguments).communicate()[0] for how in ("whole", "light"))
    assert without == with_all
    assert "Usage: funcam" in without


MARKDOWN = """
import sys
from funcam.cli.without_markdown import import_tables
import_tables()
from typer import rich_utils
text = rich_utils._make_rich_text(text="**bold**", markup_mode="markdown")
print(sorted({"rich.markdown", "rich.traceback"} & set(sys.modules)))
import rich.markdown, rich.traceback
print(type(text) is rich.markdown.Markdown, isinstance(text, rich_utils.Markdown))
print(rich_utils.Traceback.from_exception.__func__ is rich.traceback.Traceback.from_exception.__func__)
"""


@pytest.mark.long
def test_another_typer_may_ask_for_markdown_and_gets_it(process: Process) -> None:
    told = process("-c", MARKDOWN).communicate()[0]
    assert told.splitlines() == ["['rich.markdown']", "True True", "True"]


GIVEN = [
    *("", "a", "\u00e4", "\udcff", "3", "-1", "0.5", "nan", "007", "True", "a//b/.", "no/such"),
    *(None, 3, 0, -1, 0.5, 2.0, True, b"x", Path("no/such"), Path()),
    *([], ["a"], ("a", "b"), ["\udcff"], [1], ["a", None], [Path()]),
]


@pytest.mark.parametrize("name", ["", "explain", "compare", "batch", "batch show", "app"])
def test_a_value_is_what_typer_makes_of_it(name: str) -> None:
    whole: Any = typer.main.get_command(app)
    command = whole.commands[name] if name else whole
    context = command.context_class(command)
    for parameter in command.params:
        if not hasattr(parameter, "get_runtime_param"):
            pytest.skip("this Typer makes values without pydantic")
        light = copy(parameter)
        take_as_typed([light])
        for value in (*GIVEN, parameter.default):
            assert made(light, value, context) == made(parameter, value, context), (parameter.name, value)


def made(parameter: Any, value: Any, context: Any) -> str:
    """The value or the refusal, with its type."""
    try:
        return repr(parameter.get_runtime_param().coerce(value, param=parameter, ctx=context))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(
    "asked", [{"exists": True}, {"dir_okay": False}, {"file_okay": False}, {"resolve_path": True}, {"parser": len}]
)
def test_what_a_path_has_to_be_typer_judges(tmp_path: Path, asked: dict[str, Any]) -> None:
    def run(path: Any) -> None: ...

    run.__annotations__["path"] = Annotated[Path, typer.Option(**asked)]
    other = typer.Typer()
    other.command()(run)
    command: Any = typer.main.get_command(other)
    parameter = next(one for one in command.params if one.name == "path")
    light = copy(parameter)
    take_as_typed([light])
    file = tmp_path / "file"
    file.touch()
    context = command.context_class(command)
    for value in (str(tmp_path), str(file), str(tmp_path / "none"), f"{tmp_path}/a/../file"):
        assert made(light, value, context) == made(parameter, value, context)


def test_only_the_command_that_is_called_has_its_parameters_read(
    funcam: Funcam, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    own = typer.main.get_params_from_function

    def noted(function: Callable[..., Any]) -> Any:
        read.append(function.__name__)
        return own(function)

    monkeypatch.setattr(sys.modules["typer.main"], "get_params_from_function", noted)
    assert funcam("layers", "a", "b").code == 2
    assert "layers" in read
    assert not {"explain", "compare", "evaluate", "batch", "export"} & {*read}


@pytest.mark.parametrize("given", [{"args": ["methods", "--json"]}, ["methods", "--json"]])
def test_the_application_takes_arguments_as_typer_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["another program", "explain"])
    how = given if isinstance(given, dict) else {}
    app(*([] if how else [given]), standalone_mode=False, **how)
    assert capsys.readouterr().out.startswith(("[", "{"))
