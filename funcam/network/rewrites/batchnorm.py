"""BatchNorms folded into the convolutions and linear layers before them: the same function to rounding, sooner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from funcam.network.graph import Graph, acyclic
from funcam.network.inplace import reuse_memory
from funcam.network.layers import shapes_of
from funcam.network.state import HOOKS
from funcam.network.twin import twin

# Exactly these classes: what folds them does not know those derived from them.
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_OWN = (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)


def fused(graph: Graph) -> fx.GraphModule:
    """The whole network with BatchNorms folded into convolutions: the same function to rounding, some passes cheaper.

    It has weights of its own, so that it must be made anew for each call: weights changed in place are not seen.

    Example:
        >>> import torch
        >>> from funcam.network.graph import trace
        >>> graph = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval())
        >>> x = torch.rand(1, 3, 8, 8)
        >>> network = fused(graph)
        >>> len(list(network.graph.nodes)), torch.allclose(network(x), graph.module(x), atol=1e-6)
        (4, True)
    """
    root = twin(graph.module)
    copy = fx.Graph()
    copy.output(copy.graph_copy(graph.module.graph, {}))
    calls = [str(node.target) for node in copy.nodes if node.op == "call_module"]
    for node in list(copy.nodes):
        given = node.args[0] if node.args else None
        if isinstance(given, fx.Node) and _foldable(root, given, node, calls):
            _fold(root, given, node)
            node.replace_all_uses_with(given)
            copy.erase_node(node)
    reuse_memory(copy, root)
    return acyclic(fx.GraphModule(root, copy, graph.model).eval())


def _foldable(
    root: nn.Module,
    given: fx.Node,
    node: fx.Node,
    calls: list[str],
    layers: tuple[type[nn.Module], ...] = _CONVOLUTIONS,
) -> bool:
    """Whether a node is a BatchNorm with statistics behind a layer that nobody else uses; each is called once.

    Neither has hooks: they may make its weights (pruning, `weight_norm`), or look at what goes in or comes out.
    """
    if node.op != "call_module" or given.op != "call_module" or len(given.users) > 1:
        return False
    norm, conv = (root.get_submodule(str(each.target)) for each in (node, given))
    free = not any(hooks for each in (conv, norm) for hooks in map(each.__dict__.get, HOOKS))
    once = calls.count(str(node.target)) == calls.count(str(given.target)) == 1
    return free and once and isinstance(norm, _BatchNorm) and norm.running_var is not None and type(conv) in layers


def _fold(root: nn.Module, given: fx.Node, node: fx.Node) -> None:
    conv, norm = (root.get_submodule(str(each.target)) for each in (given, node))
    put(root, str(given.target), fuse_conv_bn_eval(conv, norm))  # type: ignore[type-var, arg-type]


def folded(model: nn.Module, graph: Graph | None, image: Sequence[int] = (), kept: str = "") -> nn.Module:
    """A copy of a model, module by module, with weights of its own: BatchNorms are folded, in their place is nothing.

    Unlike `fused`'s, its layers have the model's names and it may be cut and explained as the model is.

    Args:
        model: any module; it is only read.
        graph: its graph, which says what follows what; None where nobody has it, and nothing is folded.
        image: the images' shape, which says what a linear layer is given: of `[B, T, C]` a BatchNorm normalises T, and
            the layer makes C. Without it linear layers stay as they are.
        kept: a layer that returns what it returned: the BatchNorm behind it stays.

    Example:
        >>> import torch
        >>> from funcam.network.graph import trace
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
        >>> folded(model, trace(model), (1, 2))
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): Identity()
        )
    """
    copy = twin(model, hooks=True, frozen=True, own_parameters=True, own_buffers=True)
    for given, norm in [] if graph is None else _pairs(copy, graph, image):
        if given == kept:
            continue
        layer, behind = copy.get_submodule(given), copy.get_submodule(norm)
        if isinstance(layer, nn.Linear):
            put(copy, given, fuse_linear_bn_eval(layer, behind))  # type: ignore[arg-type]
        else:
            transposed = isinstance(layer, _TRANSPOSED)
            put(copy, given, fuse_conv_bn_eval(layer, behind, transposed))  # type: ignore[type-var, arg-type]
        put(copy, norm, nn.Identity())
    return copy


def put(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module in the place of another."""
    parent, _, name = path.rpartition(".")
    root.get_submodule(parent)._modules[name] = module


def _pairs(root: nn.Module, graph: Graph, image: Sequence[int]) -> Iterator[tuple[str, str]]:
    """The paths of layers and of the BatchNorms that may be folded into them."""
    nodes, shapes = graph.module.graph.nodes, shapes_of(graph, image).of if image else {}
    calls = [str(node.target) for node in nodes if node.op == "call_module"]
    read = {str(node.target).rpartition(".")[0] for node in nodes if node.op == "get_attr"}
    shared = Counter(id(each) for module in root.modules() for each in module.parameters(recurse=False))
    for node in nodes:
        given = node.args[0] if node.args else None
        if not isinstance(given, fx.Node) or not _foldable(root, given, node, calls, _OWN):
            continue
        layer = root.get_submodule(str(given.target))
        own = all(shared[id(each)] == 1 for each in layer.parameters(recurse=False))
        grouped = isinstance(layer, _TRANSPOSED) and layer.groups > 1  # what folds them does not know groups there
        rows = not isinstance(layer, nn.Linear) or len(shapes.get(given, ())) == 2
        if own and rows and not grouped and not {str(given.target), str(node.target)} & read:
            yield str(given.target), str(node.target)
