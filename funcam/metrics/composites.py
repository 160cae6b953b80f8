"""Several metrics as one figure for each image: ADCC and ARCC, harmonic means of parts that are each best at 1."""

from __future__ import annotations

import torch

from funcam.errors import FuncamError
from funcam.metrics.checks import as_floats

_ROUNDING = 1e-5  # a mean of ones may come out a little above 1


def adcc(coherency: torch.Tensor, complexity: torch.Tensor, average_drop: torch.Tensor) -> torch.Tensor:
    """ADCC: the harmonic mean of coherency, `1 - complexity` and `1 - average drop`. Better is larger.

    Args:
        coherency: `[B]`, from `coherency(...)`.
        complexity: `[B]`, from `complexity(...)`.
        average_drop: `[B]`, from `average_drop(...)`, of the image multiplied by its map.

    Returns:
        `[B]`, in 0..1; 0 where a part is 0, NaN where one is NaN.

    Raises:
        FuncamError: the shapes differ, a part is no number, or lies outside 0..1 (a percentage, for example).

    Source:
        Poppi et al., CVPR workshops 2021, arXiv:2104.10252, section 4.

    Example:
        >>> adcc(torch.tensor([0.9]), torch.tensor([0.4]), torch.tensor([0.55]))
        tensor([0.6000])
    """
    coherency, complexity, average_drop = _checked(
        coherency=coherency, complexity=complexity, average_drop=average_drop
    )
    _check_range(0, 1, coherency=coherency, complexity=complexity, average_drop=average_drop)
    return _harmonic_mean(coherency, 1 - complexity, 1 - average_drop)


def arcc(coherency: torch.Tensor, complexity: torch.Tensor, road: torch.Tensor) -> torch.Tensor:
    """ARCC: the harmonic mean of coherency, `1 - complexity` and twice the combined ROAD. Better is larger.

    ROAD takes the place of ADCC's average drop. Combined it lies in -0.5..0.5; what is negative counts as 0, so a map
    that orders the pixels no better than chance has an ARCC of 0.

    Args:
        coherency: `[B]`, from `coherency(...)`.
        complexity: `[B]`, from `complexity(...)`.
        road: `[B]`, `road(...).combined` of probabilities; its authors use `shares=(0.2, 0.4, 0.6, 0.8)`.

    Returns:
        `[B]`, in 0..1; 0 where a part is 0, NaN where one is NaN.

    Raises:
        FuncamError: the shapes differ, a part is no number, or lies outside its range.

    Source:
        Domeniconi et al., How to Evaluate and Refine your CAM, ICPR 2026, arXiv:2605.14641, as in its first author's
        code in the package grad-cam (`pytorch_grad_cam.metrics.arcc`; a harmonic mean, though its docstring says a
        geometric one).

    Example:
        >>> arcc(torch.tensor([0.9, 0.9]), torch.tensor([0.4, 0.4]), torch.tensor([0.225, -0.1]))
        tensor([0.6000, 0.0000])
    """
    coherency, complexity, road = _checked(coherency=coherency, complexity=complexity, road=road)
    _check_range(0, 1, coherency=coherency, complexity=complexity)
    _check_range(-0.5, 0.5, road=road)
    return _harmonic_mean(coherency, 1 - complexity, (2 * road).clamp(0, 1))


def _harmonic_mean(*parts: torch.Tensor) -> torch.Tensor:
    """Of parts in 0..1; 1 / 0 is infinite, and so the mean 0, as it should be."""
    return len(parts) / torch.stack([part.clamp(0, 1).reciprocal() for part in parts]).sum(0)


def _checked(**parts: torch.Tensor) -> list[torch.Tensor]:
    """The parts as floats, as many of each."""
    floats = [as_floats(name, part) for name, part in parts.items()]
    shapes = [list(part.shape) for part in floats]
    if any(len(shape) != 1 or shape != shapes[0] for shape in shapes):
        raise FuncamError(f"{', '.join(parts)} have shapes {', '.join(map(str, shapes))}; expected the same [B]")
    return floats


def _check_range(low: float, high: float, **parts: torch.Tensor) -> None:
    """NaN passes: an image may have no such figure."""
    for name, part in parts.items():
        wrong = part[(part < low - _ROUNDING) | (part > high + _ROUNDING)]
        if len(wrong):
            raise FuncamError(f"{name} is {float(wrong[0]):.4g} for an image; expected {low:g} to {high:g}")
