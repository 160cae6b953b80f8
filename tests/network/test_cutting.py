"""Splitting: ``head(A)`` is ``model(images)``, at every layer, whatever happened to the model in between."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torchvision
from small import (
    Small,
    Tokens,
    features_and_gradients,
    grad_cam_numpy,
    randomised,
    resnet18,
    small,
    state_of,
    tiny_densenet,
    tiny_swin,
    tiny_vit,
)
from torch import nn
from torch.func import vjp
from torchvision.models import MobileNetV2
from torchvision.models.feature_extraction import get_graph_node_names

import funcam
from funcam import FuncamError
from funcam.network import cutting, known
from funcam.network.layers import find_node, name_of

GENERATOR = torch.Generator().manual_seed(1)
IMAGES = torch.randn(2, 3, 32, 32, generator=GENERATOR)
WIDE = torch.randn(2, 3, 24, 40, generator=GENERATOR)


def equals_the_model(cut, model, images):
    A, head = cut(images)
    torch.testing.assert_close(head(A), copy.deepcopy(model).eval()(images))
    return A, head


# --- every layer -----------------------------------------------------------------------------------------------------

NETWORKS = {
    "small": (small, IMAGES),
    "densenet": (tiny_densenet, IMAGES),
    "mobilenet": (
        lambda: randomised(MobileNetV2(5, 0.2, [[1, 16, 1, 1], [2, 24, 2, 2]], dropout=0.5)),
        torch.randn(2, 3, 24, 32, generator=GENERATOR),
    ),
    "vit": (tiny_vit, IMAGES),
    "swin": (tiny_swin, torch.randn(2, 3, 32, 48, generator=GENERATOR)),
    "tokens": (lambda: randomised(Tokens(registers=3)), WIDE),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_a_network(name):
    """``head(A)`` equals ``model(images)``, and Grad-CAM equals plain autograd on the un-split model, in float64."""
    make, images = NETWORKS[name]
    model, images = make().eval().double(), images.double()
    want = model(images)
    layers = funcam.list_layers(model, images.shape)
    modules = dict(model.named_modules())
    checked = 0
    for layer in layers:
        A, head = funcam.split(model, layer.name, example=images)(images)
        torch.testing.assert_close(head(A), want)
        calls = []
        if layer.name in modules:
            handle = modules[layer.name].register_forward_hook(lambda *_, calls=calls: calls.append(1))
            model(images)
            handle.remove()
        if len(calls) != 1:  # an operation between modules, or a module that is called twice
            continue
        checked += 1
        classes = torch.tensor([1, 3])
        raw, g = features_and_gradients(model, layer.name, images, classes)
        assert raw.shape[1:] == layer.shape[1:]
        raw, g = as_maps(raw, images), as_maps(g, images)
        torch.testing.assert_close(A.detach(), raw)
        maps = funcam.explain(model, images, classes, layer=layer.name).maps
        np.testing.assert_allclose(maps, grad_cam_numpy(raw, g), rtol=1e-6, atol=1e-10)
    assert checked >= 5
    assert len({layer.name for layer in layers}) == len(layers)
    assert sum(layer.default for layer in layers) == 1


def as_maps(tensor, images):
    """Independent of funcam: which axis is which in the networks above."""
    if tensor.ndim == 3:  # tokens of 8-pixel patches, behind the class and register tokens
        grid = [side // 8 for side in images.shape[2:]]
        cells = tensor[:, -grid[0] * grid[1] :]
        return cells.transpose(1, 2).unflatten(2, grid)
    height, width = images.shape[2:]
    return tensor if tensor.shape[2] * width == tensor.shape[3] * height else tensor.permute(0, 3, 1, 2)


@pytest.mark.parametrize("make", [small, tiny_densenet])
def test_every_node_of_torchvisions_own_list_that_is_a_feature_map(make):
    model = make().eval().double()
    images = IMAGES.double()
    want = model(images)
    _, names = get_graph_node_names(model)
    split = 0
    for name in names[1:]:
        try:
            A, head = funcam.split(model, name)(images)
        except FuncamError:  # no feature map
            continue
        split += 1
        torch.testing.assert_close(head(A), want)
        extractor = torchvision.models.feature_extraction.create_feature_extractor(copy.deepcopy(model), [name])
        if not any(getattr(m, "inplace", False) for m in model.modules()):  # else torchvision's result is overwritten
            torch.testing.assert_close(A, extractor(images)[name])
        else:
            assert A.shape == extractor(images)[name].shape
    assert split > 0.7 * len(names)


@pytest.mark.parametrize(
    "layer", ["layer4.2.conv3", "layer4.2.relu_1", "layer3.5.bn2", "layer4.2.downsample", "maxpool"]
)
def test_skip_connections_across_the_cut_are_closed_over_in_resnet50(layer):
    model = torchvision.models.resnet50(num_classes=6).eval()
    if layer == "layer4.2.downsample":  # only the first block of a stage has one
        layer = "layer4.0.downsample"
    equals_the_model(funcam.split(model, layer), model, torch.rand(1, 3, 64, 64, generator=GENERATOR))


def test_skip_connections_across_the_cut_are_closed_over_in_densenet121():
    model = torchvision.models.densenet121(num_classes=6).eval()
    cut = funcam.split(model, "features.denseblock4.denselayer16.conv2")
    A, _ = equals_the_model(cut, model, torch.rand(1, 3, 64, 64, generator=GENERATOR))
    assert A.shape == (1, 32, 2, 2)
    assert len(cut.current().names) == 1 + 16


def test_what_skips_the_cut_is_a_constant_for_the_derivative():
    """Cut inside the last block: the gradient is that of the branch alone, written out by hand."""
    model, images = small().double(), IMAGES.double()
    A, head = funcam.split(model, "blocks.1.conv2")(images)
    g = torch.autograd.grad(head(A)[:, 2].sum(), A, retain_graph=True)[0]
    block, x = model.blocks[1], model.blocks[0](model.pool(model.stem(images))).detach()
    branch = A.detach().requires_grad_()
    tail = model.fc(torch.relu(block.bn2(branch) + x).mean((2, 3)))
    torch.testing.assert_close(g, torch.autograd.grad(tail[:, 2].sum(), branch)[0])


# --- in-place traps: the features are what the layer returned --------------------------------------------------------


def test_the_features_of_a_norm_before_an_in_place_relu_stay_negative():
    model = tiny_densenet()
    A, head = funcam.split(model, "features.norm5")(IMAGES)
    assert A.min() < -0.1
    head(A)
    assert A.min() < -0.1
    maps = funcam.explain(model, IMAGES, [0, 1], layer="features.norm5").maps
    raw, g = features_and_gradients(model, "features.norm5", IMAGES, torch.tensor([0, 1]))
    assert raw.min() < -0.1
    np.testing.assert_allclose(maps, grad_cam_numpy(raw, g), rtol=1e-4, atol=1e-6)


def test_vgg_can_be_cut_before_its_in_place_relu():
    with torch.device("meta"):
        model = torchvision.models.vgg11(num_classes=4)
    model.classifier = nn.Sequential(nn.Linear(512 * 49, 4, device="meta"))
    model = randomised(model.to_empty(device="cpu")).eval()
    A, head = equals_the_model(funcam.split(model, "features.18"), model, torch.randn(1, 3, 64, 64))
    assert A.min() < 0
    assert vjp(head, A)[1](torch.ones(1, 4))[0].shape == A.shape


# --- layouts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registers", [0, 1, 4])
@pytest.mark.parametrize("size", [(24, 40), (40, 24), (8, 32)])
def test_tokens_with_a_class_token_and_registers_on_a_grid_that_is_not_square(registers, size):
    model = randomised(Tokens(registers, size)).eval().double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    A, head = funcam.split(model, "norm1", example=images)(images)
    grid = (size[0] // 8, size[1] // 8)
    assert A.shape == (2, 8, *grid)
    torch.testing.assert_close(head(A), model(images))
    raw, g = features_and_gradients(model, "norm1", images, torch.tensor([0, 4]))
    torch.testing.assert_close(A[1, :, 0, -1], raw[1, 1 + registers + grid[1] - 1])  # the top right cell
    torch.testing.assert_close(A[0, :, -1, 0], raw[0, -grid[1]])  # the bottom left cell
    maps = funcam.explain(model, images, [0, 4]).maps
    np.testing.assert_allclose(maps, grad_cam_numpy(as_maps(raw, images), as_maps(g, images)), rtol=1e-6, atol=1e-12)


def test_a_split_of_tokens_without_an_example_needs_a_usual_size():
    model = randomised(Tokens(image=(16, 40))).eval()
    with pytest.raises(FuncamError, match=r"usual image sizes.*example"):
        funcam.split(model)
    images = torch.zeros(1, 3, 16, 40)
    cut = funcam.split(model, "norm1")  # but a call tells the size
    assert cut(images)[0].shape == (1, 8, 2, 5)
    model.head = nn.Linear(8, 3)
    assert cut(images)[0].shape == (1, 8, 2, 5)


@pytest.mark.parametrize("size", [(32, 48), (64, 32)])
def test_channels_last_features_of_images_that_are_not_square(size):
    model = tiny_swin().double()
    images = torch.randn(1, 3, *size, dtype=torch.float64)
    cut = funcam.split(model)
    A, _ = equals_the_model(cut, model, images)
    assert cut.layer == "features.3.1.norm1"
    assert A.shape == (1, 16, size[0] // 8, size[1] // 8)
    raw, _ = features_and_gradients(model, cut.layer, images, torch.tensor([0]))
    torch.testing.assert_close(A.detach(), raw.permute(0, 3, 1, 2))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_features_of_any_dimension(dimensions):
    from small import Dense

    model = Dense(dimensions).double()
    images = torch.randn(2, 2, *[9, 7, 5][:dimensions], dtype=torch.float64)
    A, head = funcam.split(model, "second")(images)
    assert A.shape == (2, 6, *images.shape[2:])
    torch.testing.assert_close(head(A), model(images))
    raw, g = features_and_gradients(model, "second", images, torch.tensor([0, 3]))
    np.testing.assert_allclose(
        funcam.explain(model, images, [0, 3], layer="second").maps, grad_cam_numpy(raw, g), rtol=1e-6, atol=1e-12
    )
    assert funcam.explain(model, images).maps.shape == (2, *images.shape[2:])


def test_images_in_channels_last_memory():
    model = small()
    A, head = funcam.split(model)(IMAGES.to(memory_format=torch.channels_last))
    want, want_head = funcam.split(model)(IMAGES)
    torch.testing.assert_close(A, want)
    torch.testing.assert_close(head(A), want_head(want))


# --- modes: what is explained is the model in evaluation mode; the flags are the caller's ----------------------------


@pytest.mark.parametrize("mode", ["train", "eval", "mixed"])
def test_the_model_is_split_as_in_evaluation_mode_and_its_flags_stay(mode):
    model = tiny_densenet()
    want = model(IMAGES)
    model.train(mode != "eval")
    if mode == "mixed":
        model.features[3].eval()
        model.features.denseblock2.denselayer1.norm1.eval()
    before = state_of(model)
    A, head = funcam.split(model, "features.denseblock1")(IMAGES)
    torch.testing.assert_close(head(A), want)
    A, head = funcam.split(model, "features.denseblock2.denselayer2.conv1")(IMAGES)
    torch.testing.assert_close(head(A), want)
    assert state_of(model) == before


# --- caching and change ----------------------------------------------------------------------------------------------


def test_a_model_is_traced_once_and_cut_once_for_each_layer(monkeypatch):
    traces, cuts = [], []
    trace, make_cut = known.trace, known._make_cut
    monkeypatch.setattr(known, "trace", lambda model: traces.append(model) or trace(model))
    monkeypatch.setattr(known, "_make_cut", lambda *args: cuts.append(args[1]) or make_cut(*args))
    model = small()
    for layer in ["stem", "blocks.0", "stem", None, "blocks.1"]:
        funcam.split(model, layer)(IMAGES)
        funcam.explain(model, IMAGES, layer=layer)
    funcam.guided(model)
    funcam.list_layers(model)
    model.train().requires_grad_(False)
    funcam.split(model)(IMAGES)
    assert len(traces) == 1
    assert cuts == ["stem", "blocks.0", "blocks", "blocks.1"]
    funcam.split(small())
    assert len(traces) == 2


def test_nothing_keeps_the_model_alive():
    model = small()
    model.own = model.forward  # a method of its own among its settings
    cut = funcam.split(model)
    result = funcam.explain(model, IMAGES, method="guided-grad-cam")
    funcam.list_layers(model)
    A, head = cut(IMAGES)
    want = model(IMAGES)
    gone, part = weakref.ref(model), weakref.ref(model.blocks[0])
    del model
    gc.collect()
    assert gone() is None
    assert part() is None
    torch.testing.assert_close(head(A), want)  # but a split still computes
    torch.testing.assert_close(cut(IMAGES)[0], A)
    assert result.maps.shape == (2, 3, 32, 32)
    with pytest.raises(FuncamError, match=r"the model that was split at 'blocks' is gone"):
        funcam.explain(cut, IMAGES, method="guided-backprop")


def test_the_cache_lets_go_of_the_tensors_too():
    model = small()
    funcam.explain(model, IMAGES, method="guided-grad-cam")
    weight = weakref.ref(model.fc.weight)
    del model
    gc.collect()
    assert weight() is None


def shrink(model):
    with torch.no_grad():
        model.stem[0].weight.mul_(0.5)
        model.fc.bias.add_(1)


def load(model):
    model.load_state_dict(randomised(Small(), 5).state_dict())


def load_assign(model):
    model.load_state_dict(randomised(Small(), 5).state_dict(), assign=True)


def new_fc(model):
    model.fc = nn.Linear(6, 7)


def new_activation(model):
    model.blocks[1].relu = nn.Tanh()


def new_block(model):
    model.blocks[0] = nn.Conv2d(6, 6, 1)


def new_eps(model):
    model.blocks[1].bn2.eps = 0.7


def statistics(model):
    model.train()
    model(torch.randn(8, 3, 32, 32))


def half_statistics(model):
    model.stem[1].running_var = model.stem[1].running_var * 2


def own_forward(model):
    model.blocks[1].forward = lambda x: 2 * x


@pytest.mark.parametrize(
    "change",
    [
        *(shrink, load, load_assign, new_fc, new_activation, new_block, new_eps, statistics, half_statistics),
        own_forward,
    ],
)
def test_changes_of_the_model_are_seen_by_a_split_made_before(change):
    model = small()
    cut = funcam.split(model, "stem")
    A, head = cut(IMAGES)
    old = head(A)
    change(model)
    new = equals_the_model(cut, model, IMAGES)[1](cut(IMAGES)[0])
    assert old.shape != new.shape or (old - new).abs().max() > 1e-3
    equals_the_model(funcam.split(model, "stem"), model, IMAGES)
    result = funcam.explain(cut, IMAGES)
    torch.testing.assert_close(result.logits, copy.deepcopy(model).eval()(IMAGES).detach())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_change_of_type_is_seen(dtype):
    model = small()
    cut = funcam.split(model)
    cut(IMAGES)
    model.to(dtype)
    A, head = cut(IMAGES.to(dtype))
    assert A.dtype == head(A).dtype == dtype
    torch.testing.assert_close(head(A), model(IMAGES.to(dtype)))


def test_a_layer_that_was_removed_since_is_named():
    model = small()
    cut = funcam.split(model, "blocks.1.conv2")
    model.blocks[1] = nn.Identity()
    with pytest.raises(FuncamError, match=r"layer 'blocks.1.conv2' is not in Small"):
        cut(IMAGES)


def test_replacing_modules_again_and_again_is_always_seen():
    """Freed modules' addresses are used again: an ``id`` alone would not tell a new module from an old one."""
    model = small()
    cut = funcam.split(model, "stem")
    for seed in range(12):
        torch.manual_seed(seed)
        model.fc = nn.Linear(6, 5)
        model.blocks[1].relu = [nn.ReLU, nn.Tanh, nn.SiLU][seed % 3]()
        A, head = cut(IMAGES)
        torch.testing.assert_close(head(A), model(IMAGES))
        gc.collect()


