"""The house is the one that CONTRIBUTING.md draws: its rooms, their order, and names that hide nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib

import house
import pytest

import funcam
from funcam.cli.main import app

FLOORS = house.floors()
TORCH_FREE = ("imaging", "report", "truth", "sources", "store", "statistics", "errors", "files", "recipe", "__init__")
MEASURED = {"rooms": 29, "root": 6}


def test_the_list_has_every_room_once():
    listed = [room for floor in FLOORS for room in floor]
    assert sorted(listed) == house.rooms()


def test_arrows_go_down_the_list():
    level = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    arrows = house.arrows()
    house.main()
    assert len(arrows) > 50  # the imports were seen
    wrong = [module for (above, below), modules in arrows.items() if level[above] >= level[below] for module in modules]
    assert not wrong


def test_there_are_few_rooms_and_few_files_at_the_root():
    assert len(house.rooms()) <= MEASURED["rooms"]
    assert len(list(house.PACKAGE.glob("*.py"))) <= MEASURED["root"]


def test_no_file_is_long():
    long = {str(path): count for path in house.modules().values() if (count := path.read_text().count("\n")) > 400}
    assert not long


def test_no_room_is_named_like_a_command_or_a_function():
    """Importing a room binds its name in the package: a function of that name would be overwritten."""
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    taken = (
        commands | set(funcam.__all__) | {"explain", "split", "guided", "export", "batch", "audit", "prepare", "app"}
    )
    assert {"explain", "methods"} <= commands
    assert set(house.rooms()) & (taken - {"methods"}) == set()  # the room of methods has the table of that command
    assert "methods" not in funcam.__all__


@pytest.mark.parametrize("room", TORCH_FREE)
def test_rooms_without_torch(room):
    modules = [name for name in house.modules() if house.room_of(name) == room]
    program = (
        f"import sys, importlib; [importlib.import_module(n) for n in {modules!r}]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_module_is_imported_where_no_extra_is_installed():
    project = tomllib.loads((house.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    names = {re.split(r"[^\w-]", needed)[0].replace("-", "_") for needs in extras for needed in needs}
    program = (
        f"import sys, importlib; sys.modules.update(dict.fromkeys({sorted(names - {'funcam'})!r}));"
        f"[importlib.import_module(n) for n in {[*house.modules()]!r} if not n.endswith('__main__')]"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_underscored_name_crosses_a_module():
    crossing = [
        f"{module}: {node.module}.{alias.name}"
        for module, file in house.modules().items()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("funcam")
        for alias in node.names
        if re.match(r"_[a-z]", alias.name) or re.search(r"\._[a-z]", node.module or "")
    ]
    assert not crossing
