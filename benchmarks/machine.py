"""The machine and the versions that results were measured with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "monai",
    "segmentation-models-pytorch",
    "ultralytics",
    "open_clip_torch",
    "grad-cam",
    "torchcam",
    "captum",
    "quantus",
    "triton",
)
_CARD = ("name", "driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem", "power.limit", "memory.total")


def describe() -> dict[str, Any]:
    """Processor, cores, memory, Python and the packages' versions.

    With the widest vectors that torch uses: a virtual machine's processor is often told by its make alone.
    """
    from torch.backends import cpu  # whoever only parses a line waits for no torch

    return {
        "processor": _processor(),
        "instructions": cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def describe_for(device: str) -> dict[str, Any]:
    """The same with the commit, the load, and for `cuda` the card, its driver, clocks and power limit."""
    found = describe() | {"commit": _output("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD")}
    if hasattr(os, "getloadavg"):
        found["load"] = round(os.getloadavg()[0], 2)
    if device.startswith("cuda"):
        values = _output("nvidia-smi", f"--query-gpu={','.join(_CARD)}", "--format=csv,noheader", "--id=0")
        found["card"] = dict(zip(_CARD, (value.strip() for value in values.split(",")), strict=False))
    return found


def name_of(described: dict[str, Any]) -> str:
    """A machine as the name of a folder.

    Example:
        >>> name_of({"processor": "AMD EPYC (Milan)", "cores": 2})
        'amd-epyc-milan-2-cores'
    """
    name = described.get("card", {}).get("name") or f"{described['processor']} {described['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _output(*command: str) -> str:
    """What a program prints; nothing where there is no such program, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
