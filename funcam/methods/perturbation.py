"""Methods that change the features or the image and look at what becomes of the scores; no gradient is needed.

Each is for ONE image and K scores: it is given a pure function of a batch of rows, `head` (features `[n, C, *S]` ->
scores `[n, K]`) or `network` (images `[n, channels, *size]` -> `[n, K]`), calls it with at most `chunk` rows
at a time and returns `[K, *S]`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.func import vmap
from torch.nn.functional import interpolate

from funcam.errors import FuncamError, whole_number
from funcam.methods.noise import gaussian
from funcam.methods.reduce import Reduce, at_least_single, positive_sum

Scores = Callable[[torch.Tensor], torch.Tensor]

_LINEAR = ("linear", "bilinear", "trilinear")


def ablation_cam(head: Scores, A: torch.Tensor, *, chunk: int = 64, reduce: Reduce = positive_sum) -> torch.Tensor:
    """Ablation-CAM: channels weighted by what the score loses without them, `w_k = (S - S_without_k) / |S|`.

    The paper divides by `S`; the magnitude makes no difference where `S > 0` and keeps the weight of a channel that
    the score needs positive where `S < 0`. Where `S = 0` the difference is not divided. Exact: every channel is
    set to zero in turn, and only the head is computed again.

    Args:
        head: the rest of the network, `[n, C, *S]` -> scores `[n, K]`; it must not change its argument.
        A: features of one image, `[C, *S]`.
        chunk: the number of rows for one call of the head.
        reduce: how the weighted channels become a map.

    Returns:
        `[K, *S]`, not negative by default.

    Raises:
        FuncamError: the head works in place on its argument, or a chunk of less than one row is asked for.

    Source:
        Desai and Ramaswamy, WACV 2020, Eq. 2 and 3.

    Example:
        >>> ablation_cam(lambda rows: rows.mean(2), torch.tensor([[1.0, 3.0], [2.0, 0.0]]))
        tensor([[1., 3.],
                [2., 0.]])
    """
    check_counts(chunk=chunk)
    S = at_least_single(head(A[None].clone()))  # the features are the caller's, should the head work in place
    without = at_least_single(_scores_without(head, A, chunk))
    return _weighted(reduce, A, (S - without) / torch.where(S == 0, 1.0, S.abs()))


def _scores_without(head: Scores, A: torch.Tensor, chunk: int) -> torch.Tensor:
    """`[C, K]`: the scores with each channel set to zero."""
    channels = torch.arange(len(A), device=A.device)
    if torch.is_grad_enabled():  # what is differentiated can't be overwritten
        column = channels.view(-1, *[1] * (A.ndim - 1))
        parts = [
            head(torch.where(part.view(-1, *[1] * A.ndim) == column, 0.0, A)) for part in torch.split(channels, chunk)
        ]
        return torch.cat(parts)
    rows = A.expand(min(chunk, len(A)), *A.shape).clone()
    scores: list[torch.Tensor] = []
    for part in torch.split(A, chunk):
        first = len(scores) * chunk
        ablated = rows[: len(part), first : first + len(part)].diagonal()  # [*S, n]: row i without channel first + i
        ablated.zero_()
        scores.append(head(rows[: len(part)]).clone())  # a view of the rows would change with them
        ablated.copy_(part.movedim(0, -1))
        if first == 0 and not torch.compiler.is_dynamo_compiling() and _differ(rows, A):
            raise FuncamError(
                "the head changes its argument in place, so its rows can't be used again; expected a pure function: "
                "look for inplace=True or +=, or give it a copy, `lambda rows: head(rows.clone())`"
            )
    return torch.cat(scores)


def _differ(rows: torch.Tensor, A: torch.Tensor) -> bool:
    """Whether any row isn't `A` any more; NaN is what it was."""
    return not torch.equal(rows.nan_to_num(), A.nan_to_num().expand_as(rows))


