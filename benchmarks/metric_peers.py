"""What grad-cam, torchcam, captum, Quantus, scikit-learn, scikit-image and SciPy make of the same maps.

A pair is a function of a `Place` that gives funcam's values and the peer's, tensors of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from funcam import metrics

STEPS = 16  # divides 224 x 224 evenly; torchcam rounds its steps up otherwise
PERCENTILES = (20, 40, 60, 80)
QUIET = {"disable_warnings": True, "display_progressbar": False}


@dataclass(frozen=True, eq=False)
class Place:
    """A network and photos, with maps of the photos' classes.

    Attributes:
        name: what the table calls it.
        model: the network.
        images: `[B, 3, 224, 224]`, as it takes them.
        targets: `[B]`.
        maps: `[B, 224, 224]`, prepared.
        again: the maps of the images multiplied by their maps.
        boxes: for each image `[m, 4]`, in pixels of the map; empty lists where none are known.
    """

    name: str
    model: nn.Module
    images: torch.Tensor
    targets: torch.Tensor
    maps: torch.Tensor
    again: torch.Tensor
    boxes: list[Any]

    @property
    def masks(self) -> torch.Tensor:
        return metrics.box_masks(*metrics.pad_boxes(self.boxes), self.maps.shape[1:])

    @property
    def untied(self) -> torch.Tensor:
        """The maps with their order and no two equal values."""
        order = self.maps.flatten(1).argsort(dim=1, descending=True, stable=True)
        ranks = order.argsort(1).view_as(self.maps)
        return 1 - ranks.to(self.maps.dtype) / ranks[0].numel()


Values = tuple[torch.Tensor, torch.Tensor]
Compare = Callable[[Place], Values]


# --- Quantus ----------------------------------------------------------------------------------------------------------


def of_quantus(name: str, place: Place, maps: torch.Tensor, *, masks: bool = False, **settings: Any) -> torch.Tensor:
    """A metric of Quantus on copies: its Complexity divides the maps that it is given by their sum, in place."""
    import quantus

    given: dict[str, Any] = {"s_batch": place.masks.any(1, keepdim=True).numpy()} if masks else {}
    metric = getattr(quantus, name)(abs=False, normalise=False, **QUIET, **settings)
    found = metric(
        model=place.model,
        x_batch=place.images.numpy().copy(),
        y_batch=place.targets.numpy(),
        a_batch=maps[:, None].numpy().copy(),
        device="cpu",
        **given,
    )
    return torch.tensor(np.array(found, np.float64))


def quantus_pointing(place: Place) -> Values:
    return metrics.pointing_game(place.maps, place.masks), of_quantus("PointingGame", place, place.maps, masks=True)


def quantus_energy(place: Place) -> Values:
    theirs = of_quantus("RelevanceMassAccuracy", place, place.maps, masks=True)
    return metrics.energy(place.maps, place.masks), theirs


def quantus_flipping(place: Place) -> Values:
    """The scores of its curve; it has none of the image as it is, and a step for every channel of so many pixels."""
    maps, each = place.untied, place.maps[0].numel() // STEPS
    ours = metrics.deletion(place.model, place.images, maps, place.targets, steps=STEPS).scores[:, 1:]
    return ours, of_quantus("PixelFlipping", place, maps, features_in_step=each, perturb_baseline=0.0)[:, 2::3]


def quantus_infidelity(place: Place) -> Values:
    ours = metrics.infidelity(place.model, place.images, place.maps, place.targets, scaled=False)
    side = place.maps.shape[1] // 4
    settings = {"perturb_patch_sizes": [side], "n_perturb_samples": 1, "perturb_baseline": 0.0}
    return ours, of_quantus("Infidelity", place, place.maps, **settings)


def quantus_complexity(place: Place) -> Values:
    return metrics.complexity(place.maps), of_quantus("Complexity", place, place.maps)


def quantus_imputation(place: Place) -> Values:
    from quantus.functions.perturb_func import noisy_linear_imputation

    missing = _brightest(place)
    theirs = [
        torch.tensor(noisy_linear_imputation(image.numpy(), hole.flatten().nonzero()[:, 0].numpy(), noise=0.0))
        for image, hole in zip(place.images, missing, strict=True)
    ]
    return metrics.impute(place.images, missing, noise=0), torch.stack(theirs)


def quantus_similarity(ours: Callable[..., torch.Tensor], name: str, *, flat: bool) -> Compare:
    def compare(place: Place) -> Values:
        import quantus

        pairs = [(one.numpy(), two.numpy()) for one, two in zip(place.maps, place.again, strict=True)]
        shaped = [(one.ravel(), two.ravel()) if flat else (one, two) for one, two in pairs]
        return ours(place.maps, place.again), torch.tensor([float(getattr(quantus, name)(*pair)) for pair in shaped])

    return compare


# --- grad-cam ---------------------------------------------------------------------------------------------------------


def _targets(place: Place) -> list[Any]:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget

    return [ClassifierOutputSoftmaxTarget(index) for index in place.targets.tolist()]


def of_grad_cam(metric: Any, place: Place, maps: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(metric(place.images, maps.numpy(), _targets(place), place.model))


def grad_cams_drop(place: Place) -> Values:
    from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence

    ours = metrics.average_drop(_confidence(place))
    return ours, of_grad_cam(DropInConfidence(), place, place.maps)


def grad_cams_drop_divided(place: Place) -> Values:
    ours, theirs = grad_cams_drop(place)
    return ours, theirs / _confidence(place).before


def grad_cams_increase(place: Place) -> Values:
    from pytorch_grad_cam.metrics.cam_mult_image import IncreaseInConfidence

    theirs = of_grad_cam(IncreaseInConfidence(), place, place.maps)
    return metrics.increase_in_confidence(_confidence(place)), theirs


@contextmanager
def _without_noise() -> Iterator[None]:
    """grad-cam's ROAD without the noise, which it draws from torch's global generator."""
    from unittest.mock import patch

    from pytorch_grad_cam.metrics import road

    class Exact(road.NoisyLinearImputer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(noise=0)

    with patch.object(road, "NoisyLinearImputer", Exact):
        yield


def _road(place: Place, maps: torch.Tensor) -> metrics.Road:
    """With as many pixels left as a percentile of so many different values has below it."""
    pixels = maps[0].numel()
    shares = [1 - np.ceil(percentile / 100 * (pixels - 1)) / pixels for percentile in PERCENTILES]
    return metrics.road(place.model, place.images, maps, place.targets, shares=shares, noise=0)


def grad_cams_road(place: Place, *, untied: bool = False) -> Values:
    from pytorch_grad_cam.metrics.road import ROADCombined

    maps = place.untied if untied else place.maps
    with _without_noise():
        return _road(place, maps).combined, of_grad_cam(ROADCombined(list(PERCENTILES)), place, maps)


def grad_cams_imputation(place: Place) -> Values:
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    missing, imputer = _brightest(place), NoisyLinearImputer(noise=0)
    pairs = zip(place.images, (~missing).float(), strict=True)
    return metrics.impute(place.images, missing, noise=0), torch.stack([imputer(*pair) for pair in pairs])


def grad_cams_complexity(place: Place) -> Values:
    from pytorch_grad_cam.metrics.arcc import Complexity

    return metrics.complexity(place.maps), torch.as_tensor(Complexity()(place.maps.numpy()))


def _explainer(place: Place) -> Callable[..., Any]:
    """Stands in for grad-cam's method: the maps that funcam makes of the masked images."""
    return lambda input_tensor, targets: place.again.numpy()


