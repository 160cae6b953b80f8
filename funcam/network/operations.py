"""What operations make of the dimensions of their tensors: where the image's axes are afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from funcam.network.call import Call, tensors_in
from funcam.network.crops import cropped, enlarged
from funcam.network.factors import (
    Dim,
    Dims,
    Moved,
    axes_in,
    check_one,
    concatenated,
    has_batch,
    is_plain,
    plain,
    rolled,
    size_of,
    together,
    viewed,
)
from funcam.network.kernels import convolution, local
from funcam.network.picking import gathered, picked, sampled
from funcam.network.windows import col2im, im2col, patches, shuffle

Rule = Callable[[Call], Dims]


def _keep(call: Call) -> Dims:
    return call.first


def _pointwise(call: Call) -> Dims:
    return together([call.dims_of(tensor) for tensor in tensors_in(call.args.values())])


def _view(call: Call) -> Dims:
    return viewed(call.first, call.shape)


def _permute(call: Call) -> Dims:
    return tuple(call.first[axis] for axis in call.args["dims"])


def _transpose(call: Call) -> Dims:
    dims = list(call.first)
    if len(dims) < 2:
        return call.first
    one, other = (call.args.get(name, axis) for name, axis in (("dim0", 0), ("dim1", 1)))
    dims[one], dims[other] = dims[other], dims[one]
    return tuple(dims)


def _unsqueeze(call: Call) -> Dims:
    axis = call.args["dim"] % (len(call.first) + 1)
    return (*call.first[:axis], (), *call.first[axis:])


def _squeeze(call: Call) -> Dims:
    axes = call.axes("dim", len(call.first))
    return tuple(dim for axis, dim in enumerate(call.first) if axis not in axes or size_of(dim) != 1)


def _expand(call: Call) -> Dims:
    missing = len(call.shape) - len(call.first)
    return tuple(map(_spread, ((),) * missing + call.first, call.shape))


def _spread(dim: Dim, size: int) -> Dim:
    if size == size_of(dim):
        return dim
    if not is_plain(dim):
        raise Moved
    return plain(size)


def _select(call: Call) -> Dims:
    axis = call.args["dim"] % len(call.first)
    check_one(call.first[axis], call.args["index"])
    return (*call.first[:axis], *call.first[axis + 1 :])


def _unbind(call: Call) -> Dims:
    axis = call.args["dim"] % len(call.first)
    for index in range(size_of(call.first[axis])):
        check_one(call.first[axis], index)
    return (*call.first[:axis], *call.first[axis + 1 :])


def _slice(call: Call) -> Dims:
    end = call.args.get("end")
    return _cut(call, call.args.get("start") or 0, 1 << 62 if end is None else end, call.args.get("step", 1))


def _cut(call: Call, start: int, end: int, step: int = 1) -> Dims:
    axis = call.args["dim"] % len(call.first)
    return _changed(call.first, axis, cropped(call.first[axis], start, end, step))


def _changed(dims: Dims, axis: int, dim: Dim) -> Dims:
    return (*dims[:axis], dim, *dims[axis + 1 :])


def _cat(call: Call) -> Dims:
    tensors = [call.dims_of(tensor) for tensor in call.args["tensors"] if tensor.shape != (0,)]
    axis = call.args["dim"] % len(tensors[0])
    others = together([_changed(dims, axis, ()) for dims in tensors])
    return _changed(others, axis, concatenated([dims[axis] for dims in tensors]))


def _stack(call: Call) -> Dims:
    dims = together([call.dims_of(tensor) for tensor in call.args["tensors"]])
    axis = call.args["dim"] % (len(dims) + 1)
    return (*dims[:axis], plain(len(call.args["tensors"])), *dims[axis:])


def _reduce(call: Call) -> Dims:
    axes = call.axes("dim", len(call.first))
    keep = call.args.get("keepdim", False)
    return tuple(() if axis in axes else dim for axis, dim in enumerate(call.first) if keep or axis not in axes)


def _product(rows: Dims, columns: Dims) -> Dims:
    return (*together([rows[:-2], columns[:-2]]), rows[-2], columns[-1])


def _matmul(call: Call) -> Dims:
    return _product(call.dims("self"), call.dims("mat2"))


def _addmm(call: Call) -> Dims:
    names = ("mat1", "mat2") if "mat1" in call.args else ("batch1", "batch2")
    return together([call.dims("self"), _product(*map(call.dims, names))])


def _linear(call: Call) -> Dims:
    """Other channels, the last ones; a recurrent layer mixes places too, and each has its own."""
    return (*call.first[:-1], plain(call.shape[-1]))


def _mv(call: Call) -> Dims:
    return call.dims("self")[:-1]


def _attention(call: Call) -> Dims:
    query, key, value = map(call.dims, ("query", "key", "value"))
    return (*together([query[:-2], key[:-2], value[:-2]]), query[-2], value[-1])


def _heads(call: Call) -> Dims:
    query, key, value = map(call.dims, ("query", "key", "value"))
    return (*together([query[:1], key[:1], value[:1]]), query[1], plain(call.shape[-1]))


def _pad(call: Call) -> Dims:
    amounts: list[int] = call.args["pad" if "pad" in call.args else "padding"]
    dims = call.first
    for number, (front, behind) in enumerate(zip(amounts[::2], amounts[1::2], strict=True)):
        axis = len(dims) - 1 - number
        dims = _changed(dims, axis, enlarged(dims[axis], front, behind))
    return dims


def _roll(call: Call) -> Dims:
    dims = call.first
    if not call.args.get("dims"):
        raise Moved
    for by, axis in zip(call.args["shifts"], call.args["dims"], strict=True):
        dims = _changed(dims, axis % len(dims), rolled(dims[axis], by))
    return dims


def _along(name: str) -> Rule:
    """What mixes along some axes only: none of them may be the image's."""

    def rule(call: Call) -> Dims:
        if not all(is_plain(call.first[axis]) for axis in call.axes(name, len(call.first))):
            raise Moved
        return tuple(
            dim if size_of(dim) == size else plain(size) for dim, size in zip(call.first, call.shape, strict=True)
        )

    return rule


