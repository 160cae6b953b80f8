"""The Python files that a model's code is in: with other code the same values give other figures. Nothing is run."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import funcam
from funcam.errors import FuncamError
from funcam.resuming.content import file_letters

_FUNCAM = Path(funcam.__file__).resolve().parent
_INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_PACKAGES = {"site-packages", "dist-packages"}  # of the system, of the user, of another environment on the path


def source_letters(definitions: Iterable[Any]) -> list[str]:
    """What tells the files in which classes and functions are defined from others, sorted.

    What they import is theirs, too, and files of data that they name, unless it is installed: of packages only the
    files of the definitions count, of funcam its version.

    Args:
        definitions: classes and functions.

    Example:
        >>> from torch import nn
        >>> len(source_letters([nn.ReLU, nn.GELU]))
        1
    """
    todo = [file for definition in definitions for file in _files_of(definition)]
    known: dict[Path, str] = {}
    named: set[Path] = set()
    while todo:
        file = todo.pop()
        if file in known or _FUNCAM in file.parents:
            continue
        try:
            known[file] = file_letters(file)
        except (FuncamError, OSError):  # typed in, or in an archive
            continue
        if not _is_of_package(file):
            tree = _parsed(file)
            todo += _imported(tree, file)
            named |= _named(tree, file)
    return sorted([*known.values(), *(file_letters(file) for file in named - {*known})])


def is_installed(definition: Any) -> bool:
    """Whether a class, a function or a module is of Python, of an installed package or of funcam.

    Example:
        >>> is_installed(Path), is_installed(is_installed)
        (True, True)
    """
    return _is_installed(getattr(definition, "__module__", None) or getattr(definition, "__name__", ""))


@cache
def _is_installed(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return name in sys.builtin_module_names
    path = Path(file).resolve()
    return _is_of_package(path) or _FUNCAM in path.parents


def _is_of_package(file: Path) -> bool:
    return bool(_INSTALLED & {*file.parents} or _PACKAGES & {*file.parts})


def _files_of(definition: Any) -> Iterator[Path]:
    functions = [definition, *vars(definition).values()] if isinstance(definition, type) else [definition]
    for function in functions:
        if isinstance(function, FunctionType):
            yield Path(function.__code__.co_filename).resolve()
    module = sys.modules.get(getattr(definition, "__module__", None) or "")
    if getattr(module, "__file__", None):
        yield Path(str(module.__file__)).resolve()  # type: ignore[union-attr]


def _parsed(file: Path) -> list[ast.AST]:
    """What is written in a file."""
    try:
        return list(ast.walk(ast.parse(file.read_bytes())))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # a library, or no Python any more
        return []


def _named(nodes: Iterable[ast.AST], file: Path) -> set[Path]:
    """The files beside a file or in the current folder, or in a folder there, that a text in it is the name of."""
    values = (node.value for node in nodes if isinstance(node, ast.Constant))
    words = (value for value in values if isinstance(value, str) and value.isprintable())
    texts = {word.strip("/\\") for word in words if 2 < len(word) < 256}
    roots = [str(file.parent), os.getcwd()]
    roots += [path for root in roots for text in texts if os.path.isdir(path := os.path.join(root, text))]
    paths = (os.path.join(root, text) for root in roots for text in texts)
    return {Path(path).resolve() for path in paths if os.path.isfile(path)}


def _imported(nodes: Iterable[ast.AST], file: Path) -> list[Path]:
    """The files beside a file, or loaded already, that it imports anywhere in it."""
    found: list[Path] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _modules(alias.name, _roots(file))
        elif isinstance(node, ast.ImportFrom):
            roots = [file.parents[node.level - 1]] if 0 < node.level <= len(file.parents) else _roots(file)
            for name in [node.module or "", *(f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names)]:
                found += _modules(name, roots)
    return found


def _roots(file: Path) -> list[Path]:
    """Where the names of modules begin: beside the file, beside the package that it is in, in the current folder."""
    package = file.parent
    while (package / "__init__.py").is_file():
        package = package.parent
    return [file.parent, package, Path(os.getcwd())]


def _modules(name: str, roots: Iterable[Path]) -> list[Path]:
    """The files of a module and of the packages above it."""
    parts = name.split(".") if name else []
    names = [parts[: length + 1] for length in range(len(parts))]
    places = [root.joinpath(*words) for root in roots for words in names]
    found = [place.with_name(f"{place.name}.py") for place in places] + [place / "__init__.py" for place in places]
    loaded = [getattr(sys.modules.get(".".join(words)), "__file__", None) for words in names]
    files = [*found, *(Path(file) for file in loaded if file)]
    return [path.resolve() for path in files if path.is_file() and not _is_of_package(path.resolve())]
