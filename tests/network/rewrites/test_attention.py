"""LeGrad's attention gradients against an attention written out here and plain autograd, and against differences."""

from __future__ import annotations

import pytest
import torch
from small import randomised, small, state_of, tiny_swin, tiny_vit
from torch import nn
from torch.nn import functional

from funcam import FuncamError
from funcam.network.cutting import graph_of
from funcam.network.rewrites.attention import attention_gradients, attention_run, transformer

KINDS = (
    *("module", "module, weights", "module, sequence first", "module, masked", "module, float mask"),
    *("fused", "fused, masked", "fused, causal", "written out", "softmax module"),
)

SEEN = torch.ones(17, 17, dtype=torch.bool).tril()  # which keys a query may see, where there is a mask


class Block(nn.Module):
    """A transformer's block; its attention is spelt in one of several ways, with the same weights."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=kind != "module, sequence first")
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.drop, self.softmax = nn.Dropout(0.3), nn.Softmax(dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))

    def attend(self, y: torch.Tensor) -> torch.Tensor:
        if self.kind == "module, sequence first":
            y = y.transpose(0, 1)
            return self.attention(y, y, y, need_weights=False)[0].transpose(0, 1)
        if self.kind.startswith("module"):
            mask = {"module, masked": ~SEEN, "module, float mask": torch.where(SEEN, 0.0, -1e9).to(y)}.get(self.kind)
            return self.attention(query=y, key=y, value=y, attn_mask=mask, need_weights="weights" in self.kind)[0]
        B, T, C = y.shape
        qkv = functional.linear(y, self.attention.in_proj_weight, self.attention.in_proj_bias)
        q, k, v = qkv.reshape(B, T, 3, 2, C // 2).permute(2, 0, 3, 1, 4).unbind(0)
        if self.kind.startswith("fused"):
            mask = SEEN if self.kind == "fused, masked" else None
            causal = self.kind == "fused, causal"
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        else:
            logits = (q @ k.transpose(-2, -1)) / (C // 2) ** 0.5
            A = self.softmax(logits) if self.kind == "softmax module" else logits.softmax(dim=-1)
            y = self.drop(A) @ v
        return self.attention.out_proj(y.transpose(1, 2).reshape(B, T, C))


class Transformer(nn.Module):
    """A Vision Transformer for images of 24 x 40 with one class token and one register."""

    def __init__(self, kind: str, layers: int = 3, width: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.prefix = nn.Parameter(torch.zeros(1, 2, width))
        self.position = nn.Parameter(torch.zeros(1, 17, width))
        self.blocks = nn.Sequential(*(Block(kind, width) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 4)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.prefix.expand(x.shape[0], -1, -1), x], 1) + self.position

    def end(self, z: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(z)[:, 0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.blocks(self.tokens(x)))


def made(kind: str = "module") -> Transformer:
    return randomised(Transformer(kind)).double().eval()


IMAGES = torch.randn(2, 3, 24, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def attention_map(attention, y, masked=False):
    """[B, heads, T, T], one image and head at a time."""
    (wq, wk, _), (bq, bk, _) = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    heads, d = attention.num_heads, y.shape[-1] // attention.num_heads
    rows = []
    for image in y:
        q, k = image @ wq.T + bq, image @ wk.T + bk
        parts = [slice(h * d, (h + 1) * d) for h in range(heads)]
        rows.append(torch.stack([torch.exp(q[:, s] @ k[:, s].T / d**0.5) for s in parts]))
    A = torch.stack(rows) * SEEN if masked else torch.stack(rows)
    return A / A.sum(-1, keepdim=True)


def mixed(attention, y, A):
    """What becomes of the values under an attention map."""
    v = y @ attention.in_proj_weight.chunk(3)[2].T + attention.in_proj_bias.chunk(3)[2]
    v = v.unflatten(-1, (attention.num_heads, -1))
    return torch.einsum("bhts,bshd->bthd", A, v).flatten(2) @ attention.out_proj.weight.T + attention.out_proj.bias


def own_scores(model, images):
    """For each block: its attention map, and the logits of its own output tokens as a function of that map."""
    x = model.tokens(images).detach()
    found = []
    for block in model.blocks:
        A = attention_map(block.attention, block.norm1(x), "mask" in block.kind or "causal" in block.kind).detach()

        def output(A, block=block, x=x):
            z = x + mixed(block.attention, block.norm1(x), A)
            return z + block.mlp(block.norm2(z))

        found.append((A, lambda A, output=output: model.end(output(A))))
        x = output(A).detach()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_rewritten_network_is_the_model_and_holds_its_attention_maps(kind):
    model = made(kind)
    found = transformer(graph_of(model))
    assert list(found.paths) == ["blocks.0", "blocks.1", "blocks.2"]
    blocks, skipping, outputs = found.forward(IMAGES)
    torch.testing.assert_close(outputs, model(IMAGES))
    for block, (want, score) in zip(blocks, own_scores(model, IMAGES), strict=True):
        torch.testing.assert_close(block.attention, want)
        torch.testing.assert_close(block.attention.sum(-1), torch.ones_like(block.attention[..., 0]))
        torch.testing.assert_close(found.end(block.tokens, *skipping), score(want))
    torch.testing.assert_close(found.end(blocks[-1].tokens, *skipping), model(IMAGES))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory", [1, 2**24])
def test_the_gradients_are_those_by_hand(kind, memory):
    model = made(kind)
    gradients = attention_gradients(model, IMAGES, lambda logits: logits[:, [3, 0]], memory=memory)
    assert [tuple(g.shape) for g in gradients] == [(2, 2, 2, 17, 3, 5)] * 3
    for g, (A, score) in zip(gradients, own_scores(model, IMAGES), strict=True):
        for k, target in enumerate([3, 0]):
            A.requires_grad_()
            (want,) = torch.autograd.grad(score(A)[:, target].sum(), A)
            assert want.abs().max() > 0
            torch.testing.assert_close(g[k].flatten(-2), want[..., 2:])


def test_the_gradients_are_differences_of_scores():
    model = made("fused")
    gradients = attention_gradients(model, IMAGES[:1], lambda logits: logits, memory=2**24)
    generator = torch.Generator().manual_seed(0)
    for g, (A, score) in zip(gradients, own_scores(model, IMAGES[:1]), strict=True):
        for _ in range(5):
            head, row, key = (int(torch.randint(n, (), generator=generator)) for n in (2, 17, 15))
            step = torch.zeros_like(A)
            step[0, head, row, 2 + key] = 1e-5
            slope = (score(A + step) - score(A - step))[0] / 2e-5
            torch.testing.assert_close(g[:, 0, head, row].flatten(-2)[:, key], slope, rtol=1e-6, atol=1e-9)


def test_a_batch_is_its_images_and_the_model_stays_as_it_was():
    model = made().train()
    before = state_of(model)
    both = attention_gradients(model, IMAGES, lambda logits: logits.log_softmax(1), memory=2**24)
    second = attention_gradients(model, IMAGES[1:], lambda logits: logits.log_softmax(1), memory=2**24)
    assert state_of(model) == before
    assert transformer(graph_of(model)) is transformer(graph_of(model))
    for a, b in zip(both, second, strict=True):
        torch.testing.assert_close(a[:, 1:], b)


def test_torchvisions_transformer():
    model, images = tiny_vit().double(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(attention_run(model, images).outputs, model(images))
    gradients = attention_gradients(model, images, lambda logits: logits, memory=2**24)
    assert [tuple(g.shape) for g in gradients] == [(5, 2, 2, 17, 4, 4)] * 2
    # the last block's own score is the model's: a hook-free check through the values that it averages
    layer = model.encoder.layers[-1]
    seen = []
    handle = layer.ln_1.register_forward_hook(lambda _m, given, out: seen.append((given[0].detach(), out.detach())))
    model(images)
    handle.remove()
    x, y = seen[0]
    A = attention_map(layer.self_attention, y).detach().requires_grad_()
    z = x + mixed(layer.self_attention, y, A)
    logits = model.heads(model.encoder.ln(z + layer.mlp(layer.ln_2(z)))[:, 0])
    torch.testing.assert_close(logits, model(images))
    (want,) = torch.autograd.grad(logits[:, 2].sum(), A)
    torch.testing.assert_close(gradients[-1][2].flatten(-2), want[..., 1:])


@pytest.mark.parametrize("fused", [True, False])
def test_timms_transformer(fused):
    timm = pytest.importorskip("timm")
    before = timm.layers.config.use_fused_attn()
    timm.layers.set_fused_attn(fused)
    try:
        options = {"depth": 2, "embed_dim": 24, "num_classes": 5, "img_size": 32, "patch_size": 8}
        model = randomised(timm.create_model("vit_tiny_patch16_224", **options)).eval()
    finally:
        timm.layers.set_fused_attn(bool(before))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(attention_run(model, images).outputs, model(images))
    gradients = attention_gradients(model, images, lambda logits: logits[:, :2], memory=2**24)
    assert [tuple(g.shape) for g in gradients] == [(2, 2, 3, 17, 4, 4)] * 2
    assert all(g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_hugging_faces_transformer(attention):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=4)
    config._attn_implementation = attention
    model = randomised(transformers.ViTForImageClassification(config)).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(attention_run(model, images).outputs.logits, model(images).logits)
    gradients = attention_gradients(model, images, lambda outputs: outputs.logits[:, :3], memory=2**24)
    assert [tuple(g.shape) for g in gradients] == [(3, 2, 2, 17, 4, 4)] * 2
    seen = []
    handle = model.vit.layernorm.register_forward_hook(lambda _m, given, _out: seen.append(given[0]))
    (A,) = model(images, output_attentions=True).attentions[-1:] if attention == "eager" else (None,)
    if A is not None:  # transformers' own map of the last block, whose own score is the model's
        A.retain_grad()
        model.classifier(model.vit.layernorm(seen[0])[:, 0])[:, 1].sum().backward()
        torch.testing.assert_close(gradients[-1][1].flatten(-2), A.grad[..., 1:])
    handle.remove()


class Encoded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 8, stride=8), nn.Linear(8, 3)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.encoder(self.conv(x).flatten(2).transpose(1, 2)).mean(1))


class Flat(Transformer):
    """The same transformer, but its blocks are no modules."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.tokens(x)
        for block in self.blocks:
            x = x + block.attention(*[block.norm1(x)] * 3)[0]
            x = x + block.mlp(block.norm2(x))
        return self.end(x)


