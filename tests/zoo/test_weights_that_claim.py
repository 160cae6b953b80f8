"""Files of weights that claim more than they hold, or would have torch call what it should not: refused beforehand."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_cases import assert_same, refusal, saved
from torch import nn

from funcam.errors import FuncamError
from funcam.zoo import load_net
from funcam.zoo.architectures import meta_network, shapes
from funcam.zoo.checkpoints import read_checkpoint, wrapping
from funcam.zoo.containers import is_tar
from funcam.zoo.pickles import look_through


class Call:
    """Something whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> Any:
        return self.parts


def zipped(file: Path, listing: bytes, others: dict[str, bytes] | None = None, compression: int = 0) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a/data.pkl", listing)
        for name, content in {"a/version": b"3\n", **(others or {})}.items():
            archive.writestr(name, content)
    return file


def pickled(content: Any) -> bytes:
    return pickle.dumps(content, protocol=2)


def recursive(key: str) -> dict[str, Any]:
    content: dict[str, Any] = {"x": 1}
    content[key] = content
    return content


DOUBLED = b"\x80\x02}()q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01u."  # keys of 2 to the 60 parts
STEPS = b"\x80\x02](" + b"K\x01" * 600_000 + b"e."
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"
ENORMOUS = b"\x80\x02" + STORAGE % (b"\x8a\x08" + struct.pack("<q", 2**40)) + b"."
STRANGE = b"\x80\x02" + STORAGE.replace(b"FloatStorage", b"OtherStorage") % b"K\x01" + b"."


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def called_often(function: bytes, argument: bytes) -> bytes:
    """A call of one argument, that stands there once, thousands of times over."""
    return b"\x80\x02c" + function + b"\nq\x00(" + argument + b"tq\x01(" + b"h\x00h\x01R" * 2000 + b"t."


def tensor_of(sizes: bytes, strides: bytes, kind: bytes = b"FloatStorage") -> bytes:
    storage = STORAGE.replace(b"FloatStorage", kind) % number(1)
    rest = b"\x89ccollections\nOrderedDict\n)RtR"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + sizes + strides + rest


