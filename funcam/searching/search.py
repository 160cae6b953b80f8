"""The search for a network's best recipe, in stages that all choose on the same half of the images; nothing is trained.

1. every candidate method at every candidate layer;
2. the best few of these with one thing changed each: smoothed, two layers combined, twice the input;
3. the best of those with its best changes together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from funcam.comparison.aggregation import collected
from funcam.comparison.contents import Contents
from funcam.comparison.dataset import Example
from funcam.comparison.findings import Measured
from funcam.comparison.form import fits
from funcam.comparison.journal import Journal
from funcam.comparison.plan import METRICS, USUAL_RECIPE, Plan, Rival
from funcam.comparison.run import JOURNAL, Tick, fill
from funcam.errors import FuncamError, nearest
from funcam.recipe import Recipe
from funcam.resuming.question import question_letters
from funcam.searching.candidates import candidate_layers, combined, first_recipes, named_layer, takes, variations
from funcam.searching.choosing import Halves, Trial, distinct_best, halved, ranked
from funcam.searching.costs import costs_of
from funcam.searching.plans import plans_of
from funcam.searching.wording import described, layers_in_results

_FINALISTS = 3

Stage = Callable[[int, int, int], None]


@dataclass(frozen=True)
class SearchSpace:
    """What a search tries, and what decides.

    Attributes:
        metric: the name of the metric that chooses.
        methods: the candidate methods.
        layers: the candidate layers, the coarsest first; none for the last layer of each size.
        input_size: where the search starts; None for the network's own.
        quick: whether the first stage is enough.
    """

    metric: str
    methods: Sequence[str]
    layers: Sequence[str] = ()
    input_size: int | None = None
    quick: bool = False

    def asked(self, rival: Rival, base: Plan, data: Sequence[str]) -> str:
        """What tells a search from others, in letters, as `Plan.asked` does of a comparison.

        Args:
            rival: the network.
            base: as in `search`.
            data: words for the data set.
        """
        return question_letters([self, base.asked([rival], data)])


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        trials: every recipe that was measured, in the order in which they were tried.
        default: Grad-CAM at the default layer and the network's own size, which need not be among them.
        halves: of the images.
        costs: of each recipe in forward passes of the network at its own size.
        skipped: the recipes that the network can't have, and why, a line each.
        problems: the images that could not be done, a line each.
        notes: what there is to say of the journal that was there, a line each.
    """

    trials: list[Trial]
    default: Trial
    halves: Halves
    costs: dict[Recipe, float]
    skipped: list[str]
    problems: list[str]
    notes: list[str] = field(default_factory=list)


def search(
    rival: Rival,
    examples: Sequence[Example],
    space: SearchSpace,
    base: Plan,
    folder: Path,
    *,
    stage: Stage = lambda _number, _recipes, _images: None,
    tick: Tick = lambda _count: None,
    earlier: Tick | None = None,
    timed: Tick = lambda _count: None,
) -> SearchResult:
    """Find the best recipe for a network on a data set; it goes on where an earlier search in the folder stopped.

    Args:
        rival: the network at its own size.
        examples: the data set.
        space: what is tried.
        base: metrics, fit and batch; its recipe is left as it is by default, for the search makes the recipes.
        folder: where the journal is; it exists.
        stage: called at the start of each with its number, its recipes and how many images are to be done, 0 in the
            last, the costs.
        tick: called with the number of images just done.
        earlier: called with the number that an earlier search has done; else `tick` is.
        timed: called with the number of recipes whose costs have just become known, in the last stage.

    Raises:
        FuncamError: an unknown metric, a recipe in `base`, fewer than two images, or a network that can have none of
            the first recipes.
    """
    if space.metric not in METRICS:
        raise FuncamError(f"unknown metric {space.metric!r}; nearest: {nearest(space.metric, METRICS)}")
    if base.recipe != USUAL_RECIPE or base.layers:
        raise FuncamError("a search makes its own recipes; leave recipe and layers out of its Plan, use SearchSpace")
    halves = halved(example.name for example in examples)
    rival = replace(rival)  # what is remembered of a network holds for one search
    work = _Search(rival, examples, Contents(examples), space.metric, base, folder, stage, tick, earlier)
    start = rival.sized(Recipe(input_size=space.input_size))
    layers = [named_layer(start, name) for name in space.layers] or candidate_layers(start)
    layers = list(dict.fromkeys(layers))
    default = _begin(work, first_recipes(space.methods, layers, start.net.input_size))
    if not space.quick:
        _vary(work, halves, layers, start)
    trials = list(work.trials.values())
    tried = [one.recipe for one in [*trials, default]]
    work.stage(2 if space.quick else 4, len(tried), 0)
    costs = costs_of(tried, rival, examples, base, folder, timed)
    return SearchResult(trials, default, halves, costs, work.skipped, list(work.problems), list(work.notes))


