"""Files made worse: bytes, words, values of JSON, steps of a pickle, entries of a zip. A seed gives one file."""

from __future__ import annotations

import io
import json
import pickletools
import random
import re
import struct
import zipfile
from collections.abc import Callable
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

_INTEGERS = [0, -1, 1, 2, 3, 127, 255, 2**15, 2**16, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**62, 2**63, 2**64]
_WORDS = [
    *["", "²", "３", "-1", "nan", "inf", "1e308", "1e-320", "0x10", "9" * 5000, "x" * 5000, "=1+1", "\x1b[31m", "\0"],
    *["a\nb", "../..", "%s", "{}", "[", "]", "<", "&a;", '"', "'", ",", ";", "\t", "\u202e", "é" * 300, "n01440764"],
    *["a" + "\u0300" * 1500 + "\u0316" * 1500, "ab" * 500],
    *map(str, _INTEGERS),
]
_VALUES: list[Any] = [
    *[None, True, False, 0.5, -0.0, 1e308, float("nan"), float("inf"), [], {}, [[]], [None], {"a": 1}, [1, 2]],
    *[
        "a" + "\u0300" * 100_000 + "\u0316" * 100_000,
        10**30,
        -(10**30),
        10**4000,
        [2**31, 2**31],
        ["x"] * 50,
        "@DIGITS@",
        "@DEEP@",
    ],
    *_INTEGERS,
    *_WORDS,
]


def change_bytes(rng: random.Random, data: bytes) -> bytes:
    """One to four bytes, numbers or spans of them set, left out, doubled, swapped; or the end cut off."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(out) + 1), rng.choice([1, 1, 2, 4, 8, 32])
        match rng.randrange(7):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                out[at : at + length] = rng.randbytes(length)
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                form, value = rng.choice(["<I", ">I", "<H", ">H", "<Q", ">Q"]), rng.choice(_INTEGERS)
                size = struct.calcsize(form)
                out[at : at + size] = struct.pack(form, value % 256**size)
            case 5:
                out[at:at] = rng.choice(_WORDS).encode("utf-8", "surrogatepass")[:64]
            case _:
                out = out[: max(1, at)] if rng.random() < 0.2 else out
    return bytes(out)


def keeping(start: int) -> Mutation:
    """Bytes changed, but not the first ones."""
    return lambda rng, data: data[:start] + change_bytes(rng, data[start:])


def stuffed(rng: random.Random, data: bytes, at: int, part: bytes) -> bytes:
    """A part a thousand to a million times at a place, up to 8 MiB of it."""
    times = min(rng.choice([1000, 2**16, 2**20, 2**22]), 2**23 // len(part))
    return data[:at] + part * times + data[at:]


def many(pattern: bytes, *parts: bytes) -> Mutation:
    """A part of the data, or one of those that are given, a thousand to a million times; one in five, else words."""

    def change(rng: random.Random, data: bytes) -> bytes:
        if rng.random() < 0.8:
            return change_words(rng, data)
        spans = [match.span() for match in re.finditer(pattern, data, re.DOTALL)]
        start, end = rng.choice(spans)
        return stuffed(rng, data, end, rng.choice([data[start:end], data[start:end], *parts]))

    return change


def change_words(rng: random.Random, data: bytes) -> bytes:
    """Words and marks of a text put in the place of others; or a line left out, doubled, moved."""
    text = data.decode("utf-8", "replace")
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.25:
            lines = text.split("\n")
            at = rng.randrange(len(lines))
            lines[at : at + 1] = rng.choice([[], [lines[at]] * rng.choice([2, 50]), [lines[-1], lines[at]]])
            text = "\n".join(lines)
            continue
        spans = [match.span() for match in re.finditer(r"[\w.]+|[^\w\s]", text)]
        if spans:
            start, end = rng.choice(spans)
            text = text[:start] + rng.choice(_WORDS) + text[end:]
    return text.encode("utf-8", "replace")


def change_between_tags(rng: random.Random, data: bytes) -> bytes:
    """The text of elements, or an element left out or doubled."""
    text = data.decode()
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.3:
            start, end = rng.choice([match.span() for match in re.finditer(r"<(\w+)>[^<]*</\1>", text)] or [(0, 0)])
            text = text[:start] + text[start:end] * rng.choice([0, 2, 20]) + text[end:]
        else:
            start, end = rng.choice([match.span() for match in re.finditer(r"(?<=>)[^<]*(?=<)", text)])
            text = text[:start] + rng.choice(_WORDS).replace("<", "").replace("&", "").replace("\0", "") + text[end:]
    return text.replace("\x1b", "").encode()


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Values of JSON put in the place of others, at any depth; keys left out or renamed."""
    content = json.loads(data)
    for _ in range(rng.randint(1, 3)):
        content = _changed(rng, content)
    text = json.dumps(content) if rng.random() < 0.5 else json.dumps(content, ensure_ascii=False)
    text = text.replace('"@DIGITS@"', "9" * 5000).replace('"@DEEP@"', "[" * 100_000 + "]" * 100_000)
    return text.encode("utf-8", "surrogatepass")


