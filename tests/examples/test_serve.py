"""`examples/serve.py` answers what the API says, on loopback, and refuses in words what it can't do."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from command_line import photo
from example_programs import example
from PIL import Image

import funcam

pytestmark = pytest.mark.long
httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def serve() -> ModuleType:
    return example("serve")


@pytest.fixture(scope="module")
def net() -> funcam.Net:
    return funcam.load_net("scenes")


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The service on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        server.install_signal_handlers = lambda: None
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
                while not server.started:
                    thread.join(0.01)
                yield str(client.base_url)
        finally:
            server.should_exit = True
            thread.join()


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photo(seed=seed)).save(stream, "PNG")
    return stream.getvalue()


def test_answers_are_those_of_the_api(serve: ModuleType, net: funcam.Net) -> None:
    with served(serve.make_app(net)) as url, httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/health").json() == {"net": "scenes"}
        said = client.post("/explain", content=png(0)).json()
        expected = funcam.explain(net, [photo(seed=0)])
        assert said["target"] == int(expected.targets[0])
        assert said["name"] == net.classes[said["target"]]
        np.testing.assert_allclose(said["map"], expected.maps[0], rtol=1e-4, atol=1e-6)
        other = client.post("/explain", params={"target": 2}, content=png(0)).json()
        np.testing.assert_allclose(
            other["map"], funcam.explain(net, [photo(seed=0)], [2]).maps[0], rtol=1e-4, atol=1e-6
        )
        shown = client.post("/explain", params={"picture": True}, content=png(0))
        assert shown.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(shown.content)) as picture:
            assert picture.size == photo().shape[1::-1]


@pytest.mark.parametrize(
    ("body", "params", "status", "told"),
    [
        (b"", {}, 400, "empty"),
        (b"<html>no picture</html>", {}, 422, "the picture"),
        (png(0)[:200], {}, 422, "truncated or damaged"),
        (b"x" * 100_001, {}, 413, "larger than 100,000 bytes"),
        (png(0), {"target": 999}, 422, "has the classes 0 to"),
        (png(0), {"target": "cat"}, 422, "integer"),
    ],
)
def test_what_can_not_be_done_is_told(
    serve: ModuleType, net: funcam.Net, body: bytes, params: dict[str, Any], status: int, told: str
) -> None:
    with served(serve.make_app(net, serve.Limits(most_bytes=100_000))) as url:
        answer = httpx.post(f"{url}/explain", content=body, params=params, timeout=60)
        assert (answer.status_code, told in answer.text) == (status, True), answer.text
        assert "/tmp" not in answer.text
        assert httpx.post(f"{url}/explain", content=png(1), timeout=60).status_code == 200


def test_what_takes_too_long_is_told(serve: ModuleType, net: funcam.Net) -> None:
    with served(serve.make_app(net, serve.Limits(seconds=1e-9))) as url:
        assert httpx.post(f"{url}/explain", content=png(0), timeout=60).status_code in (408, 504)


def test_a_body_that_never_comes_ends(serve: ModuleType, net: funcam.Net) -> None:
    with served(serve.make_app(net, serve.Limits(seconds=0.2))) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as stalled:
            stalled.sendall(b"POST /explain HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
            assert stalled.recv(100).startswith(b"HTTP/1.1 408")


def test_a_hundred_requests_at_once_are_answered_in_batches_or_told_to_come_again(
    serve: ModuleType, net: funcam.Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    explain = funcam.explain

    def counting(net: funcam.Net, images: list[Any], *rest: Any) -> funcam.Explanation:
        seen.append(len(images))
        return explain(net, images, *rest)

    monkeypatch.setattr(funcam, "explain", counting)

    async def load(url: str) -> list[Any]:
        limits = httpx.Limits(max_connections=100)
        async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
            return await asyncio.gather(*(client.post("/explain", content=png(n % 4)) for n in range(100)))

    with served(serve.make_app(net, serve.Limits(at_once=24, seconds=100))) as url:
        answers = asyncio.run(load(url))
        done = [answer for answer in answers if answer.status_code == 200]
        assert {answer.status_code for answer in answers} <= {200, 503}
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 503)
        assert len(done) >= 24
        assert sum(seen) == len(done)
        assert 1 < max(seen) <= 8
        expected = [int(explain(net, [photo(seed=seed)]).targets[0]) for seed in range(4)]
        assert all(a.json()["target"] == expected[n % 4] for n, a in enumerate(answers) if a.status_code == 200)
        assert httpx.post(f"{url}/explain", content=png(0), timeout=60).status_code == 200
