"""Docstrings tell the truth: a section of arguments lists the arguments, one of attributes the fields."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import funcam

PACKAGE = Path(funcam.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def documented(source: str) -> Iterator[tuple[Documented, str]]:
    """Every module, class and function in a source that has a docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Documented):
            text = ast.get_docstring(node)
            if text:
                yield node, text


def entries(text: str, section: str) -> list[str] | None:
    """The names that a section lists, `*` and `**` before them; None where there is no such section."""
    match = re.search(rf"^{section}:\n((?:[ ]+.*\n?|\n)+)", text, re.M)
    if not match:
        return None
    lines = inspect.cleandoc("\n" + match[1]).splitlines()
    heads = [re.match(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \([^)]*\))?:", line) for line in lines]
    return [name for head in heads if head for name in head[1].split(", ")]


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The names of a function's parameters in their order, without `self` and `cls`."""
    of = function.args
    names = [each.arg for each in (*of.posonlyargs, *of.args)]
    names += [f"*{of.vararg.arg}"] if of.vararg else []
    names += [each.arg for each in of.kwonlyargs]
    names += [f"**{of.kwarg.arg}"] if of.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


def public_fields(owner: ast.ClassDef) -> list[str]:
    """The annotated names in a class's body that have no underscore."""
    annotated = [each for each in owner.body if isinstance(each, ast.AnnAssign)]
    names = [each.target.id for each in annotated if isinstance(each.target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def lies(source: str) -> list[str]:
    """What is wrong with the docstrings of a source, a line each."""
    wrong = []
    for node, text in documented(source):
        name = getattr(node, "name", "the module")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            told, there = entries(text, "Args"), parameters(node)
        elif isinstance(node, ast.ClassDef):
            told, there = entries(text, "Attributes"), public_fields(node)
        else:
            told, there = None, []
        if told is not None and told != there:
            wrong.append(f"{name}: lists {told}, has {there}")
        if "``" in text:
            wrong.append(f"{name}: double backticks")
        if re.search(r":(py:)?(func|class|meth|mod|attr|data|exc|obj|ref|math):`", text):
            wrong.append(f"{name}: a role of reStructuredText")
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_what_a_docstring_lists_is_what_there_is(path: Path) -> None:
    assert lies(path.read_text(encoding="utf-8")) == []


FUNCTION = '''
def f(a, b=1, *rest, key, **more):
    """One line.

    Args:
        {}

    Returns:
        nothing: really.
    """
'''
CLASS = '''
class C:
    """One line.

    Attributes:
        {}
    """

    first: int
    second: list[int] = []
    _hidden: int = 0
    KIND = "no field"
'''


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        (
            FUNCTION.format(
                "a: x\n          goes on: here.\n        b, *rest: y\n        key (int): z\n        **more: w"
            ),
            False,
        ),
        (FUNCTION.format("a: x\n        b: y\n        *rest: y\n        key: z"), True),
        (FUNCTION.format("a: x\n        b: y\n        rest: y\n        key: z\n        more: w"), True),
        (FUNCTION.format("b: x\n        a: y\n        *rest: y\n        key: z\n        **more: w"), True),
        (CLASS.format("first: x\n        second: y"), False),
        (CLASS.format("first: x"), True),
        (CLASS.format("first: x\n        second: y\n        third: z"), True),
        ('"""Uses ``code``."""', True),
        ('"""Uses :func:`explain`."""', True),
        ('"""Uses `code`: no more."""', False),
    ],
)
def test_lies_are_found_and_the_truth_is_not_called_one(source: str, wrong: bool) -> None:
    assert bool(lies(source)) == wrong