def _changed(rng: random.Random, value: Any) -> Any:
    if not isinstance(value, list | dict) or not value or rng.random() < 0.1:
        return rng.choice(_VALUES)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if rng.random() < 0.1:
        value = value.copy()
        taken = value.pop(key)
        if isinstance(value, dict) and rng.random() < 0.5:
            value[rng.choice(_WORDS)] = taken
        return value
    changed = _changed(rng, value[key])
    if isinstance(value, dict):
        return {**value, key: changed}
    return [*value[:key], changed, *value[key + 1 :]]


def change_safetensors(rng: random.Random, data: bytes) -> bytes:
    """The header's JSON, with its length set right."""
    length = int.from_bytes(data[:8], "little")
    header = change_json(rng, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


_CALLED = [
    *["builtins bytearray", "builtins set", "builtins complex", "builtins eval", "os system", "collections Counter"],
    *["collections OrderedDict", "torch FloatStorage", "torch.storage UntypedStorage", "torch Tensor", "torch Size"],
    *["torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_qtensor", "torch._utils _rebuild_sparse_tensor"],
    *["torch._utils _rebuild_meta_tensor_no_storage", "torch._tensor _rebuild_from_type_v2", "torch float4_e2m1fn_x2"],
    *["torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor_v3", "torch.nn.parameter Parameter"],
    *["torch._utils _rebuild_wrapper_subclass", "torch bits8", "torch DoubleStorage", "_codecs encode"],
]


def change_pickle(rng: random.Random, data: bytes) -> bytes:
    """Steps of a pickle left out, doubled, moved; their numbers, words and calls put in the place of others."""
    steps = [(operation, argument, place or 0) for operation, argument, place in pickletools.genops(data)]
    ends = [place for *_, place in steps[1:]] + [steps[-1][2] + 1]
    pieces = [data[place:end] for (*_, place), end in zip(steps, ends, strict=True)]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(1, max(2, len(pieces) - 1))
        name = steps[at][0].name if at < len(steps) else ""
        if rng.random() < 0.25:
            pieces[at : at + 1] = rng.choice(
                [[], [pieces[at]] * 2, pieces[at : at + 1] + pieces[1 : rng.randrange(20)]]
            )
        elif name.startswith(("BININT", "LONG")) or rng.random() < 0.2:
            number = rng.choice(_INTEGERS)
            pieces[at] = b"\x8a\x0a" + number.to_bytes(10, "little", signed=True)
        elif name == "GLOBAL" or rng.random() < 0.2:
            pieces[at] = b"c" + rng.choice(_CALLED).replace(" ", "\n").encode() + b"\n"
        elif name == "BINUNICODE":
            word = rng.choice(_WORDS).encode()
            pieces[at] = b"X" + struct.pack("<I", len(word)) + word
        else:
            pieces[at] = rng.choice([b"]", b"}", b")", b"N", b"R", b"\x81", b"b", b"Q", b"\x85", b"h\x00", b"(", b"t"])
    return b"".join(pieces)


def change_zip(rng: random.Random, data: bytes) -> bytes:
    """A checkpoint's pickle changed in the zip, or an entry: its name, its size, whether it is compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    listing = next(name for name in entries if name.endswith("data.pkl"))
    names = list(entries)
    compression = zipfile.ZIP_STORED
    match rng.randrange(8):
        case 0:
            compression = zipfile.ZIP_DEFLATED
        case 1:
            name = rng.choice(names)
            folder, _, last = name.rpartition("/")
            entries[f"{folder}/{rng.choice(_WORDS[1:]).replace(chr(0), '')}{last}"] = entries.pop(name)
        case 2:
            name = rng.choice(names)
            entries[name] = rng.choice([b"", entries[name][:4], entries[name] * 2, rng.choice(_WORDS).encode()])
        case 3:
            entries[listing.replace("data.pkl", rng.choice(["byteorder", ".storage_alignment", ".format_version"]))] = (
                rng.choice([b"0", b"big", b"little", b"64", b"-1", b"99999999999999999999"])
            )
        case _:
            entries[listing] = change_pickle(rng, entries[listing])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def change_legacy(rng: random.Random, data: bytes) -> bytes:
    """The pickles of a checkpoint from before PyTorch 1.6, the magic number left out."""
    starts = [0]
    for _ in range(4):
        starts.append(starts[-1] + data.index(b".", _end(data, starts[-1]) - 1) + 1 - starts[-1])
    end = _end(data, starts[3])
    return data[: starts[3]] + change_pickle(rng, data[starts[3] : end]) + data[end:]


def _end(data: bytes, start: int) -> int:
    *_, (_, _, last) = pickletools.genops(data[start:])
    return start + (last or 0) + 1
