"""What is published: a wheel that holds the package and nothing else, and works away from the checkout.

An editable installation never loses a file of data; a wheel does, without a word, where `package-data` misses it.
"""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy
import pytest
from PIL import Image

import funcam

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "funcam"


def _run(*command: object, cwd: Path) -> str:
    """What a command prints, run without the variables that point Python at this checkout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "FUNCAM", "PIP"))}
    ran = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: what an earlier build left in the checkout would end up in it."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(PACKAGE, source / "funcam", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("tests", "benchmarks"):  # beside the package as in the checkout, so that they could get into it
        (source / folder).mkdir()
        (source / folder / "__init__.py").write_text("")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = tmp_path_factory.mktemp("built")
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet", "--wheel-dir", built)
    _run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=source)
    (file,) = built.iterdir()
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a new environment with the wheel in it.

    torch and the others are 5 GB, so they are borrowed from the environment of the tests. A path in a `.pth` file
    lends its packages and stands behind the environment's own; the `.pth` files in it, the editable funcam's among
    them, are not followed.
    """
    root = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(root, with_pip=False)
    scripts = root / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    site = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=root).strip())
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "borrowed.pth").write_text("\n".join(sorted(lent)) + "\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    _run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=root)
    return scripts


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    sources = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix() for path in sources}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert {"funcam/py.typed", "funcam/scenes/weights.pth", "funcam/report/template.html"} <= held


def test_it_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        about = email.message_from_bytes(archive.read(name))
    assert about["Version"] == funcam.__version__
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    assert {line.split(", ")[0] for line in about.get_all("Project-URL", [])} >= {"Homepage", "Issues"}


def test_it_is_the_wheel_that_runs(installed: Path) -> None:
    """Neither the checkout nor the editable installation of the environment that lends torch."""
    code = "import funcam, sys, numpy; print(funcam.__file__, numpy.__file__, funcam.__version__, sep='\\n')"
    ours, lent, version = _run(installed / "python", "-c", code, cwd=installed).splitlines()
    assert Path(ours).is_relative_to(installed.parent)
    assert not Path(ours).is_relative_to(ROOT)
    assert Path(lent) == Path(numpy.__file__)
    assert version == funcam.__version__


def test_it_explains_a_scene(installed: Path, tmp_path: Path) -> None:
    record = json.loads(_run(installed / "funcam", "explain", "--json", cwd=tmp_path))
    assert record["versions"]["funcam"] == funcam.__version__
    assert record["files"]
    for row in record["explained"]:
        for name in row["files"].values():
            with Image.open(tmp_path / "results" / Path(name).name) as picture:
                picture.load()


def test_it_writes_a_report(installed: Path, tmp_path: Path) -> None:
    _run(installed / "funcam", "compare", "--scenes", 2, "--net", "scenes", "--report", "page.html", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for source in [PACKAGE / "report" / "style.css", *(PACKAGE / "report" / "script").glob("*.js")]:
        line = max(source.read_text(encoding="utf-8").splitlines(), key=len).strip()
        assert line in page, source.name
