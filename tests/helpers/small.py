"""Small networks, and oracles that share no code with funcam: plain autograd with a hook, and NumPy in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.models.densenet import DenseNet
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

torch.set_num_threads(1)  # on tensors this small a second thread costs more than it brings, on a busy machine much more


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and statistics everywhere, so that a wrong mode, a zero head or a lost buffer shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale * 1.4)
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.add_(1)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model


class Residual(nn.Module):
    """A skip over two convolutions, an in-place ReLU used twice, ``+=``, BatchNorm and Dropout."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class Small(nn.Module):
    """A residual network of 4,000 parameters: images [B, 3, H, W] -> logits [B, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(2)
        self.blocks = nn.Sequential(Residual(), Residual())
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.pool(self.stem(x)))
        return self.fc(self.drop(x.mean((2, 3))))


def small(seed: int = 0, **options: Any) -> Small:
    model = Small()
    randomised(model, seed)
    return model.to(**options).eval() if options else model.eval()


def tiny_densenet() -> nn.Module:
    return randomised(DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8, num_classes=5)).eval()


def tiny_swin() -> nn.Module:
    swin = SwinTransformer([4, 4], 8, [2, 2], [1, 2], [2, 2], stochastic_depth_prob=0.2, num_classes=5)
    return randomised(swin).eval()


def tiny_vit() -> nn.Module:
    return randomised(VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)).eval()


class Tokens(nn.Module):
    """A Vision Transformer whose images need not be square, with a class token and register tokens."""

    def __init__(self, registers: int = 0, image: tuple[int, int] = (24, 40), patch: int = 8, width: int = 8) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, patch, stride=patch)
        self.prefix = nn.Parameter(torch.zeros(1, 1 + registers, width))
        cells = (image[0] // patch) * (image[1] // patch)
        self.position = nn.Parameter(torch.zeros(1, cells + 1 + registers, width))
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.prefix.expand(x.shape[0], -1, -1), x], 1) + self.position
        y = self.norm1(x)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        x = x + self.mlp(self.norm2(x))
        return self.head(x[:, 0])


class Applied(nn.Module):
    """``conv -> what is given -> pool -> fc``, for trying out an operation."""

    def __init__(self, middle: Callable[..., torch.Tensor], *, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout()
        self.same = nn.Identity()
        self.flat = nn.Flatten(2)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.fc = nn.Linear(channels, 5)
        self.middle = middle
        randomised(self).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.middle(self, self.conv(x))
        return self.fc(x.flatten(2).mean(2))


class Dense(nn.Module):
    """A ReLU network without in-place operations for images of 1, 2 or 3 dimensions, smooth enough to difference."""

    def __init__(self, dimensions: int, activation: Callable[[torch.Tensor], torch.Tensor] = functional.relu) -> None:
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.first = conv(2, 4, 3, padding=1)
        self.second = conv(4, 6, 3, padding=1)
        self.third = conv(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)
        self.activation = activation
        randomised(self).eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.second(self.activation(self.first(x))))
        return self.fc(self.activation(self.third(x)).flatten(2).mean(2))


def features_and_gradients(
    model: nn.Module, layer: str, images: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a module returned and the gradients of class scores there, by plain autograd on an un-split copy.

    A hook adds a zero ``delta`` to what the module returns: its gradient is the gradient at the layer, and operations
    in place further on do no harm. Classes ``[B]``; both results have the shape of what the module returns.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    seen: dict[str, torch.Tensor] = {}

    def add_delta(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        if seen:  # a module that is called twice is cut at its first call
            return output
        seen["A"] = output.detach().clone()
        seen["delta"] = torch.zeros_like(output, requires_grad=True)
        return output + seen["delta"]

    model.get_submodule(layer).register_forward_hook(add_delta)
    with torch.enable_grad():
        score = model(images).gather(1, classes[:, None]).sum()
        (g,) = torch.autograd.grad(score, seen["delta"])
    return seen["A"], g


def double(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def grad_cam_numpy(A: torch.Tensor, g: torch.Tensor) -> np.ndarray:
    """Grad-CAM of a batch, ``[B, C, *S] -> [B, *S]``, Eq. 1 and 2 of arXiv:1610.02391."""
    A64, g64 = double(A), double(g)
    space = tuple(range(2, A64.ndim))
    return np.maximum((g64.mean(axis=space, keepdims=True) * A64).sum(axis=1), 0)


def state_of(model: nn.Module) -> list[Any]:
    """Every byte, flag and hook of a model, to compare before and after."""
    rows: list[Any] = []
    for path, module in model.named_modules():
        hooks = {key: dict(value) for key, value in vars(module).items() if key.endswith(("_hooks", "_with_kwargs"))}
        rows.append((path, id(module), module.training, getattr(module, "inplace", None), hooks, sorted(vars(module))))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        version = None if tensor.is_inference() else tensor._version
        grad = None if tensor.grad is None else (id(tensor.grad), tensor.grad.cpu().numpy().tobytes())
        raw = tensor.detach().contiguous().view(torch.uint8) if tensor.ndim else tensor.detach().reshape(1)
        raw = raw.cpu().numpy().tobytes()
        rows.append((name, id(tensor), tensor.requires_grad, version, grad, raw, tensor.data_ptr()))
    return rows


resnet18 = partial(torchvision.models.resnet18, num_classes=7)


def features_by_hand(model: nn.Module, images: torch.Tensor, class_: int) -> torch.Tensor:
    """Grad-CAM of what `model.features` returns, by `features_and_gradients` and `grad_cam_numpy`."""
    classes = torch.full((len(images),), class_)
    return torch.from_numpy(grad_cam_numpy(*features_and_gradients(model, "features", images, classes))).float()