# --- gradients, modes of autograd ------------------------------------------------------------------------------------


def test_features_carry_a_graph_only_where_autograd_records():
    model = small()
    cut = funcam.split(model)
    assert cut(IMAGES)[0].requires_grad
    with torch.no_grad():
        A, head = cut(IMAGES)
        assert not A.requires_grad
        assert not head(A).requires_grad
    with torch.inference_mode():
        A, _ = cut(IMAGES)
        assert not A.requires_grad
        assert not A.is_inference()
    model.requires_grad_(False)
    assert not cut(IMAGES)[0].requires_grad


def test_cut_in_inference_mode_and_used_outside():
    with torch.inference_mode():
        model, images = small(), IMAGES * 1
        A, head = funcam.split(model)(images)
        want = model(images)
    torch.testing.assert_close(head(A), want.clone())
    assert vjp(head, A)[1](torch.ones(2, 5))[0].abs().sum() > 0


# --- threads ---------------------------------------------------------------------------------------------------------


def in_threads(count, function):
    barrier = threading.Barrier(count)

    def run(index):
        barrier.wait()
        return function(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_eight_threads_split_one_fresh_model_at_once():
    layers = ["stem", "blocks.0", "blocks.1", None]
    want = [funcam.explain(small(), IMAGES, layer=layer).maps for layer in layers]
    for _ in range(3):
        model = small().train()
        before = state_of(model)
        maps = in_threads(8, lambda i, model=model: funcam.explain(model, IMAGES, layer=layers[i % 4]).maps)
        for i, found in enumerate(maps):
            torch.testing.assert_close(found, want[i % 4])
        assert state_of(model) == before


def test_eight_threads_split_different_models_at_once():
    models = [small(seed) if seed % 2 else tiny_densenet() for seed in range(8)]
    serial = [funcam.explain(copy.deepcopy(model), IMAGES, method="guided-grad-cam").maps for model in models]
    for got, want in zip(
        in_threads(8, lambda i: funcam.explain(models[i], IMAGES, method="guided-grad-cam").maps), serial, strict=True
    ):
        torch.testing.assert_close(got, want)


def test_a_plain_model_runs_in_another_thread_while_models_are_traced_here():
    plain = small(3)
    want = plain(IMAGES)
    stop = threading.Event()
    runs, trouble = [], []

    def run():
        while not stop.is_set():
            try:
                runs.append(torch.equal(plain(IMAGES), want))
            except Exception as error:
                trouble.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for seed in range(12):
            model = tiny_densenet() if seed % 2 else small(seed)
            A, head = funcam.split(model)(IMAGES)
            torch.testing.assert_close(head(A), model(IMAGES))
    finally:
        stop.set()
        thread.join()
    assert not trouble
    assert len(runs) > 5
    assert all(runs)


class SpyNorm(nn.BatchNorm2d):
    """A leaf of the graph that notes when it is put into training mode (its statistics would be overwritten)."""

    switched = ()

    def train(self, mode=True):
        SpyNorm.switched += (id(self),) if mode else ()
        return super().train(mode)


SpyNorm.__module__ = "torch.nn.modules.batchnorm"  # torch.fx then takes it for a leaf


def test_making_a_cut_never_puts_into_training_mode_what_another_thread_may_be_running():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), SpyNorm(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    model.eval()(IMAGES)
    SpyNorm.switched = ()
    rests = [funcam.split(model, layer).current().rest for layer in ("0", "2", "3")]
    shared = [model, cutting.graph_of(model).module, *rests]
    assert SpyNorm.switched  # torchvision does switch something, but nothing that is shared
    assert not {id(m) for part in shared for m in part.modules()} & set(SpyNorm.switched)


# --- what can't be split ---------------------------------------------------------------------------------------------


def test_an_unknown_layer_names_the_nearest():
    with pytest.raises(FuncamError, match=r"layer 'layer5' is not in ResNet; nearest: 'layer4'"):
        funcam.split(resnet18(), "layer5")
    with pytest.raises(FuncamError, match=r"layer 'x' is not in Small; nearest") as caught:
        funcam.split(small(), "x")
    assert "'x'," not in str(caught.value).partition("nearest")[2]


@pytest.mark.parametrize(
    ("layer", "shape"), [("fc", r"\[2, 7\]"), ("avgpool", r"\[2, 512, 1, 1\]"), ("flatten", r"\[2, 512\]")]
)
def test_a_layer_that_is_no_feature_map(layer, shape):
    with pytest.raises(FuncamError, match=rf"layer '{layer}' is no feature map: its output is {shape}.*earlier layer"):
        funcam.split(resnet18(), layer)(IMAGES)


def test_a_layer_that_holds_no_tensor():
    with pytest.raises(FuncamError, match="holds a tuple, not a tensor"):
        funcam.split(tiny_vit(), "encoder.layers.encoder_layer_1.self_attention")(IMAGES)


class Auxiliary(Small):
    """A branch that the logits don't depend on, and a value that does not depend on the images."""

    def __init__(self):
        super().__init__()
        self.side = nn.Conv2d(6, 6, 1)
        self.grid = nn.Parameter(torch.ones(1, 3, 8, 8))
        self.embed = nn.Conv2d(3, 6, 1)

    def forward(self, x):
        x = self.stem(x)
        self.side(x)
        x = x + self.embed(self.grid).mean((2, 3), keepdim=True)
        return self.fc(x.mean((2, 3)))


def test_a_layer_on_which_the_logits_do_not_depend():
    with pytest.raises(FuncamError, match="layer 'side' of Auxiliary does not lead to its output"):
        funcam.split(randomised(Auxiliary()).eval(), "side")
    assert "side" not in [layer.name for layer in funcam.list_layers(Auxiliary())]


@pytest.mark.parametrize("name", ["vgg11", "densenet121"])
def test_images_smaller_than_the_network_takes(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    with pytest.raises(FuncamError, match=r"can't take images of shape \[2, 3, 8, 8\]: .*too small"):
        funcam.explain(model, torch.zeros(2, 3, 8, 8))


def test_images_too_small_for_a_map():
    with pytest.raises(FuncamError, match=r"no feature map.*\[1, 3, 1, 1\].*larger image"):
        funcam.explain(resnet18(), torch.zeros(1, 3, 1, 1))


def test_images_of_the_wrong_size_for_a_transformer():
    model = tiny_vit()
    for layer in (None, "encoder.layers.encoder_layer_1.ln_1"):
        with pytest.raises(
            FuncamError, match=r"images of shape \[2, 3, 40, 40\].*Wrong image height! Expected 32"
        ) as caught:
            funcam.explain(model, torch.zeros(2, 3, 40, 40), layer=layer)
        assert "Proxy" not in str(caught.value)


# --- names -----------------------------------------------------------------------------------------------------------


def test_last_conv_is_the_last_convolution_in_module_order():
    assert funcam.split(resnet18(), "last-conv").layer == "layer4.1.conv2"
    model = torchvision.models.squeezenet1_1()
    last = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][-1]
    assert funcam.split(model, "last-conv").layer == last == "classifier.1"
    with torch.device("meta"):  # the auxiliary classifier comes last but isn't run
        googlenet = torchvision.models.googlenet(init_weights=False)
    assert funcam.split(googlenet, "last-conv").layer == "inception5b.branch4.1.conv"
    with pytest.raises(FuncamError, match="'last-conv' needs a convolution and Sequential has none"):
        funcam.split(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), "last-conv")


