"""Starting: help and wrong use answer without torch, output suits where it goes, and every end is a clean one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command_line import SCENES, Funcam, photo
from PIL import Image

import funcam as package
from funcam.cli.main import main

if TYPE_CHECKING:
    from terminal import Terminals

Process = Callable[..., "subprocess.Popen[str]"]

posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and scripts as POSIX has them")

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# Command lines, and how they end: all are answered without importing torch.
ANSWERED = [
    (["--help"], 0),
    (["-h"], 0),
    (["--version"], 0),
    ([], 2),
    (["explain", "--help"], 0),
    (["explain", "-h", "pic.png"], 0),
    (["nets", "--help"], 0),
    (["layers", "--help"], 0),
    (["methods", "--help"], 0),
    (["expl"], 2),
    (["explain", "--bogus"], 2),
    (["explain", "pic.png", "--net"], 2),
    (["explain", "missing.png"], 2),
    (["explain", "empty-folder"], 2),
    (["explain", "*.nothing"], 2),
    (["explain", ""], 2),
    (["explain", "https://example.com/dog.jpg"], 2),
    (["explain", "--net", "resnet18"], 2),
    (["explain", "pic.png", "--net", "resnet5"], 2),
    (["explain", "--net", "resnet5"], 2),
    (["explain", "pic.png", "--weights", "no/such.pth"], 2),
    (["explain", "pic.png", "--labels", "no-such.txt"], 2),
    (["explain", "pic.png", "--labels", "empty-folder"], 2),
    (["explain", "pic.png", "--fit", "stretch"], 2),
    (["explain", "pic.png", "--format", "gif"], 2),
    (["explain", "pic.png", "--colormap", "jett"], 2),
    (["explain", "pic.png", "--alpha", "2"], 2),
    (["explain", "pic.png", "--alpha", "nan"], 2),
    (["explain", "pic.png", "--size", "0"], 2),
    (["explain", "pic.png", "--size", "big"], 2),
    (["explain", "pic.png", "--pictures", "overlays"], 2),
    (["explain", "pic.png", "--pictures", "none", "--pictures", "panel"], 2),
    (["explain", "pic.png", "--device", "gpu"], 2),
    (["explain", "pic.png", "--device", "cuda:x"], 2),
    (["explain", "pic.png", "--scene", "3"], 2),
    (["explain", "--scene", "-1"], 2),
    (["explain", "pic.png", "--out", "pic.png"], 2),
    (["explain", "pic.png", "--out", "pic.png/below/it"], 2),
    (["layers"], 2),
    (["layers", "resnet5"], 2),
    (["layers", "resnet18", "resnet34"], 2),
    (["methods", "more"], 2),
]

RUN_ALL = """
import contextlib, io, json, sys
from funcam.cli.main import main

