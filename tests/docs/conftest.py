"""What the pages' snippets find around them: a folder with a photo and a few files, and weights that are random."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from browsers import browser as browser

ROOT = Path(__file__).parents[2]
MODEL = '''
"""A network of one's own, as the pages call it."""
from funcam.zoo.nets import build_net, own_net


def small():
    net = build_net("scenes")
    return own_net(net.model, input_size=128, mean=(0.5,) * 3, std=(0.25,) * 3, classes=net.classes)
'''
BOXES = "file,class_index,x0,y0,x1,y1\nphoto.jpg,285,120,20,440,290\nleaf.jpg,285,0,0,300,200\n"


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of torch hub in which the published weights that the pages name are there: random ones."""
    from torchvision.models import get_model, get_model_weights

    folder = tmp_path_factory.mktemp("hub")
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    for name in ("resnet18", "squeezenet1_1"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = get_model(name, weights=None).state_dict()
        file = folder / "hub" / "checkpoints" / Path(get_model_weights(name).DEFAULT.url).name
        torch.save(state, file)
    return folder


@pytest.fixture
def workplace(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which a page is tried, as the folder that the process is in."""
    data = pytest.importorskip("skimage.data")
    from PIL import Image
    from torchvision.models import resnet18

    cat = Image.fromarray(data.chelsea())
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "leaf.jpg", "photos/photo.jpg", "photos/leaf.jpg"):
        cat.save(tmp_path / name)
    (tmp_path / "boxes.csv").write_text(BOXES)
    (tmp_path / "names.txt").write_text("rust\nmildew\nhealthy\n")
    (tmp_path / "models.py").write_text(MODEL)
    torch.save(resnet18(num_classes=3).state_dict(), tmp_path / "finetuned.pth")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(hub))
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built from a copy of what it is made of, with warnings as errors."""
    pytest.importorskip("zensical")
    source = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "mkdocs.yml", source)
    for folder in ("docs", "funcam"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "site_docstrings.py", source / "benchmarks")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return source / "build" / "site"