ENCODED = b"c_codecs\nencode\n(" + text("a" * 50_000) + text("latin1") + b"tR"
COPIES = called_often(b"_codecs\nencode", text("a" * 50_000) + text("latin1"))
ARRAYS = called_often(b"builtins\nbytearray", ENCODED)
MAPPINGS = called_often(b"collections\nOrderedDict", b"](" + (text("a") + b"N\x86") * 5000 + b"e")
INDICES = b"(" + number(1) + number(2**40) + b"t", b"(" + number(0) * 2 + b"t"
SPARSE = (
    b"\x80\x02}"
    + text("w")
    + b"ctorch._utils\n_rebuild_sparse_tensor\n(ctorch.serialization\n_get_layout\n"
    + text("torch.sparse_coo")
    + b"\x85R("
    + tensor_of(*INDICES, b"LongStorage")
    + tensor_of(b"(" + number(2**40) + b"t", b"(" + number(0) + b"t")
    + b"(K\x05t\x89ttRs."
)
SHAPE = b"(" + number(1) + b"t"
ENLARGED = (
    b"\x80\x02"
    + tensor_of(SHAPE, SHAPE)
    + b"("
    + STORAGE % number(1)
    + number(0)
    + b"("
    + number(2**31)
    + b"t"
    + SHAPE
    + b"tb."
)


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        (pickled({"w": Call(bytearray, 2**33)}), "bytearray as torch.save does not"),
        (pickled({"w": Call(torch.Tensor, 2**40)}), "torch.Tensor|holds Python objects"),
        (pickled({"w": Call(eval, "1")}), "holds Python objects \\(eval\\)"),
        (DOUBLED, "keys that are no names"),
        (STEPS, "more than 500,000 steps"),
        (ENORMOUS, "storage '0' in it is smaller than its pickle claims, or missing"),
        (STRANGE, "is of no known type"),
        (b"\x80\x02]" + b"]" * 200_000 + b"a" * 200_000 + b".", "no state dict|holds a list"),
        (b"\x80\x02" + b"(" * 5000 + b".", "nested too deeply"),
        (b"\x80\x02}X\xff\xff\xff\x7fa", "cut off"),
        (b"\x80\x02R.", "damaged \\(IndexError\\)"),
        (COPIES, "makes more of what it holds"),
        (ARRAYS, "makes more of what it holds"),
        (MAPPINGS, "makes more of what it holds"),
        (SPARSE, "_rebuild_sparse_tensor as torch.save does not"),
        (ENLARGED, "a tensor reaches over the end of storage '0'"),
        (b"\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00N.", "a step"),
    ],
)
@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_a_pickle_that_asks_for_too_much(listing: bytes, told: str, form: str, tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    zipped(file, listing) if form == "zip" else file.write_bytes(listing)
    message = refusal(lambda: read_checkpoint(file))
    assert re.search(told, message) or form == "pickle"
    assert str(file) in message


@pytest.mark.parametrize("zip_format", [True, False])
@pytest.mark.parametrize("size", [2**28, 2**40])
def test_views_that_claim_gigabytes(size: int, zip_format: bool, tmp_path: Path) -> None:
    content = {"w": torch.ones(1).expand(size)}
    file = saved(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zip_format)
    assert "expanded views" in refusal(lambda: read_checkpoint(file))
    short = {"w": torch.ones(1, dtype=torch.uint8).expand(2**27)}  # a sum of which would take a gigabyte
    file = saved(short, tmp_path / "c.pth", _use_new_zipfile_serialization=zip_format)
    assert "expanded views" in refusal(lambda: read_checkpoint(file))
    many = {f"w{index}": torch.ones(1).expand(2**20) for index in range(200)}
    file = saved(many, tmp_path / "b.pth", _use_new_zipfile_serialization=zip_format)
    assert "expanded views" in refusal(lambda: read_checkpoint(file))


@pytest.mark.parametrize("zip_format", [True, False])
def test_views_of_an_honest_size_and_tied_weights_are_read(zip_format: bool, tmp_path: Path) -> None:
    weight = torch.randn(300, 20)
    content = {f"layer{index}.weight": weight for index in range(12)} | {"wide": torch.ones(1).expand(5, 7)}
    file = saved(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zip_format)
    assert_same(read_checkpoint(file), content)


@pytest.mark.parametrize("zip_format", [True, False])
def test_what_training_scripts_save_beside_the_weights(zip_format: bool, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2]).state_dict(),  # it holds a Counter
        "random": torch.get_rng_state(),
        "others": [torch.Size([1, 2]), torch.float16, torch.device("cpu"), 1j, b"b", bytearray(b"q"), {1, 2}, 2**70],
        "by tuple": {(1, 2): 3},
        "sparse": torch.eye(2).to_sparse(),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    file = saved(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zip_format)
    assert_same(read_checkpoint(file), model.state_dict())


@pytest.mark.parametrize("key", ["state_dict", "model", "mine"])
def test_a_dict_that_holds_itself(key: str, tmp_path: Path) -> None:
    assert "no state dict" in refusal(lambda: read_checkpoint(saved(recursive(key), tmp_path / "a.pth")))


def test_a_type_without_values_that_can_be_computed_with(tmp_path: Path) -> None:
    for name in ("float4_e2m1fn_x2", "bits8"):
        if hasattr(torch, name):
            content = {"w": torch.zeros(8, dtype=torch.uint8).view(getattr(torch, name))}
            message = refusal(lambda content=content: read_checkpoint(saved(content, tmp_path / "a.pth")))  # type: ignore[misc]
            assert "can't be read as float32" in message


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"a/byteorder": b"sideways"}, "'byteorder' is none of torch's"),
        ({"a/version": b"99999999999999999999"}, "'version' is none of torch's"),
        ({"a/.storage_alignment": b"0"}, "'.storage_alignment' is none of torch's"),
        ({"A/DATA.PKL": b"N."}, "two of its entries have one name"),
        ({"a/constants.pkl": b""}, "TorchScript"),
    ],
)
def test_entries_of_a_zip_that_torch_would_believe(others: dict[str, bytes], told: str, tmp_path: Path) -> None:
    assert told in refusal(lambda: read_checkpoint(zipped(tmp_path / "a.pth", pickled({}), others)))


def test_a_zip_of_another_kind(tmp_path: Path) -> None:
    deflated = zipped(tmp_path / "a.pth", b"\x80\x02X" + struct.pack("<I", 2**24) + b"a" * 2**24 + b".", None, 8)
    assert deflated.stat().st_size < 2**16
    assert "compressed" in refusal(lambda: read_checkpoint(deflated))
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        entry = zipfile.ZipInfo("a/data.pkl")
        entry.extract_version = 99
        archive.writestr(entry, pickled({}))
    assert "damaged" in refusal(lambda: read_checkpoint(tmp_path / "b.pth"))
    with_comment = saved({"w": torch.ones(3)}, tmp_path / "c.pth").read_bytes() + b"behind the end"
    (tmp_path / "c.pth").write_bytes(with_comment)
    assert "damaged" in refusal(lambda: read_checkpoint(tmp_path / "c.pth"))


