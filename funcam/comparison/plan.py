"""What a comparison is of: networks, methods, layers, metrics; and a name for all of it, to resume by. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from funcam.errors import FuncamError
from funcam.recipe import Recipe
from funcam.resuming.question import computed_by, network_named, question_letters

if TYPE_CHECKING:
    from torch import nn

    from funcam.zoo.nets import Net

BASELINES = ("centre-gaussian", "uniform", "random")
"""The methods that know nothing of the image or the network."""

USUAL_RECIPE = Recipe(("grad-cam", "grad-cam++"))
"""What is compared if nobody says."""

GROUPS = (LOCALISATION, CONFIDENCE, FAITHFULNESS, ROAD, ARCC, INFIDELITY, SANITY) = (
    "localisation",
    "confidence",
    "faithfulness",
    "road",
    "arcc",
    "infidelity",
    "sanity",
)
"""What is measured together, cheapest first; localisation needs truth, the others passes through the network."""


@dataclass(frozen=True)
class Metric:
    """A metric: its name in the results, its title, its group, which way is better, and whether it is a share."""

    name: str
    title: str
    group: str
    higher_is_better: bool = True
    share: bool = True
    """Told in percent; else the number itself."""


# The most telling of a group first: a report shows these before the others.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("max-box-acc-v2", "MaxBoxAccV2", LOCALISATION),
        Metric("pointing-game", "Pointing game", LOCALISATION),
        Metric("energy", "Energy in the objects", LOCALISATION),
        Metric("coverage", "Coverage of each object", LOCALISATION),
        Metric("iou", "IoU at half of the maximum", LOCALISATION),
        Metric("top-1-error", "Top-1 localisation error", LOCALISATION, higher_is_better=False),
        Metric("pointing-game@15", "Pointing game, 15 pixels' tolerance", LOCALISATION),
        Metric("max-box-acc@0.3", "MaxBoxAcc at IoU 0.3", LOCALISATION),
        Metric("max-box-acc@0.5", "MaxBoxAcc at IoU 0.5", LOCALISATION),
        Metric("max-box-acc@0.7", "MaxBoxAcc at IoU 0.7", LOCALISATION),
        Metric("max-box-acc-v2-multi", "MaxBoxAccV2, any contour", LOCALISATION),
        Metric("hit-share", "Share of the objects hit", LOCALISATION),
        Metric("evenness", "Evenness over several objects", LOCALISATION),
        Metric("pxap", "PxAP", LOCALISATION),
        Metric("average-drop", "Average drop", FAITHFULNESS, higher_is_better=False),
        Metric("increase", "Increase in confidence", FAITHFULNESS),
        Metric("average-gain", "Average gain", FAITHFULNESS),
        Metric("insertion", "Insertion", FAITHFULNESS),
        Metric("deletion", "Deletion", FAITHFULNESS, higher_is_better=False),
        Metric("road", "ROAD", ROAD),
        Metric("road-most", "ROAD, most relevant first", ROAD, higher_is_better=False),
        Metric("road-least", "ROAD, least relevant first", ROAD),
        Metric("complexity", "Complexity", ARCC, higher_is_better=False),
        Metric("coherency", "Coherency", ARCC),
        Metric("adcc", "ADCC", ARCC),
        Metric("arcc", "ARCC", ARCC),
        Metric("infidelity", "Infidelity", INFIDELITY, higher_is_better=False, share=False),
        Metric("sensitivity-n", "Sensitivity-n", INFIDELITY, share=False),
        Metric("cascading", "Alike, weights shuffled from the end", SANITY, higher_is_better=False, share=False),
        Metric("cascading-all", "Alike, all weights shuffled", SANITY, higher_is_better=False, share=False),
        Metric("independent", "Alike, one layer shuffled", SANITY, higher_is_better=False, share=False),
    )
}


@dataclass(frozen=True)
class Rival:
    """A network of a comparison.

    Attributes:
        label: what it goes by.
        net: the network, its model on the device.
        device: where that is, and where everything is computed with it.
    """

    label: str
    net: Net
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.net.frames is not None:
            raise FuncamError(
                f"{self.label} takes clips of {self.net.frames} frames, and what is compared are images; leave it out "
                "(funcam explain shows it)"
            )

    def sized(self, recipe: Recipe) -> Rival:
        """It with the input that a recipe asks for."""
        from funcam.zoo.nets import at_size

        side = recipe.size_for(self.net.input_size)
        return self if side == self.net.input_size else replace(self, net=at_size(self.net, side))

    @cached_property
    def letters(self) -> str:
        """What tells the model, as it is now, from others that compute something else."""
        from funcam.resuming.identity import model_letters

        return model_letters(self.net.model)

    @cached_property
    def shuffled(self) -> dict[str, list[nn.Module]]:
        """Copies of the network with shuffled weights: `cascading` from the end in quarters, one layer at a time."""
        from funcam.comparison.shuffled import cascading, independent

        return {"cascading": cascading(self.net.model), "independent": independent(self.net.model)}


@dataclass(frozen=True)
class Plan:
    """What is computed of every image.

    Attributes:
        recipe: how the maps are made: methods, layers, what becomes of several, smoothing, options, input size.
        layers: where to cut instead, by the network's label, for networks whose layers have other names.
        groups: of metrics, from `GROUPS`: `localisation` needs truth; a map's `confidence` (average drop and gain)
            costs two forward passes, `faithfulness`, which holds it, some 100, `road` 18, `arcc` ten and an
            explanation, `infidelity` some 160, `sanity` seven explanations of all maps.
        against: what pointing, energy, coverage and IoU are measured against: `boxes`, or `masks` (an object's own
            pixels) where the truth has them.
        target: `truth` (the labelled class) or `predicted`.
        fit: how images are put before the networks.
        steps: of insertion and deletion.
        batch: images at once.

    Raises:
        FuncamError: the recipe names no method.

    Example:
        >>> plan = Plan(Recipe(("layer-cam",)), layers={"small": ("layer3", "layer4")})
        >>> plan.recipe_for("small").layers, plan.recipe_for("large").layers
        (('layer3', 'layer4'), ())
    """

    recipe: Recipe = USUAL_RECIPE
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] = (LOCALISATION,)
    against: str = "boxes"
    target: str = "truth"
    fit: str = "squash"
    steps: int = 50
    batch: int = 8

    def __post_init__(self) -> None:
        if not self.recipe.methods:
            raise FuncamError("the recipe of a comparison names no method; expected Recipe(('grad-cam', ...))")

    def recipe_for(self, label: str) -> Recipe:
        """The recipe with the layers of one network."""
        return replace(self.recipe, layers=self.layers.get(label, self.recipe.layers))

    def document(self, labels: Iterable[str]) -> dict[str, Any]:
        """What the results of some networks say of how they were made, for JSON."""
        layers = {label: self.recipe_for(label).layers for label in labels}
        return {
            "methods": self.recipe.methods,
            "layers": {label: names for label, names in layers.items() if names},
            "combine": self.recipe.combine,
            "smooth": self.recipe.smooth,
            "groups": self.groups,
            "against": self.against,
            "target": self.target,
            "fit": self.fit,
            "steps": self.steps,
            "batch": self.batch,
            "options": self.recipe.options,
        }

    def asked(self, rivals: Iterable[Rival], data: Iterable[str]) -> str:
        """What tells what was asked from what else was, in letters: by words, so that what they name may be mended.

        Args:
            rivals: the networks.
            data: words for the data set.

        Example:
            >>> Plan().asked([], ["photos"]) == Plan().asked([], ["photos"]) != Plan(fit="pad").asked([], ["photos"])
            True
        """
        return question_letters([self, [[rival.label, network_named(rival.net)] for rival in rivals], list(data)])

    def key(self, rival: Rival) -> str:
        """A name for what this plan computes with one network: equal keys and equal images, equal figures.

        It goes by what the network is, not by where its values came from: another file of weights under the same name
        gives another key, the same file under another name the same.

        Args:
            rival: the network, at its own size or at the plan's.
        """
        computed = {**self.document(()), "layers": self.recipe_for(rival.label).layers}
        return question_letters([computed, computed_by(rival.sized(self.recipe).net, rival.device, rival.letters)])
