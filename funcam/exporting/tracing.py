"""The explainer as a graph: what `explain` does, traced with the number of images left open."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import fx
from torch._dispatch.python import enable_python_dispatcher
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from funcam.attribution.batch_run import BatchRun, run_again
from funcam.attribution.dispatch import ResolvedMethod, apply_methods
from funcam.errors import FuncamError, reason_in
from funcam.exporting.decompositions import DECOMPOSED
from funcam.exporting.form import Form
from funcam.exporting.kinds import ALL

Explained = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def traced(run: BatchRun, method: ResolvedMethod, form: Form) -> ExportedProgram:
    """A batch run and a method as one graph: images (and a class for each) -> logits, class and map.

    Args:
        run: of images of the kind; the method was applied to it, so that nothing is left to be found out.
        method: the method.
        form: what goes in.

    Raises:
        FuncamError: it can't be traced, or only for a fixed number of images.
    """
    example = form.sample()
    batch = Dim("batch")
    try:
        with torch.inference_mode(False), torch.no_grad():
            graph = _graph(_function(run, method, form), example)
            return torch.export.export(graph, example, dynamic_shapes=tuple({0: batch} for _ in example))
    except FuncamError:
        raise
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # torch raises whatever stood in its way
        way = run.cuts[0].way
        raise FuncamError(
            f"{method.method.name} of this model can't be traced as one graph for any number of images (it is cut by "
            f"{way!r}; {type(error).__name__}: {reason_in(error)}); take grad-cam, another layer, or funcam.prepare"
        ) from error


def _function(run: BatchRun, method: ResolvedMethod, form: Form) -> Callable[..., Explained]:
    def explained(images: torch.Tensor, classes: torch.Tensor | None) -> Explained:
        again = run_again(run, form.normalised(images), form.targets(classes))
        ((maps,),) = apply_methods(again, [method])
        if form.explained == ALL:
            return again.logits, again.logits.argmax(1), maps
        return again.logits, again.target.indices.clone(), maps[:, 0]

    if len(form.inputs) > 1:
        return lambda images, classes: explained(images, classes)
    return lambda images: explained(images, None)


def _linear_of_rows(images: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    """A linear layer of more than rows, as one of rows: torch.func settles the sizes of the others.

    Attention's, of tokens that lie apart, would have a copy of the weights for each token.
    """
    if images.ndim <= 2:
        return functional.linear(images, *rest, **options)
    rows: torch.Tensor = functional.linear(images.reshape(-1, images.shape[-1]), *rest, **options)
    return rows.view(*images.shape[:-1], rows.shape[-1])


def _with_rows() -> Any:
    """torch's own attention with such linear layers: inside it no mode is asked any more."""
    names = {**vars(functional), "linear": _linear_of_rows, "has_torch_function": lambda _: False}
    for name in ("_in_projection", "_in_projection_packed", "multi_head_attention_forward"):
        own = getattr(functional, name)
        names[name] = FunctionType(own.__code__, names, name, own.__defaults__)
    return names[name]


class _LinearOfRows(TorchFunctionMode):
    """Linear layers of rows, in attention too."""

    def __init__(self) -> None:
        super().__init__()
        self._instead = {functional.linear: _linear_of_rows, functional.multi_head_attention_forward: _with_rows()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch's."""
        return self._instead.get(func, func)(*args, **(kwargs or {}))


def _graph(function: Callable[..., Explained], example: tuple[torch.Tensor, ...]) -> fx.GraphModule:
    """The function's operations. Its inputs stand for any number of images, of one size."""
    images, *classes = example
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    sizes = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (images.ndim - 1)]
    symbolic = StatelessSymbolicContext(dynamic_sizes=sizes)  # type: ignore[var-annotated]
    standing: Any = mode.from_tensor(images, source=ConstantSource("images"), symbolic_context=symbolic)
    # (the fused attention's derivative is no operator of ONNX)
    with mode, enable_python_dispatcher(), sdpa_kernel(SDPBackend.MATH), _LinearOfRows():
        # (of one and the same number: two symbols would have to be told that they are equal)
        others = [torch.zeros(standing.shape[0], dtype=each.dtype, device=each.device) for each in classes]
        return make_fx(function, DECOMPOSED, _allow_non_fake_inputs=True)(standing, *others)
