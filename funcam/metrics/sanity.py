"""Model randomisation: does a map change when the network's weights mean nothing any more?

Each check gives copies of the network; the caller explains them and compares the maps (`rank_correlation`, `ssim`).
A method whose maps stay as they were explains the image, not the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import nn

from funcam.errors import FuncamError, nearest
from funcam.metrics.randomness import generator_of
from funcam.metrics.scalars import seed_of
from funcam.network.twin import twin

Layers = str | nn.Module | Sequence[str | nn.Module] | None


def cascading_randomisation(
    model: nn.Module, layers: Layers = None, *, seed: int = 0
) -> Iterator[tuple[str, nn.Module]]:
    """The model with its weights randomised from the output down, one more layer in each step.

    A layer's parameters are shuffled, each tensor by itself: its distribution stays, so that the network's activations
    keep their scale, and what was learnt goes. BatchNorm's statistics stay.

    Args:
        model: any module; it is only read, and the copies share the tensors that are not randomised.
        layers: modules of the model or their names, in the order in which they are randomised, each with all that is
            below it; None for every module with parameters of its own, the last that was registered first.
        seed: where the random numbers start. Torch's own random numbers are left alone.

    Yields:
        `(name, copy)` for each layer: the copy in evaluation mode, in which this layer and those before it are
        randomised.

    Raises:
        FuncamError: a layer that is no module with parameters, or a seed that is none.

    Source:
        Adebayo et al., NeurIPS 2018, arXiv:1810.03292, section 3.1 (there the weights are drawn anew).

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> for name, copy in cascading_randomisation(model):
        ...     print(name, torch.equal(copy[0].weight, model[0].weight), torch.equal(copy[2].weight, model[2].weight))
        2 True False
        0 False False
    """
    return _cascade(model, _names(model, layers), seed_of(seed))


def independent_randomisation(
    model: nn.Module, layers: Layers = None, *, seed: int = 0
) -> Iterator[tuple[str, nn.Module]]:
    """The model with one layer randomised at a time, all others as they were trained.

    A layer's parameters are shuffled as in `cascading_randomisation`, to the same values.

    Args:
        model: any module; it is only read, and the copies share the tensors that are not randomised.
        layers: modules of the model or their names, each with all that is below it; None for every module with
            parameters of its own, the last that was registered first.
        seed: where the random numbers start. Torch's own random numbers are left alone.

    Yields:
        `(name, copy)` for each layer: the copy in evaluation mode, in which this layer alone is randomised.

    Raises:
        FuncamError: a layer that is no module with parameters, or a seed that is none.

    Source:
        Adebayo et al., NeurIPS 2018, arXiv:1810.03292, section 3.2.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> for name, copy in independent_randomisation(model):
        ...     print(name, torch.equal(copy[0].weight, model[0].weight), torch.equal(copy[2].weight, model[2].weight))
        2 True False
        0 False True
    """
    names, number = _names(model, layers), seed_of(seed)
    return ((name, _shuffled(model, name, number)) for name in names)


def _cascade(model: nn.Module, names: list[str], seed: int) -> Iterator[tuple[str, nn.Module]]:
    for name in names:
        model = _shuffled(model, name, seed)
        yield name, model


def _names(model: nn.Module, layers: Layers) -> list[str]:
    """The layers to be randomised, checked."""
    if not isinstance(model, nn.Module):
        raise FuncamError(f"the model is a {type(model).__name__}; expected a torch.nn.Module")
    every = {name: module for name, module in model.named_modules() if next(module.parameters(), None) is not None}
    if layers is None:
        return [
            name for name, module in reversed(every.items()) if next(module.parameters(recurse=False), None) is not None
        ]
    several = [layers] if isinstance(layers, str | nn.Module) or not isinstance(layers, Iterable) else list(layers)
    if not several:
        raise FuncamError("layers is empty; expected names of modules with parameters, or None for all of them")
    return [_name(layer, every) for layer in several]


def _name(layer: str | nn.Module, every: Mapping[str, nn.Module]) -> str:
    """The name of one of the model's modules, which may be given itself."""
    if isinstance(layer, nn.Module):
        return next((name for name, module in every.items() if module is layer), None) or _unknown(layer, every)
    return layer if isinstance(layer, str) and layer in every else _unknown(layer, every)


def _unknown(layer: object, every: Mapping[str, nn.Module]) -> str:
    what = f"a {type(layer).__name__} that" if isinstance(layer, nn.Module) else repr(layer)
    raise FuncamError(f"{what} is no module with parameters; nearest: {nearest(str(layer), every)}")


def _shuffled(model: nn.Module, name: str, seed: int) -> nn.Module:
    """A twin in which the parameters of one layer are new tensors, with the old ones' entries in another order."""
    copy = twin(model)
    done: dict[int, nn.Parameter] = {}  # a parameter that is used twice stays one
    for index, (path, parameter) in enumerate(model.named_parameters(remove_duplicate=False)):
        inside = not name or path == name or path.startswith(f"{name}.")
        if inside and id(parameter) not in done:
            order = torch.randperm(parameter.numel(), generator=generator_of(seed, index), device="cpu")
            values = parameter.detach().flatten()[order.to(parameter.device)].view_as(parameter)
            done[id(parameter)] = nn.Parameter(values, requires_grad=parameter.requires_grad)
    for ours, theirs in zip(copy.modules(), model.modules(), strict=True):
        for key, value in theirs._parameters.items():
            if value is not None and id(value) in done:
                ours._parameters[key] = done[id(value)]
    return copy
