"""Checkpoints made to deceive: calls that copy, states with the names of methods, two lists of entries in a zip."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable

_LARGE = (0, 1, 2**16 - 1, 2**31, 2**32 - 1, 2**33, 2**40, 2**63 - 1)
_METHODS = ("items", "get", "values", "numel", "detach", "is_floating_point", "shape", "is_meta", "stride", "_metadata")


def deceive_zip(rng: random.Random, data: bytes) -> bytes:
    """A checkpoint in a zip, its pickle deceiving, or its last records, or what lies before it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    listing = next(name for name in entries if name.endswith("data.pkl"))
    kind = rng.randrange(6)
    if kind < 3:
        entries[listing] = rng.choice(_PICKLES)(rng)
        return _zipped(entries)
    whole, other = _zipped(entries), _zipped({**entries, listing: rng.choice(_PICKLES)(rng)})
    if kind == 3:
        return rng.choice([whole[:30], bytes(rng.randrange(1, 99)), other]) + whole
    (body, list_), (before, first) = _parts(whole), _parts(other)
    if kind == 4:  # Python takes the last list, torch the one at the place that the record names
        return before + first + body + list_ + _end(len(entries), len(list_), len(before))
    at, numbers = len(body) + len(list_), [len(entries), len(list_), len(body)]
    numbers[rng.randrange(3)] = rng.choice(_LARGE)
    larger = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, numbers[0], *numbers)
    larger += struct.pack("<4sLQL", b"PK\x06\x07", 0, rng.choice([at, *_LARGE]), 1)
    return body + list_ + larger + _end(len(entries), len(list_), len(body))


def deceive_pickle(rng: random.Random, data: bytes) -> bytes:
    """A pickle in the place of what a checkpoint from before PyTorch 1.6 holds."""
    magic = data[: data.index(b".", 12) + 1]
    return magic + b"\x80\x02M\xe9\x03." + rng.choice(_PICKLES)(rng) * 2 + b"\x80\x02]q\x00."


def deceive_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Tens of thousands of tensors without values, or one of a type and of a shape that don't fit."""
    types = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "F4", "E8M0")
    shape = rng.choice([[0], [2**40, 0], [2], [1, 1], []])
    entry = {"dtype": rng.choice(types), "shape": shape, "data_offsets": [0, 0 if 0 in shape else 8]}
    count = rng.choice([1, 1, 30, 60_000, 120_000]) if 0 in shape else 1
    header = json.dumps({f"{index:x}": entry for index in range(count)}, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header)) + header + bytes(0 if 0 in shape else 8)


def _copies(rng: random.Random) -> bytes:
    """A call of what stands there once, thousands of times."""
    text = _text("a" * rng.choice([10, 1000, 200_000]))
    encoded = b"c_codecs\nencode\n(" + text + _text("latin1") + b"tR"
    pairs = b"](" + (_text("k") + b"N\x86") * rng.choice([2, 500, 20_000]) + b"e"
    function, arguments = rng.choice(
        [
            (b"_codecs\nencode", text + _text("latin1")),
            (b"builtins\nbytearray", encoded),
            (b"builtins\nbytearray", text),
            (b"collections\nOrderedDict", pairs),
            (b"builtins\nset", pairs),
        ]
    )
    times = rng.choice([2, 2000, 100_000])
    return b"\x80\x02c" + function + b"\nq\x00(" + arguments + b"tq\x01(" + b"h\x00h\x01R" * times + b"t."


def _views(rng: random.Random) -> bytes:
    """A tensor, or a sparse one of tensors, that claims more than there is; its state enlarges it."""
    kind = rng.choice(["Float", "Double", "Long", "ComplexDouble", "Byte", "Bool", "BFloat16"])
    tensor = _tensor(rng, kind)
    tensor = rng.choice([tensor, b"ctorch\nParameter\n" + tensor + b"\x85R", _sparse(rng), tensor + _state(rng, kind)])
    return b"\x80\x02}" + _text("w") + tensor + b"s."


def _shadows(rng: random.Random) -> bytes:
    """A dict or a parameter whose attributes have the names of its methods."""
    state = (
        b"}" + _text(rng.choice(_METHODS)) + rng.choice([b"K\x01", b"N", b"}", b"ccollections\nOrderedDict\n"]) + b"s"
    )
    held = b"ccollections\nOrderedDict\n)R" + _text("w") + _tensor(rng, "Float", 2) + b"s"
    if rng.random() < 0.5:
        return b"\x80\x02" + held + state + b"b."
    parameter = b"ctorch._utils\n_rebuild_parameter_with_state\n(" + _tensor(rng, "Float", 2)
    return b"\x80\x02}" + _text("w") + parameter + b"\x89ccollections\nOrderedDict\n)R" + state + b"tRs."


_PICKLES: tuple[Callable[[random.Random], bytes], ...] = (_copies, _views, _shadows)


def _tensor(rng: random.Random, kind: str, size: int | None = None) -> bytes:
    numbers = [size or rng.choice([1, 2, 2**20, 2**27, 2**31, 2**40])] * rng.choice([1, 2])
    steps = _tuple([rng.choice([0, 0, 1]) for _ in numbers])
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (_storage(kind) + _number(0) + _tuple(numbers) + steps)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def _sparse(rng: random.Random) -> bytes:
    layout = b"ctorch.serialization\n_get_layout\n" + _text("torch.sparse_coo") + b"\x85R"
    parts = _tensor(rng, "Long") + _tensor(rng, "Float") + _tuple([5]) + b"\x89t"
    return b"ctorch._utils\n_rebuild_sparse_tensor\n(" + layout + b"(" + parts + b"tR"


def _state(rng: random.Random, kind: str) -> bytes:
    return b"(" + _storage(kind) + _number(0) + _tuple([rng.choice(_LARGE)]) + _tuple([rng.choice([0, 1])]) + b"tb"


def _storage(kind: str) -> bytes:
    return b"(" + _text("storage") + f"ctorch\n{kind}Storage\n".encode() + _text("0") + _text("cpu") + b"K\x02tQ"


def _text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def _number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def _tuple(values: list[int]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"


def _zipped(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _parts(archive: bytes) -> tuple[bytes, bytes]:
    """The entries of a zip file, and its list of them."""
    length, start = struct.unpack("<LL", archive[-10:-2])
    return archive[:start], archive[start : start + length]


def _end(count: int, length: int, start: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, length, start, 0)
