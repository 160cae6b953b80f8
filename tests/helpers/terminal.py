"""A terminal to run the command line on: a pseudo-terminal of a given size, and what its screen shows in the end."""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import terminal_host

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
CTRL_C = b"\x03"
_ROWS = 24
_WORDS = re.compile(r"\x1b\[([?]?)([\d;]*)([A-Za-z])|\x1b\]8;.*?\x1b\\|([\r\n\x08\x07])|([^\x00-\x1f])|(.)", re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """How a run on a terminal ended: its exit code, what the terminal was sent, and what went into a pipe instead."""

    code: int
    sent: str
    columns: int
    piped: str = ""

    @cached_property
    def screen(self) -> Screen:
        """What is to be seen in the end."""
        screen = Screen(self.columns)
        screen.feed(self.sent)
        return screen


class Screen:
    """A terminal that is as long as it needs to be, for the few sequences that are sent to it.

    Attributes:
        cursor: whether it can be seen.
        styled: whether anything had a colour or a weight.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.cursor = True
        self.styled = False
        self._rows: list[list[str]] = [[]]
        self._goes_on: set[int] = set()  # rows that the next one continues, because they were full
        self._row = self._column = 0

    @property
    def rows(self) -> list[str]:
        """What is to be seen, row by row."""
        return ["".join(cells).rstrip() for cells in self._rows]

    @property
    def lines(self) -> list[str]:
        """The lines that were written, as they are copied: those that the terminal folded are in one piece."""
        lines = [""]
        for number, cells in enumerate(self._rows):
            lines[-1] += "".join(cells)
            if number not in self._goes_on:
                lines.append("")
        return [line.rstrip() for line in lines[:-1]]

    @property
    def text(self) -> str:
        """The lines as one text, without empty ones at its end."""
        return "\n".join(self.lines).rstrip()

    def feed(self, sent: str) -> None:
        """Show what a program sent.

        Raises:
            ValueError: a sequence that this terminal doesn't know.
        """
        for match in _WORDS.finditer(sent):
            private, numbers, command, control, letter, unknown = match.groups()
            if unknown is not None:
                raise ValueError(f"the terminal was sent {sent[match.start() : match.start() + 20]!r}")
            if letter is not None:
                self._put(letter)
            elif control is not None:
                self._control(control)
            elif command is not None:
                self._command(private + command, numbers)

    def _put(self, letter: str) -> None:
        if self._column == self.columns:
            self._goes_on.add(self._row)
            self._move(self._row + 1, 0)
        cells = self._rows[self._row]
        cells.extend(" " * (self._column + 1 - len(cells)))
        cells[self._column] = letter
        self._column += 1

    def _control(self, control: str) -> None:
        if control == "\n":
            self._move(self._row + 1, self._column)
        elif control == "\r":
            self._column = 0
        elif control == "\b":
            self._column = max(0, self._column - 1)

    def _command(self, command: str, numbers: str) -> None:
        if command in ("?h", "?l") and numbers == "25":
            self.cursor = command == "?h"
        elif command == "A":
            self._move(max(0, self._row - int(numbers or 1)), self._column)
        elif command == "K" and numbers == "2":
            self._rows[self._row] = []
            self._goes_on.discard(self._row)
        elif command == "m":
            self.styled = self.styled or numbers not in ("", "0")
        else:
            raise ValueError(f"the terminal was sent the command {numbers}{command}")

    def _move(self, row: int, column: int) -> None:
        self._row, self._column = row, column
        while len(self._rows) <= row:
            self._rows.append([])


class Terminals:
    """Runs command lines, each in a process and on a terminal of its own.

    They are forked from one process that has imported what takes long (`terminal_host`): a run costs what it does, not
    what importing torch does.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        command = [sys.executable, terminal_host.__file__]
        pipe = subprocess.PIPE
        self._host = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=self._environment)
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        self._requests, self._answers = self._host.stdin, self._host.stdout

    def close(self) -> None:
        """End the process that the others are forked from."""
        self._requests.close()
        self._answers.close()
        self._host.wait()

    def run(
        self,
        *arguments: object,
        folder: Path,
        columns: int = 80,
        piped: bool = False,
        interrupt_at: str | None = None,
        program: str | None = None,
        **variables: str,
    ) -> Shown:
        """Run `funcam` with these arguments.

        Args:
            arguments: the words after `funcam`; Python's, if there is a program.
            folder: where it runs.
            columns: how wide the terminal is.
            piped: standard output goes into a file, standard error to the terminal.
            interrupt_at: Ctrl-C is pressed as soon as the terminal was sent these words.
            program: Python that is run instead, in a process that has imported nothing.
            variables: of the environment, besides those of the other runs.
        """
        out = folder / ".piped" if piped else None
        with _opened(columns) as (master, slave):
            request = {
                "tty": os.ttyname(slave),
                "folder": str(folder),
                "out": out and str(out),
                "environment": {**self._environment, **variables},
                "arguments": list(map(str, arguments)),
                "program": program,
            }
            print(json.dumps(request), file=self._requests, flush=True)
            assert self._answers.readline() == "started\n"
            os.close(slave)  # so that the terminal ends when the program does
            sent = "".join(_until_it_ends(master, interrupt_at))
        code = int(self._answers.readline())
        return Shown(code, sent, columns, out.read_text(encoding="utf-8") if out else "")


@contextmanager
def _opened(columns: int) -> Iterator[tuple[int, int]]:
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
        yield master, slave
    finally:
        os.close(master)  # whatever still runs on it is hung up


def _until_it_ends(master: int, interrupt_at: str | None) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    sent = ""  # all of it: the words may come in pieces
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux's way to say that nobody has the terminal open any more
            part = b""
        if not part:
            break
        text = decoder.decode(part)
        yield text
        sent += text
        if interrupt_at is not None and interrupt_at in sent:
            os.write(master, CTRL_C)
            interrupt_at = None
    assert interrupt_at is None, f"the terminal was never sent {interrupt_at!r}: {sent}"
