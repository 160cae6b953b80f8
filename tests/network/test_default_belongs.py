"""The default layer belongs to the score: it has a derivative by it, and class tokens read it as it is."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import funcam

IMAGES = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def conv(channels, out):
    return nn.Sequential(nn.Conv2d(channels, out, 3, 2, 1), nn.ReLU())


class Branches(nn.Module):
    """Two branches behind a stem; what is made of them is a function."""

    def __init__(self, join):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.a, self.b, self.fc, self.join = conv(3, 8), conv(8, 8), conv(8, 8), nn.Linear(8, 5), join
        self.register_buffer("table", torch.randn(8, 5))

    def forward(self, x):
        return self.join(self, self.stem(x))

    def logits(self, A):
        return self.fc(A.mean((2, 3)))


def without_gradients(net, y):
    with torch.no_grad():
        beside = net.logits(net.b(y))
    return net.logits(net.a(y)) + beside


def picked(net, y, index):
    return net.logits(net.a(y)) + net.table[index(net.b(y).mean((2, 3)))]


CUT_OFF = {
    "the place of the largest": lambda net, y: picked(net, y, lambda v: v.max(1)[1]),
    "places by name": lambda net, y: picked(net, y, lambda v: v.topk(1).indices[:, 0]),
    "the order": lambda net, y: picked(net, y, lambda v: v.sort(1)[1][:, 0]),
    "rounded": lambda net, y: net.logits(net.a(y)) + net.logits(net.b(y)).mul(9).round(),
    "the sign": lambda net, y: net.logits(net.a(y)) + net.logits(net.b(y)).sign(),
    "an attribute": lambda net, y: net.logits(net.a(y)) + net.logits(net.b(y)).data,
    "one of so many, of a type": lambda net, y: (
        net.logits(net.a(y)) + nn.functional.one_hot(net.logits(net.b(y)).argmax(1), 5).to(net.b(y))
    ),
    "detached at its end": lambda net, y: net.logits(net.a(y)) + net.logits(net.b(y)).detach(),
    "detached in between": lambda net, y: net.logits(net.a(y)) + net.fc(net.b(y).mean((2, 3)).detach()),
    "a detached gate": lambda net, y: net.logits(net.a(y)) * net.logits(net.b(y)).detach().sigmoid(),
    "a comparison": lambda net, y: net.logits(net.a(y)) * (net.b(y).mean((1, 2, 3)) > 0)[:, None].float(),
    "without gradients": without_gradients,
}


@pytest.mark.parametrize("case", CUT_OFF)
def test_a_branch_without_a_derivative_is_not_the_default(case):
    model = Branches(CUT_OFF[case]).eval()
    result = funcam.explain(model, IMAGES, 1)
    assert result.layer == "a"
    A = model.a(model.stem(IMAGES)).detach().requires_grad_()
    parts = {"a detached gate": model.logits(model.b(model.stem(IMAGES))).sigmoid()}
    gate = parts[case].detach() if case in parts else 1.0
    if case == "a comparison":
        gate = (model.b(model.stem(IMAGES)).mean((1, 2, 3)) > 0)[:, None].float()
    (g,) = torch.autograd.grad((model.logits(A) * gate)[:, 1].sum(), A)
    expected = (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()
    torch.testing.assert_close(result.maps, expected)


def test_a_layer_in_own_code_has_a_derivative_by_the_score():
    """With a branch on values there is no graph: what is in front of both branches carries everything."""
    model = Branches(lambda net, y: CUT_OFF["detached in between"](net, y) if y.sum() != 0 else y).eval()
    result = funcam.explain(model, IMAGES, 1)
    assert result.layer in ("stem", "a")
    assert result.maps.any()


def test_logits_that_are_detached_are_told_so():
    with pytest.raises(funcam.FuncamError, match="leads to the score; where its code runs without gradients"):
        funcam.explain(Branches(lambda net, y: net.logits(net.a(y)).detach()).eval(), IMAGES)


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x, queries=None):
        q, k, v = self.qkv(x).chunk(3, -1)
        q = q if queries is None else q[:, :queries]
        return self.proj((q @ k.transpose(1, 2) / 4).softmax(-1) @ v)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.attn, self.norm2, self.fc = (
            nn.LayerNorm(width),
            Attention(width),
            nn.LayerNorm(width),
            nn.Linear(width, width),
        )

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc(self.norm2(x)).relu()


class ClassBlock(Block):
    """Class attention (CaiT): the class token alone asks, the patches stay what they are."""

    def forward(self, token, x):
        token = token + self.attn(self.norm1(torch.cat([token, x], 1)), 1)
        return token + self.fc(self.norm2(token)).relu()


class Side(nn.Module):
    """Attentions side by side, each with a norm of its own."""

    def __init__(self, width):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.attns = nn.ModuleList([Attention(width) for _ in range(2)])

    def forward(self, x):
        return x + self.attns[0](self.norms[0](x)) + self.attns[1](self.norms[1](x))


class Tokens(nn.Module):
    """Patches; a class token joins behind the blocks, or in front of them."""

    def __init__(self, blocks, late=0):
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.randn(1, 1, 16))
        self.blocks, self.late = nn.Sequential(*blocks), nn.ModuleList([ClassBlock(16) for _ in range(late)])
        self.norm, self.fc = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        token = self.token.expand(x.shape[0], -1, -1)
        if not self.late:
            return self.fc(self.norm(self.blocks(torch.cat([token, x], 1)))[:, 0])
        x = self.blocks(x)
        for block in self.late:
            token = block(token, x)
        return self.fc(self.norm(torch.cat([token, x], 1))[:, 0])


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (Tokens([Block(16), Block(16)], late=2), "blocks"),
        (Tokens([Block(16)], late=1), "blocks.0"),
        (Tokens([Block(16), Block(16)]), "blocks.1.norm1"),
        (Tokens([Block(16), Side(16)]), "blocks.0"),
    ],
    ids=["class attention", "one block of it", "a class token from the start", "attentions side by side"],
)
def test_the_map_that_the_class_token_reads(model, layer):
    model.eval()
    result = funcam.explain(model, IMAGES, 1)
    named = funcam.explain(model, IMAGES, 1, layer=layer)
    assert result.maps.shape == (2, 4, 6)
    assert result.layer.startswith(layer.partition(".")[0])
    torch.testing.assert_close(result.maps, named.maps)
    assert result.maps.any()


class Late(Tokens):
    """A class token joins in the midst of the blocks, by code that branches on values."""

    def forward(self, x):
        x = self.blocks[0](self.patch(x).flatten(2).transpose(1, 2))
        if x.sum() != 0:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        for block in self.blocks[1:]:
            x = block(x)
        return self.fc(self.norm(x)[:, 0])


def test_patches_that_are_mixed_behind_a_late_class_token():
    """In front of the token's joining a map carries everything, but the patches see each other once more behind it."""
    model = Late([Block(16), Block(16), Block(16)]).eval()
    assert funcam.explain(model, IMAGES, 1).layer == "blocks.2.norm1"