def _repeat(call: Call) -> Dims:
    dims = ((),) * (len(call.shape) - len(call.first)) + call.first
    return tuple(map(_spread, dims, call.shape))


def _index(call: Call) -> Dims:
    """One axis, indexed by one tensor."""
    taken = [axis for axis, index in enumerate(call.args["indices"]) if index is not None]
    if len(taken) != 1:
        raise Moved
    index = call.args["indices"][taken[0]]
    if not is_plain(call.first[taken[0]]):
        return picked(call, taken[0], index)
    if index.dtype in (torch.bool, torch.uint8):
        raise Moved
    return (*call.first[: taken[0]], *call.dims_of(index), *call.first[taken[0] + 1 :])


def _index_select(call: Call) -> Dims:
    axis = call.args["dim"] % len(call.first)
    return _along("dim")(call) if is_plain(call.first[axis]) else picked(call, axis, call.args["index"])


def _strided(call: Call) -> Dims:
    """Pooled values in another order of memory."""
    if any(map(axes_in, call.first)) or tuple(map(size_of, call.first)) != tuple(call.shape):
        raise Moved
    return call.first


def _embedding(call: Call) -> Dims:
    """A row of a table for each index."""
    return (*call.dims("indices"), plain(call.shape[-1]))


def _real(call: Call) -> Dims:
    return (*call.first, plain(2))


def _complex(call: Call) -> Dims:
    if not is_plain(call.first[-1]):
        raise Moved
    return call.first[:-1]


