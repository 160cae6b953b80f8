"""What SECURITY.md says: one module runs code that it is given, and nothing unpickles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import funcam

PACKAGE = Path(funcam.__file__).parent
RUNS_CODE = "zoo/user_code.py"


def _words(call: ast.Call) -> dict[str, str]:
    return {word.arg or "**": ast.unparse(word.value) for word in call.keywords}


def dangers(source: str) -> list[str]:
    """The calls in a source that could run code from a file or by a name from outside."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [ast.unparse(call) for call in calls if _runs_code(call)]


def _runs_code(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    first = ast.unparse(call.args[0]) if call.args else ""
    if name == "torch.load":
        return _words(call).get("weights_only") != "True"
    if name in ("np.load", "numpy.load"):
        return _words(call).get("allow_pickle", "False") != "False"
    if name.endswith("import_module"):
        return not first.strip("f").startswith(("'funcam.", "'torch."))
    return name in ("eval", "exec", "compile", "__import__", "runpy.run_path", "os.system", "torch.jit.load") or (
        name.startswith(("pickle.", "marshal.", "subprocess.", "torch.hub.load")) or "spec_from_file_location" in name
    )


def _by_module() -> Iterator[tuple[str, list[str]]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), dangers(path.read_text(encoding="utf-8"))


def test_one_module_runs_code_that_it_is_given() -> None:
    assert [module for module, calls in _by_module() if calls] == [RUNS_CODE]


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
        "pickle.loads(data)",
        "eval(text)",
        "importlib.import_module(name)",
        "torch.hub.load('someone/something', 'net')",
        "torch.hub.load_state_dict_from_url(url)",
    ],
)
def test_what_would_run_code_is_seen(line: str) -> None:
    assert dangers(line)


@pytest.mark.parametrize(
    "line",
    ["torch.load(file, weights_only=True)", "np.load(file)", "model.eval()", "importlib.import_module(f'funcam.{x}')"],
)
def test_what_runs_none_is_let_be(line: str) -> None:
    assert not dangers(line)
