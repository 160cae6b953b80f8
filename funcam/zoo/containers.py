"""What a file of weights claims to hold, looked through before torch opens it: a zip, a pickle, safetensors."""

from __future__ import annotations

import re
import struct
import tarfile
import zipfile
from typing import BinaryIO

from funcam.errors import FuncamError, shown
from funcam.files import MIB, parsing
from funcam.zoo.pickle_calls import Damaged
from funcam.zoo.pickles import MOST_BYTES, Found, look_through

ZIP = b"PK\x03\x04"

_END = struct.Struct("<4s4H2LH")
_END_64, _LOCATOR = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")
"""The last records of a zip file; the latter two only in some, before the first."""
_BEGINS_64 = b"PK\x06\x06" + (_END_64.size - 12).to_bytes(8, "little")

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""What files before PyTorch 1.6 begin with."""

_MOST_HEADER, _MOST_DIRECTORY = 4 * MIB, 8 * MIB
"""What lists the entries of a file has some hundred bytes for each."""

_RECORDS = {"version": rb"\d{1,4}\s*", "byteorder": rb"little|big", ".storage_alignment": rb"[1-9]\d{0,5}"}
"""Small entries that torch believes, and what may stand in them."""


def check_zip(stream: BinaryIO, size: int, name: str) -> None:
    """Do nothing if a zip file is one that `torch.save` writes, and holds what its pickle claims.

    Its entries are not compressed, each name is there once, and each storage is as large as it is said to be.

    Args:
        stream: the file.
        size: its bytes.
        name: what messages call it.

    Raises:
        funcam.zoo.pickle_calls.Foreign: its pickle holds Python objects.
        Damaged: it does not hold what it claims.
        FuncamError: it is another zip file, a TorchScript program or cut short.
    """
    stream.seek(max(size - _END.size, 0))
    end = stream.read()
    if len(end) < _END.size or end[:4] != b"PK\x05\x06":
        raise FuncamError(f"{name} is cut short or damaged; download or copy it again")
    _check_directory(stream, size)
    with parsing(f"{name} is cut short or damaged", "download or copy it again"), zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        _check_entries(entries, size)
        listing = _listing(entries, name)
        if listing.file_size > MOST_BYTES:
            raise Damaged(f"its pickle is larger than {MOST_BYTES // MIB} MiB")
        folder = listing.filename.rpartition("/")[0]
        sizes = {entry.filename: entry.file_size for entry in entries}
        for record, form in _RECORDS.items():
            content = archive.read(f"{folder}/{record}") if sizes.get(f"{folder}/{record}", 99) < 64 else None
            if f"{folder}/{record}" in sizes and not re.fullmatch(form, content or b""):
                raise Damaged(f"its entry {record!r} is none of torch's")
        found = look_through(archive.read(listing))
    for storage in found.storages.values():
        if storage.size > sizes.get(f"{folder}/data/{storage.key}", -1):
            raise Damaged(f"storage {shown(storage.key)} in it is smaller than its pickle claims, or missing")


def check_pickles(stream: BinaryIO, size: int) -> None:
    """Do nothing if a file is one that `torch.save` wrote before PyTorch 1.6, as long as its pickles claim.

    Args:
        stream: the file, at its start.
        size: its bytes.

    Raises:
        funcam.zoo.pickle_calls.Foreign: a pickle holds Python objects.
        Damaged: it is no such file.
    """
    data = stream.read(MOST_BYTES)
    at, found = 0, []
    for _ in range(5):  # a magic number, the protocol, the machine, what was saved, the storages' names
        found.append(look_through(data, at))
        at = found[-1].end
    if (found[0].value, found[1].value) != (_MAGIC, _PROTOCOL):
        raise Damaged("it is no pickle of torch.save's")
    _check_storages(found, size - at)


def _check_storages(found: list[Found], rest: int) -> None:
    claimed = found[3].storages
    if sum(storage.size for storage in claimed.values()) > rest:
        raise Damaged("its storages are smaller than its pickle claims")
    names = found[4].value
    if not isinstance(names, list) or not all(isinstance(each, str | bytes) for each in names):
        raise Damaged("it has no list of storages")


def is_tar(start: bytes) -> bool:
    """Whether a file begins like a tar file, the format of PyTorch before 0.4.

    Example:
        >>> is_tar(tarfile.TarInfo("storages").tobuf()), is_tar(b"PK")
        (True, False)
    """
    try:
        tarfile.TarInfo.frombuf(start[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def check_safetensors(stream: BinaryIO, size: int) -> None:
    """Do nothing if the header of a file in the format safetensors lies within the file and is no giant.

    Args:
        stream: the file, at its start.
        size: its bytes.

    Raises:
        Damaged: it doesn't.
    """
    length = int.from_bytes(stream.read(8), "little")
    if length > min(size - 8, _MOST_HEADER):
        raise Damaged("its header is longer than the file, or than 4 MiB")


def _check_directory(stream: BinaryIO, size: int) -> None:
    """Python looks for the list of entries before the last record, torch where that says: it has to be one list."""
    stream.seek(max(size - _END.size - _LOCATOR.size - _END_64.size, 0))
    tail = stream.read()
    _, *disks, here, count, length, offset, comment = _END.unpack(tail[-_END.size :])
    end, told = size - _END.size, (here, count, length, offset)
    if tail[: -_END.size][-_LOCATOR.size :].startswith(b"PK\x06\x07"):
        end -= _LOCATOR.size + _END_64.size
        last, larger = tail[_END_64.size : -_END.size], tail[: _END_64.size]
        if end < 0 or last != _LOCATOR.pack(b"PK\x06\x07", 0, end, 1) or larger[:12] != _BEGINS_64:
            raise Damaged("its last records are none of torch's")
        *_, disk, start, here, count, length, offset = _END_64.unpack(larger)
        disks += [disk, start]
        limits = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        full = zip(told, (here, count, length, offset), limits, strict=True)
        if any(small not in (large, limit) for small, large, limit in full):
            raise Damaged("its last records are none of torch's")
    if any(disks) or comment or here != count or offset + length != end:
        raise Damaged("its list of entries is not where its last record says")
    if length > _MOST_DIRECTORY:
        raise Damaged(f"its list of entries is larger than {_MOST_DIRECTORY // MIB} MiB")


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = {entry.filename.casefold() for entry in entries}  # torch's reader doesn't know upper case from lower
    if len(names) < len(entries):
        raise Damaged("two of its entries have one name")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            raise Damaged(f"its entry {shown(entry.filename)} is compressed, which torch.save never does")
        if not 0 <= entry.header_offset <= size - entry.file_size:
            raise Damaged(f"its entry {shown(entry.filename)} reaches over the end of the file")


def _listing(entries: list[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    """The entry that says which tensors there are."""
    members = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in members:
        raise FuncamError(f"{name} is a TorchScript program, not a state dict; save model.state_dict() and give that")
    folder = entries[0].filename.partition("/")[0] if entries else ""
    for entry in entries:
        if entry.filename == f"{folder}/data.pkl":
            return entry
    raise FuncamError(f"{name} is a zip file but no PyTorch checkpoint; give a file that torch.save wrote")
