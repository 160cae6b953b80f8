"""Vector-Jacobian products: by `torch.func`, or by plain autograd where that refuses what the model's code does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree

from funcam.errors import FuncamError
from funcam.network.casting import uncast
from funcam.network.failures import place_of, reason_of
from funcam.network.outputs import mapped
from funcam.network.tracing import is_batched, is_compiled, is_compiler_loaded, is_transformed

# What torch.func says of old `autograd.Function`s, `.numpy()`, `checkpoint`, compiled functions, `torch.cond` and the
# like, which autograd takes.
_REFUSALS = (
    *("setup_context", "functorch transforms", "torch.func", "functorch", "numpy()", "saved_tensors_hooks"),
    *("Cannot access data pointer", "doesn't have storage", "checkpoint", "TORCHDYNAMO_VERBOSE", "torch._dynamo"),
)

Pullback = Callable[[Any], tuple[Tensor, ...]]


def may_be_plain(images: Tensor) -> bool:
    """Whether plain autograd may stand for `torch.func`, whose Python is dearer: what comes of the call is numbers.

    Nobody differentiates it, maps over it, traces or compiles it.

    Args:
        images: what is differentiated by.

    Example:
        >>> with torch.no_grad():
        ...     may_be_plain(torch.zeros(1))
        True
        >>> may_be_plain(torch.zeros(1))
        False
    """
    if torch.is_grad_enabled() or is_compiled():
        return False
    return not (is_transformed() or isinstance(images, FakeTensor))


def vjp(
    function: Callable[..., tuple[Any, Any]], inputs: Sequence[Tensor], plain: bool | None = None
) -> tuple[Any, Pullback, Any, bool]:
    """The values of a function, their pullback, and what it returns besides.

    Args:
        function: `(*inputs) -> (values, auxiliary)`, values tensors in a tensor, list or tuple.
        inputs: tensors.
        plain: whether plain autograd differentiates; None to find out whether it must.

    Returns:
        The values, the pullback (cotangents like the values -> a gradient for each input), the auxiliary, and whether
        it is plain autograd's. Both run with grad mode on: torch's CPU LSTM keeps nothing for its derivative without.

    Example:
        >>> values, pullback, _, plain = vjp(lambda x: (x**2, None), [torch.tensor(3.0)])
        >>> values, pullback(torch.tensor(1.0)), plain
        (tensor(9.), (tensor(6.),), False)
    """
    if not plain:
        try:
            return *_functional(function, inputs), False
        except Exception as error:  # torch.func raises errors of several kinds, and the model's code its own on top
            if plain is False or not _refused(error):
                raise
    return *_plain(function, inputs), True


def recordable(tensor: Tensor) -> Tensor:
    """A tensor that autograd may keep: it keeps none of inference mode.

    Args:
        tensor: any; where this is called inference mode is off.

    Example:
        >>> with torch.inference_mode():
        ...     images = torch.zeros(1)
        >>> recordable(images).is_inference()
        False
    """
    return tensor.clone() if tensor.is_inference() else tensor


def anyhow(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same function for who differentiates it once by `torch.func`, though its code refuses that: as `vjp` does.

    Example:
        >>> class Old(torch.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return x.clone()
        ...
        ...     @staticmethod
        ...     def backward(ctx, gradient):
        ...         return 3 * gradient
        >>> torch.func.grad(anyhow(Old.apply))(torch.tensor(1.0))
        tensor(3.)
    """
    return lambda tensor: _Anyhow.apply(tensor, _Differentiated(function))


class _Differentiated:
    """A function and, once it was computed, its pullback."""

    pullback: Pullback

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def __call__(self, tensor: Tensor) -> Tensor:
        values: Tensor
        values, self.pullback, *_ = vjp(lambda given: (self.function(given), None), [tensor])
        return values


class _Anyhow(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, function: _Differentiated) -> Tensor:
        return function(tensor)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Differentiated], output: Tensor) -> None:
        ctx.function = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.function.pullback(gradient)[0], None


def along(
    function: Callable[..., tuple[Sequence[Tensor], Any]],
    inputs: Sequence[Tensor],
    weights_of: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    plain: bool | None = None,
) -> tuple[Sequence[Tensor], tuple[Tensor, ...], Any, bool]:
    """As `vjp` with cotangents that are known beforehand, by the sum of the values so weighted.

    Args:
        function: `(*inputs) -> (values, auxiliary)`.
        inputs: tensors.
        weights_of: the values -> the cotangents.
        plain: as in `vjp`.

    Returns:
        The values, a gradient for each input, the auxiliary, and whether it is by plain autograd.

    Example:
        >>> along(lambda x: ([x**2], None), [torch.ones(2)], lambda values: [torch.tensor([1.0, 3.0])])[1]
        (tensor([2., 6.]),)
    """

    def weighted(*given: Tensor) -> tuple[Tensor, Any]:
        values, auxiliary = function(*given)
        sums = [(value * weight).sum() for value, weight in zip(values, weights_of(values), strict=True)]
        return sum(sums[1:], start=sums[0]), (values, auxiliary)

    total, pullback, (values, auxiliary), plainly = vjp(weighted, inputs, plain)
    with uncast(total.device):
        return values, pullback(torch.ones_like(total)), auxiliary, plainly