def test_a_header_of_safetensors_that_is_longer_than_the_file(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    for length in (2**63, 2**40, 100):
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length) + b"{}")
        assert "not a safetensors file" in refusal(lambda: read_checkpoint(tmp_path / "a.safetensors"))


def test_a_name_of_a_tensor_is_told_in_short(tmp_path: Path) -> None:
    message = refusal_of(lambda: read_checkpoint(saved({"x" * 5000: torch.ones(1, device="meta")}, tmp_path / "a.pth")))
    assert len(message) <= 1000
    message = refusal(lambda: read_checkpoint(saved({"\x1b[31m\n": torch.ones(1, device="meta")}, tmp_path / "a.pth")))
    assert r"\x1b[31m\n" in message


def refusal_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ValueError, match="expected dense float tensors") as caught:
        call()
    return str(caught.value)


def test_a_shape_that_claims_classes_without_values(tmp_path: Path) -> None:
    state = {"fc.weight": torch.zeros(2**40, 0), "fc.bias": torch.zeros(3)}
    file = saved(state, tmp_path / "a.pth")
    assert "does not fit resnet18" in refusal(lambda: load_net("resnet18", file))


def test_a_prefix_a_thousand_times_over() -> None:
    assert wrapping(["module." * 5000 + "w"]) == "module." * 8


def test_looking_through_makes_what_pickle_makes() -> None:
    content = ["a", b"b", 1, -1, 2**70, 1.5, None, True, False, (), (1,), (1, 2, 3, 4), [[]]]
    found = look_through(pickled(content)[:-1] + b".")
    assert found.value[0] == "a"
    assert found.value[2:] == content[2:]
    assert found.end == len(pickled(content))


def test_tar_files_are_known_by_their_first_block() -> None:
    assert not is_tar(b"")
    assert not is_tar(bytes(512))


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.float64, torch.bool])
def test_one_value_that_stands_for_many_stays_one(dtype: torch.dtype, tmp_path: Path) -> None:
    content = {"w": torch.ones(3, 1, dtype=dtype).expand(3, 2**20)}
    read = read_checkpoint(saved(content, tmp_path / "a.pth"))["w"]
    assert read.shape == (3, 2**20)
    assert read.untyped_storage().nbytes() <= 3 * 8
    assert bool((read == 1).all())


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64, torch.int64])
def test_what_views_of_other_types_than_floats_claim(dtype: torch.dtype, tmp_path: Path) -> None:
    """In the bytes that they are read as, of which a float has four."""
    values = 700 * 2**20 // dtype.itemsize
    file = saved({"w": torch.ones(1, dtype=dtype).expand(values)}, tmp_path / "a.pth")
    assert f"claim {values * dtype.itemsize};" in refusal(lambda: read_checkpoint(file))


@pytest.mark.parametrize("name", ["items", "get"])
@pytest.mark.parametrize("zip_format", [True, False])
def test_a_dict_whose_state_takes_the_place_of_its_methods(name: str, zip_format: bool, tmp_path: Path) -> None:
    content: OrderedDict[str, Any] = OrderedDict(w=torch.ones(3))
    content.__dict__["x" * len(name)] = 1
    file = saved(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zip_format)
    renamed(file, "x" * len(name), name)
    message = refusal(lambda: read_checkpoint(file))
    assert "holds no plain state dict" in message


@pytest.mark.parametrize("name", ["numel", "detach", "is_floating_point"])
def test_a_parameter_whose_state_takes_the_place_of_its_methods(name: str, tmp_path: Path) -> None:
    weight = nn.Parameter(torch.ones(3))
    setattr(weight, "x" * len(name), 1)
    file = saved({"w": weight}, tmp_path / "a.pth")
    renamed(file, "x" * len(name), name)
    assert re.search("no plain state dict|can't be read as float32", refusal(lambda: read_checkpoint(file)))


def renamed(file: Path, old: str, new: str) -> None:
    """Other letters in a pickle; torch does not look at a zip's checksums, but Python does."""
    with zipfile.ZipFile(file) if zipfile.is_zipfile(file) else nullcontext() as archive:
        if archive is None:
            file.write_bytes(file.read_bytes().replace(old.encode(), new.encode()))
            return
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content.replace(old.encode(), new.encode()))


