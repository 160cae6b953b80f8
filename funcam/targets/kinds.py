"""Of what kind something is that was given as targets."""

from __future__ import annotations

from funcam.targets.target import ClassScore, PerImage, Target, Targets, explains_logits


def of_classes(targets: Targets) -> bool:
    """Whether classes are explained, not the values of a function.

    Example:
        >>> import torch
        >>> of_classes([1, 2]), of_classes(torch.Tensor.max)
        (True, False)
    """
    return targets.class_score is not None if isinstance(targets, Target) else not callable(targets)


def names_classes(targets: Targets) -> bool:
    """Whether nothing but classes were given, whose logits are explained.

    Example:
        >>> import torch
        >>> names_classes(None), names_classes([[1, 2]]), names_classes(torch.Tensor.max)
        (True, True, False)
    """
    return (
        explains_logits(targets)
        if isinstance(targets, Target)
        else not isinstance(targets, ClassScore | PerImage) and not callable(targets)
    )