def _begin(work: _Search, recipes: Sequence[Recipe]) -> Trial:
    """The first stage; with it the network's default is measured, whether it is among the candidates or not."""
    layer, size = named_layer(work.rival, None), work.rival.net.input_size
    default = Recipe(("grad-cam",), (layer,), input_size=size)
    work.measure(1, [*recipes, default])
    trial = work.need(default)
    if default not in recipes:
        del work.trials[default]
    if not work.trials:
        raise FuncamError(work.skipped[0])
    return trial


def _vary(work: _Search, halves: Halves, layers: Sequence[str], start: Rival) -> None:
    """The second and the third stage."""
    size = start.net.input_size
    largest = 2 * size if takes(start, 2 * size) else size
    if largest == size:
        work.skipped.append(f"{2 * size} pixels: {start.label} takes no images of that size")
    finalists = distinct_best(list(work.trials.values()), halves, work.metric, _FINALISTS)
    varied = {one.recipe: variations(one.recipe, layers, largest) for one in finalists}
    work.measure(2, [recipe for several in varied.values() for recipe in several])
    order = [row.recipe for row in ranked(list(work.trials.values()), halves, work.metric)]
    plain = next(one for best in order for one, several in varied.items() if best in (one, *several))
    work.measure(3, combined(plain, [recipe for recipe in order if recipe in (plain, *varied[plain])]))


@dataclass
class _Search:
    """What is measured on, what was measured, and what could not be."""

    rival: Rival
    examples: Sequence[Example]
    contents: Contents
    metric: str
    base: Plan
    folder: Path
    stage: Stage
    tick: Tick
    earlier: Tick | None
    trials: dict[Recipe, Trial] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    problems: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def measure(self, number: int, recipes: Sequence[Recipe]) -> None:
        """Measure the recipes of a stage."""
        plans = plans_of([recipe for recipe in recipes if recipe not in self.trials], self.base)
        self.stage(number, sum(len(together) for _, together in plans), len(self.examples) * len(plans))
        for plan, together in plans:
            self._run(plan, together)

    def need(self, recipe: Recipe) -> Trial:
        """What was measured with a recipe that there must be."""
        if recipe not in self.trials:
            raise FuncamError(next(line for line in self.skipped if line.startswith(described(recipe))))
        return self.trials[recipe]

    def _run(self, plan: Plan, together: Sequence[Recipe]) -> None:
        """Measure what shares its passes; where that fails, each recipe alone, to find which the network can't have."""
        try:
            told = partial(fill, tick=self.tick, earlier=self.earlier)
            filled = told([self.rival], self.examples, plan, self.folder, self.contents)
        except FuncamError as error:
            if len(together) == 1:
                self.skipped.append(f"{described(together[0])}: {error}")
            for recipe in together if len(together) > 1 else ():
                self._run(*plans_of([recipe], self.base)[0])
            return
        self.problems.update(dict.fromkeys(filled.problems))
        self.notes.update(dict.fromkeys(filled.notes))
        self._keep(plan, together)

    def _keep(self, plan: Plan, together: Sequence[Recipe]) -> None:
        label = self.rival.label
        measured = Measured({label: plan.key(self.rival)}, self.contents)
        values, keys, _ = collected(measured.records(Journal(self.folder / JOURNAL, fits)))
        for recipe in together:
            columns = values.get((label, layers_in_results(recipe), recipe.method), {})
            if self.metric in columns:
                self.trials[recipe] = Trial(recipe, columns, keys[label])
            else:
                self.skipped.append(f"{described(recipe)}: {self.metric} could not be measured")
