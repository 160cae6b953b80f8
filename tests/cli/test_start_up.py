"""What the command reads before it knows what is asked: no package that takes longer than the answer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Process = Callable[..., "subprocess.Popen[str]"]
PROGRAM = """
import sys
from funcam.cli import main
try:
    main()
finally:
    print(sorted({"torch", "numpy", "cv2", "PIL"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.long
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["explain", "--help"], ["methods"], ["nope"]])
def test_help_reads_no_large_package(process: Process, arguments: list[str]) -> None:
    told = process("-c", PROGRAM, *arguments).communicate()[1]
    assert told.splitlines()[-1] == "[]"