class OneToken(Tokens):
    """The first patch's token is classified, though it is no class token."""

    def forward(self, x):
        return self.fc(self.norm(self.blocks(self.patch(x).flatten(2).transpose(1, 2)))[:, 0])


def test_a_token_that_is_read_alone_is_no_map():
    result = funcam.explain(OneToken([Block(16), Block(16)]).eval(), IMAGES, 1)
    assert result.layer not in ("norm", "blocks", "blocks.1")
    assert ((result.maps > 0).sum((1, 2)) > 1).all()


class Scales(nn.Module):
    """A detector in small: scores at two scales, to both of which the deepest map leads."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.middle, self.deep = conv(3, 8), conv(8, 8), conv(8, 8)
        self.fine, self.coarse = nn.Conv2d(16, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.of_fine, self.of_coarse = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        middle = self.middle(self.stem(x))
        deep = self.deep(middle)
        joined = torch.cat([middle, nn.functional.interpolate(deep, middle.shape[2:])], 1)
        fine, coarse = self.of_fine(self.fine(joined).relu()), self.of_coarse(self.coarse(deep).relu())
        return {"scores": torch.cat([fine.flatten(2), coarse.flatten(2)], 2), "boxes": x.mean()}


def test_the_scores_of_several_scales_have_the_map_that_leads_to_all():
    """The finer scale also reads the map in front of the deepest one, and that is told."""
    model, score = Scales().eval(), lambda outputs: outputs["scores"][:, 1].sum(1)
    with pytest.warns(
        funcam.FuncamWarning,
        match=r"most of it passes 'deep', and the rest goes around it; layer=\['of_fine', 'coarse'",
    ):
        assert funcam.explain(model, IMAGES, score).layer == "deep"
    assert funcam.explain(model, IMAGES, score, layer=["of_fine", "coarse"]).maps.any()


class Dense(nn.Module):
    """Maps are returned, and a norm stands behind the last convolution."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.last = conv(3, 8), nn.Sequential(nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x):
        y = self.body(x)
        return self.last(y) if y.sum() != 0 else y


