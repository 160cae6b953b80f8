"""Train the network that ships with `funcam.scenes`, and measure it on held-out scenes.

    python benchmarks/train_scenes.py                   # under half an hour on two CPU cores
    python benchmarks/train_scenes.py --measure-only    # the figures of the shipped weights

Only image-level labels are used: which classes a picture shows, never where.
"""

import argparse
import multiprocessing
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import RegNet

from funcam import explain_methods, upsample
from funcam.scenes import CLASSES, SUBSETS, TRAIN_SEED, Scene, Thing, scene, scenes
from funcam.scenes.network import INPUT_SIZE, MEAN, STD, WEIGHTS, architecture, inputs

LAYER = "trunk_output"


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum: `epochs` passes over `images` pictures, a share of which shows `several` objects."""

    difficulty: float
    images: int
    epochs: int
    several: float


# Large shapes on quiet grounds first: from random weights, the final scenes teach next to nothing for many minutes.
CURRICULUM = (
    Stage(0.0, 4_000, 5, 0.0),
    Stage(0.3, 4_000, 2, 0.0),
    Stage(0.6, 5_000, 2, 0.2),
    Stage(1.0, 12_000, 8, 0.25),
)
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--measure-only", action="store_true")
    options = parser.parse_args()
    if not options.measure_only:
        torch.manual_seed(options.seed)
        model = architecture()
        for line in train(model, CURRICULUM, options.seed):
            print(line, flush=True)
            save(model, options.output)
    measure(reload(options.output))


# Training


def train(model: nn.Module, curriculum: Sequence[Stage], seed: int) -> Iterator[str]:
    """Train the model in place through the curriculum; yields a line of figures after every epoch."""
    start = time.monotonic()
    model.to(memory_format=torch.channels_last)
    steps = sum(s.epochs * (s.images // BATCH) for s in curriculum)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.1)
    first = TRAIN_SEED + seed * sum(s.images for s in curriculum)
    for stage, (pictures, labels) in zip(curriculum, datasets(first, curriculum), strict=True):
        for epoch in range(stage.epochs):
            loss, right = train_epoch(model, pictures, labels, optimizer, schedule)
            place = f"difficulty {stage.difficulty} epoch {epoch + 1}/{stage.epochs}"
            yield f"{time.monotonic() - start:5.0f} s  {place}: loss {loss:.3f} top-1 {right:.1%}"


def train_epoch(
    model: nn.Module,
    pictures: Tensor,
    labels: Tensor,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[float, float]:
    """One pass in random order; returns the mean loss and the share of pictures whose first class is present."""
    model.train()
    losses, right = [], []
    for index in torch.randperm(len(pictures))[: len(pictures) // BATCH * BATCH].view(-1, BATCH):
        target = labels[index]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(augment(pictures[index]))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=0.02)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        right.append(target.gather(1, logits.argmax(1, keepdim=True)).gt(0).float().mean().item())
    return float(np.mean(losses)), float(np.mean(right))


def augment(pictures: Tensor) -> Tensor:
    """uint8 `[B, 3, H, W]` to the network's input: mirrored, colours permuted and inverted, shifted, all at random.

    No colour means anything in the scenes, so every permutation and inversion of the channels is another valid scene.
    """
    images = pictures[:, torch.randperm(3)].float() / 255
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    invert = (torch.rand(len(images), 1, 1, 1) < 0.3).float()
    images = invert + images * (1 - 2 * invert)
    across, down = (int(s) for s in torch.randint(-6, 7, (2,)))
    padded = F.pad(images, (6, 6, 6, 6), mode="reflect")
    images = padded[:, :, 6 + down : 6 + down + INPUT_SIZE, 6 + across : 6 + across + INPUT_SIZE]
    images = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return images.contiguous(memory_format=torch.channels_last)


def datasets(first: int, curriculum: Sequence[Stage]) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw each stage's pictures on all cores: uint8 `[n, 3, H, W]`, and equal shares of the classes shown `[n, N]`."""
    with multiprocessing.get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for stage in curriculum:
            pictures = torch.empty(stage.images, 3, INPUT_SIZE, INPUT_SIZE, dtype=torch.uint8)
            labels = torch.zeros(stage.images, len(CLASSES))
            jobs = ((first + i, stage) for i in range(stage.images))
            for i, (picture, present) in enumerate(pool.imap(draw, jobs, chunksize=64)):
                pictures[i] = torch.from_numpy(picture).permute(2, 0, 1)
                labels[i, present] = 1 / len(present)
            first += stage.images
            yield pictures, labels


