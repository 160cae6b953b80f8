"""A service that explains pictures: what the network says of one, and where it looked.

    pip install "funcam[examples]"
    python examples/serve.py --net scenes                  # http://127.0.0.1:8000
    curl --data-binary @photo.jpg 'http://127.0.0.1:8000/explain'
    curl --data-binary @photo.jpg 'http://127.0.0.1:8000/explain?target=3&picture=true' -o overlay.jpg

Requests that wait together go through the network together. What can't be done has its status: 400 an empty body, 408
one that takes too long to come, 413 one that is too large, 422 no picture or no such class, 503 too many at once, 504
no answer in time.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import funcam

try:
    from fastapi import FastAPI, HTTPException, Request, Response
    from fastapi.responses import JSONResponse
except ImportError as error:
    raise SystemExit(f"serve.py: {error}; pip install 'funcam[examples]'") from None


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them, may take."""

    most_bytes: int = 10 * 2**20
    seconds: float = 10
    at_once: int = 64
    batch: int = 8


@dataclass(frozen=True)
class Waiting:
    """A request that waits for the network."""

    image: np.ndarray
    target: int | None
    picture: bool
    answer: asyncio.Future[Any]


class Explainer:
    """Takes what waits, as many as fit into a batch, and answers; one batch at a time, beside the event loop."""

    def __init__(self, net: funcam.Net, batch: int) -> None:
        self._net, self._batch = net, batch
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()

    async def explained(self, image: np.ndarray, target: int | None, picture: bool) -> Any:
        """What the network says of a picture."""
        one = Waiting(image, target, picture, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(one)
        return await one.answer

    async def run(self) -> None:
        """Answer for ever."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            for named in (True, False):  # a class that was asked for, and the predicted one
                await self._answer([one for one in batch if (one.target is not None) == named])

    async def _answer(self, batch: list[Waiting]) -> None:
        batch = [one for one in batch if not one.answer.done()]  # who went away is not explained
        if not batch:
            return
        try:
            answers = await asyncio.to_thread(self._explain, batch)
        except Exception as error:
            if len(batch) > 1:  # one of them may be to blame
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for one, answer in zip(batch, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)

    def _explain(self, batch: list[Waiting]) -> list[Any]:
        targets = None if batch[0].target is None else [one.target for one in batch]
        result = funcam.explain(self._net, [one.image for one in batch], targets)
        told = result.to_dict(maps=True)
        return [
            _jpeg(result, index)
            if one.picture
            else {
                "target": told["targets"][index],
                "name": self._net.classes[told["targets"][index]],
                "predictions": told["images"][index]["predictions"],
                "map": told["maps"][index],
            }
            for index, one in enumerate(batch)
        ]


def make_app(net: funcam.Net, limits: Limits | None = None) -> FastAPI:
    """The service.

    Args:
        net: the network that is explained.
        limits: what requests may take.
    """
    limits = limits or Limits()
    slots, explainer = asyncio.Semaphore(limits.at_once), Explainer(net, limits.batch)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(explainer.run())
        yield
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker

    app = FastAPI(title="funcam", lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"net": net.name}

    @app.post("/explain")
    async def explain(request: Request, target: int | None = None, picture: bool = False) -> Response:
        if target is not None and not 0 <= target < len(net.classes):
            raise HTTPException(422, f"target is {target}; {net.name} has the classes 0 to {len(net.classes) - 1}")
        if slots.locked():
            raise HTTPException(503, "too many requests at once; come again", {"Retry-After": "1"})
        async with slots:
            data = await _body(request, limits)
            try:
                async with asyncio.timeout(limits.seconds):
                    image = await asyncio.to_thread(_decoded, data)
                    answer = await explainer.explained(image, target, picture)
            except TimeoutError:
                raise HTTPException(504, f"no answer in {limits.seconds:g} s; come again") from None
            except funcam.FuncamError as error:
                raise HTTPException(422, str(error)) from None
        return Response(answer, media_type="image/jpeg") if picture else JSONResponse(answer)

    return app


async def _body(request: Request, limits: Limits) -> bytes:
    """The body, as far as it is allowed to go."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                size += len(part)
                if size > limits.most_bytes:
                    raise HTTPException(413, f"the picture is larger than {limits.most_bytes:,} bytes")
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the picture didn't come in {limits.seconds:g} s") from None
    if not size:
        raise HTTPException(400, "the body is empty; send the bytes of a picture")
    return b"".join(parts)


def _decoded(data: bytes) -> np.ndarray:
    """The pixels; `read_image` refuses what claims to be larger than memory and time allow."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(data)
        try:
            return funcam.read_image(path)
        except funcam.FuncamError as error:
            raise funcam.FuncamError(str(error).replace(repr(str(path)), "the picture")) from None


def _jpeg(result: funcam.Explanation, index: int) -> bytes:
    stream = io.BytesIO()
    result.overlay(index=index).save(stream, "JPEG")
    return stream.getvalue()


def main() -> None:
    """Serve on loopback."""
    import uvicorn

    parser = argparse.ArgumentParser(description="Explain pictures over HTTP.")
    parser.add_argument("--net", default="scenes")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    if not 0 <= given.port < 2**16:
        parser.error(f"--port {given.port}: port must be 0-65535")
    uvicorn.run(make_app(funcam.load_net(given.net)), host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    try:
        main()
    except (funcam.FuncamError, ImportError, OSError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