def test_maps_that_are_returned_are_no_layer_of_their_own():
    result = funcam.explain(Dense().eval(), IMAGES, lambda outputs: outputs[:, 1].mean((1, 2)))
    assert result.layer == "body"


def body():
    return nn.Sequential(conv(3, 8), conv(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))


class Two(nn.Module):
    def __init__(self, join):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.join = body(), body(), join

    def forward(self, x):
        return self.join(self, x)


@pytest.mark.parametrize(
    ("join", "several"),
    [
        (lambda net, x: net.a(x) + net.b(x), True),
        (lambda net, x: net.a(x) + net.a(x.flip(-1)), False),
        (lambda net, x: net.a(x.flip(-1)) + net.b(x), False),
    ],
    ids=["two networks", "a mirrored pass", "a mirrored network"],
)
def test_branches_that_are_named_hold_maps(join, several):
    model = Two(join).eval()
    with pytest.warns(funcam.FuncamWarning, match="no layer carries all") as told:
        funcam.explain(model, IMAGES, 1)
    words = str(told[0].message)
    assert ("layer=[" in words) == several
    assert ("the others hold no map" in words) == (not several)
    if several:
        names = words.partition("layer=[")[2].partition("]")[0].replace("'", "").split(", ")
        assert funcam.explain(model, IMAGES, 1, layer=names).maps.any()


class Own(nn.Module):
    """A model in code that branches on values, so that no graph can be had of it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) if x.sum() != 0 else x


DEEPER = {
    "added": lambda net, y: net.logits(net.a(y)) + net.logits(net.b(y)),
    "multiplied": lambda net, y: net.logits(net.a(y)) * net.logits(net.b(y)).sigmoid(),
    "the features joined": lambda net, y: net.fc(net.a(y).mean((2, 3)) - net.b(y).amax((2, 3))),
}


@pytest.mark.parametrize("made", [lambda inner: inner, Own], ids=["a graph", "own code"])
@pytest.mark.parametrize("how", DEEPER)
def test_branches_that_are_deeper_than_what_carries_everything_are_told(how, made):
    """The stem carries all, but the network goes on behind it, in two branches that meet behind their maps."""
    model = Branches(DEEPER[how]).eval()
    whole = made(model)
    a, b = (name for name, module in whole.named_modules() if module in (model.a, model.b))
    with pytest.warns(
        funcam.FuncamWarning, match=rf"branches meet.*'{b}' is the last of one; layer=\['{a}', '{b}'\] combines"
    ):
        assert funcam.explain(whole, IMAGES, 1).layer == b
    y = model.stem(IMAGES)
    A, B = (branch(y).detach().requires_grad_() for branch in (model.a, model.b))
    beside = SimpleNamespace(a=lambda _: A, b=lambda _: B, logits=model.logits, fc=model.fc)
    gradients = torch.autograd.grad(DEEPER[how](beside, y)[:, 1].sum(), (A, B))
    for layer, g, features in zip((a, b), gradients, (A, B), strict=True):
        expected = (g.mean((2, 3), keepdim=True) * features).sum(1).relu().detach()
        torch.testing.assert_close(funcam.explain(whole, IMAGES, 1, layer=layer).maps, expected)


AROUND = {
    "a shortcut of every second cell": lambda net, y: net.logits(net.b(y) + y[..., ::2, ::2]),
    "a pooled shortcut": lambda net, y: net.logits(net.b(y) + nn.functional.avg_pool2d(y, 2)),
    "the stem's own mean": lambda net, y: net.logits(net.b(y)) + net.logits(y),
}


@pytest.mark.parametrize("how", AROUND)
def test_a_way_around_the_deepest_map_is_told_where_no_graph_holds_the_sum(how):
    model = Own(Branches(AROUND[how]).eval())
    with pytest.warns(funcam.FuncamWarning, match=r"'inner.b' is the last of one; layer=\['inner.stem', 'inner.b'\]"):
        assert funcam.explain(model, IMAGES, 1).layer == "inner.b"
    assert funcam.explain(model, IMAGES, 1, layer=["inner.stem", "inner.b"]).maps.any()


def test_a_map_that_leads_to_the_score_itself_is_the_default_of_those_as_small():
    """What is made of it on the way to the finer scale has no more cells, and leads to a part of the score only."""

    class Pyramid(Branches):
        def forward(self, x):
            y = self.stem(x)
            deep = self.a(y)
            fine = nn.functional.interpolate(self.lateral(deep), y.shape[2:]) + y
            return self.logits(deep) + self.logits(self.fine(fine).relu())

    model = Pyramid(None)
    model.lateral, model.fine = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, 1, 1)
    with pytest.warns(funcam.FuncamWarning, match=r"'inner.a' is the last of one; layer=\['inner.a', 'inner.fine'\]"):
        assert funcam.explain(Own(model.eval()), IMAGES, 1).layer == "inner.a"


PAST = {
    "the stem's own mean": (lambda net, x: AROUND["the stem's own mean"](net, net.stem(x)), ["stem", "b"]),
    "the pixels' mean": (lambda net, x: net.logits(net.b(net.stem(x))) + x.mean((1, 2, 3))[:, None], []),
    "the size alone": (lambda net, x: net.fc(net.b(net.stem(x)).reshape(x.size(0), 8, -1).mean(2)), None),
}


@pytest.mark.parametrize("how", PAST)
def test_a_way_past_the_deepest_map_of_a_graph_is_told(how):
    forward, names = PAST[how]
    model = Branches(None).eval()
    model.forward = lambda x: forward(model, x)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", funcam.FuncamWarning)
        assert funcam.explain(model, IMAGES, 1).layer == "b"
    said = "".join(str(one.message) for one in told)
    assert ("'b' is the last of one" in said) == (names is not None)
    assert ("the others hold no map" in said) == (names == [])
    if names:
        assert funcam.explain(model, IMAGES, 1, layer=names).maps.any()


@pytest.mark.parametrize("made", [lambda inner: inner, Own], ids=["a graph", "own code"])
def test_a_map_that_carries_all_is_no_end_of_a_branch(made):
    """What comes behind it is no deeper; the mean of both is read."""
    model = Branches(lambda net, y: net.fc(y.mean((2, 3)) + net.same(y).mean((2, 3))))
    model.same = nn.Conv2d(8, 8, 3, 1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "stem" in funcam.explain(made(model.eval()), IMAGES, 1).layer


@pytest.mark.parametrize("case", CUT_OFF)
def test_a_branch_without_a_derivative_is_no_way_around(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert funcam.explain(Own(Branches(CUT_OFF[case]).eval()), IMAGES, 1).layer == "inner.a"


@pytest.mark.parametrize("layer", [None, "inner.b"])
def test_a_head_of_zeros_is_told_as_zeros_in_own_code_too(layer):
    """As it is before it is trained: torchvision's Vision Transformers begin so."""
    model = Branches(lambda net, y: net.logits(net.b(y))).eval()
    nn.init.zeros_(model.fc.weight)
    with pytest.warns(funcam.FuncamWarning, match="zero everywhere"):
        result = funcam.explain(Own(model), IMAGES, 1, layer=layer)
    assert result.layer == "inner.b"
    assert not result.maps.any()


