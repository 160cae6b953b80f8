"""Whether a tensor's last axes are still the image's: known from the operations that made it of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
# Operations that may move axes about; these leave the last ones where they are if the others alone are touched.
_AXES = frozenset(("cat", "slice", "split", "split_with_sizes", "chunk", "select", "narrow", "unbind"))
_VIEWS = frozenset(("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand", "transpose", "permute"))


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
        self._plain: dict[int, tuple[Tensor, bool]] = {id(images): (images, True)}  # alive: no identity is used twice

    def is_plain(self, tensor: Tensor) -> bool:
        """Whether a tensor's last axes are the image's, and it was made of the images."""
        return self._plain.get(id(tensor), (tensor, False))[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        returned = func(*args, **kwargs)
        given = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        followed = [t for t in given if id(t) in self._plain]
        if followed:
            plain = all(map(self._keeps, followed)) and any(map(self.is_plain, followed))
            for made in pytree.tree_leaves(returned):
                if isinstance(made, Tensor):
                    kept = plain and self._in_place(str(func.overloadpacket.__name__), args, followed[0], made)
                    self._plain[id(made)] = (made, kept)
        return returned

    def _keeps(self, tensor: Tensor) -> bool:
        """Whether a tensor has the image's axes, or none of its own that could be moved: one cell for all."""
        return self.is_plain(tensor) or tensor.ndim < self._axes + 1 or set(tensor.shape[-self._axes :]) == {1}

    def _in_place(self, name: str, args: Any, given: Tensor, made: Tensor) -> bool:
        name = name.removesuffix("_")
        if name in _LOCAL:
            return True
        last, before = made.shape[-self._axes :], given.shape[-self._axes :]
        if name in _VIEWS | _AXES and last != before:
            return False
        if name in ("transpose", "permute", "select", "slice", "split", "split_with_sizes", "unbind", "cat", "chunk"):
            return all(0 < axis < given.ndim - self._axes for axis in _moved(name, args, given.ndim))
        return name in _VIEWS and made.ndim > self._axes and made.shape[0] == given.shape[0]


def _moved(name: str, args: Any, axes: int) -> Iterator[int]:
    """The axes that an operation touches."""
    if name == "permute":
        touched: Any = [i for i, axis in enumerate(args[1]) if axis % axes != i]
    elif name == "transpose":
        touched = args[1:3]
    elif name in ("select", "slice", "cat", "unbind"):
        touched = args[1:2] or [0]
    else:
        touched = args[2:3] or [0]
    return (axis % axes for axis in touched)


def follow(images: Tensor, run: Callable[[Tensor], Tensor]) -> tuple[Tensor, bool]:
    """What a run makes of images, and whether its last axes are the image's for certain.

    Example:
        >>> follow(torch.rand(1, 3, 8, 8), lambda x: torch.nn.functional.avg_pool2d(x, 2))[1]
        True
    """
    with Provenance(images) as followed:
        tensor = run(images)
    return tensor, followed.is_plain(tensor)