class Windows(Transformer):
    """A transformer whose tokens see only those of their own half."""

    def __init__(self) -> None:
        super().__init__("module")
        self.blocks = nn.Sequential(*(Window(8) for _ in range(2)))

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        return self.patches(x).flatten(2).transpose(1, 2)


class Window(Block):
    def __init__(self, width: int) -> None:
        super().__init__("module", width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.reshape(-1, 5, 8)).reshape(-1, 15, 8)


@pytest.mark.parametrize(
    ("make", "size", "lack"),
    [
        (small, (32, 32), "Small has no attention that can be reached"),
        (tiny_swin, (32, 32), "SwinTransformer has attention inside windows only"),
        (Encoded, (32, 32), "out of reach inside 'encoder'"),
        (lambda: Flat("module"), (24, 40), "no chain of blocks"),
        (Windows, (24, 40), r"no attention over all 15 tokens: 'blocks.0' has maps \[6, 2, 5, 5\]"),
    ],
)
def test_a_model_that_is_no_vision_transformer_is_refused(make, size, lack):
    model = make().eval()
    before = state_of(model)
    with pytest.raises(FuncamError, match=rf"le-grad is for Vision Transformers: .*{lack}.*; use grad-cam"):
        attention_gradients(model, torch.randn(2, 3, *size), lambda logits: logits, memory=2**24)
    assert state_of(model) == before


def test_attention_that_cannot_be_written_out_is_refused():
    model = made()
    for block in model.blocks:
        block.attention.add_zero_attn = True
    with pytest.raises(FuncamError, match="add_zero_attn can't be written out; use grad-cam"):
        attention_gradients(model, IMAGES, lambda logits: logits, memory=2**24)
