"""Which metric of funcam stands beside which of a peer, where they are compared, and why they differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import metric_peers as peers
import torch

from funcam import metrics

PHOTOS = ("two photos",)
BOXES = ("photos with boxes",)
MANY = ("photos with several boxes",)
ZEROS = (*PHOTOS, "an earlier layer")  # whose maps are zero over a quarter of the photo


@dataclass(frozen=True, eq=False)
class Pair:
    """How a metric is compared with a peer's.

    Attributes:
        compare: funcam's values and the peer's, for a place.
        name: the peer's name for it.
        where: the groups of places.
        why: why it differs, in a few words.
        instead: the same where the reason does not hold.
        condition: what that is, in a few words.
    """

    compare: peers.Compare
    name: str
    where: tuple[str, ...] = PHOTOS
    why: str = ""
    instead: peers.Compare | None = None
    condition: str = ""


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, divided by the largest value of either.

    Raises:
        ValueError: the shapes differ, or there is nothing to compare.
    """
    if ours.shape != theirs.shape or not ours.numel():
        raise ValueError(f"shapes {list(ours.shape)} and {list(theirs.shape)}; expected the same, with a value")
    a, b = ours.detach().double(), theirs.detach().double()
    largest = float(torch.maximum(a.abs(), b.abs()).max())
    return float((a - b).abs().max()) / (largest or 1.0)


_TIES = "keeps what is strictly below a percentile, so that equal values go together or stay together"
_NO_TIES = "without equal values"

PAIRS: dict[tuple[str, str], Pair] = {
    ("pointing_game", "Quantus"): Pair(peers.quantus_pointing, "PointingGame", BOXES),
    ("energy", "Quantus"): Pair(peers.quantus_energy, "RelevanceMassAccuracy", BOXES),
    ("iou_at", "scikit-learn"): Pair(peers.sklearns_iou, "jaccard_score", BOXES),
    ("object_shares", "scikit-learn"): Pair(peers.sklearns_recall, "recall_score", BOXES),
    ("evenness", "SciPy"): Pair(peers.scipys_evenness, "entropy", MANY),
    ("box_overlaps", "scikit-image"): Pair(peers.skimages_boxes, "regionprops", BOXES),
    ("pxap", "scikit-learn"): Pair(peers.sklearns_precision, "average_precision_score", BOXES),
    ("insertion", "torchcam"): Pair(
        peers.torchcams_curve(metrics.insertion, "insertion_auc"), "DeletionInsertionMetric"
    ),
    ("deletion", "torchcam"): Pair(peers.torchcams_curve(metrics.deletion, "deletion_auc"), "DeletionInsertionMetric"),
    ("deletion", "Quantus"): Pair(peers.quantus_flipping, "PixelFlipping"),
    ("average_drop", "torchcam"): Pair(peers.torchcams_drop, "ClassificationMetric"),
    ("average_drop", "grad-cam"): Pair(
        peers.grad_cams_drop,
        "DropInConfidence",
        why="is not divided by the confidence",
        instead=peers.grad_cams_drop_divided,
        condition="divided by it",
    ),
    ("increase_in_confidence", "torchcam"): Pair(peers.torchcams_increase, "ClassificationMetric"),
    ("increase_in_confidence", "grad-cam"): Pair(peers.grad_cams_increase, "IncreaseInConfidence"),
    ("road", "grad-cam"): Pair(
        peers.grad_cams_road,
        "ROADCombined",
        ZEROS,
        why=_TIES,
        instead=partial(peers.grad_cams_road, untied=True),
        condition=_NO_TIES,
    ),
    ("impute", "grad-cam"): Pair(peers.grad_cams_imputation, "NoisyLinearImputer"),
    ("impute", "Quantus"): Pair(peers.quantus_imputation, "noisy_linear_imputation"),
    ("infidelity", "captum"): Pair(peers.captums_infidelity, "infidelity"),
    ("infidelity", "Quantus"): Pair(
        peers.quantus_infidelity, "Infidelity", why="its squares are not drawn: they follow each other and add up"
    ),
    ("complexity", "grad-cam"): Pair(peers.grad_cams_complexity, "Complexity"),
    ("complexity", "Quantus"): Pair(peers.quantus_complexity, "Complexity", why="is an entropy, another quantity"),
    ("coherency", "grad-cam"): Pair(peers.grad_cams_coherency, "Coherency"),
    ("arcc", "grad-cam"): Pair(
        peers.grad_cams_arcc,
        "ARCC",
        ZEROS,
        why=f"its ROAD {_TIES}",
        instead=partial(peers.grad_cams_arcc, untied=True),
        condition=_NO_TIES,
    ),
    ("correlation", "Quantus"): Pair(
        peers.quantus_similarity(metrics.correlation, "correlation_pearson", flat=True), "correlation_pearson"
    ),
    ("rank_correlation", "Quantus"): Pair(
        peers.quantus_similarity(metrics.rank_correlation, "correlation_spearman", flat=True), "correlation_spearman"
    ),
    ("ssim", "Quantus"): Pair(peers.quantus_similarity(metrics.ssim, "ssim", flat=False), "ssim"),
}
"""(metric, peer) -> how they are compared."""