def test_a_module_called_twice_has_a_name_for_each_call():
    model = small()
    names = [layer.name for layer in funcam.list_layers(model)]
    assert {"blocks.1.relu", "blocks"} <= set(names)
    block = model.blocks[1]
    x = model.blocks[0](model.pool(model.stem(IMAGES)))
    first = torch.relu(block.bn1(block.conv1(x)))
    torch.testing.assert_close(funcam.split(model, "blocks.1.relu")(IMAGES)[0], first)
    torch.testing.assert_close(funcam.split(model, "blocks.1.relu_1")(IMAGES)[0], block(x))
    torch.testing.assert_close(funcam.split(model, "blocks.1")(IMAGES)[0], block(x))


def test_a_module_path_comes_before_a_node_name():
    """For torchvision ``ln_1`` is the node of the module ``ln_2``: it counts names that end in a number."""
    model = tiny_vit().double()
    block = "encoder.layers.encoder_layer_1."
    assert block + "ln_1" in get_graph_node_names(model)[1]
    for name in ("ln_1", "ln_2"):
        raw, _ = features_and_gradients(model, block + name, IMAGES.double(), torch.tensor([0, 1]))
        torch.testing.assert_close(funcam.split(model, block + name)(IMAGES.double())[0], as_maps(raw, IMAGES))