def parts_of(archive: bytes) -> tuple[bytes, bytes]:
    """The entries of a zip file and its list of them."""
    length, start = struct.unpack("<LL", archive[-10:-2])
    return archive[:start], archive[start : start + length]


def end_of(count: int, length: int, start: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, length, start, 0)


def end_64_of(count: int, length: int, start: int, at: int) -> bytes:
    larger = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    return larger + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)


def test_a_zip_with_two_lists_of_entries(tmp_path: Path) -> None:
    """Python reads the one before the last record, torch the one that the record names."""
    file = tmp_path / "a.pth"
    bad = parts_of(zipped(file, pickled({"w": Call(bytearray, 2**33)})).read_bytes())
    good = parts_of(zipped(file, pickled({})).read_bytes())
    body = b"".join((*bad, *good))
    file.write_bytes(body + end_of(2, len(good[1]), len(bad[0])))
    assert "list of entries is not where" in refusal(lambda: read_checkpoint(file))
    file.write_bytes(body + end_64_of(2, len(good[1]), len(bad[0]), len(body)) + end_of(2, len(good[1]), len(bad[0])))
    assert "list of entries is not where" in refusal(lambda: read_checkpoint(file))
    records = end_64_of(2, len(good[1]), len(body) - len(good[1]), len(body))
    file.write_bytes(body + records + end_of(2, len(good[1]), len(bad[0])))
    assert "last records are none of torch's" in refusal(lambda: read_checkpoint(file))
    file.write_bytes(body + records.replace(struct.pack("<Q", 44), struct.pack("<Q", 45)) + end_of(2, 99, 99))
    assert "last records are none of torch's" in refusal(lambda: read_checkpoint(file))


def test_a_zip_behind_something_else_is_none(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.pth", pickled({})).read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[:30] + whole)
    assert "list of entries is not where" in refusal(lambda: read_checkpoint(tmp_path / "a.pth"))


def test_a_list_of_entries_of_gigabytes_that_are_not_there(tmp_path: Path) -> None:
    body, _ = parts_of(zipped(tmp_path / "a.pth", pickled({})).read_bytes())
    at = 2**32
    with open(tmp_path / "a.pth", "wb") as stream:
        stream.write(body)
        stream.seek(at)
        stream.write(end_64_of(2, at - len(body), len(body), at) + end_of(2, 2**32 - 1, len(body)))
    assert "list of entries is larger than 8 MiB" in refusal(lambda: read_checkpoint(tmp_path / "a.pth"))


def test_tensors_without_values_by_the_hundred_thousand(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    entry = b'"%06d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(entry % index for index in range(100_000)) + b"}"
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert "header is longer" in refusal(lambda: read_checkpoint(tmp_path / "a.safetensors"))


def test_a_vision_transformer_of_images_without_end(tmp_path: Path) -> None:
    value = torch.zeros(1)
    state = {name: value.expand(shape) for name, shape in shapes(meta_network("vit_b_32")).items()}
    state["encoder.pos_embedding"] = value.expand(1, 150**2 + 1, 768)
    file = saved(state, tmp_path / "a.pth")
    assert "expected [1, 1025, 768]" in refusal(lambda: load_net("vit_b_32", file))


@pytest.mark.parametrize("shift", range(1, 16, 2))
def test_complex_numbers_that_lie_askew_are_refused(shift: int, tmp_path: Path) -> None:
    """Torch copies them with instructions that end the process."""
    torch.save({"w": torch.ones(2, dtype=torch.complex128)}, tmp_path / "straight.pth")
    with (
        zipfile.ZipFile(tmp_path / "straight.pth") as straight,
        zipfile.ZipFile(tmp_path / "askew.pth", "w") as askew,
    ):
        for entry in straight.infolist():
            data, info = straight.read(entry), zipfile.ZipInfo(entry.filename)
            offset = askew.fp.tell() + 30 + len(entry.filename)  # type: ignore[union-attr]
            info.extra = struct.pack("<HH", 0, (shift - offset - 4) % 16) + bytes((shift - offset - 4) % 16)
            askew.writestr(info, data)
    assert read_checkpoint(tmp_path / "straight.pth")["w"].tolist() == [1, 1]
    with pytest.raises(FuncamError, match="askew"):
        read_checkpoint(tmp_path / "askew.pth")