def pull(pullback: Pullback, cotangents: Tensor) -> tuple[Tensor, ...]:
    """Gradients for many cotangents `[k, *values]` at once: by `vmap`, or one after the other where torch can't.

    Autocast is off: a derivative has the types of what it is the derivative of.

    Example:
        >>> _, pullback, _, _ = vjp(lambda x: (x**2, None), [torch.tensor([3.0])])
        >>> pull(pullback, torch.eye(1)[None].expand(2, 1, 1)[:, 0])
        (tensor([[6.],
                [6.]]),)
    """
    with uncast(cotangents.device):
        if len(cotangents) == 1:  # the usual case, spared the cost of batching
            return tuple(g[None] for g in pullback(cotangents[0]))
        if isinstance(cotangents, FakeTensor):  # a trace: batching would settle the number of images
            return _one_by_one(pullback, cotangents)
        try:
            gradients: tuple[Tensor, ...] = torch.func.vmap(pullback)(cotangents)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or is_compiled():
                raise
            gradients = _one_by_one(pullback, cotangents)
    return gradients


def _one_by_one(pullback: Pullback, cotangents: Tensor) -> tuple[Tensor, ...]:
    return tuple(map(torch.stack, zip(*(pullback(one) for one in cotangents), strict=True)))


def _refused(error: BaseException | None) -> bool:
    """Whether torch.func refused, anywhere in the chain of errors."""
    while error is not None:
        if any(sign in str(error) for sign in _REFUSALS):
            return True
        error = error.__cause__ or error.__context__
    return False


def functional(function: Callable[..., tuple[Any, Any]], *inputs: Tensor) -> tuple[Any, Pullback, Any]:
    """As `torch.func.vjp(function, *inputs, has_aux=True)`, whose pullback imports the compiler to keep it out.

    Example:
        >>> values, pullback, _ = functional(lambda x: (x**2, ()), torch.tensor(3.0))
        >>> values, pullback(torch.tensor(1.0))
        (tensor(9.), (tensor(6.),))
    """
    seen: list[Any] = []

    def noted(*given: Tensor) -> tuple[Any, Any]:
        values, auxiliary = function(*given)
        seen[:] = [values, given]
        return values, auxiliary

    values, by_torch, *aux = torch.func.vjp(function if is_compiler_loaded() else noted, *inputs, has_aux=True)

    def pullback(cotangents: Any) -> tuple[Tensor, ...]:
        if is_compiler_loaded():
            return by_torch(cotangents)  # type: ignore[no-any-return]
        tracked, given = seen
        create_graph = torch.is_grad_enabled()
        with torch.inference_mode(False):
            return _gradients(tracked, given, cotangents, create_graph)

    return values, pullback, aux[0]


def _functional(function: Callable[..., tuple[Any, Any]], inputs: Sequence[Tensor]) -> tuple[Any, Pullback, Any]:
    rest: list[Any] = []

    def split(*given: Tensor) -> tuple[Any, list[Tensor]]:
        values, auxiliary = function(*given)
        tensors, structure = pytree.tree_flatten(auxiliary)
        kept = [t for t in tensors if isinstance(t, Tensor)]
        rest.append((tensors, structure))
        return values, kept

    with torch.enable_grad():
        values, pullback, kept = functional(split, *inputs)
    tensors, structure = rest[0]
    unwrapped = iter(kept)
    auxiliary = pytree.tree_unflatten([next(unwrapped) if isinstance(t, Tensor) else t for t in tensors], structure)
    return values, _with_grad_mode(pullback), auxiliary


def _with_grad_mode(pullback: Pullback) -> Pullback:
    def pull(cotangents: Any) -> tuple[Tensor, ...]:
        recording = torch.is_grad_enabled()
        with torch.enable_grad():
            gradients = pullback(cotangents)
        return gradients if recording else tuple(g.detach() for g in gradients)

    return pull


def _plain(function: Callable[..., tuple[Any, Any]], inputs: Sequence[Tensor]) -> tuple[Any, Pullback, Any]:
    with torch.inference_mode(False), torch.enable_grad():
        given = [tensor.detach().clone() for tensor in inputs]
        for tensor in given:
            tensor.requires_grad = True
        values, auxiliary = function(*given)

    def pullback(cotangents: Any) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            return _gradients(values, given, cotangents, create_graph=False)

    return mapped(values, Tensor.detach), pullback, mapped(auxiliary, Tensor.detach)


def _gradients(values: Any, given: Sequence[Tensor], cotangents: Any, create_graph: bool) -> tuple[Tensor, ...]:
    """The gradients of values with respect to what was given, zero where they don't depend on it."""
    pairs = zip(pytree.tree_leaves(values), pytree.tree_leaves(cotangents), strict=True)
    asked = [(value, cotangent) for value, cotangent in pairs if value.requires_grad]
    if not asked:
        return tuple(torch.zeros_like(tensor) for tensor in given)
    try:
        gradients = torch.autograd.grad(
            [value for value, _ in asked],
            given,
            [None if _is_one(cotangent) else cotangent for _, cotangent in asked],
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    except RuntimeError:  # torch's own, which may mean that another way is to be taken
        raise
    except Exception as error:
        raise FuncamError(
            "what the model's code does with a gradient (a backward hook, an autograd.Function) fails: "
            f"{type(error).__name__}: {reason_of(error)}{place_of(error)}; only the gradient at the layer is asked "
            "for, and one before it is None: name an earlier layer, or leave hooks out (hooks=False)"
        ) from error
    return tuple(torch.zeros_like(t) if g is None else g for t, g in zip(given, gradients, strict=True))


def _is_one(cotangent: Tensor) -> bool:
    """Whether it is the number that torch takes where it is given none; one that is given it imports sympy to check."""
    return cotangent.numel() == 1 and not is_batched(cotangent) and bool(cotangent == 1)