def _named(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_named(
        _keep,
        "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm "
        "_batch_norm_with_update _batch_norm_no_update native_group_norm native_layer_norm _fused_rms_norm "
        "instance_norm native_dropout alias detach clone contiguous lift_fresh _to_copy to _conj resolve_conj "
        "_softmax _safe_softmax _log_softmax tril triu channel_shuffle native_channel_shuffle _prelu_kernel "
        "_transformer_encoder_layer_fwd",
    ),
    **_named(
        _pointwise,
        "copy where masked_fill addcmul addcdiv lerp zero fill hardtanh hardswish hardsigmoid leaky_relu elu celu selu "
        "gelu silu mish relu relu6 softplus softshrink hardshrink log_sigmoid threshold clamp rsub maximum minimum",
    ),
    **_named(_view, "view _unsafe_view reshape _reshape_alias"),
    **_named(_permute, "permute"),
    **_named(_transpose, "transpose t"),
    **_named(_unsqueeze, "unsqueeze"),
    **_named(_squeeze, "squeeze"),
    **_named(_expand, "expand"),
    **_named(_repeat, "repeat"),
    **_named(_select, "select"),
    **_named(_unbind, "unbind"),
    **_named(_slice, "slice"),
    **_named(_cat, "cat"),
    **_named(_stack, "stack"),
    **_named(
        _reduce, "sum mean amax amin var std norm logsumexp linalg_vector_norm max min prod any all var_mean argmax"
    ),
    **_named(_matmul, "mm bmm"),
    **_named(_addmm, "addmm baddbmm"),
    **_named(_linear, "linear mkldnn_rnn_layer _cudnn_rnn"),
    **_named(_mv, "mv"),
    **_named(
        _attention,
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention",
    ),
    **_named(_heads, "_native_multi_head_attention"),
    **_named(
        convolution, "convolution _convolution mkldnn_convolution cudnn_convolution conv2d thnn_conv2d _slow_conv2d"
    ),
    **_named(
        local,
        "max_pool2d_with_indices max_pool3d_with_indices mkldnn_max_pool2d mkldnn_max_pool3d avg_pool1d avg_pool2d "
        "avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d mkldnn_adaptive_avg_pool2d adaptive_max_pool2d "
        "adaptive_max_pool3d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d "
        "upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_nearest_exact1d "
        "_upsample_nearest_exact2d _upsample_nearest_exact3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa",
    ),
    **_named(
        _pad,
        "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
        "replication_pad3d",
    ),
    **_named(_roll, "roll"),
    **_named(_along("dim"), "cumsum glu"),
    **_named(_along("dims"), "flip"),
    **_named(_index, "index"),
    **_named(_index_select, "index_select"),
    **_named(gathered, "gather"),
    **_named(_strided, "as_strided"),
    **_named(shuffle, "pixel_shuffle pixel_unshuffle"),
    **_named(patches, "unfold"),
    **_named(im2col, "im2col"),
    **_named(col2im, "col2im"),
    **_named(sampled, "grid_sampler_2d grid_sampler_3d cudnn_grid_sampler"),
    **_named(_embedding, "embedding"),
    **_named(_real, "view_as_real"),
    **_named(_complex, "view_as_complex"),
}
_SPLITS = ("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "split_copy")
# They read no more of a tensor than its shape.
SHAPE_ONLY = frozenset(
    (
        *("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"),
        *("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"),
    )
)


def mixes_images(call: Call) -> bool:
    """Whether an operation that keeps the images' axis computes over it: a softmax along it, a norm of batches."""
    if call.name in ("_softmax", "_log_softmax", "_safe_softmax"):
        return has_batch((call.first[call.args["dim"]],))
    training = any(call.args.get(name) is True for name in ("training", "train"))
    return training and "batch_norm" in call.name and not has_batch((call.first[1],))  # (B, C) as one: instances


def dims_made(call: Call, *, pointwise: bool) -> list[Dims | None]:
    """The dimensions of what an operation returned; None where it is unknown where they belong."""
    try:
        if call.name in _SPLITS:
            return list(_parts(call))
        rule = RULES.get(call.name) or (_pointwise if pointwise else None)
        dims = rule(call) if rule else None
    except Exception:  # arguments that the rule doesn't know, of another PyTorch: nothing is known then
        return [None] * len(call.made)
    return [_of_shape(dims, tensor) for tensor in call.made]


def _parts(call: Call) -> Iterator[Dims | None]:
    axis, start = call.args["dim"], 0
    for tensor in call.made:
        end = start + tensor.shape[axis]
        try:
            yield _cut(call, start, end)
        except Moved:
            yield None
        start = end


def _of_shape(dims: Dims | None, tensor: Tensor) -> Dims | None:
    """The dimensions, if they are the tensor's; what stands beside (statistics of a norm) has no place."""
    if dims is None:
        return None
    if tuple(map(size_of, dims)) == tuple(tensor.shape):
        return dims
    return None
