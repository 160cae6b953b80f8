"""The same on a Ray cluster of two nodes, one of which is killed: nothing lost, nothing double, the same bytes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import photo
from PIL import Image

from funcam.bulk.asked import Asked, question_of
from funcam.bulk.cluster import run_cluster
from funcam.errors import FuncamError
from funcam.recipe import Recipe
from funcam.sources import list_items
from funcam.store import Writer
from funcam.zoo.nets import load_net

HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_it_says_what_to_install(tmp_path: Path) -> None:
    Image.fromarray(photo(seed=0)).save(tmp_path / "a.png")
    asked = Asked(load_net("scenes"), Recipe(methods=("grad-cam",)))
    with Writer(tmp_path / "store", question_of(asked, map_type="none", shard_size=4, batch_size=4)) as writer:
        writer.list_items(list_items([str(tmp_path / "a.png")]))
        with pytest.raises(FuncamError, match=r"pip install 'funcam\[ray\]'"):
            run_cluster(asked, writer, lambda _images, _failures: None)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed (pip install 'funcam[ray]')")
def test_a_node_is_killed_and_the_store_is_that_of_one_machine(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(90):
        Image.fromarray(photo(seed=number % 70)).save(photos / f"{number:03}.png")
    (photos / "011.png").write_bytes(b"\x89PNG")
    program = Path(__file__).parents[1] / "helpers" / "clusters.py"
    ran = subprocess.run(
        [sys.executable, str(program), str(photos), str(tmp_path)], capture_output=True, text=True, timeout=900
    )
    assert ran.stdout.split()[-3:] == ["8", "8", "8"], ran.stderr[-2000:]