class TwoTransformers(nn.Module):
    """Patches of two sizes, each with a class token and blocks of their own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fine, self.coarse = nn.Conv2d(3, 16, 4, 4), nn.Conv2d(3, 16, 8, 8)
        self.token, self.fc = nn.Parameter(torch.zeros(1, 1, 16)), nn.Linear(32, 5)
        self.of_fine, self.of_coarse = (nn.Sequential(Block(16), Block(16)) for _ in range(2))

    def forward(self, x):
        tokens = [patch(x).flatten(2).transpose(1, 2) for patch in (self.fine, self.coarse)]
        tokens = [torch.cat([self.token.expand(x.shape[0], -1, -1), one], 1) for one in tokens]
        fine, coarse = (blocks(one)[:, 0] for blocks, one in zip((self.of_fine, self.of_coarse), tokens, strict=True))
        return self.fc(torch.cat([fine, coarse], 1))


@pytest.mark.parametrize("made", [lambda inner: inner, Own], ids=["a graph", "own code"])
def test_two_transformers_side_by_side_are_told(made):
    model = made(TwoTransformers().eval())
    with pytest.warns(
        funcam.FuncamWarning, match=r"layer=\['\S*of_fine.1.norm1', '\S*of_coarse.1.norm1'\] combines"
    ) as told:
        assert funcam.explain(model, IMAGES, 1).layer.endswith("of_coarse.1.norm1")
    names = str(told[0].message).partition("layer=[")[2].partition("]")[0].replace("'", "").split(", ")
    assert funcam.explain(model, IMAGES, 1, layer=names).maps.any()
