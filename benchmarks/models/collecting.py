"""Every entry of the matrix: from all modules of this package that have `entries`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from fnmatch import fnmatch

import benchmarks.models
from benchmarks.models.entry import Entry

# What an origin needs to be installed; without it its entries are left out, and the results say so.
PACKAGES = {
    "timm": "timm",
    "transformers": "transformers",
    "monai": "monai",
    "smp": "segmentation_models_pytorch",
    "segmentation_models_pytorch": "segmentation_models_pytorch",
    "ultralytics": "ultralytics",
    "open_clip": "open_clip",
}

# The sample of the tests: small ones, over all origins and kinds; what isn't installed is left out.
QUICK = (
    "torchvision/resnet18",
    "torchvision/mobilenet_v3_small",
    "torchvision/densenet121",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/vit_b_32",
    "torchvision/swin_t",
    "torchvision/lraspp_mobilenet_v3_large",
    "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn",
    "torchvision/mc3_18",
    "traps/value_branch",
    "traps/empty_containers",
    "traps/dict_cache",
    "traps/counter_buffer",
    "traps/partial_forward",
    "traps/conv_lstm",
    "traps/hook_normalises",
    "traps/hook_temperature",
    "traps/no_grad_gate",
    "traps/old_function",
    "traps/class_token_last",
    "traps/tokens_first",
    "traps/flip_and_add",
    "traps/two_heads",
    "traps/shared_block",
    "traps/transform_normalise",
)
OF_OTHERS = 3  # entries of each further origin in the sample, spread over it


def collect() -> tuple[list[Entry], list[str]]:
    """All entries, and the origins that aren't installed."""
    entries = []
    for info in pkgutil.iter_modules(benchmarks.models.__path__):
        module = importlib.import_module(f"benchmarks.models.{info.name}")
        entries += module.entries() if hasattr(module, "entries") else []
    missing = sorted({origin_of(e) for e in entries if not _installed(origin_of(e))})
    return [entry for entry in entries if origin_of(entry) not in missing], missing


def origin_of(entry: Entry) -> str:
    """What is in front of the slash."""
    return entry.name.partition("/")[0]


def origins(entries: list[Entry]) -> list[str]:
    """In order of appearance."""
    return list(dict.fromkeys(map(origin_of, entries)))


def _installed(origin: str) -> bool:
    return origin not in PACKAGES or importlib.util.find_spec(PACKAGES[origin]) is not None


def chosen(entries: list[Entry], only: str | None, origin: str | None, *, quick: bool) -> list[Entry]:
    """The entries that were asked for; a pattern without a wildcard is a part of the name."""
    pattern = only if only and any(sign in only for sign in "*?[") else f"*{only or ''}*"
    sample = _sample(entries) if quick else {entry.name for entry in entries}
    return [
        entry
        for entry in entries
        if entry.name in sample and fnmatch(entry.name, pattern) and origin in (None, origin_of(entry))
    ]


def _sample(entries: list[Entry]) -> set[str]:
    names = set(QUICK)
    listed = {name.partition("/")[0] for name in QUICK}
    for origin in set(origins(entries)) - listed:
        of_origin = [entry.name for entry in entries if origin_of(entry) == origin]
        names.update(of_origin[:: max(1, len(of_origin) // OF_OTHERS)][:OF_OTHERS])
    return names
