"""What loading a user's file leaves behind: modules that it imported, and nothing on the path or in the sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from funcam.errors import FuncamError
from funcam.zoo.downloading import download
from funcam.zoo.user_code import Factory, load_from_factory

NETWORK = """
from torch import nn
{eager}
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(3, width)
    def forward(self, images):
        {in_forward}
        return self.layer(images.mean((2, 3)))

def net():
    {lazy}
    return Net(WIDTH)
"""


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test loads, the path is as it was."""
    monkeypatch.chdir(tmp_path)
    path, entries, modules = sys.path, [*sys.path], set(sys.modules)
    yield
    assert sys.path is path
    assert sys.path == entries
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def written(folder: str, helper: str, width: int, **lines: str) -> Factory:
    """A file that makes a network of the width that its neighbour `helper` tells."""
    Path(folder).mkdir()
    Path(folder, f"{helper}.py").write_text(f"WIDTH = {width}\n")
    importing = f"from {helper} import WIDTH"
    text = NETWORK.format(**{"eager": "", "lazy": "pass", "in_forward": "pass"} | dict.fromkeys(lines, importing))
    file = Path(folder, "model.py")
    file.write_text(text if {"eager", "lazy"} & lines.keys() else text.replace("WIDTH)", f"{width})"))
    return Factory(str(file), "net")


@pytest.mark.parametrize("where", ["eager", "lazy", "in_forward"])
def test_a_neighbour_is_found_whenever_it_is_imported_and_the_path_is_as_it_was(where: str) -> None:
    net = load_from_factory(written("a", f"beside_{where}", 5, **{where: ""}))
    assert len(net.classes) == 5
    assert f"beside_{where}" in sys.modules
    assert str(Path("a").resolve()) not in sys.path
    assert len(load_from_factory(Factory("a/model.py", "net")).classes) == 5


@pytest.mark.parametrize("where", ["eager", "lazy"])
def test_two_folders_have_neighbours_of_one_name(where: str) -> None:
    one, other = written("a", "common_helper", 2, **{where: ""}), written("b", "common_helper", 3, **{where: ""})
    for factory, width in ((one, 2), (other, 3), (one, 2), (other, 3)):
        assert len(load_from_factory(factory).classes) == width
    assert sys.modules["common_helper"].WIDTH == 3


def test_two_folders_have_packages_of_one_name() -> None:
    for folder, width in (("a", 2), ("b", 3)):
        Path(folder, "parts").mkdir(parents=True)
        Path(folder, "parts", "__init__.py").write_text("")
        Path(folder, "parts", "sizes.py").write_text(f"WIDTH = {width}\n")
        text = NETWORK.format(eager="from parts.sizes import WIDTH", lazy="pass", in_forward="pass")
        Path(folder, "model.py").write_text(text)
        assert len(load_from_factory(Factory(f"{folder}/model.py", "net")).classes) == width


def test_modules_in_two_current_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, width in (("a", 2), ("b", 3)):
        package = Path(folder, "my_networks")
        package.mkdir(parents=True)
        (package / "models.py").write_text(NETWORK.format(eager=f"WIDTH = {width}", lazy="pass", in_forward="pass"))
    for folder, width in (("a", 2), ("b", 3), ("a", 2)):
        with monkeypatch.context() as there:
            there.chdir(folder)
            assert len(load_from_factory(Factory("my_networks.models", "net")).classes) == width


@pytest.mark.parametrize("text", ["import nowhere_9", "def net(): raise ValueError", "def net(): return 3", "x = 1"])
def test_the_path_is_as_it_was_where_the_code_fails(text: str) -> None:
    Path("bad.py").write_text(text)
    with pytest.raises(FuncamError):
        load_from_factory(Factory("bad.py", "net"))


def test_what_the_code_itself_puts_on_the_path_stays() -> None:
    Path("model.py").write_text(
        "import sys\nsys.path.append('/added-by-the-user')\n"
        + NETWORK.format(eager="WIDTH = 2", lazy="pass", in_forward="pass")
    )
    load_from_factory(Factory("model.py", "net"))
    assert sys.path.pop() == "/added-by-the-user"


def test_a_function_may_load_another_folders_network() -> None:
    inner = written("a", "common_part", 2, lazy="")
    outer = written("b", "common_part", 3, lazy="")
    text = Path(outer.source).read_text() + (
        "\ndef both():\n    from funcam.zoo.user_code import Factory, load_from_factory\n"
        f"    assert len(load_from_factory(Factory({str(Path(inner.source).resolve())!r}, 'net')).classes) == 2\n"
        "    return net()\n"
    )
    Path(outer.source).write_text(text)
    assert len(load_from_factory(Factory(outer.source, "both")).classes) == 3


def test_threads_load_one_after_the_other() -> None:
    factories = [written(f"folder{width}", "shared_name", width, lazy="") for width in range(2, 8)]
    counted: dict[int, int] = {}

    def load(index: int) -> None:
        counted[index] = len(load_from_factory(factories[index]).classes)

    threads = [threading.Thread(target=load, args=(index,)) for index in range(len(factories))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == {index: index + 2 for index in range(len(factories))}


def test_the_face_of_the_zoo_needs_no_torch() -> None:
    code = (
        "import sys, funcam.zoo, funcam.zoo.nets, funcam.zoo.own, funcam.zoo.user_code\n"
        "from funcam.zoo import own_net, load_net, build_net, Net\n"
        "assert funcam.zoo.own_net is funcam.zoo.nets.own_net is funcam.zoo.own.own_net\n"
        "sys.exit(', '.join({'torch', 'torchvision', 'cv2'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr


# Downloads


@pytest.mark.parametrize("default", [None, 30.0])
def test_a_download_has_a_timeout_of_its_own_and_changes_none(default: float | None, tmp_path: Path) -> None:
    seen: list[float | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(socket.getdefaulttimeout())
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(default)
        download(f"http://127.0.0.1:{server.server_port}/x", tmp_path / "x", "ba7816bf", timeout=9.0, progress=False)
        assert seen == [default] == [socket.getdefaulttimeout()]
    finally:
        socket.setdefaulttimeout(before)
        server.shutdown()
        server.server_close()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x", b"abc")]
