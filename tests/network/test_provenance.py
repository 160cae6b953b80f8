"""Where a tensor has the image's axes is followed through operations: what is said to be followed is where it is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokens import H, W, cells
from torch import Tensor, nn

from funcam.network.layout import Layout
from funcam.network.provenance import Provenance


def follow(images, run) -> tuple[Tensor, Layout | None]:
    """What a run makes of images, and how it holds the map; None where that isn't known for certain."""
    with Provenance(images) as followed:
        tensor = run(images)
    return tensor, followed.layout_of(tensor)


MOVES = {
    "relu": lambda y: y.relu(),
    "twice": lambda y: y * 2 + y,
    "turn": lambda y: y.transpose(2, 3),
    "mirror": lambda y: y.flip(-1),
    "roll": lambda y: y.roll(1, 2),
    "shuffle channels": lambda y: y.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2),
    "another channel": lambda y: y[:, 1:].repeat(1, 2, 1, 1)[:, :4],
    "tokens and back": lambda y: y.flatten(2).transpose(1, 2).transpose(1, 2).unflatten(2, y.shape[2:]),
    "last and back": lambda y: y.permute(0, 2, 3, 1).permute(0, 3, 2, 1),
    "other rows": lambda y: y.flatten(2).unflatten(2, y.shape[:1:-1]),
    "split": lambda y: torch.cat(y.chunk(2, 1)[::-1], 1),
    "gate": lambda y: y * y.mean((2, 3), keepdim=True).sigmoid(),
}


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=4), st.integers(0, 3), st.integers(0, 4))
def test_what_is_followed_is_where_the_image_is(moves, row, column):
    """One bright pixel: where the operations are said to leave the axes alone, it is where it was."""
    image = torch.zeros(1, 4, 4, 5)
    image[:, :, row, column] = 1

    def run(y: Tensor) -> Tensor:
        for move in moves:
            y = MOVES[move](y)
        return y

    tensor, layout = follow(image, run)
    if layout:
        lit = layout.to_map(tensor).abs().sum(1)[0].nonzero().tolist()
        assert lit in ([], [[row, column]])


def test_convolutional_networks_are_followed_without_a_probe():
    for moves in (["relu", "twice"], ["shuffle channels", "gate", "split"]):

        def run(y: Tensor, moves=moves) -> Tensor:
            for move in moves:
                y = MOVES[move](y)
            return y

        assert follow(torch.rand(1, 4, 4, 5), run)[1]


def random_mix(y: Tensor) -> Tensor:
    """Another mixture of all channels but the first two, which tell where a cell is."""
    weight = torch.eye(y.shape[-1])
    weight[2:, 2:] = torch.rand(y.shape[-1] - 2, y.shape[-1] - 2)
    return y @ weight


def two_heads(y: Tensor) -> Tensor:
    return y.unflatten(-1, (2, -1)).transpose(1, 2).transpose(1, 2).flatten(-2)


def own_attention(y: Tensor) -> Tensor:
    """Attention over all tokens, to nothing but the token itself."""
    alone = torch.eye(y.shape[1]).log()
    return nn.functional.scaled_dot_product_attention(y, y, y, attn_mask=alone)


def attention_by_hand(y: Tensor) -> Tensor:
    alone = torch.eye(y.shape[1]).log()
    q, k, v = (y.unflatten(-1, (2, -1)).transpose(1, 2) for _ in range(3))
    return (((q @ k.transpose(-2, -1)).softmax(-1) + alone).softmax(-1) @ v).transpose(1, 2).reshape(y.shape)


def in_windows(y: Tensor, undo: bool = True) -> Tensor:
    """Tokens of a grid of 4 x 6 in windows of 2 x 3, and back."""
    w = y.reshape(len(y), 2, 2, 2, 3, y.shape[-1]).transpose(2, 3)
    w = random_mix(w.reshape(-1, 6, y.shape[-1]))
    w = w.reshape(len(y), 2, 2, 2, 3, y.shape[-1])
    return (w.transpose(2, 3) if undo else w).reshape(y.shape)


def with_class_token(y: Tensor) -> Tensor:
    return torch.cat([torch.ones(1, 1, y.shape[-1]), y], 1)


def rolled_away_and_back(y: Tensor, back: int = 2) -> Tensor:
    g = y.unflatten(1, (H, W)).roll((-1, -2), (1, 2))
    return g.roll((1, back), (1, 2)).flatten(1, 2)


def padded_and_cut(y: Tensor, cut: int = W) -> Tensor:
    g = nn.functional.pad(y.unflatten(1, (H, W)), (0, 0, 0, 6, 0, 4))
    return g[:, :H, :cut].reshape(y.shape[0], -1, y.shape[-1])


def written(y: Tensor) -> Tensor:
    out = torch.zeros_like(y)
    out.transpose(0, 1).copy_(y.transpose(0, 1).flip(0))
    return y * 0 + out


