"""Several images' gradients in one pass: each is the gradient of its own scores, as autograd has it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from funcam import contrast, explain, explain_methods

BATCH = 5


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3, stride=2)
        self.say = nn.Linear(6, 5)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.second(self.first(images).relu()).clamp(0, 6)
        said: torch.Tensor = self.say(nn.functional.relu(hidden).mean((2, 3)))
        return said


class Unfollowed(Small):
    """As `Small`, and no graph of it can be had."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) if float(images.detach().sum()) > -1e9 else images


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn((BATCH, 3, 12, 12), generator=torch.Generator().manual_seed(1))


def gradient_of(model: nn.Module, image: torch.Tensor, score: Any) -> torch.Tensor:
    given = image[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(model(given)), given)
    return gradient[0]


@pytest.mark.parametrize("model", [Small, Unfollowed])
@pytest.mark.parametrize("memory", [1, 2**28])
@pytest.mark.parametrize("count", [1, 3])
def test_each_image_has_its_own(model: type[Small], memory: int, count: int, images: torch.Tensor) -> None:
    own = model().eval()
    targets = torch.tensor([[index % 5, 4, 1][:count] for index in range(BATCH)])
    results = explain_methods(own, images, targets, methods=["grad-cam", "gradient", "input-x-gradient"], memory=memory)

    for row, image in enumerate(images):
        for column, target in enumerate(targets[row].tolist()):
            expected = gradient_of(own, image, lambda logits, target=target: logits[0, target])
            assert expected.abs().max() > 1e-3
            torch.testing.assert_close(results[1].maps[row, column], expected)
            torch.testing.assert_close(results[2].maps[row, column], expected * image)


@pytest.mark.parametrize("method", ["gradient", "guided-backprop", "guided-grad-cam"])
@pytest.mark.parametrize("targets", [None, 2, contrast(None), [[1, 2]] * BATCH])
def test_together_as_alone(method: str, targets: Any, images: torch.Tensor) -> None:
    model = Small().eval()
    together = explain(model, images, targets, method=method)
    for row in range(BATCH):
        own = [targets[0]] if isinstance(targets, list) else targets
        alone = explain(model, images[row : row + 1], own, method=method)
        torch.testing.assert_close(together.maps[row], alone.maps[0])
        assert together.maps[row].abs().max() > 0


def test_a_function_that_looks_at_all_images_is_still_each_images_own(images: torch.Tensor) -> None:
    model = Small().eval()
    result = explain(model, images, lambda logits: (logits - logits.mean(0))[:, 0], method="gradient")
    for row in range(BATCH):
        torch.testing.assert_close(result.maps[row], torch.zeros_like(images[row]))  # alone it is less its own mean
