"""Whether maps lie where the objects are. Every metric gives ``[B]``, NaN for an image without an object.

Maps are ``[B, H, W]`` as ``prepared`` gives them (0..1), the truth is ``masks [B, M, H, W]``, one mask an object; masks
without a pixel are padding.
"""

from __future__ import annotations

import torch

from funcam.errors import FuncamError
from funcam.metrics.inputs import check_masks


def pointing_game(maps: torch.Tensor, masks: torch.Tensor, *, tolerance: float = 0.0) -> torch.Tensor:
    """The pointing game: whether the map's maximum lies on an object, or at most ``tolerance`` pixels from one.

    The first maximum in reading order is the point, so a map of zeros points at the upper left corner. The literature's
    figure is the mean over the images of a class, averaged over classes, with a tolerance of 15.

    Args:
        maps: ``[B, H, W]``.
        masks: bool ``[B, M, H, W]``.
        tolerance: how far (Euclidean, in pixels, inclusive) the maximum may lie from the nearest pixel of an object.

    Returns:
        ``[B]``, 1 for a hit, 0 for a miss.

    Raises:
        FuncamError: the shapes don't belong together.

    Source:
        Zhang et al., IJCV 2018, arXiv:1608.00507, section 4.1.

    Example:
        >>> masks = torch.tensor([[[[True, False, False]]]])
        >>> maps = torch.tensor([[[0.0, 1.0, 0.0]]])
        >>> pointing_game(maps, masks), pointing_game(maps, masks, tolerance=1)
        (tensor([0.]), tensor([1.]))
    """
    check_masks(maps, masks)
    objects = masks.any(1)
    point = maps.flatten(1).argmax(1)
    height, width = maps.shape[1:]
    rows = torch.arange(height, device=maps.device)[:, None] - (point // width)[:, None, None]
    columns = torch.arange(width, device=maps.device) - (point % width)[:, None, None]
    near = rows**2 + columns**2 <= tolerance**2
    return _where_any(objects, (objects & near).flatten(1).any(1).to(maps.dtype))


def energy(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """The energy-based pointing game: the share of the map's sum that lies on the objects; 0 for a map of zeros.

    A uniform map's energy is the objects' share of the image. What is negative counts as nothing.

    Args:
        maps: ``[B, H, W]``.
        masks: bool ``[B, M, H, W]``.

    Returns:
        ``[B]``, in 0..1.

    Raises:
        FuncamError: the shapes don't belong together.

    Source:
        Wang et al. (Score-CAM), CVPR workshops 2020, arXiv:1910.01279, section 4.3.

    Example:
        >>> energy(torch.tensor([[[3.0, 1.0]]]), torch.tensor([[[[True, False]]]]))
        tensor([0.7500])
    """
    check_masks(maps, masks)
    objects = masks.any(1)
    positive = maps.relu()
    whole = positive.sum((1, 2))
    inside = (positive * objects).sum((1, 2))
    return _where_any(objects, inside / torch.where(whole == 0, 1.0, whole))


def iou_at(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """The overlap (intersection over union) of the pixels above a level with the objects' pixels.

    Args:
        maps: ``[B, H, W]``.
        masks: bool ``[B, M, H, W]``.
        level: pixels with a value greater than this are the map's.

    Returns:
        ``[B]``, in 0..1.

    Raises:
        FuncamError: the shapes don't belong together.

    Source:
        Jaccard, 1901; for maps e.g. Chattopadhay et al. (Grad-CAM++), WACV 2018, arXiv:1710.11063, section 4.4.

    Example:
        >>> iou_at(torch.tensor([[[1.0, 0.9, 0.1]]]), torch.tensor([[[[True, False, False]]]]))
        tensor([0.5000])
    """
    check_masks(maps, masks)
    objects = masks.any(1)
    above = maps > level
    union = (above | objects).sum((1, 2))
    return _where_any(objects, (above & objects).sum((1, 2)) / union.to(maps.dtype))


def object_shares(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """For each object the share of its pixels at which the map is above a level.

    Args:
        maps: ``[B, H, W]``, prepared: 0.5 is half of the map's maximum.
        masks: bool ``[B, M, H, W]``.
        level: pixels with a value greater than this are the map's.

    Returns:
        ``[B, M]``, in 0..1; NaN for masks without a pixel.

    Raises:
        FuncamError: the shapes don't belong together.

    Example:
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, True]], [[False, False, False]]]])
        >>> object_shares(torch.tensor([[[1.0, 0.2, 0.0]]]), masks)
        tensor([[0.5000, 0.0000,    nan]])
    """
    check_masks(maps, masks)
    covered = (masks & (maps > level)[:, None]).sum((2, 3))
    return covered / masks.sum((2, 3)).to(maps.dtype)


def coverage(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """How much of each object is covered, on average over an image's objects: the mean of ``object_shares``.

    Args:
        maps: ``[B, H, W]``, prepared: 0.5 is half of the map's maximum.
        masks: bool ``[B, M, H, W]``.
        level: pixels with a value greater than this are covered.

    Returns:
        ``[B]``, in 0..1.

    Raises:
        FuncamError: the shapes don't belong together.

    Example:
        >>> coverage(torch.tensor([[[1.0, 0.2, 0.0]]]), torch.tensor([[[[True, True, False]], [[False, False, True]]]]))
        tensor([0.2500])
    """
    return object_shares(maps, masks, level=level).nanmean(1)


def hit_share(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """The share of an image's objects that are hit: the map is above the level somewhere on them.

    Args:
        maps: ``[B, H, W]``, prepared: 0.5 is half of the map's maximum.
        masks: bool ``[B, M, H, W]``.
        level: what the map must exceed.

    Returns:
        ``[B]``, in 0..1.

    Raises:
        FuncamError: the shapes don't belong together.

    Example:
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, True]]]])
        >>> hit_share(torch.tensor([[[1.0, 0.2, 0.0]]]), masks)
        tensor([0.5000])
    """
    shares = object_shares(maps, masks, level=level)
    return torch.where(shares.isnan(), shares, (shares > 0).to(shares.dtype)).nanmean(1)


def evenness(maps: torch.Tensor, masks: torch.Tensor, *, level: float = 0.5) -> torch.Tensor:
    """How evenly the objects are covered: the entropy of their shares over its largest possible value (Pielou's J).

    1 where all objects are covered to the same share, 0 where one object alone is covered or none. NaN for images with
    fewer than two objects.

    Args:
        maps: ``[B, H, W]``, prepared: 0.5 is half of the map's maximum.
        masks: bool ``[B, M, H, W]``.
        level: pixels with a value greater than this are covered.

    Returns:
        ``[B]``, in 0..1.

    Raises:
        FuncamError: the shapes don't belong together.

    Source:
        Pielou, Journal of Theoretical Biology 13, 1966.

    Example:
        >>> masks = torch.tensor([[[[True, True, False]], [[False, False, True]]]])
        >>> evenness(torch.tensor([[[1.0, 1.0, 1.0]]]), masks), evenness(torch.tensor([[[1.0, 0.2, 0.0]]]), masks)
        (tensor([1.]), tensor([0.]))
    """
    shares = object_shares(maps, masks, level=level)
    count = (~shares.isnan()).sum(1)
    known = shares.nan_to_num()
    whole = known.sum(1, keepdim=True)
    parts = known / torch.where(whole == 0, 1.0, whole)
    entropy = torch.special.entr(parts).sum(1) / count.clamp(min=2).log().to(shares.dtype)
    return torch.where(count > 1, entropy, torch.nan)


def top1_localisation_error(
    logits: torch.Tensor, labels: torch.Tensor, overlaps: torch.Tensor, *, least: float = 0.5
) -> torch.Tensor:
    """The ILSVRC localisation error: 1 unless the predicted class is right and the box overlaps the truth enough.

    Args:
        logits: ``[B, N]``.
        labels: ``[B]``, the right classes.
        overlaps: ``[B]`` or ``[B, T]`` (for T thresholds): the box's overlap with the best box of the truth, such as
            ``box_overlaps(...).largest`` of the map of the *predicted* class.
        least: the overlap that counts as right.

    Returns:
        The shape of ``overlaps``, 0 or 1.

    Raises:
        FuncamError: the shapes don't belong together.

    Source:
        Russakovsky et al. (ILSVRC), IJCV 2015, arXiv:1409.0575, section 4.1; with maps Zhou et al., arXiv:1512.04150.

    Example:
        >>> top1_localisation_error(torch.eye(2), torch.tensor([0, 0]), torch.tensor([0.6, 0.9]))
        tensor([0., 1.])
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or overlaps.shape[:1] != labels.shape:
        raise FuncamError(
            f"logits have shape {list(logits.shape)}, labels {list(labels.shape)}, overlaps {list(overlaps.shape)}; "
            "expected [B, N], [B] and [B] or [B, T]"
        )
    right = (logits.argmax(1) == labels).view(-1, *[1] * (overlaps.ndim - 1))
    return (~(right & (overlaps >= least))).to(overlaps.dtype)


def _where_any(objects: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The values of the images that have an object, NaN for the others."""
    return torch.where(objects.flatten(1).any(1), values, torch.nan)
