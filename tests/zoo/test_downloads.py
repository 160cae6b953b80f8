"""Published weights from a server on this machine: fetched once, whole, and otherwise not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from torchvision import models
from zoo_cases import NAME, assert_same_network, refusal

from funcam.zoo.nets import Net, load_net


class Server:
    """Answers every request with the same bytes; counts the requests."""

    def __init__(self) -> None:
        self.body, self.status, self.stated_length, self.requests = b"", 200, -1, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                self.send_response(outer.status)
                length = outer.stated_length if outer.stated_length >= 0 else len(outer.body)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch, own_file: Path) -> Callable[[str], str]:
    """Moves the network's weights to another address; returns the name of the file, its hash in it."""

    def move(address: str) -> str:
        name = f"own-{hashlib.sha256(own_file.read_bytes()).hexdigest()[:8]}.pth"
        monkeypatch.setattr(models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.value, "url", f"{address}/{name}")
        return name

    return move


Publish = Callable[[str], str]


def load() -> Net:
    return load_net(NAME, progress=False)


def assert_ways_out(message: str, hub: Path, name: str) -> None:
    for part in (NAME, name, str(hub), "--weights FILE", "--net scenes"):
        assert part in message
    assert list(hub.glob("*")) == []


def test_weights_are_downloaded_once(
    hub: Path, server: Server, publish: Publish, own: nn.Module, own_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = publish(server.address)
    server.body = own_file.read_bytes()
    for weights in (None, "imagenet1k_v1", "DEFAULT"):
        net = load_net(NAME, weights, progress=False)
        assert_same_network(net.model, own)
        assert net.weights == "IMAGENET1K_V1"
        assert net.classes[281] == "tabby"
    assert server.requests == 1
    assert [file.name for file in hub.iterdir()] == [name]
    assert capsys.readouterr() == ("", "")


def test_progress_goes_to_stderr(
    hub: Path, server: Server, publish: Publish, own_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(server.address)
    server.body = own_file.read_bytes()
    load_net(NAME)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err


def test_a_file_address(hub: Path, publish: Publish, own: nn.Module, own_file: Path) -> None:
    name = publish(own_file.parent.as_uri())
    (own_file.parent / name).write_bytes(own_file.read_bytes())
    assert_same_network(load().model, own)


def test_what_comes_has_another_hash(hub: Path, server: Server, publish: Publish, own_file: Path) -> None:
    name = publish(server.address)
    server.body = own_file.read_bytes()[:-1] + b"!"
    message = refusal(load)
    assert "hash" in message
    assert_ways_out(message, hub, name)


def test_a_download_that_is_cut_off(hub: Path, server: Server, publish: Publish, own_file: Path) -> None:
    name = publish(server.address)
    server.body, server.stated_length = own_file.read_bytes()[:1000], 100_000
    assert_ways_out(refusal(load), hub, name)


@pytest.mark.parametrize("status", [404, 500])
def test_the_server_has_no_such_file(hub: Path, server: Server, publish: Publish, status: int) -> None:
    name = publish(server.address)
    server.status = status
    message = refusal(load)
    assert str(status) in message
    assert_ways_out(message, hub, name)


def test_no_server_answers(hub: Path, server: Server, publish: Publish) -> None:
    name = publish("http://127.0.0.1:9")  # the port of the discard service, on which nothing listens
    assert_ways_out(refusal(load), hub, name)


def test_a_silent_server(hub: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr("funcam.zoo.published.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and says nothing
        name = publish(f"http://127.0.0.1:{silent.getsockname()[1]}")
        message = refusal(load)
    assert "timed out" in message
    assert_ways_out(message, hub, name)
    assert socket.getdefaulttimeout() is None


def test_a_cache_that_cannot_be_written(hub: Path, publish: Publish, server: Server) -> None:
    publish(server.address)
    hub.parent.write_text("a file where the folder should be")
    message = refusal(load)
    assert str(hub) in message
    assert "--weights FILE" in message


def test_a_damaged_file_in_the_cache(hub: Path, publish: Publish, server: Server) -> None:
    name = publish(server.address)
    hub.mkdir(parents=True)
    (hub / name).write_bytes(b"PK\x03\x04 half of it")
    message = refusal(load)
    assert str(hub / name) in message
    assert "cut short or damaged" in message
    assert "delete it" in message
    assert server.requests == 0