def score_cam(
    network: Scores,
    image: torch.Tensor,
    A: torch.Tensor,
    *,
    chunk: int = 16,
    strongest: int | None = None,
    reduce: Reduce = positive_sum,
) -> torch.Tensor:
    """Score-CAM: `w_k = softmax_k S(image * mask_k)`, `mask_k` the upsampled channel brought to 0..1.

    The paper subtracts the score of a baseline image, which cancels in the softmax. Constant channels, which have no
    mask, are left out of the softmax and of the sum.

    Args:
        network: `[n, channels, *size]` -> scores `[n, K]`.
        image: `[channels, *size]`, as the network takes it.
        A: its features, `[C, *S]`.
        chunk: the number of images for one call of the network.
        strongest: only the channels with the largest standard deviation over space, so many of them; None for all.
        reduce: how the weighted channels become a map.

    Returns:
        `[K, *S]`, not negative by default.

    Raises:
        FuncamError: `chunk` or `strongest` is less than one.

    Source:
        Wang et al., CVPR workshops 2020, arXiv:1910.01279, Eq. 5 to 8.

    Example:
        >>> A = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]], [[1.0, 1.0]]])
        >>> left = lambda rows: 20 * rows[:, 0, :, :2].sum((1, 2))[:, None]
        >>> score_cam(left, torch.ones(1, 1, 4), A).round(decimals=3)
        tensor([[[1., 0.]]])
    """
    check_counts(chunk=chunk)
    channels = _masking_channels(A, strongest)
    scores = _scores_behind_masks(network, image, A[channels], chunk)
    return _weighted(reduce, A[channels], scores.softmax(0))


def score_cam_authors(
    network: Scores,
    image: torch.Tensor,
    A: torch.Tensor,
    *,
    chunk: int = 16,
    strongest: int | None = None,
    reduce: Reduce = positive_sum,
) -> torch.Tensor:
    """Score-CAM as in its authors' code: `w_k = S(image * mask_k)`, the network's output itself, no softmax over k.

    In that code the output is the probability of the class: give a `network` that ends in a softmax over classes.

    Args:
        network: `[n, channels, *size]` -> probabilities `[n, K]`.
        image: `[channels, *size]`, as the network takes it.
        A: its features, `[C, *S]`.
        chunk: the number of images for one call of the network.
        strongest: only the channels with the largest standard deviation over space, so many of them; None for all.
        reduce: how the weighted channels become a map.

    Returns:
        `[K, *S]`, not negative by default.

    Raises:
        FuncamError: `chunk` or `strongest` is less than one.

    Source:
        The code published with arXiv:1910.01279 (`cam/scorecam.py`).

    Example:
        >>> A = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
        >>> score_cam_authors(lambda rows: rows.mean((1, 2, 3))[:, None], torch.ones(1, 1, 2), A)
        tensor([[[0.5000, 0.5000]]])
    """
    check_counts(chunk=chunk)
    channels = _masking_channels(A, strongest)
    return _weighted(reduce, A[channels], _scores_behind_masks(network, image, A[channels], chunk))


