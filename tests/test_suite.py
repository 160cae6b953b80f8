"""The suite keeps its own rules: nothing depends on a clock or on the import path, and every import is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SOURCES = {
    "funcam": sorted((ROOT / "funcam").rglob("*.py")),
    "tests": TESTS,
    "benchmarks": sorted((ROOT / "benchmarks").rglob("*.py")),
}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _dotted(node: ast.AST) -> str:
    """A name, with the attributes behind it: what `ast.unparse` writes, of every node of the tests in less time."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _places(*kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of some kinds in the tests, and where it stands."""
    for path in TESTS:
        for node in ast.walk(_tree(path)):
            if isinstance(node, kinds):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


# --- no time ----------------------------------------------------------------------------------------------------------


@given(number=st.integers())
def test_hypothesis_watches_no_clock(number: int) -> None:
    assert settings.get_current_profile_name() == "funcam", number
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check


def test_no_test_sets_a_deadline() -> None:
    keywords = [place for place, node in _places(ast.keyword) if node.arg == "deadline"]  # type: ignore[attr-defined]
    assert [place for place in keywords if not place.startswith("tests/conftest.py")] == []
    assert keywords  # the profile's


def test_no_test_reads_a_clock() -> None:
    clock = re.compile(r"(.*\.)?(perf_counter|monotonic|process_time|thread_time|default_timer)(_ns)?|time\.time(_ns)?")
    assert [place for place, node in _places(ast.Name, ast.Attribute) if clock.fullmatch(_dotted(node))] == []


# --- the tiers --------------------------------------------------------------------------------------------------------


def test_the_files_that_are_left_out_of_the_fast_tier_exist(pytestconfig: pytest.Config) -> None:
    """One that was moved would be in it again."""
    (conftest,) = [p for p in pytestconfig.pluginmanager.get_plugins() if hasattr(p, "LONG")]
    assert conftest.LONG
    assert [name for name in conftest.LONG if not (ROOT / "tests" / name).is_file()] == []


def test_warnings_are_errors() -> None:
    with pytest.raises(UserWarning, match="any"):
        warnings.warn("any", stacklevel=1)


# --- imports ----------------------------------------------------------------------------------------------------------


def test_no_test_changes_the_import_path() -> None:
    """Helper modules are found by pytest's `pythonpath`; what a test imports may change it in a copy only."""
    path = re.compile(r"sys\.path(\.(insert|append|extend))?")
    changes = [(place, node.func) for place, node in _places(ast.Call)]  # type: ignore[attr-defined]
    changes += [(place, target) for place, node in _places(ast.Assign) for target in node.targets]  # type: ignore[attr-defined]
    changes += [(place, node.target) for place, node in _places(ast.AugAssign)]  # type: ignore[attr-defined]
    assert len(changes) > 1000
    changes = [(place, target.value if isinstance(target, ast.Subscript) else target) for place, target in changes]
    assert [place for place, target in changes if path.fullmatch(_dotted(target))] == []


DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "griffe": "griffelib",
    "open_clip": "open_clip_torch",
    "pillow_heif": "pillow-heif",
    "pytorch_grad_cam": "grad-cam",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""What is imported under another name than it is installed."""


def _imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, also within functions and by `pytest.importorskip`."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and _dotted(node.func).endswith(("importorskip", "import_module")):
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield str(name.value)


def _third_party(room: str) -> set[str]:
    ours = {
        "funcam",
        "benchmarks",
        *(path.stem for path in (*SOURCES["benchmarks"], *(ROOT / "tests" / "helpers").glob("*.py"))),
    }
    top = {name.partition(".")[0] for path in SOURCES[room] for name in _imported(path)}
    return {DISTRIBUTIONS.get(name, name) for name in top - ours - set(sys.stdlib_module_names)}


def _declared(*extras: str) -> set[str]:
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return {re.match(r"[\w.-]+", line)[0].lower() for line in lines}  # type: ignore[index]


@pytest.mark.parametrize(
    ("room", "extras"),
    [
        ("funcam", ["safetensors", "app", "batch", "export", "ray", "figures", "heif"]),
        ("tests", ["test", "docs", "ray", "examples", "app"]),
        ("benchmarks", ["bench", "models", "docs", "batch", "ray"]),
    ],
)
def test_every_import_is_declared(room: str, extras: list[str]) -> None:
    third_party = _third_party(room)
    assert {"torch", "numpy"} <= third_party
    assert third_party <= _declared(*extras)


def test_what_tests_borrow_from_the_benchmarks_is_declared_for_tests_too() -> None:
    assert _declared("bench") <= _declared("test")


def test_what_judges_the_code_is_pinned() -> None:
    """A new release of a linter is a change of the rules: it comes when it is asked for."""
    tools = dict(line.split("==") for line in EXTRAS["dev"] if "==" in line)
    assert tools.keys() == {"mypy", "pre-commit", "ruff"}
    assert {tool: metadata.version(tool) for tool in tools} == tools
