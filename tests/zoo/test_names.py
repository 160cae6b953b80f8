"""All of torchvision's classifiers at their default layer.

Each is built without its own (slow) initialisation, filled with random weights and run on a small image: ``head(A)`` is
compared with ``model(images)``, and the gradient at the layer is not zero. Those in ``SHAPES_ONLY`` would take minutes
and gigabytes: they are cut on torch's meta device, where only names and shapes are checked, not values.
"""

from __future__ import annotations

import gc

import pytest
import torch
import torchvision
from torch import nn
from torch.func import vjp
from torchvision.models import get_model, list_models

import funcam
from funcam.zoo.architectures import meta_network
from funcam.zoo.names import DEFAULT_LAYERS, NETS

torch.set_num_threads(1)  # most of the time is tracing; two threads on a busy machine wait for each other
NAMES = list_models(module=torchvision.models)

SHAPES_ONLY = {"vit_h_14", "regnet_y_128gf"}  # 2.5 GB of weights each

SMALLEST = {
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3"),
    *("maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_400mf"),
    *("regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0"),
    *("squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32", "vit_h_14"),
}
"""Of networks that differ in depth, width and patches alone the cheapest, and ViT-H/14, of `SHAPES_ONLY`."""

LAYERS = {
    "alexnet": "features.11",
    "convnext": "features.7",
    "densenet": "relu",
    "efficientnet_b": "features.8",
    "efficientnet_v2_s": "features.7",
    "efficientnet_v2_m": "features.8",
    "efficientnet_v2_l": "features.8",
    "googlenet": "inception5b",
    "inception_v3": "Mixed_7c",
    "maxvit": "blocks.3",
    "mnasnet": "layers.16",
    "mobilenet_v2": "features.18",
    "mobilenet_v3_large": "features.16",
    "mobilenet_v3_small": "features.12",
    "regnet": "trunk_output",
    "resnet": "layer4",
    "resnext": "layer4",
    "wide_resnet": "layer4",
    "shufflenet": "conv5",
    "squeezenet": "features.12",
    "swin": "features.7.1.norm1",
    "vgg11": "features.19",
    "vgg11_bn": "features.27",
    "vgg13": "features.23",
    "vgg13_bn": "features.33",
    "vgg16": "features.29",
    "vgg16_bn": "features.42",
    "vgg19": "features.35",
    "vgg19_bn": "features.51",
    "vit_b": "encoder.layers.encoder_layer_11.ln_1",
    "vit_l": "encoder.layers.encoder_layer_23.ln_1",
    "vit_h": "encoder.layers.encoder_layer_31.ln_1",
}


def expected_layer(name: str) -> str:
    return LAYERS[max((key for key in LAYERS if name.startswith(key)), key=len)]


def image_size(name: str) -> int:
    """The size of image: small where the network allows; some are built for one size."""
    if name == "vit_h_14":
        return 224
    return 224 if name.startswith(("vit", "maxvit")) else 128 if name == "inception_v3" else 64


def expected_map(name: str, size: int) -> tuple[int, int]:
    """Networks reduce an image by 32 (the last pooling of AlexNet, VGG and SqueezeNet comes after the layer)."""
    known = {"alexnet": 3, "inception_v3": 2, "squeezenet1_0": 3, "squeezenet1_1": 3, "vit_h_14": 16}
    patch = int(name[-2:]) if name.startswith("vit") else 16 if name.startswith("vgg") else 32
    side = known.get(name, size // patch)
    return side, side


def fill_state(model: nn.Module) -> nn.Module:
    """Weights of the size that keeps activations alive, in every layer, zero-initialised heads included; fast."""
    block = torch.randn(1 << 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith(("relative_position_index", "num_batches_tracked")):
                continue
            if name.endswith("running_var"):
                tensor.fill_(1)
            elif tensor.ndim > 1:
                flat = tensor.view(-1)
                for start in range(0, len(flat), len(block)):
                    part = flat[start : start + len(block)]
                    part.copy_(block[: len(part)])
                tensor.mul_((2 / max(1, tensor[0].numel())) ** 0.5)
            else:
                tensor.copy_(block[: len(tensor)] * 0.1 + name.endswith("weight"))
    return model


def build(name: str, device: str) -> nn.Module:
    """The network without its initialisation; an index that Swin computes in its constructor is kept."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with pytest.MonkeyPatch.context() as patch:
        for init in ("kaiming_normal_", "kaiming_uniform_", "trunc_normal_", "normal_", "uniform_", "xavier_uniform_"):
            patch.setattr(nn.init, init, lambda tensor, *_, **__: tensor)
        if device == "meta" and not name.startswith("regnet"):
            with torch.device("meta"):
                return get_model(name, weights=None, **options)
        if device == "meta":  # its constructor reads values; memory that nobody touches costs nothing
            return get_model(name, weights=None).to("meta")
        return get_model(name, weights=None, **options)


def test_the_zoo_is_complete():
    assert len(NAMES) >= 80
    assert set(NAMES) >= SHAPES_ONLY | SMALLEST


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize(
    "name", [name if name in SMALLEST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_classifier(name):
    size = image_size(name)
    device = "meta" if name in SHAPES_ONLY else "cpu"
    model = build(name, device)
    if device == "cpu":
        fill_state(model)
    model.train()
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.no_grad():
        cut = funcam.split(model, example=images)
        A, head = cut(images)
        logits, pullback = vjp(head, A)
        (g,) = pullback(one_hot(7 if device == "meta" else int(logits.argmax()), device))
        assert all(module.training for module in model.modules())
        want = model.eval()(images)
    assert cut.layer == expected_layer(name)
    assert A.shape[2:] == expected_map(name, size)
    assert logits.shape == want.shape == (1, 1000)
    assert g.shape == A.shape
    if device == "cpu":
        torch.testing.assert_close(logits, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()))
        assert want.std() > 0
        assert torch.isfinite(g).all()
        assert g.abs().max() > 0
    del model, cut, A, head, logits, pullback, g, want
    gc.collect()


def one_hot(target: int, device: str) -> torch.Tensor:
    return (torch.arange(1000, device=device) == target).float()[None]


def test_the_table_that_funcam_nets_prints_is_what_split_finds() -> None:
    """The table against the same expectation as each network above, and against the scenes network itself."""
    assert set(DEFAULT_LAYERS) == set(NETS)
    assert {name: DEFAULT_LAYERS[name] for name in NETS if name != "scenes"} == {
        name: expected_layer(name) for name in NETS if name != "scenes"
    }
    assert funcam.split(meta_network("scenes")).layer == DEFAULT_LAYERS["scenes"]
