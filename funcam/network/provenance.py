"""Whether a tensor's last axes are still the image's: known from the operations that made it of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

# Operations that compute a cell of their result from the same place of what they are given, and its neighbourhood.
_LOCAL = frozenset(
    (
        *("convolution", "_convolution", "mkldnn_convolution", "cudnn_convolution", "conv2d", "thnn_conv2d"),
        *("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
        *("_batch_norm_with_update", "_batch_norm_no_update", "native_group_norm", "instance_norm"),
        *("relu", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish"),
        *(
            "_prelu_kernel",
            "prelu",
            "softplus",
            "sigmoid",
            "tanh",
            "exp",
            "clamp",
            "clamp_min",
            "clamp_max",
            "threshold",
        ),
        *("add", "sub", "mul", "div", "rsub", "pow", "sqrt", "rsqrt", "neg", "abs", "square", "maximum", "minimum"),
        *("max_pool2d_with_indices", "max_pool3d_with_indices", "mkldnn_max_pool2d", "mkldnn_max_pool3d"),
        *("avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "mkldnn_adaptive_avg_pool2d"),
        *("adaptive_max_pool2d", "adaptive_max_pool3d", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"),
        *("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_nearest3d"),
        *("upsample_trilinear3d", "upsample_nearest1d", "upsample_linear1d", "_upsample_nearest_exact2d"),
        *("clone", "detach", "alias", "_to_copy", "to", "contiguous", "lift_fresh", "native_dropout", "where"),
    )
)
# Operations along some axes; these leave the last ones where they are if others alone are touched.
_ALONG = frozenset(
    (
        *("cat", "stack", "slice", "split", "split_with_sizes", "chunk", "select", "narrow", "unbind", "transpose"),
        *("permute", "sum", "mean", "amax", "amin", "_softmax", "softmax", "cumsum", "var", "norm", "logsumexp"),
        *("linalg_vector_norm",),
    )
)
_REDUCTIONS = frozenset(("sum", "mean", "amax", "amin", "var", "norm", "logsumexp", "linalg_vector_norm"))
_VIEWS = frozenset(("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand"))


class State(Enum):
    """What is known of a tensor that was made of the images."""

    PLAIN = "its last axes are the image's"
    NOWHERE = "it belongs to no place in the image: a pooled value"
    MOVED = "who knows"


class Provenance(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, it is followed which tensors have the image's axes last, in order: `[B, ..., *S]`.

    Example:
        >>> images = torch.rand(1, 3, 8, 8)
        >>> with Provenance(images) as followed:
        ...     plain, other = images.relu() * 2, images.transpose(2, 3)
        >>> followed.is_plain(plain), followed.is_plain(other)
        (True, False)
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._axes = images.ndim - 2
        # The tensors are kept alive, so that no identity is used twice.
        self._states: dict[int, tuple[Tensor, State]] = {id(images): (images, State.PLAIN)}

    def is_plain(self, tensor: Tensor) -> bool:
        """Whether a tensor's last axes are the image's, and it was made of the images."""
        return id(tensor) in self._states and self._states[id(tensor)][1] is State.PLAIN

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        returned = func(*args, **kwargs)
        given = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        followed = [t for t in given if id(t) in self._states]
        if followed:
            name = str(func.overloadpacket.__name__).removesuffix("_")
            for made in pytree.tree_leaves(returned):
                if isinstance(made, Tensor):
                    self._states[id(made)] = (made, self._state(name, args, followed, made))
        return returned

    def _state(self, name: str, args: Any, followed: Sequence[Tensor], made: Tensor) -> State:
        states = {self._states[id(tensor)][1] for tensor in followed}
        if states == {State.NOWHERE}:
            return State.NOWHERE
        if State.MOVED in states:
            return State.MOVED
        plain = next(tensor for tensor in followed if self.is_plain(tensor))
        if self._pools_all(name, args, plain, made):
            return State.NOWHERE
        return State.PLAIN if self._in_place(name, args, plain, made) else State.MOVED

    def _pools_all(self, name: str, args: Any, given: Tensor, made: Tensor) -> bool:
        """Whether nothing is left of the places: one cell, or a mean over all of them."""
        if name in _LOCAL:
            return made.ndim > self._axes and set(made.shape[-self._axes :]) == {1}
        last = set(range(given.ndim - self._axes, given.ndim))
        return name in _REDUCTIONS and last <= set(_touched(name, args, given.ndim))

    def _in_place(self, name: str, args: Any, given: Tensor, made: Tensor) -> bool:
        if name in _LOCAL:
            return True
        if made.shape[-self._axes :] != given.shape[-self._axes :]:
            return False
        if name in _ALONG:
            more = name == "stack"  # its axis is one of what it makes
            return all(0 < axis < given.ndim + more - self._axes for axis in _touched(name, args, given.ndim + more))
        return name in _VIEWS and made.ndim > self._axes and made.shape[0] == given.shape[0]


def _touched(name: str, args: Any, axes: int) -> Iterator[int]:
    """The axes that an operation touches."""
    if name == "permute":
        touched: Any = [i for i, axis in enumerate(args[1]) if axis % axes != i]
    elif name == "transpose":
        touched = args[1:3]
    elif name in ("split", "split_with_sizes", "chunk", "norm", "linalg_vector_norm"):
        touched = args[2:3] or [0]
    else:
        touched = args[1:2] or ([0] if name in ("cat", "stack", "unbind") else range(axes))
    listed = [axis for part in touched for axis in (part if isinstance(part, list | tuple) else [part])]
    return (axis % axes for axis in listed if isinstance(axis, int))


def follow(images: Tensor, run: Callable[[Tensor], Tensor]) -> tuple[Tensor, bool]:
    """What a run makes of images, and whether its last axes are the image's for certain.

    Example:
        >>> follow(torch.rand(1, 3, 8, 8), lambda x: torch.nn.functional.avg_pool2d(x, 2))[1]
        True
    """
    with Provenance(images) as followed:
        tensor = run(images)
    return tensor, followed.is_plain(tensor)
