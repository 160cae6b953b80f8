"""Which way a layer's tensor holds a map, asked of the model: where does it answer when a patch changes?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from funcam.network.layout import Layout, Shape, of_images, skew
from funcam.network.rivals import against_others, bells, four_places, lies_elsewhere
from funcam.network.samples import scattered

_ENOUGH_WITH_SHAPE, _ENOUGH, _ENOUGH_FOR_RARE, _ENOUGH_FOR_FEW = 0.3, 0.7, 0.85, 0.95
_ENOUGH_FOR_LIKELY = 0.2
_FEW, _FEWEST = 9, 4
_SAME_PROPORTIONS = 0.3
_LEAST_CORRELATION = 0.3
_MOST_LESS = 0.25
_SURE_OF_SHIFT = 0.25
_PRICE_OF_TOKEN, _PRICE_OF_SKEW, _PRICE_OF_FEW = 0.02, 0.5, 0.5


def patched(image: Tensor) -> list[Tensor]:
    """An image with a patch changed, at each of four places."""
    own = of_images(image.shape)
    low, high = image.amin(), image.amax()
    high = torch.where(high > low, high, low + 1)
    copies = []
    for number, box in enumerate(_boxes(own.spatial(image.shape))):
        copy = image.clone()
        region = own.to_map(copy)[(slice(None), slice(None), *box)]
        noise = scattered(tuple(region.shape), image.dtype, image.device, number)
        region.copy_(low + (high - low) * (noise + 1) / 2)
        copies.append(copy)
    return copies


def _boxes(size: Shape) -> Iterator[tuple[slice, ...]]:
    for place in four_places(len(size)):
        edges = [(int((at - 0.125) * side), int((at + 0.125) * side)) for at, side in zip(place, size, strict=True)]
        yield tuple(slice(low, max(high, low + 1)) for low, high in edges)


def decided(
    answers: Sequence[Tensor], possible: Sequence[Layout], size: Shape, likely: Layout | None = None
) -> Layout | None:
    """The reading of a layer's tensor in which it answers where the image was changed; None where none is plain.

    Args:
        answers: what the layer held for an image, and for each of the `patched` ones.
        possible: the readings to choose from.
        size: the images' size.
        likely: the reading that follows from the grid that the network made of the image, where one does: it needs less
            to be believed than one that was found among many.
    """
    scored = [(agreement(answers, reading), reading) for reading in possible if not _is_one_of_many(reading, possible)]
    best = max((float(places.mean()) for places, _ in scored), default=0.0)
    good = [(places, reading) for places, reading in scored if _convinces(places, reading, best, size)]
    if not good and likely is not None:
        common = [(float(places.mean()), reading) for places, reading in scored if _is_common(reading)]
        good = [(places, reading) for places, reading in scored if reading == likely and _is_best(places, common)]
    if not good:
        return None
    places, reading = max(good, key=lambda pair: _plausible(pair[0], pair[1], size))
    if any(_is_as_good(places, reading, *other) for other in good) or lies_elsewhere(_changed(answers, reading)):
        return None
    return reading


def _is_one_of_many(reading: Layout, possible: Sequence[Layout]) -> bool:
    """Whether a few cells would make other grids as well: what answers there tells nothing."""
    if not reading.grid or math.prod(reading.grid) >= _FEW:
        return False
    same = [other for other in possible if (other.kind, _beside(other)) == (reading.kind, _beside(reading))]
    return any(other.grid != reading.grid for other in same)


def _is_as_good(places: Tensor, reading: Layout, other_places: Tensor, other: Layout) -> bool:
    """Whether the same cells with as many tokens in front as behind agree as well: then the tokens are somewhere else.

    A reading that is right agrees better than one that is a few cells off by what the patches' own places would lose.
    """
    shift = abs(reading.prefix - other.prefix)
    if not shift or (reading.grid, reading.kind, reading.order) != (other.grid, other.kind, other.order):
        return False
    if _beside(reading) != _beside(other):
        return False
    expected = against_others(bells(reading.grid, places.device)).flatten(1)
    expected = expected - expected.mean(1, keepdim=True)
    lost = 1 - torch.nn.functional.cosine_similarity(expected, expected.roll(shift, 1)).mean()
    return float(places.mean() - other_places.mean()) < _SURE_OF_SHIFT * float(lost)


def _is_common(reading: Layout) -> bool:
    return not reading.order and _beside(reading) < 2


def _is_best(places: Tensor, others: Sequence[tuple[float, Layout]]) -> bool:
    """Whether a reading that is likely anyway agrees a little everywhere, and no other common one agrees better."""
    mean = float(places.mean())
    return mean >= _ENOUGH_FOR_LIKELY and mean >= max((m for m, _ in others), default=mean) and float(places.min()) > 0


def _plausible(places: Tensor, reading: Layout, size: Shape) -> float:
    """The agreement, less a little for tokens beside the map, for a grid of other proportions than the image's, and for
    few cells, which agree by chance.
    """
    mean = float(places.mean())
    if not reading.grid:
        return mean
    price = _PRICE_OF_TOKEN * _beside(reading) + _PRICE_OF_SKEW * skew(reading.grid[-2:], size[-2:])
    return mean - price - _PRICE_OF_FEW / math.prod(reading.grid)


def _beside(reading: Layout) -> int:
    return reading.prefix + reading.suffix


def _convinces(places: Tensor, reading: Layout, best: float, size: Shape) -> bool:
    mean, least = float(places.mean()), float(places.min())
    enough = _enough_for(reading, size)
    return mean >= max(enough, best - _MOST_LESS) and least > (enough / 2 if reading.grid else 0.0)


def _enough_for(reading: Layout, size: Shape) -> float:
    """Little where the shape of the tensor says the same; more where other orders of the cells would fit, and most for
    few cells, which agree by chance: in another order, or with several others beside them, nothing is enough.
    """
    if not reading.grid:
        return _ENOUGH_FOR_RARE if reading.order else _ENOUGH_WITH_SHAPE
    if len(reading.grid) > 2 and 1 in reading.grid:  # steps in time, as factors that nobody named
        return math.inf
    other = bool(reading.order) or _beside(reading) > 1 or reading.kind != "tokens"
    if not other and skew(reading.grid[-2:], size[-2:]) < _SAME_PROPORTIONS:
        return _ENOUGH
    cells = math.prod(reading.grid)
    if cells >= _FEW:
        return _ENOUGH_FOR_RARE
    return _ENOUGH_FOR_FEW if cells >= _FEWEST and not reading.order and _beside(reading) < 2 else math.inf


def agreement(answers: Sequence[Tensor], reading: Layout) -> Tensor:
    """How well the answers lie where the image was changed, for each of the places: `[4]`, 1 for as well as can be.

    A cell's answer is the mean of its channels' absolute changes, less what it answers to the other places. Its
    correlation with where the patch is, is told as a share of what the best order of the same cells would have; answers
    that would have next to none in any order count as none.
    """
    change = _changed(answers, reading)
    expected = against_others(bells(tuple(change.shape[1:]), change.device))
    change, expected = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (change, expected))
    sizes: Tensor = change.norm(dim=1) * expected.norm(dim=1) + 1e-30
    found = (change * expected).sum(1) / sizes
    best = (change.sort(1).values * expected.sort(1).values).sum(1) / sizes
    return found / best.clamp(min=_LEAST_CORRELATION)


def _changed(answers: Sequence[Tensor], reading: Layout) -> Tensor:
    maps = torch.cat([reading.to_map(answer)[:1] for answer in answers]).float()
    return against_others((maps[1:] - maps[:1]).abs().mean(1))
