"""The table of methods. It drives the API, ``funcam methods``, the documentation and the tests; it needs no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from funcam.errors import FuncamError, nearest


@dataclass(frozen=True)
class Method:
    """One line of the table.

    Attributes:
        name: the name on the command line and in ``explain(method=...)``.
        home: where the function is, ``module:function``.
        kind: what the function takes: ``map`` (features and gradient of one image and one class), ``image`` (the
            gradient with respect to the image), ``guided`` (that gradient and a map).
        summary: what it does, in a line.
        paper: where it was published.
    """

    name: str
    home: str
    kind: str
    summary: str
    paper: str

    def function(self) -> Callable[..., Any]:
        """The method itself."""
        module, name = self.home.split(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function


_GRADIENT = "funcam.methods.gradient"
_GRAD_CAM_PP = "Chattopadhay et al., WACV 2018, arXiv:1710.11063"

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            *("grad-cam", f"{_GRADIENT}:grad_cam", "map"),
            "channels weighted by the mean of their gradient",
            "Selvaraju et al., ICCV 2017, arXiv:1610.02391",
        ),
        Method(
            *("grad-cam++", f"{_GRADIENT}:grad_cam_pp", "map"),
            "channels weighted by their positive gradients, each cell by Eq. 19; covers several objects better",
            _GRAD_CAM_PP,
        ),
        Method(
            *("grad-cam++-normalised", f"{_GRADIENT}:grad_cam_pp_normalised", "map"),
            "Grad-CAM++ as in the authors' code, which divides each channel's alphas by their sum",
            _GRAD_CAM_PP,
        ),
        Method(
            *("guided-backprop", "funcam.guidance:guided_backprop", "image"),
            "the image's gradient with negative gradients stopped at every ReLU",
            "Springenberg et al., ICLR 2015 workshop, arXiv:1412.6806",
        ),
        Method(
            *("guided-grad-cam", f"{_GRADIENT}:guided_grad_cam", "guided"),
            "guided backpropagation where Grad-CAM is bright",
            "Selvaraju et al., ICCV 2017, arXiv:1610.02391",
        ),
    )
}


def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        FuncamError: there is none; the nearest names are given.

    Example:
        >>> find_method("grad-cam").paper
        'Selvaraju et al., ICCV 2017, arXiv:1610.02391'
    """
    if name not in METHODS:
        raise FuncamError(
            f"unknown method {name!r}; nearest: {nearest(name, METHODS)} (`funcam methods` lists them all)"
        )
    return METHODS[name]