def grad_cams_coherency(place: Place) -> Values:
    from pytorch_grad_cam.metrics.arcc import Coherency

    theirs = Coherency()(place.images, place.maps.numpy(), _targets(place), place.model, _explainer(place))
    return metrics.coherency(place.maps, place.again), torch.as_tensor(theirs)


def grad_cams_arcc(place: Place, *, untied: bool = False) -> Values:
    from pytorch_grad_cam.metrics.arcc import ARCC

    maps = place.untied if untied else place.maps
    coherency, complexity = metrics.coherency(maps, place.again), metrics.complexity(maps)
    with _without_noise():
        theirs = of_grad_cam(ARCC(_explainer(place), list(PERCENTILES)), place, maps)
        return metrics.arcc(coherency, complexity, _road(place, maps).combined), theirs


# --- torchcam ---------------------------------------------------------------------------------------------------------


class _GivenMaps:
    """What torchcam's metrics ask of an extractor, with maps that are given."""

    def __init__(self, model: nn.Module, maps: torch.Tensor) -> None:
        self.model, self.maps = model, maps

    def __call__(self, *_: Any, **__: Any) -> list[torch.Tensor]:
        return [self.maps]

    def fuse_cams(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return maps[0]

    def _hooks_off(self) -> Any:
        return nullcontext()


def of_torchcam(name: str, key: str, place: Place, **settings: Any) -> torch.Tensor:
    """Image by image: it gives the mean of what it was shown."""
    import torchcam.metrics

    found = []
    for image, saliency, target in zip(place.images, place.maps, place.targets.tolist(), strict=True):
        given = _GivenMaps(place.model, saliency[None])
        metric = getattr(torchcam.metrics, name)(given, partial(torch.softmax, dim=-1), **settings)
        metric.update(image[None], target)
        found.append(metric.summary()[key])
    return torch.tensor(found)


def torchcams_drop(place: Place) -> Values:
    return metrics.average_drop(_confidence(place)), of_torchcam("ClassificationMetric", "avg_drop", place)


def torchcams_increase(place: Place) -> Values:
    theirs = of_torchcam("ClassificationMetric", "conf_increase", place)
    return metrics.increase_in_confidence(_confidence(place)), theirs


def torchcams_curve(curve: Callable[..., metrics.Curve], key: str) -> Compare:
    def compare(place: Place) -> Values:
        ours = curve(place.model, place.images, place.maps, place.targets, steps=STEPS, baseline=torch.zeros(1))
        return ours.area, of_torchcam("DeletionInsertionMetric", key, place, steps=STEPS)

    return compare


# --- captum -----------------------------------------------------------------------------------------------------------


def captums_infidelity(place: Place, *, scaled: bool = True, samples: int = 16) -> Values:
    """On the same squares; captum takes an attribution for every channel."""
    import captum.metrics

    generator = torch.Generator().manual_seed(0)
    square = metrics.removed_square()
    taken = torch.stack([square(image, generator) for image in place.images for _ in range(samples)])
    drawn = iter(taken)

    def theirs(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return taken, rows - taken

    attributions = place.maps[:, None].expand_as(place.images).contiguous()
    given = (place.images, attributions)
    ours = metrics.infidelity(
        place.model, *given, place.targets, perturb=lambda *_: next(drawn), samples=samples, scaled=scaled
    )
    with torch.no_grad():
        found = captum.metrics.infidelity(
            place.model, theirs, *given, target=place.targets, n_perturb_samples=samples, normalize=scaled
        )
    return ours, found


# --- scikit-learn, scikit-image, SciPy --------------------------------------------------------------------------------


def sklearns_iou(place: Place) -> Values:
    from sklearn.metrics import jaccard_score

    pairs = zip(place.masks.any(1), place.maps > 0.5, strict=True)
    theirs = [jaccard_score(truth.flatten(), above.flatten()) for truth, above in pairs]
    return metrics.iou_at(place.maps, place.masks), torch.tensor(theirs)


def sklearns_recall(place: Place) -> Values:
    from sklearn.metrics import recall_score

    masks, above = place.masks, place.maps > 0.5
    ours = metrics.object_shares(place.maps, masks)
    known = ~ours.isnan()
    theirs = [recall_score(masks[i, m].flatten(), above[i].flatten()) for i, m in known.nonzero().tolist()]
    return ours[known], torch.tensor(theirs)


def sklearns_precision(place: Place) -> Values:
    from sklearn.metrics import average_precision_score

    ours = metrics.pxap(metrics.pixel_counts(place.maps, place.masks))
    return ours[None], torch.tensor([average_precision_score(place.masks.any(1).flatten(), place.maps.flatten())])


def skimages_boxes(place: Place) -> Values:
    """The regions of scikit-image in the place of OpenCV's contours, and torchvision's overlap of boxes."""
    from skimage.measure import label, regionprops
    from torchvision.ops import box_iou

    ours = torch.stack(metrics.box_overlaps(place.maps, *metrics.pad_boxes(place.boxes)))
    theirs = torch.zeros_like(ours)
    for i, j in np.ndindex(*theirs.shape[1:]):
        regions = regionprops(label((place.maps[i] > metrics.LEVELS[j]).numpy(), connectivity=2))
        regions.sort(key=lambda region: -region.area)
        corners = [(x0, y0, x1, y1) for y0, x0, y1, x1 in (region.bbox for region in regions)]
        best = box_iou(torch.tensor(corners).view(-1, 4), torch.tensor(np.array(place.boxes[i]))).amax(1)
        theirs[:, i, j] = torch.stack([best[0], best.max()]) if corners else 0.0
    return ours, theirs


def scipys_evenness(place: Place) -> Values:
    from scipy.stats import entropy

    ours = metrics.evenness(place.maps, place.masks)
    several = ~ours.isnan()
    rows = metrics.object_shares(place.maps, place.masks)[several]
    shares = [row[~row.isnan()].numpy() for row in rows]
    return ours[several], torch.tensor([entropy(row) / np.log(len(row)) if row.any() else 0.0 for row in shares])


# --- shared -----------------------------------------------------------------------------------------------------------


def _confidence(place: Place) -> metrics.Confidence:
    return metrics.confidence(place.model, place.images, place.maps, place.targets)


def _brightest(place: Place) -> torch.Tensor:
    """The brightest fifth of each map."""
    return place.untied > 0.8