# From tokens of a grid of 4 x 6 to such tokens; the first two channels tell the row and the column.
ON_TOKENS = {
    "linear": random_mix,
    "heads": two_heads,
    "attention": own_attention,
    "attention by hand": attention_by_hand,
    "windows": in_windows,
    "class token": lambda y: with_class_token(y)[:, 1:],
    "class token behind": lambda y: torch.cat([y, torch.zeros(1, 2, y.shape[-1])], 1).split([H * W, 2], 1)[0],
    "view there and back": lambda y: y.transpose(1, 2).reshape(1, -1, H, W).flatten(2).transpose(1, 2),
    "columns and back": lambda y: y.unflatten(1, (H, W)).transpose(1, 2).transpose(1, 2).flatten(1, 2),
    "tokens first": lambda y: (y.transpose(0, 1) + torch.zeros(H * W, 1, 1)).transpose(0, 1),
    "position embedding": lambda y: y + torch.zeros(1, H * W, y.shape[-1]),
    "roll": rolled_away_and_back,
    "pad": padded_and_cut,
    "einsum": lambda y: torch.einsum("bnc,cd->bnd", y, torch.eye(y.shape[-1])),
    "in place": lambda y: y.clone().mul_(1).add_(torch.zeros(1, 1, 1)),
}
ASTRAY = {
    "windows kept": lambda y: in_windows(y, undo=False),
    "rolled": lambda y: rolled_away_and_back(y, back=1),
    "turned view": lambda y: y.unflatten(1, (W, H)).transpose(1, 2).flatten(1, 2),
    "mirror": lambda y: y.flip(1),
    "order": lambda y: y[:, torch.arange(H * W - 1, -1, -1)],
    "sorted": lambda y: y.sort(1, descending=True)[0],
    "halves": lambda y: torch.cat(y.chunk(2, 1)[::-1], 1),
    "cut the other end": lambda y: with_class_token(y)[:, :-1],
    "written to a view": written,
    "a window": lambda y: y[:, 2:14],
    "rows for columns": lambda y: y.unflatten(1, (H, W)).transpose(1, 2).reshape(y.shape),
}
LAST = {
    "tokens": lambda y: y,
    "class token": with_class_token,
    "registers": lambda y: torch.cat([with_class_token(with_class_token(y)), torch.ones(1, 1, y.shape[-1])], 1),
    "tokens first": lambda y: y.transpose(0, 1),
    "tokens last": lambda y: y.transpose(1, 2),
    "channels last": lambda y: y.unflatten(1, (H, W)),
    "turned": lambda y: y.unflatten(1, (H, W)).transpose(1, 2),
    "channels first": lambda y: y.transpose(1, 2).unflatten(2, (H, W)),
    "columns": lambda y: y.unflatten(1, (H, W)).transpose(1, 2).reshape(y.shape),
}


def told_places() -> Tensor:
    """An image of 4 x 6 whose first two channels are the row and the column."""
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    return torch.cat([torch.stack([rows, columns])[None].float(), torch.rand(1, 6, H, W)], 1)


def followed_places(moves, last) -> tuple[Tensor, Layout | None]:
    def run(x: Tensor) -> Tensor:
        y = cells(x)
        for move in moves:
            y = move(y)
        return last(y)

    return follow(told_places(), run)


MOST = st.lists(st.sampled_from(sorted(ON_TOKENS)), max_size=4)


@given(MOST, st.sampled_from(sorted(LAST)))
def test_tokens_are_followed_to_where_their_own_values_say(moves, last):
    tensor, layout = followed_places([ON_TOKENS[move] for move in moves], LAST[last])
    assert layout is not None
    torch.testing.assert_close(layout.to_map(tensor)[:, :2], told_places()[:, :2])


@given(MOST, st.sampled_from(sorted(ASTRAY)), st.lists(st.sampled_from(sorted(ON_TOKENS | ASTRAY)), max_size=2))
def test_what_goes_astray_is_not_said_to_be_followed(before, astray, after):
    known = ON_TOKENS | ASTRAY
    moves = [known[move] for move in (*before, astray, *after)]
    try:
        tensor, layout = followed_places(moves, lambda y: y)
    except (RuntimeError, IndexError):  # the next move doesn't fit the shape
        return
    if layout is not None:
        torch.testing.assert_close(layout.to_map(tensor)[:, :2], told_places()[:, :2])


@pytest.mark.parametrize("astray", [name for name in ASTRAY if name != "rows for columns"])
def test_each_that_goes_astray_alone_is_unknown(astray):
    assert followed_places([ASTRAY[astray]], lambda y: y)[1] is None


def test_values_without_a_place_change_nothing():
    def gated(y: Tensor) -> Tensor:
        pooled = y.mean(1, keepdim=True)
        return y * pooled.sigmoid() + nn.functional.linear(pooled, torch.rand(8, 8))

    assert followed_places([gated], lambda y: y)[1] == Layout("tokens", grid=(H, W))
    assert followed_places([lambda y: y.mean(1)], lambda y: y)[1] is None
