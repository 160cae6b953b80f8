"""Whether maps lie where the objects are. Every metric gives `[B]`, NaN for an image without an object.

Maps are `[B, H, W]` as `prepared` gives them (0..1), the truth is `masks [B, M, H, W]`, one mask an object; masks
without a pixel are padding. An image whose map is not finite is NaN too. Signals and volumes have one and three axes
of space in their place, `[B, *S]` and `[B, M, *S]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from funcam.errors import FuncamError
from funcam.metrics.checks import as_floats, as_tensor, check_masks, class_indices, where_finite
from funcam.metrics.inputs import any_pixel
from funcam.metrics.scalars import real


def pointing_game(maps: torch.Tensor, masks: torch.Tensor, *, tolerance: float = 0.0) -> torch.Tensor:
    """The pointing game: whether the map's maximum lies on an object, or at most `tolerance` pixels from one.

    The first maximum in reading order is the point, so a map of zeros points at the upper left corner. The literature's
    figure is the mean over the images of a class, averaged over classes, with a tolerance of 15.

    Args:
        maps: `[B, H, W]`.
        masks: bool `[B, M, H, W]`.
        tolerance: how far (Euclidean, in pixels, inclusive) the maximum may lie from the nearest pixel of an object.

    Returns:
        `[B]`, 1 for a hit, 0 for a miss; NaN without an object, or where the map is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Source:
        Zhang et al., IJCV 2018, arXiv:1608.00507, section 4.1.

    Example:
        >>> masks = torch.tensor([[[[True, False, False]]]])
        >>> maps = torch.tensor([[[0.0, 1.0, 0.0]]])
        >>> pointing_game(maps, masks), pointing_game(maps, masks, tolerance=1)
        (tensor([0.]), tensor([1.]))
    """
    maps, masks = check_masks(maps, masks)
    objects = any_pixel(masks, 1)
    point = maps.flatten(1).argmax(1)
    steps = _ball(real("tolerance", tolerance, 0), maps.ndim - 1, maps.device)
    inside, places = torch.ones((), dtype=torch.bool, device=maps.device), torch.zeros_like(point)[:, None]
    for axis, (side, step) in enumerate(zip(maps.shape[1:], steps, strict=True), 1):
        at = (point // maps.shape[axis + 1 :].numel() % side)[:, None] + step
        inside = inside & (at >= 0) & (at < side)
        places = places * side + at.clamp(0, side - 1)
    hit = (objects.flatten(1).gather(1, places) & inside).any(1)
    return _where_any(objects, maps, hit.to(maps.dtype))


def _ball(radius: float, axes: int, device: torch.device) -> list[torch.Tensor]:
    """The steps along each axis to every pixel that lies at most so far away."""
    reach = torch.arange(-int(radius), int(radius) + 1, device=device)
    steps = torch.meshgrid(*[reach] * axes, indexing="ij")
    near = torch.stack(steps).square().sum(0) <= radius**2
    return [step[near] for step in steps]


def energy(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The energy-based pointing game: the share of the map's sum that lies on the objects; 0 for a map of zeros.

    A uniform map's energy is the objects' share of the image. What is negative counts as nothing.

    Args:
        maps: `[B, H, W]`.
        masks: bool `[B, M, H, W]`.

    Returns:
        `[B]`, in 0..1; NaN without an object, or where the map is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Source:
        Wang et al. (Score-CAM), CVPR workshops 2020, arXiv:1910.01279, section 4.3.

    Example:
        >>> energy(torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[[True, False]]]]))
        tensor([0.7500])
    """
    maps, masks = check_masks(maps, masks)
    objects = any_pixel(masks, 1)
    positive = maps.relu().flatten(1)
    whole = positive.sum(1)
    inside = torch.einsum("bn,bn->b", positive, _numbers(objects, maps.dtype).flatten(1))
    return _where_any(objects, maps, inside / torch.where(whole == 0, 1.0, whole))


