"""The traced graph with its attention written out: every attention map becomes a value of the graph."""

from __future__ import annotations

import inspect
import math
import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.functional import linear, softmax

from funcam.errors import FuncamError
from funcam.network.graph import Graph
from funcam.network.traits import SOFTMAX, compares_tokens, is_attention, operation
from funcam.network.twin import twin

# Attention inside windows (`shifted_window_attention`) is one operation that can't be written out.
_WHOLE = frozenset(("multiheadattention", "scaled_dot_product_attention"))


def attentions_of(graph: Graph) -> list[fx.Node]:
    """The attention that can be written out: a `MultiheadAttention`, a call of it, or the softmax of one that is."""
    return [node for node in graph.module.graph.nodes if is_attention(graph, node) and _has_map(graph, node)]


def _has_map(graph: Graph, node: fx.Node) -> bool:
    """Whether attention has a map of tokens by tokens, or can be given one."""
    name = operation(graph, node)
    return name in _WHOLE or (name in SOFTMAX and compares_tokens(graph, node))


def explicit(
    graph: Graph, attentions: list[fx.Node]
) -> tuple[fx.Graph, nn.Module, dict[fx.Node, fx.Node], list[fx.Node]]:
    """A copy of the graph in which each attention is two steps: its map, and what becomes of it."""
    copied, root = fx.Graph(), twin(graph.module)
    placed: dict[fx.Node, fx.Node] = {}
    maps = []
    for node in graph.module.graph.nodes:
        if node not in attentions or operation(graph, node) in SOFTMAX:
            placed[node] = copied.node_copy(node, placed.__getitem__)
            maps += [placed[node]] if node in attentions else []
            continue
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), placed.__getitem__)
        if node.op == "call_module":
            first, second = f"attention_map{len(maps)}", f"attention_out{len(maps)}"
            attention = root.get_submodule(str(node.target))
            root._modules[first], root._modules[second] = _Map(attention), _Out(attention)
            maps.append(copied.call_module(first, args, kwargs))
            out = copied.call_module(second, (maps[-1], *args), kwargs)
            options = {name: kwargs[name] for name in ("need_weights", "average_attn_weights") if name in kwargs}
            placed[node] = copied.call_function(_with_weights, (out, maps[-1]), options)
        else:
            maps.append(copied.call_function(_attention_map, args, kwargs))
            placed[node] = copied.call_function(_attention_out, (maps[-1], *args), kwargs)
    copied.lint()
    return copied, root, placed, maps


# --- attention in two steps -------------------------------------------------------------------------------------------


def _attention_map(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """`softmax(q k^T / sqrt(d) + mask)`; the signature is `scaled_dot_product_attention`'s."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    logits = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None:
        logits = logits.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
    return softmax(logits, dim=-1)


def _attention_out(attention: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """`attention v`, for the arguments of `scaled_dot_product_attention`."""
    given = inspect.signature(_attention_map).bind(*args, **kwargs).arguments
    value = given["value"]
    if given.get("enable_gqa"):
        value = value.repeat_interleave(attention.shape[-3] // value.shape[-3], -3)
    out: torch.Tensor = operator.matmul(attention, value)
    return out


class _Step(nn.Module):
    """A step of an `nn.MultiheadAttention`, with its weights and for its arguments."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def projected(self, which: int, tokens: torch.Tensor) -> torch.Tensor:
        """Queries (0), keys (1) or values (2), `[B, heads, T, d]`."""
        own: Any = self.attention
        weights = (own.q_proj_weight, own.k_proj_weight, own.v_proj_weight)
        weight = weights[which] if own.in_proj_weight is None else own.in_proj_weight.chunk(3)[which]
        bias = None if own.in_proj_bias is None else own.in_proj_bias.chunk(3)[which]
        tokens = tokens if own.batch_first else tokens.transpose(0, 1)
        return torch.unflatten(linear(tokens, weight, bias), -1, (own.num_heads, -1)).transpose(1, 2)


class _Map(_Step):
    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> torch.Tensor:
        own: Any = self.attention
        if own.bias_k is not None or own.add_zero_attn or options.get("key_padding_mask") is not None:
            raise FuncamError(
                "attention with a padding mask, bias_k or add_zero_attn can't be written out; use grad-cam"
            )
        mask = options.get("attn_mask")
        if mask is not None:  # [T, T] or [B * heads, T, T]; a boolean one says what is left out
            mask = mask if mask.ndim == 2 else torch.unflatten(mask, 0, (-1, own.num_heads))
            mask = ~mask if mask.dtype == torch.bool else mask
        return _attention_map(self.projected(0, query), self.projected(1, key), value, mask)


class _Out(_Step):
    def forward(
        self, attention: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any
    ) -> torch.Tensor:
        own: Any = self.attention
        out: torch.Tensor = own.out_proj((attention @ self.projected(2, value)).transpose(1, 2).flatten(2))
        return out if own.batch_first else out.transpose(0, 1)


def _with_weights(
    out: torch.Tensor, attention: torch.Tensor, need_weights: bool = True, average_attn_weights: bool = True
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What `nn.MultiheadAttention` returns."""
    weights = attention.mean(1) if average_attn_weights else attention
    return out, weights if need_weights else None


# The two steps, as `operation` calls them.
STEPS = frozenset(step.__name__.lower() for step in (_Map, _Out, _attention_map, _attention_out))