def ss_cam(
    network: Scores,
    image: torch.Tensor,
    A: torch.Tensor,
    *,
    samples: int = 10,
    noise: float = 2.0,
    seed: int = 0,
    chunk: int = 16,
    strongest: int | None = None,
    reduce: Reduce = positive_sum,
) -> torch.Tensor:
    """SS-CAM: Score-CAM whose masks carry noise, `w_k = softmax_k mean_i S(image * (mask_k + noise_i))`.

    The noise is added to the upsampled, normalised mask, as in the package torchcam, whose default of 35 samples
    needs 35 times the passes of Score-CAM.

    Args:
        network: `[n, channels, *size]` -> scores `[n, K]`.
        image: `[channels, *size]`, as the network takes it.
        A: its features, `[C, *S]`.
        samples: how many noisy masks for each channel.
        noise: the standard deviation of the noise; the masks lie in 0..1.
        seed: where the random numbers start. Torch's own random numbers are left alone.
        chunk: the number of images for one call of the network; the result does not depend on it.
        strongest: only the channels with the largest standard deviation over space, so many of them; None for all.
        reduce: how the weighted channels become a map.

    Returns:
        `[K, *S]`, not negative by default.

    Raises:
        FuncamError: `chunk`, `samples` or `strongest` is less than one.

    Source:
        Wang et al., 2020, arXiv:2006.14255, section 3 (noise on the feature map).

    Example:
        >>> A = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
        >>> left = lambda rows: 20 * rows[:, 0, :, :2].sum((1, 2))[:, None]
        >>> ss_cam(left, torch.ones(1, 1, 4), A, noise=0.01).round(decimals=3)
        tensor([[[1., 0.]]])
    """
    check_counts(chunk=chunk, samples=samples)
    generator = torch.Generator().manual_seed(seed)

    def noisy(masks: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        return masks + noise * gaussian(generator, masks)

    channels = _masking_channels(A, strongest)
    scores = _scores_behind_masks(network, image, A[channels], chunk, samples, noisy)
    return _weighted(reduce, A[channels], scores.softmax(0))


def is_cam(
    network: Scores,
    image: torch.Tensor,
    A: torch.Tensor,
    *,
    samples: int = 10,
    chunk: int = 16,
    strongest: int | None = None,
    reduce: Reduce = positive_sum,
) -> torch.Tensor:
    """IS-CAM: Score-CAM integrated over the scale of the mask, `w_k = softmax_k mean_i S(image * mask_k * i/N)`.

    `i` runs from 1 to N: the score is integrated from the empty mask, which cancels in the softmax, to the full one.
    The package torchcam adds the steps up, so that its last mask is scaled by `(N + 1) / 2`, outside 0..1.

    Args:
        network: `[n, channels, *size]` -> scores `[n, K]`.
        image: `[channels, *size]`, as the network takes it.
        A: its features, `[C, *S]`.
        samples: `N`, the number of steps.
        chunk: the number of images for one call of the network.
        strongest: only the channels with the largest standard deviation over space, so many of them; None for all.
        reduce: how the weighted channels become a map.

    Returns:
        `[K, *S]`, not negative by default.

    Raises:
        FuncamError: `chunk`, `samples` or `strongest` is less than one.

    Source:
        Naidu et al., 2020, arXiv:2010.03023, section 3.

    Example:
        >>> A = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
        >>> left = lambda rows: 20 * rows[:, 0, :, :2].sum((1, 2))[:, None]
        >>> is_cam(left, torch.ones(1, 1, 4), A).round(decimals=3)
        tensor([[[1., 0.]]])
    """
    check_counts(chunk=chunk, samples=samples)

    def scaled(masks: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        return masks * ((sample + 1) / samples).to(masks.dtype).view(-1, *[1] * (masks.ndim - 1))

    channels = _masking_channels(A, strongest)
    scores = _scores_behind_masks(network, image, A[channels], chunk, samples, scaled)
    return _weighted(reduce, A[channels], scores.softmax(0))


def check_counts(**counts: int) -> None:
    """Refuse counts less than one.

    Raises:
        FuncamError: which one, and what it was.

    Example:
        >>> check_counts(chunk=16)
    """
    for name, count in counts.items():
        whole_number(name, count, 1)


def _masking_channels(A: torch.Tensor, strongest: int | None) -> torch.Tensor:
    """The channels that can be a mask, because they aren't constant; of these the strongest, in their own order."""
    flat = A.detach().flatten(1)
    channels = (flat.amax(1) > flat.amin(1)).nonzero().flatten()
    if strongest is not None:
        check_counts(strongest=strongest)
        spread = at_least_single(flat[channels]).std(1, correction=0)
        channels = channels[spread.topk(min(strongest, len(channels))).indices.sort().values]
    return channels


def _scores_behind_masks(
    network: Scores,
    image: torch.Tensor,
    A: torch.Tensor,
    chunk: int,
    samples: int = 1,
    change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """`[C, K]`: the scores of the image behind each channel's mask, averaged over the samples of each."""
    if not len(A):
        return at_least_single(network(image[None].clone())[:0])
    scores = []
    for rows in torch.split(torch.arange(len(A) * samples, device=A.device), chunk):
        masks = _masks(A[rows // samples], image.shape[1:])
        if change is not None:
            masks = change(masks, rows % samples)
        scores.append(network(masks * image))
    return at_least_single(torch.cat(scores)).view(len(A), samples, -1).mean(1)


def _masks(A: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Channels `[n, *S]` upsampled, then each brought to 0..1: `[n, 1, *size]`."""
    masks = interpolate(A[:, None], list(size), mode=_LINEAR[len(size) - 1], align_corners=False)
    space = tuple(range(1, masks.ndim))
    low = masks.amin(space, keepdim=True)
    spread = masks.amax(space, keepdim=True) - low
    return (masks - low) / torch.where(spread == 0, 1.0, spread)


def _weighted(reduce: Reduce, A: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The reduction for weights `[C, K]`: `[K, *S]`."""
    terms = A.to(w.dtype)
    if w.shape[1] == 1:  # the usual case, spared the cost of batching
        return reduce(terms, w[:, 0])[None]
    return vmap(reduce, in_dims=(None, 1))(terms, w)
