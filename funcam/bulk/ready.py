"""The images of a shard as the network takes them: read, decoded and fitted, each with its own error."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from funcam.errors import FuncamError
from funcam.imaging.reading import Pixels, read_data
from funcam.sources import Item, Reader
from funcam.store import Shard, content_hash
from funcam.streaming.in_order import in_order
from funcam.zoo.net import Net
from funcam.zoo.preprocessing import fitted

Listed = tuple[int, Item]
"""An image and its place in the listing."""


@dataclass(frozen=True)
class Ready:
    """An image that was read.

    Attributes:
        index: its place in the listing.
        item: where it came from.
        content: the hash of its bytes; None where they could not be read.
        size: width and height of the upright image; None where it could not be decoded.
        pixels: uint8 RGB as the network takes it, `[h, w, 3]`; None where it could not be decoded.
        error: why there is nothing else; without one, an image before it in the shard has the same content.
    """

    index: int
    item: Item
    content: str | None = None
    size: tuple[int, int] | None = None
    pixels: Pixels | None = None
    error: str | None = None


class Images:
    """Reads images in worker threads, in order; use it as a context.

    Args:
        net: what they are read for.
        fit: how they are put before the network.
        workers: threads that decode; 0 for none.
    """

    def __init__(self, net: Net, fit: str, workers: int) -> None:
        self._net, self._fit, self._workers = net, fit, workers
        self._readers = ExitStack()
        self._own = threading.local()
        self._lock = threading.Lock()
        self._rows = self._readers.enter_context(Reader())

    def __enter__(self) -> Images:
        return self

    def __exit__(self, *raised: object) -> None:
        self._readers.close()

    def of(self, listed: Sequence[Listed]) -> Iterator[Ready]:
        """The images, in their order.

        Args:
            listed: which.
        """
        for outcome in in_order(self._made, map(self._fetched, listed), self._workers):
            yield outcome.get()

    def missing_of(self, shard: Shard) -> Iterator[tuple[int, list[Ready]]]:
        """The batches that a shard lacks, each with its number.

        Of images with one content, and one class told by the source, only the first of the shard has pixels.

        Args:
            shard: the shard.
        """
        missing = set(shard.missing())
        stream = self.of([listed for batch in sorted(missing) for listed in shard.items(batch)])
        known = set[tuple[str, str | None]]()
        for batch in range(shard.batches):
            if batch in missing:
                yield batch, [_unless_known(next(stream), known) for _ in shard.items(batch)]
            else:
                known |= shard.contents(batch)

    def _fetched(self, listed: Listed) -> tuple[int, Item, bytes | FuncamError | None]:
        """Rows of a table are read one after the other, in this thread; all else where it is decoded."""
        index, item = listed
        is_row = item.place.start is not None and item.place.size is None
        return index, item, _bytes(self._rows, item) if is_row and not item.problem else None

    def _made(self, fetched: tuple[int, Item, bytes | FuncamError | None]) -> Ready:
        index, item, data = fetched
        data = _bytes(self._reader(), item) if data is None else data
        if isinstance(data, FuncamError):
            return Ready(index, item, error=str(data))
        content = content_hash(data)
        try:
            image = read_data(data, item.path).pixels
            pixels, _ = fitted(self._net, image, self._fit)
        except FuncamError as error:
            return Ready(index, item, content, error=str(error))
        return Ready(index, item, content, (image.shape[1], image.shape[0]), pixels)

    def _reader(self) -> Reader:
        """This thread's own."""
        if not hasattr(self._own, "reader"):
            with self._lock:
                self._own.reader = self._readers.enter_context(Reader())
        reader: Reader = self._own.reader
        return reader


def _unless_known(image: Ready, known: set[tuple[str, str | None]]) -> Ready:
    if image.content is None:
        return image
    key = image.content, image.item.label
    if key in known:
        return Ready(image.index, image.item, image.content)
    known.add(key)
    return image


def _bytes(reader: Reader, item: Item) -> bytes | FuncamError:
    try:
        return reader.read(item)
    except FuncamError as error:
        return error
