"""The files for those who build on funcam agree with it: CI's matrix, what is public, how to cite and to report."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
YAML = [ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml", *sorted((ROOT / ".github").rglob("*.yml"))]
PUBLIC = (ROOT / "docs" / "public-api.md").read_text(encoding="utf-8")
HOME = PROJECT["urls"]["Homepage"]


def _read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_it_is_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_ci_runs_the_same_command_wherever_funcam_says_that_it_runs() -> None:
    workflow = _read(".github/workflows/test.yml")
    assert {"push", "pull_request"} <= workflow[True].keys()  # YAML 1.1 takes `on` for a truth value
    job = workflow["jobs"]["test"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bin/test"]
    pythons = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert job["strategy"]["matrix"] == {
        "system": ["ubuntu-latest", "macos-latest", "windows-latest"],
        "python": pythons,
        "torch": ["lowest", "newest"],
    }
    assert job["env"]["FUNCAM_ASSETS"] == "none"


def test_the_lowest_torch_is_the_one_that_is_promised() -> None:
    lines = (ROOT / ".github" / "lowest.txt").read_text().splitlines()
    lowest = dict(re.findall(r"(\w+)==([\d.]+)\.\*", "\n".join(lines)))
    promised = dict(re.findall(r"(torch|torchvision)>=([\d.]+)", "\n".join(PROJECT["dependencies"])))
    assert lowest == promised
    assert lowest.keys() == {"torch", "torchvision"}


@pytest.mark.parametrize("name", ["wrong-map", "question"])
def test_issue_forms_ask_in_fields_that_have_names(name: str) -> None:
    form = _read(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert {"name", "description", "body"} <= form.keys()
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names) > 0
    assert {field["type"] for field in form["body"]} <= {"input", "textarea", "markdown", "dropdown", "checkboxes"}
    if name == "wrong-map":
        assert {"model", "layer", "versions"} <= set(names)


def test_how_to_cite_it() -> None:
    citation = _read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


@pytest.mark.parametrize("path", ["CITATION.cff", "SECURITY.md", ".github/ISSUE_TEMPLATE/config.yml", "pyproject.toml"])
def test_there_is_one_address(path: str) -> None:
    addresses = set(re.findall(r"https://github\.com/[\w-]+/[\w-]+", (ROOT / path).read_text(encoding="utf-8")))
    assert addresses == {HOME}


def test_what_is_public_is_there() -> None:
    named = set(re.findall(r"`(funcam(?:\.\w+)?)\.__all__`", PUBLIC))
    assert {"funcam", "funcam.metrics", "funcam.zoo", "funcam.comparison", "funcam.truth"} <= named
    for name in named:
        module = importlib.import_module(name)
        assert module.__all__
        assert not [public for public in module.__all__ if not hasattr(module, public)]


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    from funcam.cli.messages import FAILURE, INTERRUPTED, UNREAD, USAGE

    paragraph = PUBLIC.split("**Exit codes**")[1].split("\n\n")[0]
    assert re.findall(r"\b(\d+), ", paragraph) == [str(code) for code in (0, FAILURE, USAGE, INTERRUPTED, UNREAD)]
