"""The README's program reads an explainer with ONNX Runtime and NumPy, and nothing of torch's or ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import funcam
from funcam.zoo.nets import load_net
from funcam.zoo.preprocessing import normalised

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TOLD = """
import sys
assert not {"torch", "funcam"} & {name.partition(".")[0] for name in sys.modules}
np.savez("said.npz", image=image, logits=logits, classes=classes, maps=maps)
"""


def test_the_program_in_the_readme_says_what_explain_says(tmp_path: Path) -> None:
    (program,) = re.findall(r"```py\n(.*?)```", README, re.S)
    net = load_net("scenes")
    funcam.export(
        net.model,
        tmp_path / "explainer.onnx",
        example=torch.zeros(1, *net.image_shape),
        classes=net.classes,
        mean=net.mean,
        std=net.std,
        preprocessing=True,
    )
    done = subprocess.run(
        [sys.executable, "-c", program + TOLD], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = np.load(tmp_path / "said.npz")
    expected = funcam.explain(net.model, normalised(net, [said["image"]], "cpu"))
    assert done.stdout.startswith(net.classes[int(expected.targets)])
    assert int(said["classes"][0]) == int(expected.targets)
    assert np.abs(said["maps"] - expected.maps.numpy()).max() <= 1e-4 * expected.maps.max()