def draw(job: tuple[int, Stage]) -> tuple[NDArray[np.uint8], list[int]]:
    """The picture of one training seed and the classes that it shows."""
    seed, stage = job
    several = np.random.default_rng(seed).random() < stage.several
    picture = scene(seed, "multiple" if several else "single", size=INPUT_SIZE, difficulty=stage.difficulty)
    return picture.image, sorted({thing.label for thing in picture.things})


def save(model: nn.Module, path: Path) -> None:
    """Write the state dict, floats as float16, beside `path` and then rename it, so that no reader sees half a file."""
    state = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    beside = path.with_suffix(".part")
    torch.save({name: t.contiguous() for name, t in state.items()}, beside)
    beside.replace(path)


def reload(path: Path) -> RegNet:
    """The network with the weights as written to `path`, so that what is measured is what ships."""
    model = architecture()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


# Measuring

METHODS = ["grad-cam", "grad-cam++"]


@dataclass(frozen=True)
class Case:
    """A class to explain, the scene that shows it, and its things there."""

    picture: Scene
    label: int

    @property
    def things(self) -> list[Thing]:
        return [thing for thing in self.picture.things if thing.label == self.label]


def cases(pictures: Iterable[Scene]) -> list[Case]:
    """One case for each class of each scene."""
    return [Case(picture, label) for picture in pictures for label in sorted({t.label for t in picture.things})]


def measure(model: nn.Module, seed: int = 0) -> None:
    """Print top-1 and how well the maps find the things: on 1,000 single scenes, 300 of each other subset, held out."""
    for subset in SUBSETS:
        n = 1_000 if subset == "single" else 300
        right, scores = measure_cases(model, cases(scenes(n, seed, subset)), LAYER)
        print(f"{subset}: {n} scenes, seeds {seed} to {seed + n - 1}; top-1 {right:.1%}")
        for name, (pointing, energy, coverage) in scores.items():
            print(
                f"  {name:10}  pointing {pointing:.1%}  energy in boxes {energy:.1%}  coverage of boxes {coverage:.1%}"
            )


def measure_cases(model: nn.Module, chosen: list[Case], layer: str) -> tuple[float, dict[str, NDArray[np.float64]]]:
    """The share of scenes that show the predicted class, and each method's mean scores over the cases (see `score`)."""
    right: dict[int, bool] = {}
    scores: dict[str, list[tuple[float, float, float]]] = {name: [] for name in METHODS}
    for start in range(0, len(chosen), 50):
        batch = chosen[start : start + 50]
        x, targets = inputs([case.picture.image for case in batch]), torch.tensor([case.label for case in batch])
        for result in explain_methods(model, x, targets, methods=METHODS, layer=layer):
            maps = upsample(result.maps, batch[0].picture.image.shape[:2]).numpy()
            scores[result.method] += [score(heat, case.things) for heat, case in zip(maps, batch, strict=True)]
        for case, predicted in zip(batch, result.logits.argmax(1).tolist(), strict=True):
            right[id(case.picture)] = predicted in {thing.label for thing in case.picture.things}
    return float(np.mean(list(right.values()))), {name: np.mean(rows, axis=0) for name, rows in scores.items()}


def score(heat: NDArray[np.float32], things: list[Thing]) -> tuple[float, float, float]:
    """Pointing game (0 or 1, no tolerance), energy in the boxes, and the share of each box above half the maximum."""
    if heat.max() <= 0:
        return 0.0, 0.0, 0.0
    views = [heat[y0:y1, x0:x1] for x0, y0, x1, y1 in (thing.box for thing in things)]
    inside = np.any([thing_box(thing) for thing in things], axis=0)
    coverage = np.mean([(view > heat.max() / 2).mean() for view in views])
    return float(inside.flat[heat.argmax()]), float(heat[inside].sum() / heat.sum()), float(coverage)


def thing_box(thing: Thing) -> NDArray[np.bool_]:
    """The pixels of a thing's box, `[H, W]`."""
    pixels = np.zeros_like(thing.mask)
    x0, y0, x1, y1 = thing.box
    pixels[y0:y1, x0:x1] = True
    return pixels


if __name__ == "__main__":
    main()
