"""Help for narrow terminals: Typer's tables cut the names of options there, and a name is there to be typed."""

from __future__ import annotations

import shutil
import sys
import textwrap
from itertools import takewhile
from typing import Any

from typer.core import TyperCommand, TyperGroup

from funcam.cli.as_typed import take_as_typed
from funcam.cli.meant import refuse_empty, refuse_files_as_options, refuse_twice
from funcam.cli.without_markdown import import_tables

_ROOM = 80  # columns of the terminal in which Typer's tables show the longest names whole


class Command(TyperCommand):
    """A command whose help suits the terminal."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; what can't be meant is refused."""
        parameters, words = self.get_params(ctx), [*takewhile(lambda argument: argument != "--", args)]
        refuse_files_as_options(parameters, words)
        refuse_empty(parameters, words)
        if not (ctx.resilient_parsing or {*args} & {*ctx.help_option_names}):
            _, _, given = self.make_parser(ctx).parse_args(args=[*args])
            refuse_twice(given)
        take_as_typed(parameters)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, in a narrow terminal as a list."""
        if _narrow():
            _print_list(self, ctx)
        else:
            import_tables()
            super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A command with others below it, whose help suits the terminal; a command may be called by two words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments in front of the command's name."""
        take_as_typed(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, and its arguments."""
        name = " ".join(args[:2])
        if len(args) > 1 and name in self.commands:
            return name, self.commands[name], args[2:]
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, in a narrow terminal as a list."""
        if _narrow():
            _print_list(self, ctx, [(name, command.help or "") for name, command in self.commands.items()])
        else:
            import_tables()
            super().format_help(ctx, formatter)


def _narrow() -> bool:
    return sys.stdout.isatty() and shutil.get_terminal_size().columns < _ROOM


def _print_list(command: TyperCommand | TyperGroup, ctx: Any, below: Any = ()) -> None:
    """Each name in a line of its own, and what it means below it.

    It is printed as Typer's tables are, past the formatter: what that holds becomes an error if help was not asked for.
    """
    records = [parameter.get_help_record(ctx) for parameter in command.get_params(ctx)]
    usage = f"Usage: {ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}"
    parts = [_folded(usage), _folded(command.help or "")]
    parts += [f"{name}\n{_folded(meaning, 4)}" for name, meaning in [*filter(None, records), *below]]
    print("\n\n".join([*parts, _folded(command.epilog or "")]).rstrip())


def _folded(text: str, indent: int = 0) -> str:
    """The text in lines that end with a word."""
    space = " " * indent
    columns = max(indent + 1, shutil.get_terminal_size().columns)
    wrapper = textwrap.TextWrapper(
        columns, initial_indent=space, subsequent_indent=space, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.fill(" ".join(text.split()))
