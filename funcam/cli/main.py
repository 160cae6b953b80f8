"""The command `funcam`: its subcommands, and how errors come out: one line, and an exit code."""

from __future__ import annotations

import atexit
import errno
import io
import itertools
import os
import signal
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from funcam import __version__
from funcam.cli.app import app as serve
from funcam.cli.batch import batch
from funcam.cli.batch_show import batch_show
from funcam.cli.called import App
from funcam.cli.collector import collector_off
from funcam.cli.compare import compare
from funcam.cli.configuration import Styled
from funcam.cli.evaluate import evaluate
from funcam.cli.explain import explain
from funcam.cli.export import export
from funcam.cli.help import Command, Group
from funcam.cli.layers import layers
from funcam.cli.messages import EPILOG, FAILURE, INTERRUPTED, UNREAD, USAGE, UsageError, complain, reason
from funcam.cli.methods import methods
from funcam.cli.nets import nets
from funcam.errors import shown

app = App(
    name="funcam",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
for command in (explain, compare, evaluate, batch, export, nets, layers, methods):
    app.command(command.__name__, cls=Styled if command is explain else Command)(command)
app.command("batch show", cls=Styled)(batch_show)
app.command("app", cls=Command)(serve)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"funcam {__version__}")
        raise typer.Exit


@app.callback()
def funcam(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Why did you say that? Class activation maps for image networks, for the price of a prediction."""


def main() -> None:
    """Run the command line; bad input ends in one line on standard error: exit code 2 for usage, 1 for failures."""
    for name in ("stdin", "stdout", "stderr"):  # closed by the shell, or there is none: nothing comes and goes
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    # Torch's threads that wait would take the processors from those that read and draw.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may hold what the terminal's encoding can't
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with collector_off():
            code = _run()
    except KeyboardInterrupt:  # another one, while the first is told
        code = INTERRUPTED
        _hear_no_more()
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # Python tells where it ended while it ends
    sys.exit(code if isinstance(code, int) else 0)


def _run() -> object:
    """What the command returns, an exit code or nothing; every error is told."""
    try:
        code: object = app(standalone_mode=False, prog_name="funcam")
        if code == INTERRUPTED:  # Typer's newer versions make this of Ctrl-C, older ones abort
            raise KeyboardInterrupt
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, typer.Abort):
        _hear_no_more()
        return complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        return _without_output(UNREAD)
    except SystemExit as error:  # what Typer and Rich make of that
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return _without_output(UNREAD)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:  # files of ours tell theirs as `FuncamError`
            complain(f"the output can't be written ({error.strerror}); make room or send it elsewhere")
            return _without_output(FAILURE)
        return _other(error)


def _hear_no_more() -> None:
    """Interrupted, and about to end: another Ctrl-C, while threads finish their file, would end in a traceback."""
    with suppress(ValueError):  # this is another program's thread: Python interrupts the main one only
        signal.signal(signal.SIGINT, signal.SIG_IGN)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _without_output(code: int) -> int:
    """What was printed and not written goes nowhere: at its end Python would try once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _other(error: Exception) -> int:
    """Wrong use, ours and Typer's; what's left is a failure, also if nobody foresaw it without a traceback."""
    if isinstance(error, UsageError):
        return complain(str(error) + _dashed(), USAGE)
    format_message = getattr(error, "format_message", None)
    if format_message is not None:
        message = format_message().rstrip(".")
        command = _command_of(getattr(error, "ctx", None))
        return complain(f"{message}; see `{command} --help`{_dashed()}", USAGE) if message else USAGE
    return complain(reason(error) + _dashed())


def _command_of(context: Any) -> str:
    """The command that was used wrongly; of an option without its value the parser tells none."""
    if context is not None:
        return "funcam" if context.parent is None else f"funcam {context.info_name}"
    known = {command.name for command in app.registered_commands}
    return next((f"funcam {word}" for word in sys.argv[1:2] if word in known), "funcam")


def _dashed() -> str:
    """A hint where a file's name was taken for an option."""
    before = itertools.takewhile(lambda argument: argument != "--", sys.argv[1:])
    name = next((one for one in before if one.startswith("-") and one != "-" and os.path.lexists(one)), None)
    return (
        ""
        if name is None
        else f" (the file {shown(name)} begins with a dash: give it as {shown(f'./{name}')}, or behind --)"
    )
