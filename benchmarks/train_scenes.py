"""Train the network that ships with `funcam.scenes`, and measure it on held-out scenes.

    python benchmarks/train_scenes.py                   # about half an hour on two CPU cores
    python benchmarks/train_scenes.py --measure-only    # the figures of the shipped weights

Only image-level labels are used: which classes a picture shows, never where.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from funcam.scenes import CLASSES, SUBSETS, TRAIN_SEED, Scene, scene, scenes
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
    Stage(0.3, 5_000, 4, 0.0),
    Stage(0.6, 6_000, 4, 0.2),
    Stage(1.0, 16_000, 18, 0.25),
)
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the pictures, for a quick try")
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    parser.add_argument("--measure-only", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.measure_only:
        options.output = WEIGHTS
    else:
        train(options.seed, options.scale, options.output)
    measure(reload(options.output))


# Training


def train(seed: int, scale: float, output: Path) -> None:
    """Run the curriculum; writes the weights to `output` after every epoch."""
    start = time.monotonic()
    model = architecture().to(memory_format=torch.channels_last)
    stages = [replace(stage, images=int(stage.images * scale)) for stage in CURRICULUM]
    steps = sum(s.epochs * (s.images // BATCH) for s in stages)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.1)
    first = TRAIN_SEED + seed * sum(s.images for s in stages)
    for stage in stages:
        pictures, labels = dataset(first, stage)
        first += stage.images
        say(start, f"difficulty {stage.difficulty}: {stage.images} pictures drawn")
        for epoch in range(stage.epochs):
            loss, right = train_epoch(model, pictures, labels, optimizer, schedule)
            save(model, output)
            figures = f"loss {loss:.3f} top-1 {right:.1%}"
            say(start, f"difficulty {stage.difficulty} epoch {epoch + 1}/{stage.epochs}: {figures}")


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
    for index in torch.randperm(len(pictures)).split(BATCH)[: len(pictures) // BATCH]:
        target = labels[index]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(augment(pictures[index]))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
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


def dataset(first: int, stage: Stage) -> tuple[Tensor, Tensor]:
    """Draw a stage's pictures on all cores: uint8 `[n, 3, H, W]`, and each class's share of the classes shown `[n, N]`."""
    pictures = torch.empty(stage.images, 3, INPUT_SIZE, INPUT_SIZE, dtype=torch.uint8)
    labels = torch.zeros(stage.images, len(CLASSES))
    jobs = ((first + i, stage) for i in range(stage.images))
    with multiprocessing.get_context("spawn").Pool(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for i, (picture, present) in enumerate(pool.imap(draw, jobs, chunksize=64)):
            pictures[i] = torch.from_numpy(picture).permute(2, 0, 1)
            labels[i, present] = 1 / len(present)
    return pictures, labels


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


def reload(path: Path) -> nn.Module:
    """The network with the weights as written to `path`, so that what is measured is what ships."""
    model = architecture()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model.eval()


def say(start: float, text: str) -> None:
    print(f"{time.monotonic() - start:6.0f} s  {text}", flush=True)


# Measuring


def measure(model: nn.Module, seed: int = 0) -> None:
    """Print top-1 on 1,000 held-out single scenes, and how well Grad-CAM and Grad-CAM++ find the things."""
    for subset in SUBSETS:
        n = 1_000 if subset == "single" else 300
        chosen = list(scenes(n, seed, subset))
        x = inputs([s.image for s in chosen])
        with torch.inference_mode():
            first = torch.cat([model(batch).argmax(1) for batch in x.split(50)])
        right = np.mean([int(c) in {t.label for t in s.things} for c, s in zip(first, chosen, strict=True)])
        print(f"{subset}: {n} scenes, seeds {seed}..{seed + n - 1}; top-1 {right:.1%}")
        for name, method in (("Grad-CAM", grad_cam), ("Grad-CAM++", grad_cam_plus_plus)):
            scores = np.array([score for batch in score_maps(model, x, chosen, method) for score in batch])
            pointing, energy, coverage = scores.mean(axis=0)
            figures = f"pointing {pointing:.1%}, energy in boxes {energy:.1%}, coverage of boxes {coverage:.1%}"
            print(f"  {name:10} ({len(scores)} maps): {figures}")


Method = Callable[[Tensor, Tensor], Tensor]


def score_maps(
    model: nn.Module, x: Tensor, chosen: list[Scene], method: Method
) -> Iterator[list[tuple[float, float, float]]]:
    """For every scene, the scores of the map of each class that it shows."""
    for image, picture in zip(x, chosen, strict=True):
        classes = sorted({thing.label for thing in picture.things})
        maps = explain(model, image, classes, method, picture.image.shape[:2])
        yield [score(m, picture, label) for m, label in zip(maps, classes, strict=True)]


def explain(
    model: nn.Module, image: Tensor, classes: list[int], method: Method, size: tuple[int, ...]
) -> NDArray[np.float32]:
    """The maps of `classes` for one image `[3, h, w]`, bilinear at `size`: `[K, H, W]`."""
    features, head = cut(model)
    A = features(image[None])
    _, pullback = torch.func.vjp(head, A)
    one_hot = F.one_hot(torch.tensor(classes), len(CLASSES)).float()
    maps = torch.stack([method(A[0], pullback(row[None])[0][0]) for row in one_hot])
    return F.interpolate(maps[None], size=size, mode="bilinear")[0].detach().numpy()


def cut(model: nn.Module) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    features = nn.Sequential(model.stem, model.trunk_output)
    head = nn.Sequential(model.avgpool, nn.Flatten(), model.fc)
    return features, head


def grad_cam(A: Tensor, g: Tensor) -> Tensor:
    return torch.einsum("chw,c->hw", A, g.mean((1, 2))).relu()


def grad_cam_plus_plus(A: Tensor, g: Tensor) -> Tensor:
    positive = g.relu()
    weights = (positive / (2 + A.sum((1, 2), keepdim=True) * positive)).sum((1, 2))
    return torch.einsum("chw,c->hw", A, weights).relu()


def score(heat: NDArray[np.float32], picture: Scene, label: int) -> tuple[float, float, float]:
    """Pointing game (0 or 1, no tolerance), energy inside the boxes, and share of each box above half of the maximum."""
    things = [thing for thing in picture.things if thing.label == label]
    boxes = np.zeros(heat.shape, dtype=bool)
    for x0, y0, x1, y1 in (thing.box for thing in things):
        boxes[y0:y1, x0:x1] = True
    if heat.max() <= 0:
        return 0.0, 0.0, 0.0
    pointing = float(boxes.flat[heat.argmax()])
    energy = float(heat[boxes].sum() / heat.sum())
    hot = heat > heat.max() / 2
    coverage = np.mean([hot[y0:y1, x0:x1].mean() for x0, y0, x1, y1 in (thing.box for thing in things)])
    return pointing, energy, float(coverage)


if __name__ == "__main__":
    main()
