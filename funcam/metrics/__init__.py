"""Metrics: localisation, faithfulness and sanity, as pure functions of tensors, on the tensors' device.

    maps = prepared(result.maps, (224, 224))           # ReLU, divided by the maximum, at the network's input size
    boxes, valid = pad_boxes(boxes_of_each_image)      # [B, M, 4], [B, M]
    masks = box_masks(boxes, valid, (224, 224))        # [B, M, 224, 224]
    pointing_game(maps, masks), energy(maps, masks)    # a value for each image, [B]

Every metric gives a value (or a row of counts) for each image, so that a caller can stream a data set and bootstrap it.
What is best over a data set (MaxBoxAcc, PxAP) is found from those rows: `box_hits` -> `max_box_acc`.
"""

from __future__ import annotations

from funcam.metrics.baselines import centre_gaussian, random_maps, uniform_maps
from funcam.metrics.composites import adcc, arcc
from funcam.metrics.curves import Curve, blurred, deletion, insertion, mean_colour
from funcam.metrics.faithfulness import (
    Confidence,
    average_drop,
    average_gain,
    coherency,
    complexity,
    confidence,
    increase_in_confidence,
)
from funcam.metrics.imputation import impute
from funcam.metrics.infidelity import gaussian_noise, infidelity, removed_square, sensitivity_n
from funcam.metrics.inputs import box_masks, pad_boxes, prepared
from funcam.metrics.localisation import (
    ObjectCoverage,
    coverage,
    energy,
    evenness,
    hit_share,
    iou_at,
    object_coverage,
    object_shares,
    pointing_game,
    top1_localisation_error,
)
from funcam.metrics.road import Road, road
from funcam.metrics.sanity import cascading_randomisation, independent_randomisation
from funcam.metrics.scores import identity, probabilities
from funcam.metrics.similarity import correlation, rank_correlation, ssim
from funcam.metrics.wsol import (
    LEVELS,
    OVERLAPS,
    MaxBoxAcc,
    Overlaps,
    box_hits,
    box_overlaps,
    max_box_acc,
    max_box_acc_v2,
    pixel_counts,
    pxap,
)

__all__ = [
    "LEVELS",
    "OVERLAPS",
    "Confidence",
    "Curve",
    "MaxBoxAcc",
    "ObjectCoverage",
    "Overlaps",
    "Road",
    "adcc",
    "arcc",
    "average_drop",
    "average_gain",
    "blurred",
    "box_hits",
    "box_masks",
    "box_overlaps",
    "cascading_randomisation",
    "centre_gaussian",
    "coherency",
    "complexity",
    "confidence",
    "correlation",
    "coverage",
    "deletion",
    "energy",
    "evenness",
    "gaussian_noise",
    "hit_share",
    "identity",
    "impute",
    "increase_in_confidence",
    "independent_randomisation",
    "infidelity",
    "insertion",
    "iou_at",
    "max_box_acc",
    "max_box_acc_v2",
    "mean_colour",
    "object_coverage",
    "object_shares",
    "pad_boxes",
    "pixel_counts",
    "pointing_game",
    "prepared",
    "probabilities",
    "pxap",
    "random_maps",
    "rank_correlation",
    "removed_square",
    "road",
    "sensitivity_n",
    "ssim",
    "top1_localisation_error",
    "uniform_maps",
]