ends = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["funcam", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    imported = [name for name in ("torch", "torchvision") if name in sys.modules]
    ends.append([code, out.getvalue(), err.getvalue(), imported])
print(json.dumps(ends))
"""


def test_help_and_wrong_use_answer_without_torch(process: Process, tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "pic.png")
    (tmp_path / "empty-folder").mkdir()
    before = set(tmp_path.rglob("*"))

    out, err = process("-c", RUN_ALL, json.dumps([arguments for arguments, _ in ANSWERED])).communicate()
    ends = json.loads(out)

    assert err == ""
    assert len(ends) == len(ANSWERED)
    for (arguments, expected), (code, said, complained, imported) in zip(ANSWERED, ends, strict=True):
        assert not imported, arguments
        assert code == expected, (arguments, said, complained)
        if expected == 0 or not arguments:
            assert said.strip(), arguments
            assert not complained, arguments
        else:
            assert not said, arguments
            assert re.fullmatch(r"funcam: \S[^\n]*\n", complained), (arguments, complained)
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "results"}


def test_the_commands_ways_in(process: Process) -> None:
    version = f"funcam {package.__version__}\n"

    for way in (["-m", "funcam"], [Path(sys.executable).with_name("funcam")]):
        assert process(*way, "--version").communicate() == (version, "")


def test_no_arguments_show_the_help(funcam: Funcam) -> None:
    ran = funcam()

    assert "explain" in ran.out
    assert "layers" in ran.out
    assert ran.err == ""
    assert ran.out.strip() == funcam("--help").out.strip()


def test_help_is_told_from_an_error_by_a_script(funcam: Funcam) -> None:
    assert funcam("--help").code == 0
    assert funcam("explain", "--help").code == 0
    assert funcam("--version").out == f"funcam {package.__version__}\n"


@pytest.mark.parametrize("option", ["--json", "--quiet", None])
def test_elsewhere_than_on_a_terminal_the_output_is_plain(funcam: Funcam, image: Path, option: str | None) -> None:
    shutil.copy(image, "other.png")
    ran = funcam("explain", image, "other.png", *SCENES, *([option] if option else []))

    assert ran.code == 0
    assert ran.err == ""
    assert "\x1b" not in ran.out
    assert "\r" not in ran.out


ASCII_ONLY = """
import sys
from funcam.cli import main

sys.stdout.reconfigure(encoding="ascii", errors="strict")
for option in ("--json", "--maps"):
    sys.argv[1:] = ["explain", "pics", "--net", "scenes", "--weights", "random", option]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, end.code
"""


def test_names_that_the_terminal_cannot_show(process: Process, tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    Image.fromarray(photo()).save(tmp_path / "pics" / "Weiß 雪豹.png")
    out, err = process("-c", ASCII_ONLY).communicate()

    assert err == ""
    document, *summary = out.splitlines()
    assert json.loads(document)["image"] == os.path.join("pics", "Weiß 雪豹.png")
    assert "Wei\\xdf \\u96ea\\u8c79.png" in summary[0]


MAIN = "from funcam.cli import main; main()"


def test_on_a_terminal_there_is_progress_and_colour_and_it_ends_cleanly(terminals: Terminals, tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(photo(seed=number)).save(tmp_path / f"pic{number}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")

    images = ("pic0.png", "broken.png", "pic1.png")
    ran = terminals.run("explain", *images, *SCENES, folder=tmp_path, program=MAIN)
    shown = ran.sent

    assert ran.code == 1
    assert "loading scenes" in shown
    assert "explaining" in shown
    assert "100%" in shown
    assert ANSI.search(shown[shown.rindex("pic0.png") :])
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is hidden and shown again
    assert shown.endswith("\n")
    assert len(re.findall(r"funcam: 'broken.png' begins like a PNG file but is truncated", shown)) == 1
    after = shown[shown.rindex("\x1b[?25h") :]
    assert "explaining" not in after  # the bar is gone
    assert "2 images explained" in after
    assert "results in" in after


INTERRUPT = """
import os, signal, sys
import funcam.pipeline.writing
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
write = funcam.pipeline.writing.save_picture
def interrupted(path, picture):
    write(path, picture)
    if "cam" in path.name:
        os.kill(os.getpid(), {signal})
funcam.pipeline.writing.save_picture = interrupted
from funcam.cli import main
main()
"""


@posix
def test_an_interrupt_ends_in_one_line(process: Process, tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "pic.png")
    running = process("-c", INTERRUPT.format(signal=int(signal.SIGINT)), "explain", "pic.png", *SCENES)
    out, err = running.communicate()

    assert running.returncode == 130
    assert (out, err) == ("", "funcam: interrupted\n")
    assert_whole(tmp_path / "results")


def test_an_interrupt_on_a_terminal_gives_the_cursor_back(terminals: Terminals, tmp_path: Path) -> None:
    for number in range(2):
        Image.fromarray(photo(seed=number)).save(tmp_path / f"pic{number}.png")
    program = INTERRUPT.format(signal=int(signal.SIGINT))
    ran = terminals.run("explain", "pic0.png", "pic1.png", *SCENES, folder=tmp_path, program=program)

    assert ran.code == 130
    assert ran.sent.count("\x1b[?25l") == ran.sent.count("\x1b[?25h") > 0
    assert ran.sent.endswith("funcam: interrupted\r\n")


KILLED_WHILE_WRITING = """
import os, signal
replace, left = os.replace, [3]
def killed(source, target):
    left[0] -= 1
    replace(source, target) if left[0] else os.kill(os.getpid(), signal.SIGKILL)
os.replace = killed
from funcam.cli import main
main()
"""


@posix
def test_a_kill_leaves_no_half_of_a_file(process: Process, tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "pic.png")
    running = process("-c", KILLED_WHILE_WRITING, "explain", "pic.png", *SCENES)
    running.communicate()

    assert running.returncode == -signal.SIGKILL
    assert len(assert_whole(tmp_path / "results")) == 2


def assert_whole(folder: Path) -> list[Path]:
    """Every file that shows in the folder can be read to its end, and there is no record of what is incomplete."""
    shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
    assert shown
    for path in shown:
        assert path.suffix != ".json"
        Image.open(path).load()
    return shown


@posix
@pytest.mark.parametrize(
    "arguments",
    [
        *(["methods"], ["--help"], ["explain", "--help"], ["--version"], ["explain", *SCENES, "--json"]),
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (["nets"], ["layers", "resnet18"], ["explain", *SCENES])
        ),
        ["compare", "--scenes", "2", "-n", "scenes", "-m", "grad-cam"],
    ],
)
def test_a_closed_pipe_is_no_news(process: Process, arguments: list[str]) -> None:
    """As of what `SIGPIPE` ends."""
    reader, writer = os.pipe()
    os.close(reader)
    running = process("-m", "funcam", *arguments, stdout=writer)
    os.close(writer)
    _, err = running.communicate()

    assert err == ""
    assert running.returncode == 128 + signal.SIGPIPE


CLOSED = (">&-", "2>&-", ">&- 2>&-")


@posix
@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        *((closed, *run) for closed in CLOSED for run in (("methods", 0), ("--version", 0), ("x", 2))),
        *(pytest.param(closed, "explain --net scenes", 0, marks=pytest.mark.slow) for closed in CLOSED[:-1]),
        (CLOSED[-1], "explain --net scenes", 0),
    ],
)
def test_a_closed_output_stops_no_work(process: Process, closed: str, arguments: str, code: int) -> None:
    program = f"import os; os.execlp('sh', 'sh', '-c', '\"$0\" -m funcam {arguments} {closed}', {sys.executable!r})"
    out, err = process("-c", program).communicate()

    assert "Error" not in out + err
    assert ("funcam: " in err) == (code == 2 and "2>" not in closed)
    assert "funcam: " not in out


@posix
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("batch x.png --net scenes --out s", "'x.png' does not exist"),
        ("explain -", "standard input gave no file names"),
    ],
)
def test_a_closed_input_gives_nothing(process: Process, arguments: str, told: str) -> None:
    """As services start programs."""
    program = f"import os; os.execlp('sh', 'sh', '-c', '\"$0\" -m funcam {arguments} <&-', {sys.executable!r})"
    assert told in process("-c", program).communicate()[1]


def test_an_error_that_nobody_foresaw_is_one_line_too(
    funcam: Funcam, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr("funcam.pipeline.explaining.explain_image", broken)

    funcam("explain", image, *SCENES).error(1, r"pic.png: RuntimeError: out of \(FUNCAM_DEBUG=1 shows where\)")
    monkeypatch.setenv("FUNCAM_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["funcam", "explain", str(image), *SCENES])
    with pytest.raises(RuntimeError, match="out of\nluck"):
        main()


# The scripts beside the package


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of bin/ whose environment is there already, with programs that only say what they were asked."""
    root = tmp_path / "a checkout"
    source = Path(package.__file__).parents[1]
    shutil.copytree(source / "bin", root / "bin")
    shutil.copy(source / "pyproject.toml", root)
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("funcam", "python", "ruff", "mypy"):
        (programs / name).write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
        (programs / name).chmod(0o755)
    for mark in (".funcam-installed", ".funcam-installed-dev"):
        shutil.copy(root / "pyproject.toml", root / ".venv" / mark)
    return root


@posix
def test_bin_explain_hands_its_arguments_on(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(checkout / "bin" / "explain")

    for command in (checkout / "bin" / "explain", tmp_path / "link"):
        ran = subprocess.run(
            [command, "my dog.jpg", "*.png", "--class", "tabby cat", ""],
            cwd=tmp_path / "elsewhere",
            capture_output=True,
            text=True,
        )
        assert ran.stdout == "<explain><my dog.jpg><*.png><--class><tabby cat><>"
        assert (ran.returncode, ran.stderr) == (0, "")


@posix
def test_bin_explain_finds_the_environment_as_windows_lays_it_out(checkout: Path) -> None:
    (checkout / ".venv" / "bin").rename(checkout / ".venv" / "Scripts")
    env = {**os.environ, "OSTYPE": "msys"}
    assert subprocess.run([checkout / "bin" / "explain", "a"], env=env, capture_output=True, text=True).stdout == (
        "<explain><a>"
    )


NOT_SLOW = "<-m><not slow>"
FAST = "<-m><not (slow or real or browser or long)>"
SLOW = "<--cov><--cov-report=term>"


@posix
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], NOT_SLOW),
        (["--fast"], FAST),
        (["--slow"], SLOW),
        (["-k", "two words"], f"{NOT_SLOW}<--cov-fail-under=0><-k><two words>"),
        (["-k", "x", "--fast"], f"{FAST}<--cov-fail-under=0><-k><x>"),
        (["--slow", "tests/cli"], f"{SLOW}<--cov-fail-under=0><tests/cli>"),
    ],
)
def test_bin_test_picks_a_tier_and_hands_the_rest_on(checkout: Path, arguments: list[str], expected: str) -> None:
    ran = subprocess.run([checkout / "bin" / "test", *arguments], capture_output=True, text=True)
    checks = "<check><.><format><--check><.><--strict><funcam>"
    assert ran.stdout == f"{checks}<-m><pytest><--numprocesses><2><--dist><worksteal>{expected}"
    assert (ran.returncode, ran.stderr) == (0, "")


@posix
def test_bin_explain_says_that_python_is_too_old(checkout: Path, tmp_path: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    old = tmp_path / "old"
    old.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (old / name).write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1 && exit 0\nexit 1\n')
        (old / name).chmod(0o755)
    ran = subprocess.run(
        [checkout / "bin" / "explain"],
        env={"PATH": f"{old}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 1
    assert ran.stdout == ""
    assert re.fullmatch(r"funcam: Python 3\.11 or newer is needed .*3\.8\.1.*\n", ran.stderr)
    assert not (checkout / ".venv").exists()
