"""Maps of tensors are had without what only drawing needs: its memory would be the call's."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

CODE = """
import sys, torch, funcam
from torch import nn
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
result = funcam.explain(model, torch.rand(1, 3, 8, 8), 1, layer="1", method="grad-cam++")
print(sorted({"cv2", "matplotlib", "pandas"} & sys.modules.keys()))
result.overlay(torch.rand(1, 3, 8, 8))
print("cv2" in sys.modules)
"""


def test_opencv_is_imported_by_who_draws() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "True"], done.stderr
