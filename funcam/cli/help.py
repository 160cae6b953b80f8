"""Help for narrow terminals: Typer's tables cut the names of options there, and a name is there to be typed."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from itertools import takewhile, zip_longest
from typing import Any

from typer.core import TyperCommand, TyperGroup

from funcam.cli.as_typed import take_as_typed
from funcam.cli.messages import UsageError
from funcam.cli.without_markdown import import_tables

_REPEATED = {"--net", "--method", "--class", "--layer"}
_ROOM = 80  # columns of the terminal in which Typer's tables show the longest names whole


class Command(TyperCommand):
    """A command whose help suits the terminal."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; a file's name is not read as options, as `-old.jpg` would be of `-o`."""
        parameters = self.get_params(ctx)
        options = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
        words = [*takewhile(lambda argument: argument != "--", args)]
        for word in words:
            if word[:1] == "-" != word and word.partition("=")[0] not in options and os.path.lexists(word):
                raise UsageError(f"{word!r} would be read as options")
        _refuse_empty(parameters, words)
        if not (ctx.resilient_parsing or {*args} & {*ctx.help_option_names}):
            _, _, given = self.make_parser(ctx).parse_args(args=[*args])
            _refuse_twice(given)
        take_as_typed(parameters)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, in a narrow terminal as a list."""
        if _narrow():
            _print_list(self, ctx)
        else:
            import_tables()
            super().format_help(ctx, formatter)


def _refuse_empty(parameters: list[Any], words: list[str]) -> None:
    """Refuse values of no letters: as a path one is the folder that one is in, as a list it reads as not given."""
    valued = {name: each for each in parameters if not getattr(each, "is_flag", False) for name in each.opts}
    for word, following in zip_longest(words, words[1:]):
        name, given, value = word.partition("=")
        value = value if given else following
        if value is None or name not in valued or valued[name].name in _TELL_THEMSELVES:
            continue
        if valued[name].name == "out" and not value:
            raise UsageError(f"{name} '' names no folder; name one, '.' for this one (is a variable empty?)")
        if valued[name].name != "out" and not value.strip(" ,"):
            raise UsageError(f"{name} {value!r} is empty; give a value, or leave it out (is a variable empty?)")


_TELL_THEMSELVES = frozenset({"net", "nets", "class_", "classes", "contrast", "settings"})
"""Options that have words of their own for it."""


def _refuse_twice(given: list[Any]) -> None:
    """Refuse several values of what other commands repeat: here all but the last would count for nothing."""
    for option in given:
        times = given.count(option)
        if times > 1 and not option.multiple and not _REPEATED.isdisjoint(option.opts):
            raise UsageError(f"{option.opts[0]} was given {times} times and has one value here; give it once")


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
