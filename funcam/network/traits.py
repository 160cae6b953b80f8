"""What operations are, by their names: which pool, which join, which keep the grid, which are attention.

An operation is called alike whether it is a module, a function, a method or ATen's (`operation`): all that asks what a
node does asks here. Names are exact, but for a few kinds that have too many: every pooling has `pool` in its name.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

if TYPE_CHECKING:  # the graph itself is made with the help of this module
    from funcam.network.graph import Graph

Names = frozenset[str]
_ATEN = torch.ops.aten


def operation(graph: Graph, node: fx.Node) -> str:
    """What a node does, in lower case: `softmax` for the module, the function, the method and the ATen operation.

    Example:
        >>> from funcam.network.graph import trace
        >>> graph = trace(nn.Sequential(nn.Softmax(1)))
        >>> [operation(graph, node) for node in graph.module.graph.nodes]
        ['', 'softmax', '']
    """
    return operation_in(graph.module, node)


def module_of(root: nn.Module, node: fx.Node) -> nn.Module:
    """The module that a node calls: as `root.get_submodule`, which looks through the attributes of all on the way."""
    return reduce(lambda module, name: cast(nn.Module, module._modules[name]), str(node.target).split("."), root)


def operation_in(root: nn.Module, node: fx.Node) -> str:
    """As `operation`, for a graph whose modules are those of `root`."""
    if node.op == "call_module":
        return type(module_of(root, node)).__name__.lower()
    if node.op in ("call_function", "call_method"):
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        return str(name).split(".")[0]  # of aten.softmax.int
    return ""


# --- what multiplies by weights, what normalises ----------------------------------------------------------------------

CONVOLUTIONS: Names = frozenset(
    f"{kind}{axes}d" for kind in ("conv", "convtranspose", "conv_transpose") for axes in (1, 2, 3)
)
WEIGHTED = CONVOLUTIONS | {"linear", "multi_head_attention_forward"}
BATCH_NORMS: Names = frozenset(
    ("batchnorm1d", "batchnorm2d", "batchnorm3d", "syncbatchnorm", "frozenbatchnorm2d", "batch_norm")
)
TOKEN_NORMS: Names = frozenset(("layernorm", "layer_norm", "rmsnorm", "rms_norm"))

# --- arithmetic -------------------------------------------------------------------------------------------------------

ADDITIONS: Names = frozenset(("add", "radd"))
SUMS = ADDITIONS | {"sub", "rsub", "subtract"}
JOINS: Names = frozenset(("cat", "concat", "concatenate", "stack"))
QUOTIENTS: Names = frozenset(("div", "divide", "truediv", "true_divide"))
PRODUCTS = QUOTIENTS | {"mul", "multiply"}
BINARY_MATRIX_PRODUCTS: Names = frozenset(("matmul", "__matmul__", "bmm", "mm"))
MATRIX_PRODUCTS = BINARY_MATRIX_PRODUCTS | {"einsum"}  # whose first argument is an equation, no tensor
SOFTMAX: Names = frozenset(("softmax", "_softmax"))

# --- what keeps the values, all or some of them -----------------------------------------------------------------------

SAME: Names = frozenset(("identity", "contiguous", "alias", "clone", "lift_fresh_copy"))
CASTS: Names = frozenset(("to", "_to_copy", "type_as", "float", "double", "half", "bfloat16"))
REORDERED_AXES: Names = frozenset(("permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "t"))
RESHAPED: Names = frozenset(
    (
        *("flatten", "unflatten", "ravel", "view", "view_as", "reshape", "reshape_as", "_unsafe_view"),
        *("squeeze", "unsqueeze"),
    )
)
SPLITS: Names = frozenset(("chunk", "split", "split_with_sizes", "tensor_split", "unbind"))  # into a tuple of parts
PARTS = SPLITS | {"getitem", "select", "slice", "narrow"}
EXPANDED: Names = frozenset(("expand", "expand_as", "broadcast_to"))
REPEATED = EXPANDED | {"repeat", "repeat_interleave", "tile"}
MOVED_CELLS: Names = frozenset(
    ("roll", "flip", "pixel_shuffle", "pixelshuffle", "pixel_unshuffle", "pixelunshuffle")
) | {"channel_shuffle", "channelshuffle"}
REARRANGED = SAME | CASTS | REORDERED_AXES | RESHAPED | PARTS | REPEATED | MOVED_CELLS


def is_pooling(name: str) -> bool:
    """Whether an operation of this name pools (and does not undo it)."""
    return "pool" in name and "unpool" not in name


def is_mean(name: str) -> bool:
    """Whether an operation of this name is a mean, of all it is given or of each pool."""
    return name == "mean" or ("avg" in name and is_pooling(name))


def is_dropout(name: str) -> bool:
    """Whether an operation of this name drops out: it does nothing in evaluation mode."""
    return "dropout" in name or name == "stochastic_depth"


def is_identity(name: str) -> bool:
    """Whether a module of this kind returns what it is given, in evaluation mode."""
    return name == "identity" or is_dropout(name)


# --- grids ------------------------------------------------------------------------------------------------------------

_RESAMPLING = ("interpolate", "upsample")
_RESIZING = (*_RESAMPLING, "pool", "pad")


def resizes(name: str) -> bool:
    """Whether an operation of this name makes other cells of the cells of a map, and of nothing but them."""
    return any(part in name for part in _RESIZING)


def sets_grid(name: str) -> bool:
    """Whether an operation of this name makes a new grid; a tensor of attention heads `[B, heads, T, d]` only looks so.

    Example:
        >>> sets_grid("conv2d"), sets_grid("adaptiveavgpool2d"), sets_grid("matmul")
        (True, True, False)
    """
    return "conv" in name or resizes(name)


def keeps_axes(name: str) -> bool:
    """Whether images are laid out behind an operation of this name as they were before it."""
    pointwise = SAME | CASTS | SUMS | PRODUCTS | BATCH_NORMS | {"neg", "clamp"}
    return name in pointwise or is_dropout(name) or resizes(name)


# By class: what a caller's own module is called says nothing ("AttentionPool").
PASSING_MODULES = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity),
)


def is_passing(graph: Graph, node: fx.Node) -> bool:
    """Whether a node only pools a map, drops out or orders its axes anew: the map is explained before it.

    Reshaping is not among it: what is a map before may be none behind, and the other way round.
    """
    if node.op == "call_module":
        return isinstance(module_of(graph.module, node), PASSING_MODULES)
    name = operation(graph, node)
    return name in SAME | REORDERED_AXES or is_pooling(name) or is_dropout(name)


def is_weighted(graph: Graph, node: fx.Node) -> bool:
    """Whether a node multiplies by weights (a convolution, a linear layer, an attention; not a norm's scale)."""
    if node.op == "call_module":
        return any(p.ndim > 1 for p in module_of(graph.module, node).parameters())
    return operation(graph, node) in WEIGHTED


# --- activations ------------------------------------------------------------------------------------------------------

# What guided backpropagation is not defined for. Sigmoid and tanh are not among them: networks use them as gates.
OTHER_ACTIVATIONS: Names = frozenset(
    (
        *("silu", "gelu", "hardswish", "elu", "selu", "celu", "mish", "leakyrelu", "leaky_relu"),
        *("prelu", "rrelu", "softplus"),
    )
)
_RELUS = {"relu": math.inf, "relu6": 6.0}
_NOT_NEGATIVE = SOFTMAX | {"sigmoid", "hardsigmoid", "softplus", "abs", "square", "exp", "clamp_min"}


def relu_ceiling(graph: Graph, node: fx.Node) -> float | None:
    """Where the ReLU that the node is flattens out again (6, or never); None for any other node."""
    name = operation(graph, node)
    if name != "hardtanh":
        return _RELUS.get(name)
    low, high = _bounds(graph, node)  # of what the exporter makes of ReLU6
    return float(high) if low == 0 and isinstance(high, int | float) else None


def _bounds(graph: Graph, node: fx.Node) -> tuple[Any, Any]:
    """Between which values a hardtanh leaves its input as it is."""
    if node.op == "call_module":
        module: Any = module_of(graph.module, node)
        return module.min_val, module.max_val
    given = {"min_val": -1.0, "max_val": 1.0} | dict(zip(("input", "min_val", "max_val"), node.args, strict=False))
    given |= node.kwargs
    return given["min_val"], given["max_val"]


def is_not_negative(graph: Graph, node: fx.Node) -> bool:
    """Whether none of a node's values can be negative, whatever it is given."""
    return relu_ceiling(graph, node) is not None or operation(graph, node) in _NOT_NEGATIVE


def keeps_sign(name: str) -> bool:
    """Whether an operation of this name makes no negative values of others.

    Padding is not among it, for it may be with minus infinity (before a maximum).
    """
    keeping = REARRANGED | JOINS | ADDITIONS | PRODUCTS | MATRIX_PRODUCTS | {"mean"}
    return name in keeping or is_pooling(name) or is_dropout(name) or any(part in name for part in _RESAMPLING)


def has_negative_constant(graph: Graph, node: fx.Node) -> bool:
    """Whether a sum, a product or a quotient is with a negative number, or one that is not a number.

    Example:
        >>> from funcam.network.graph import trace
        >>> class Lowered(nn.Module):
        ...     def forward(self, x):
        ...         return x + (-3)
        >>> graph = trace(Lowered())
        >>> [has_negative_constant(graph, node) for node in graph.module.graph.nodes]
        [False, True, False]
    """
    if operation(graph, node) not in ADDITIONS | PRODUCTS:
        return False
    return any(isinstance(value, int | float) and not value >= 0 for value in (*node.args, *node.kwargs.values()))


# f(t z) = t f(z) for t above 0
_HOMOGENEOUS = (
    REARRANGED
    | {"relu", "leakyrelu", "leaky_relu", "prelu", "neg", "mean", "sum", "max", "amax", "getattr"}
    | {"zeropad1d", "zeropad2d", "zeropad3d", "reflectionpad2d", "replicationpad2d"}
)


def is_homogeneous(name: str) -> bool:
    """Whether an operation of this name grows with what it is given: it adds nothing to it."""
    growing = name in _HOMOGENEOUS or is_pooling(name) or is_dropout(name)
    return growing or any(part in name for part in (*_RESAMPLING, "unfold"))


# --- attention --------------------------------------------------------------------------------------------------------

# What may stand between the softmax and the product with the values, or between the first product and the softmax.
_BEHIND_SOFTMAX = SAME | CASTS | REORDERED_AXES | RESHAPED
_BEFORE_SOFTMAX = SAME | CASTS | RESHAPED | EXPANDED | SUMS | PRODUCTS | {"masked_fill", "where", "maybe_add_mask"}


def is_attention(graph: Graph, node: fx.Node) -> bool:
    """Whether a node computes attention, or is the softmax of one that is written out: it weighs values in a product.

    Attention of any kind: inside windows, or one whose softmax is of the keys alone (CoaT's, linear attention).
    """
    name = operation(graph, node)
    if name not in SOFTMAX:
        return "attention" in name
    return _meets_product(graph, node, _BEHIND_SOFTMAX, lambda n: list(n.users))


def compares_tokens(graph: Graph, node: fx.Node) -> bool:
    """Whether a softmax is of products, of queries with keys: then it says how much each token sees of each other."""
    return _meets_product(graph, node, _BEFORE_SOFTMAX, lambda n: n.all_input_nodes[:1])


def _meets_product(graph: Graph, node: fx.Node, passing: Names, step: Callable[[fx.Node], list[fx.Node]]) -> bool:
    """Whether a product of tensors comes next in a direction, but for operations that change nothing of its meaning."""
    for given in step(node):
        name = operation(graph, given)
        passed = name in passing or is_dropout(name)
        if name in MATRIX_PRODUCTS or (passed and _meets_product(graph, given, passing, step)):
            return True
    return False


# --- memory -----------------------------------------------------------------------------------------------------------

_VIEW_ATTRIBUTES = frozenset(("T", "mT", "H", "mH", "data", "real", "imag"))
_SHAPE_ATTRIBUTES = frozenset(("shape", "ndim", "dtype", "device", "layout", "is_cuda", "requires_grad"))
# What says nothing of a tensor's values.
_READS_SHAPE = frozenset(
    ("size", "dim", "numel", "nelement", "len", "sym_size", "_assert", "zeros_like", "ones_like", "empty_like")
)
# What may return the memory that it was given: views, and what does nothing (a dropout in evaluation mode, x.float()).
_OWN_MEMORY = {"clone", "lift_fresh_copy", "_to_copy"}
_VIEWS = (SAME | CASTS | REORDERED_AXES | RESHAPED | PARTS | EXPANDED | {"diagonal", "detach", "unfold"}) - _OWN_MEMORY


def reads_shape(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node asks for a tensor's shape or type and not for its values."""
    if node.target is getattr:
        return node.args[1] in _SHAPE_ATTRIBUTES
    return operation_in(root, node) in _READS_SHAPE


def is_view(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node may return memory of what it is given."""
    if not node.all_input_nodes:
        return False
    if node.target is getattr:
        return node.args[1] in _VIEW_ATTRIBUTES
    name = operation_in(root, node)
    return name in _VIEWS or is_dropout(name)


# By what they are and not by name, because what is taken for one of them is overwritten.
_FRESH_MODULES = (_ConvNd, _BatchNorm, nn.Linear)
_FRESH_FUNCTIONS: frozenset[Any] = frozenset(
    (
        *(operator.add, torch.add, _ATEN.add.Tensor, functional.batch_norm, _ATEN.batch_norm.default),
        *(functional.linear, functional.conv1d, functional.conv2d, functional.conv3d),
        *(_ATEN.linear.default, _ATEN.conv1d.default, _ATEN.conv2d.default, _ATEN.conv3d.default),
    )
)


def is_fresh(root: nn.Module, node: fx.Node) -> bool:
    """Whether a node always returns memory of its own, which its derivative does not need again."""
    if node.op == "call_module":
        return isinstance(module_of(root, node), _FRESH_MODULES)
    return node.target in _FRESH_FUNCTIONS
