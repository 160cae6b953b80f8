"""What a network looks at while it learns: overlays in TensorBoard, from a plain training loop or from Lightning.

pip install "funcam[examples]"
python examples/callbacks.py --epochs 3 --logs runs      # trains on drawings; then: tensorboard --logdir runs

log = OverlayLogger(SummaryWriter("runs"), images, labels)       # a plain loop: a few images, normalised
log(model, step)

Trainer(callbacks=[LightningOverlays(images, labels)], logger=TensorBoardLogger("runs"))
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

import funcam


class OverlayLogger:
    """Writes the same images again and again, each under what the model looks at by then.

    Args:
        writer: TensorBoard's `SummaryWriter`, or whatever has its `add_images`.
        images: `[B, 3, H, W]`, as the model takes them.
        labels: the classes to explain; None for the predicted ones.
        mean: what was subtracted from the images' colours in 0..1, to be shown with them.
        std: what they were divided by.
        tag: what the pictures go by.
        **options: of `funcam.explain`: `layer`, `method`, ...
    """

    def __init__(
        self,
        writer: Any,
        images: torch.Tensor,
        labels: torch.Tensor | None = None,
        *,
        mean: Sequence[float] = (0, 0, 0),
        std: Sequence[float] = (1, 1, 1),
        tag: str = "funcam",
        **options: Any,
    ) -> None:
        self._writer, self._images, self._labels, self._tag, self._options = writer, images, labels, tag, options
        low, scale = (torch.tensor(tuple(map(float, numbers))).view(1, -1, 1, 1) for numbers in (mean, std))
        self._pixels = (images.detach().cpu() * scale + low).clamp(0, 1).mul(255).byte().permute(0, 2, 3, 1).numpy()

    def __call__(self, model: nn.Module, step: int) -> None:
        """Write what the model looks at. It is only read: no gradient, no statistics, no mode of it changes."""
        device = next(model.parameters()).device
        with _evaluating(model):
            result = funcam.explain(model, self._images.to(device), self._labels, **self._options)
        size = self._pixels.shape[1:3]
        overlays = [
            torch.from_numpy(funcam.overlay(pixels, funcam.onto_image(map_, size)))
            for pixels, map_ in zip(self._pixels, result.maps.detach().cpu(), strict=True)
        ]
        self._writer.add_images(self._tag, torch.stack(overlays), step, dataformats="NHWC")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode, and afterwards each in its own."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


try:
    from lightning.pytorch import Callback
except ImportError:  # any trainer that calls a callback's methods as Lightning does will do
    Callback = object


class LightningOverlays(Callback):
    """The same at the end of Lightning's validation epochs, in the trainer's own TensorBoard logger.

    Args:
        images: as in `OverlayLogger`.
        labels: as in `OverlayLogger`.
        every: so many epochs lie between two of them.
        **options: of `OverlayLogger`.
    """

    def __init__(
        self, images: torch.Tensor, labels: torch.Tensor | None = None, every: int = 1, **options: Any
    ) -> None:
        super().__init__()
        self._images, self._labels, self._every, self._options = images, labels, every, options

    def on_validation_epoch_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Write, on the first process, and not in the check before training."""
        if trainer.sanity_checking or not trainer.is_global_zero or trainer.current_epoch % self._every:
            return
        log = OverlayLogger(trainer.logger.experiment, self._images, self._labels, **self._options)
        log(pl_module, trainer.global_step)


def main() -> None:
    """Train a small network on bright squares, and log what it looks at."""
    from torch.utils.tensorboard import SummaryWriter

    parser = argparse.ArgumentParser(description="Train on drawings and log overlays to TensorBoard.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--logs", default="runs")
    given = parser.parse_args()
    torch.manual_seed(0)
    labels = torch.arange(64) % 2
    images = 0.2 * torch.rand(64, 3, 32, 32)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[label, 8:16, 16:24] = 1  # a red square, or a green one
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    with SummaryWriter(given.logs) as writer:
        log = OverlayLogger(writer, images[:4], labels[:4])
        for epoch in range(given.epochs):
            loss = nn.functional.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            writer.add_scalar("loss", loss.item(), epoch)
            log(model, epoch)
    print(f"tensorboard --logdir {given.logs}")


if __name__ == "__main__":
    try:
        main()
    except (ImportError, OSError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
