"""The first forward derivative of a process says nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import torch, funcam
from funcam.scenes.network import network
funcam.explain(network(), torch.rand(1, 3, 64, 64), method={method!r})
"""


@pytest.mark.long
@pytest.mark.parametrize("method", ["full-grad", pytest.param("shapley-cam", marks=pytest.mark.slow)])
def test_torchs_remark_on_itself_is_not_our_users_affair(method: str) -> None:
    command = [sys.executable, "-W", "default", "-c", PROGRAM.format(method=method)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == ""
