"""What the command reads before it knows what is asked: no package that takes longer than the answer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

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


WITHOUT_COMPILER = """
import sys
from funcam.cli.without_compiler import import_torchvision
import_torchvision()
from torchvision.ops import roi_align
print("torch._dynamo" in sys.modules, "torch._dynamo.utils" in sys.modules)
import torch
torch.manual_seed(0)
pooled = roi_align(torch.rand(1, 1, 8, 8, requires_grad=True), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], 2)
print(list(pooled.shape), torch._dynamo.utils.__name__, hasattr(torch._dynamo.utils, "counters"))
"""


@pytest.mark.long
def test_torchvision_is_read_without_the_compiler_which_is_there_when_asked(process: Process) -> None:
    told = process("-c", WITHOUT_COMPILER).communicate()[0]
    assert told.splitlines() == ["False False", "[1, 1, 2, 2] torch._dynamo.utils True"]


ANOTHER_NAME = """
import sys
from funcam.cli.without_compiler import StandIn
stand_in = sys.modules["torch._dynamo.utils"] = StandIn("torch._dynamo.utils")
from torch._dynamo.utils import counters
import torch
print(counters is torch._dynamo.utils.counters, sys.modules["torch._dynamo.utils"] is stand_in)
"""


@pytest.mark.long
def test_another_torchvision_may_ask_the_compiler_for_more(process: Process) -> None:
    assert process("-c", ANOTHER_NAME).communicate()[0].split() == ["True", "False"]


DATA_SETS = """
import sys
from funcam.cli.without_compiler import import_torchvision
import_torchvision()
import torchvision
print("torchvision.datasets" in sys.modules, "torch.onnx" in sys.modules)
print(torchvision.datasets.FakeData.__module__, torchvision.datasets is sys.modules["torchvision.datasets"])
from torchvision.datasets.folder import ImageFolder
from torchvision.ops import _register_onnx_ops
print(issubclass(ImageFolder, torchvision.datasets.DatasetFolder), callable(_register_onnx_ops.roi_pool))
"""


@pytest.mark.long
def test_data_sets_and_onnx_are_there_when_somebody_asks(process: Process) -> None:
    told = process("-c", DATA_SETS).communicate()[0]
    assert told.splitlines() == ["False False", "torchvision.datasets.fakedata True", "True True"]


PILLOW = """
from PIL import Image
from funcam.imaging.decoding import FORMATS
from funcam.imaging.reading import read_image
read_image("0.png")
few, known = len(Image.OPEN), {*FORMATS} & {*Image.OPEN}
Image.init()
print(known == {*FORMATS} & {*Image.OPEN}, few < len(Image.OPEN))
"""


@pytest.mark.long
def test_pillow_knows_each_format_that_is_read_and_no_more(process: Process, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    assert process("-c", PILLOW).communicate()[0].split() == ["True", "True"]


EXPLAINED = """
import sys
from funcam.cli import main
try:
    main()
finally:
    unused = {"torch._dynamo", "torch._inductor", "sympy", "torch.onnx", "torchvision.datasets"}
    unused |= {"pydantic", "rich.console", "funcam.report", "funcam.scenes", "numpy.random", "PIL.PdfImagePlugin"}
    print(sorted(unused & set(sys.modules)))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("net", "photos"),
    [
        ("mobilenet_v2", 1),
        ("shufflenet_v2_x1_0", 2),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in (("mobilenet_v2", 2), ("alexnet", 1))),
    ],
)
def test_an_explanation_reads_nothing_that_it_has_no_use_for(
    process: Process, tmp_path: Path, net: str, photos: int
) -> None:
    for number in range(photos):
        Image.new("RGB", (64, 64), (200, 40 * number, 0)).save(tmp_path / f"{number}.png")
    names = [f"{number}.png" for number in range(photos)]
    arguments = ["explain", *names, "--net", net, "--weights", "random", "-m", "grad-cam", "-q", "--out", "maps"]
    running = process("-c", EXPLAINED, *arguments)
    assert running.communicate()[0].splitlines()[-1] == "[]"
    assert running.returncode == 0
