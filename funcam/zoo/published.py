"""torchvision's published weights: which there are, which are meant, and getting them over the network."""

from __future__ import annotations

import os
import re
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision import models

from funcam.errors import FuncamError
from funcam.files import exists
from funcam.zoo.downloading import download

TIMEOUT = 15.0
"""Seconds without an answer after which a download is given up."""


def default(name: str) -> Any:
    """The weights that a network gets unless others are asked for: IMAGENET1K_V1 where it has them.

    Example:
        >>> default("resnet50").name, default("vit_h_14").name
        ('IMAGENET1K_V1', 'IMAGENET1K_SWAG_E2E_V1')
    """
    entries = models.get_model_weights(name)
    return getattr(entries, "IMAGENET1K_V1", None) or entries.DEFAULT


def usable_entries(name: str) -> list[Any]:
    """A network's weights that have a classifier (VGG-16 has some without), the default first.

    Example:
        >>> [entry.name for entry in usable_entries("vgg16")]
        ['IMAGENET1K_V1']
    """
    entries = [entry for entry in models.get_model_weights(name) if entry.meta["categories"]]
    return sorted(entries, key=lambda entry: entry is not default(name))


def find(name: str, weights: str | os.PathLike[str] | None) -> Any | None:
    """The published weights that a user means; None where a file is meant.

    Args:
        name: a canonical name of torchvision's.
        weights: None for the default, a name in upper or lower case, or a path.

    Raises:
        FuncamError: there are no weights of that name, and no file either.

    Example:
        >>> find("resnet50", "imagenet1k_v2").name
        'IMAGENET1K_V2'
    """
    if weights is None:
        return default(name)
    text = os.fspath(weights)
    usable = {entry.name: entry for entry in usable_entries(name)} | {"DEFAULT": models.get_model_weights(name).DEFAULT}
    if text.upper() in usable:
        return usable[text.upper()]
    path, known = Path(text), ", ".join(usable)
    if exists(path):
        return None
    if path.suffix or len(path.parts) > 1:
        raise FuncamError(f"weights file {text} does not exist; check the path, or give one of {known}")
    raise FuncamError(f"weights {text!r} are neither published for {name} nor a file; expected {known}, or a file")


def suiting(name: str, file: Path, model: nn.Module) -> Any:
    """The published weights whose preprocessing suits a file: those of its name, else of its image size."""
    usable = usable_entries(name)
    size = getattr(model, "image_size", None)
    by_name = [entry for entry in usable if cached(entry).name == file.name]
    by_size = [entry for entry in usable if entry.transforms().crop_size == [size]]
    return (by_name or by_size or usable)[0]


def cached(entry: Any) -> Path:
    """Where torch hub keeps the file of published weights, whether it is there or not.

    Example:
        >>> cached(default("resnet50")).name
        'resnet50-0676ba61.pth'
    """
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(entry.url).path).name)


def fetch(entry: Any, name: str, *, progress: bool = True) -> Path:
    """The file of published weights in torch hub's cache; downloaded, and compared with its hash, unless it is there.

    torchvision's `entry.get_state_dict` does the same, but it prints to stdout, where the command line's results go,
    waits for ever on a silent server, and reads all of the file into memory.

    Args:
        entry: a member of a `WeightsEnum`.
        name: the network, for the error message.
        progress: draw a progress bar on stderr.

    Raises:
        FuncamError: the download failed. No part of the file is left behind.

    Example:
        >>> fetch(default("resnet50"), "resnet50").name  # doctest: +SKIP
        'resnet50-0676ba61.pth'
    """
    file = cached(entry)
    if file.is_file():
        return file
    stated = re.search(r"-([a-f0-9]{8,})\.", file.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        download(entry.url, file, stated[1] if stated else "", timeout=TIMEOUT, progress=progress)
    except (OSError, ValueError, HTTPException) as error:  # no network, HTTP 404, disk full; wrong hash; cut off
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        raise FuncamError(_ways_out(entry, name, file, error)) from None
    return file


def _ways_out(entry: Any, name: str, file: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    away = f"download {file.name} elsewhere and put it into {file.parent}"
    return (
        f"the weights {entry.name} of {name} can't be downloaded from {entry.url} ({reason}); "
        f"give a file with --weights FILE, or {away}, or use --net scenes, which needs no download"
    )