def test_every_listed_name_leads_back_to_its_layer():
    for model, size in [(small(), 32), (tiny_vit(), 32), (tiny_swin(), 32), (tiny_densenet(), 32)]:
        graph = cutting.graph_of(model)
        for layer in funcam.list_layers(model, (1, 3, size, size)):
            tensor = cutting._traced(model).shapes((1, 3, size, size)).of[find_node(graph, layer.name)]
            assert tensor == layer.shape
            assert name_of(graph, find_node(graph, layer.name)) == layer.name


def test_list_layers_gives_shapes_for_the_images_asked_for():
    layers = {layer.name: layer for layer in funcam.list_layers(small(), (4, 3, 32, 64))}
    assert layers["stem.2"].shape == (1, 6, 16, 32)
    assert layers["blocks"] == funcam.Layer("blocks", (1, 6, 8, 16), True)
    assert "fc" not in layers
    assert "x" not in layers
    with pytest.raises(FuncamError, match=r"\[1, 4, 32, 32\]"):
        funcam.list_layers(small(), (1, 4, 32, 32))


def test_a_module_that_torch_compile_wrapped_is_split_like_itself():
    model = small()
    wrapped = torch.compile(model, backend="eager")
    assert funcam.split(wrapped).layer == "blocks"
    assert funcam.split(wrapped, "last-conv").layer == "blocks.1.conv2"
    equals_the_model(funcam.split(wrapped), model, IMAGES)
    torch.testing.assert_close(funcam.explain(wrapped, IMAGES).maps, funcam.explain(model, IMAGES).maps)


def test_relus_overwrite_only_what_nobody_reads_again() -> None:
    """Memory is reused in front of the cut, but not the memory of a layer that is asked for."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    model.append(nn.Linear(4 * 4 * 4, 5)).eval()
    images = torch.randn(2, 3, 8, 8)
    behind, before = funcam.split(model, "4"), funcam.split(model, "3")
    inplace = [node.kwargs.get("inplace") for node in behind.current().features.graph.nodes]
    assert inplace.count(True) == 2
    assert [node.kwargs.get("inplace") for node in before.current().features.graph.nodes].count(True) == 1
    features, head = before(images)
    torch.testing.assert_close(features, model[:4](images))
    assert features.min() < 0
    head(features)
    torch.testing.assert_close(features, model[:4](images))
