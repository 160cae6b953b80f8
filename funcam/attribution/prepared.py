"""The fast path: images -> maps as one function, made once of a copy of the model that is folded and compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import torch
from torch import nn

from funcam.attribution.explanation import Explanation
from funcam.attribution.finite import add_up
from funcam.attribution.later import aside
from funcam.errors import FuncamError, shown
from funcam.network.copied import OfAModel
from funcam.network.images import refuse_unlike
from funcam.network.watch import Watch
from funcam.targets.target import class_targets

Explain = Callable[[torch.Tensor, torch.Tensor | None], Explanation]
Run = Callable[[torch.Tensor, torch.Tensor | None], tuple[Explanation, torch.Tensor]]
"""Images and classes -> their explanation, and what its numbers add up to (which nothing has waited for)."""


@dataclass(frozen=True)
class Form:
    """What a prepared function takes.

    Attributes:
        images: the shape of the images.
        dtype: their type.
        device: where they are.
        dynamic: whether there may be any number of them.
        classes: the shape of the classes that go with the images of the example; None where none do.
        count: how many classes there are.
    """

    images: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    dynamic: bool
    classes: tuple[int, ...] | None
    count: int

    def check(self, images: Any) -> None:
        """Refuse images that it wasn't prepared for.

        Raises:
            FuncamError: what was given and what it was prepared for.
        """
        if not isinstance(images, torch.Tensor):
            raise FuncamError(f"images are {shown(images)}; expected a tensor {self._expected()}")
        refuse_unlike(images)
        alike = tuple(images.shape[1:]) == self.images[1:] and images.dtype == self.dtype
        if not alike or images.device != self.device or not (self.dynamic or len(images) == self.images[0]):
            given = f"{list(images.shape)} {images.dtype} on {images.device}"
            more = "" if self.dynamic or not alike else ", or with dynamic=True for any number of them"
            raise FuncamError(
                f"images are {given}, and it was prepared for {self._expected()}: prepare it with an example of that "
                f"kind{more}, or take funcam.explain"
            )

    def _expected(self) -> str:
        count = "any number" if self.dynamic else self.images[0]
        return f"[{', '.join(map(str, (count, *self.images[1:])))}] {self.dtype} on {self.device}"

    def settled(self, targets: Any, count: int) -> torch.Tensor | None:
        """The classes of so many images.

        Raises:
            FuncamError: they are of another shape than the example's, or not the model's.
        """
        if self.classes is None:
            if targets is not None:
                raise FuncamError(
                    f"targets={shown(targets)} was given, and what is explained was settled when it was prepared; for "
                    "classes of each image's own prepare it with the example's, prepare(..., targets=[...])"
                )
            return None
        expected = (count, *self.classes[1:])
        if targets is None:
            raise FuncamError(f"it was prepared for classes of each image's own; give them, targets {list(expected)}")
        classes = class_targets(targets, torch.empty(1, device=self.device).expand(count, self.count))
        if tuple(classes.shape) != expected:
            raise FuncamError(f"targets have the shape {list(classes.shape)}; expected {list(expected)}")
        return classes


@dataclass(frozen=True, eq=False)
class Prepared(OfAModel):
    """A function `images -> Explanation`, made by `prepare`.

    Attributes:
        layer: where the model is cut.
        method: the name of the method.
        folded: how many BatchNorms were folded.
        compiled: whether it was compiled.
        why: why it was not; empty where it was, or nobody asked for it.
        seconds: how long the first call took, in which it is compiled.
        correlation: the lowest correlation of a map of the example with `explain`'s.
        difference: the largest difference from it, as a share of the largest value of that image's maps.
    """

    layer: str
    method: str
    folded: int
    compiled: bool
    why: str
    seconds: float
    correlation: float
    difference: float
    _form: Form = field(repr=False)
    _watch: Watch = field(repr=False)
    _run: Run = field(repr=False)
    _exact: Explain = field(repr=False)  # not compiled: refuses in words what isn't finite
    _network: nn.Module = field(repr=False)  # its split doesn't keep it alive, and compiled code looks for it

    def __call__(self, images: torch.Tensor, targets: Any = None) -> Explanation:
        """Explain images of the kind that it was prepared for.

        Args:
            images: as the example; with `dynamic=True` any number of them.
            targets: classes, where it was prepared with classes of each image's own; else None.

        Raises:
            FuncamError: the images or targets are of another kind, or the model was changed since.
        """
        return self._begun(images, targets)()

    def stream(self, batches: Iterable[torch.Tensor | Sequence[Any]]) -> Iterator[Explanation]:
        """Explain batch after batch, in order. A GPU begins with the next while one is checked, and never waits.

        Args:
            batches: images as in a call, or images and targets, as a `DataLoader` gives them. The next are taken before
                an explanation is given, so they must not be written into the memory of those before.

        Yields:
            What a call says of each.

        Raises:
            FuncamError: as a call, in its turn: behind the explanations of the batches before.
            Exception: what taking the next batch raises, in its turn, too.

        Example:
            >>> import funcam, torchvision
            >>> model, images = torchvision.models.resnet18().eval(), torch.rand(2, 3, 64, 64)
            >>> fast = funcam.prepare(model, example=images, backend=None)
            >>> [result.maps.shape[0] for result in fast.stream([images, images])]
            [2, 2]
        """
        if not isinstance(batches, Iterable):
            raise FuncamError(f"batches are {shown(batches)}; expected what gives one after the other, as a list does")
        return self._one_behind(batches)

    def _one_behind(self, batches: Iterable[Any]) -> Iterator[Explanation]:
        waiting: Callable[[], Explanation] | None = None
        for begun in self._all_begun(batches):
            if waiting is not None:
                yield waiting()
            waiting = begun
        if waiting is not None:
            yield waiting()

    def _all_begun(self, batches: Iterable[Any]) -> Iterator[Callable[[], Explanation]]:
        """Each batch once it was begun; what is raised meanwhile ends them, and is raised where it is asked for."""
        try:
            for given in batches:
                yield self._begun(*_images_and_targets(given))
        except Exception as error:
            yield partial(_raise, error)

    def _begun(self, images: torch.Tensor, targets: Any) -> Callable[[], Explanation]:
        """Give the device its work; what comes back checks what came of it, which waits for the device.

        Whether the model was changed is looked at while the device works.
        """
        self._form.check(images)
        classes = self._form.settled(targets, len(images))
        before = aside(images.device)
        result, numbers = self._run(images, classes)
        # images too: a compiled ReLU can make 0 of the NaN that they hold
        looked_at = before(lambda: [add_up(images), *self._watch.same_numbers()])
        finite = aside(images.device)(lambda: [numbers.isfinite()])
        changed = self._watch.settings_changed()

        def checked() -> Explanation:
            sound, *same = looked_at()
            if changed or not all(same):
                raise FuncamError(
                    "the model's weights, modules or settings were changed since it was prepared, and this has a copy "
                    "of what they were; prepare it again, funcam.prepare(model, ...)"
                )
            return result if sound and all(finite()) else self._exact(images, classes)

        return checked

    def __reduce__(self) -> Any:
        raise FuncamError(
            "what was prepared can't be pickled: it belongs to a model that lives in this process; pickle the model, "
            "and prepare it again where it is loaded with funcam.prepare(model, example=images)"
        )

    @property
    def takes_classes(self) -> bool:
        """Whether classes are given with the images."""
        return self._form.classes is not None

    def stale(self) -> bool:
        """Whether the model was changed since it was prepared."""
        return self._watch.changed()

    def takes(self, images: torch.Tensor) -> bool:
        """Whether it was prepared for images of this size, and this many."""
        try:
            self._form.check(images)
        except FuncamError:
            return False
        return True


def _images_and_targets(given: Any) -> tuple[Any, Any]:
    """A batch of a stream: images alone, or with targets.

    Raises:
        FuncamError: there is more or less in it.
    """
    if not isinstance(given, tuple | list):
        return given, None
    if len(given) not in (1, 2):
        raise FuncamError(f"a batch of {len(given)} things was given; expected images, or (images, targets)")
    images, targets = [*given, None][:2]
    return images, targets


def _raise(error: Exception) -> NoReturn:
    raise error