def iou_at(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """The overlap (intersection over union) of the pixels above a level with the objects' pixels.

    Args:
        maps: `[B, H, W]`.
        masks: bool `[B, M, H, W]`.
        level: pixels with a value greater than this are the map's.

    Returns:
        `[B]`, in 0..1; NaN without an object, or where the map is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Source:
        Jaccard, 1901; for maps e.g. Chattopadhay et al. (Grad-CAM++), WACV 2018, arXiv:1710.11063, section 4.4.

    Example:
        >>> iou_at(torch.tensor([[[1.0, 0.9, 0.1]]]), torch.tensor([[[[True, False, False]]]]))
        tensor([0.5000])
    """
    maps, masks = check_masks(maps, masks)
    objects = any_pixel(masks, 1)
    above, pixels = _above(maps, real("level", level)).flatten(1), _numbers(objects, maps.dtype).flatten(1)
    shared = torch.einsum("bn,bn->b", above, pixels)
    union = above.sum(1) + pixels.sum(1) - shared
    return _where_any(objects, maps, shared / union)


def object_shares(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """For each object the share of its pixels at which the map is above a level.

    Args:
        maps: `[B, H, W]`, prepared: 0.5 is half of the map's maximum.
        masks: bool `[B, M, H, W]`.
        level: pixels with a value greater than this are the map's.

    Returns:
        `[B, M]`, in 0..1; NaN for masks without a pixel, and where the map is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Example:
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, True]], [[False, False, False]]]])
        >>> object_shares(torch.tensor([[[1.0, 0.2, 0.0]]]), masks)
        tensor([[0.5000, 0.0000,    nan]])
    """
    maps, masks = check_masks(maps, masks)
    pixels = _numbers(masks, maps.dtype).flatten(2)
    covered = torch.einsum("bn,bmn->bm", _above(maps, real("level", level)).flatten(1), pixels)
    return where_finite(covered / pixels.sum(2), maps)


class ObjectCoverage(NamedTuple):
    """How an image's objects are covered, `[B]` each.

    Attributes:
        coverage: the mean share of an object that is covered.
        hit_share: the share of the objects that are hit.
        evenness: how evenly they are covered.
    """

    coverage: torch.Tensor
    hit_share: torch.Tensor
    evenness: torch.Tensor


def object_coverage(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> ObjectCoverage:
    """`coverage`, `hit_share` and `evenness` at once, for the price of one.

    Args:
        maps: `[B, H, W]`, prepared: 0.5 is half of the map's maximum.
        masks: bool `[B, M, H, W]`.
        level: pixels with a value greater than this are covered.

    Returns:
        An `ObjectCoverage`.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Example:
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, True]]]])
        >>> object_coverage(torch.tensor([[[1.0, 0.2, 0.0]]]), masks)
        ObjectCoverage(coverage=tensor([0.2500]), hit_share=tensor([0.5000]), evenness=tensor([0.]))
    """
    shares = object_shares(maps, masks, level=level)
    hit = torch.where(shares.isnan(), shares, (shares > 0).to(shares.dtype))
    return ObjectCoverage(shares.nanmean(1), hit.nanmean(1), _evenness(shares))


def coverage(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """How much of each object is covered, on average over an image's objects: the mean of `object_shares`.

    Args:
        maps: `[B, H, W]`, prepared: 0.5 is half of the map's maximum.
        masks: bool `[B, M, H, W]`.
        level: pixels with a value greater than this are covered.

    Returns:
        `[B]`, in 0..1; NaN without an object, or where the map is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Example:
        >>> coverage(torch.tensor([[[1.0, 0.2, 0.0]]]), torch.tensor([[[[True, True, False]], [[False, False, True]]]]))
        tensor([0.2500])
    """
    return object_coverage(maps, masks, level=level).coverage


def hit_share(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """The share of an image's objects that are hit: the map is above the level somewhere on them.

    Args:
        maps: `[B, H, W]`, prepared: 0.5 is half of the map's maximum.
        masks: bool `[B, M, H, W]`.
        level: what the map must exceed.

    Returns:
        `[B]`, in 0..1; NaN without an object, or where the map is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Example:
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, True]]]])
        >>> hit_share(torch.tensor([[[1.0, 0.2, 0.0]]]), masks)
        tensor([0.5000])
    """
    return object_coverage(maps, masks, level=level).hit_share


def evenness(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """How evenly the objects are covered: the entropy of their shares over its largest possible value (Pielou's J).

    1 where all objects are covered to the same share, 0 where one object alone is covered or none. NaN for images with
    fewer than two objects.

    Args:
        maps: `[B, H, W]`, prepared: 0.5 is half of the map's maximum.
        masks: bool `[B, M, H, W]`.
        level: pixels with a value greater than this are covered.

    Returns:
        `[B]`, in 0..1; NaN without an object, or where the map is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Source:
        Pielou, Journal of Theoretical Biology 13, 1966.

    Example:
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, True]]]])
        >>> evenness(torch.tensor([[[1.0, 1.0, 1.0]]]), masks), evenness(torch.tensor([[[1.0, 0.2, 0.0]]]), masks)
        (tensor([1.]), tensor([0.]))
    """
    return object_coverage(maps, masks, level=level).evenness


def top1_localisation_error(
    logits: torch.Tensor, labels: torch.Tensor | Sequence[int] | int, overlaps: torch.Tensor, *, least: float = 0.5
) -> torch.Tensor:
    """The ILSVRC localisation error: 1 unless the predicted class is right and the box overlaps the truth enough.

    Args:
        logits: `[B, N]`.
        labels: `[B]`, the right classes; one number for all images.
        overlaps: `[B]` or `[B, T]` (for T thresholds): the box's overlap with the best box of the truth, such as
            `box_overlaps(...).largest` of the map of the *predicted* class.
        least: the overlap that counts as right.

    Returns:
        The shape of `overlaps`, 0 or 1; NaN where an overlap is, or where a logit is not finite.

    Raises:
        FuncamError: the shapes don't belong together, or a value is of the wrong kind.

    Source:
        Russakovsky et al. (ILSVRC), IJCV 2015, arXiv:1409.0575, section 4.1; with maps Zhou et al., arXiv:1512.04150.

    Example:
        >>> top1_localisation_error(torch.eye(2), torch.tensor([0, 0]), torch.tensor([0.6, 0.9]))
        tensor([0., 1.])
    """
    logits, overlaps = as_floats("logits", logits), as_floats("overlaps", overlaps)
    count, told = logits.shape[:1], as_tensor("labels", labels).shape
    if logits.ndim != 2 or told not in ((), count) or overlaps.ndim not in (1, 2) or overlaps.shape[:1] != count:
        raise FuncamError(
            f"logits have shape {list(logits.shape)}, labels {list(told)}, overlaps {list(overlaps.shape)}; "
            "expected [B, N], [B] and [B] or [B, T]"
        )
    labels = class_indices(labels, len(logits), name="labels").to(logits.device)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise FuncamError(
            f"labels go from {int(labels.min())} to {int(labels.max())}; expected classes 0 to {logits.shape[1] - 1}"
        )
    right = (logits.argmax(1) == labels).to(overlaps.device).view(-1, *[1] * (overlaps.ndim - 1))
    wrong = (~(right & (overlaps >= real("least", least)))).to(overlaps.dtype)
    return torch.where(overlaps.isnan(), torch.nan, where_finite(wrong, logits))


def _evenness(shares: torch.Tensor) -> torch.Tensor:
    count = (~shares.isnan()).sum(1)
    known = shares.nan_to_num()
    whole = known.sum(1, keepdim=True)
    parts = known / torch.where(whole == 0, 1.0, whole)
    entropy = torch.special.entr(parts).sum(1) / count.clamp(min=2).log().to(shares.dtype)
    return torch.where(count > 1, entropy, torch.nan)


def _where_any(objects: torch.Tensor, maps: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The values of the images that have an object and a finite map, NaN for the others."""
    return where_finite(torch.where(any_pixel(objects.flatten(1), 1), values, torch.nan), maps)


def _above(maps: torch.Tensor, level: float) -> torch.Tensor:
    """1 where the map is above a level, else 0: numbers at once, because torch is slow at booleans."""
    maps = maps.detach()
    return torch.gt(maps, level, out=torch.empty_like(maps))


def _numbers(masks: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Booleans as 0 and 1, by way of bytes, which torch converts 8 times faster."""
    return masks.view(torch.uint8).to(dtype)
