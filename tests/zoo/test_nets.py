"""The zoo: names, published weights, files, preprocessing, class names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torchvision import models
from zoo_cases import NAME, assert_same_network, refusal

from funcam.errors import FuncamError
from funcam.scenes.network import WEIGHTS as SCENES_WEIGHTS
from funcam.scenes.network import network as scenes_network
from funcam.zoo import names, nets
from funcam.zoo.architectures import meta_network
from funcam.zoo.nets import ALIASES, NETS, at_size, build_net, canonical_name, load_net, net_infos

# Names


def test_the_table_holds_torchvisions_names() -> None:
    installed = set(models.list_models(module=models))
    if tuple(map(int, torchvision.__version__.split(".")[:2])) == names._TABLE_FROM:
        assert set(NETS) == {"scenes"} | installed
    assert set(NETS) - {"scenes"} <= installed
    assert len(set(NETS)) == len(NETS) == 81


def test_aliases() -> None:
    assert set(ALIASES.values()) <= set(NETS)
    assert not set(ALIASES) & set(NETS)
    seed = ("vgg", "resnet", "densenet", "inception", "shufflenet_v2", "mobilenet_v2", "resnet101", "vgg19")
    assert [canonical_name(name) for name in seed] == [
        *("vgg16", "resnet50", "densenet121", "inception_v3", "shufflenet_v2_x1_0", "mobilenet_v2"),
        *("resnet101", "vgg19"),
    ]
    assert canonical_name(" ViT-B-16 ") == "vit_b_16"


@pytest.mark.parametrize(
    ("name", "near"), [("resnet5", "'resnet50'"), ("mobilnet", "'mobilenet'"), ("", "'"), ("7", "'")]
)
def test_names_that_are_in_no_zoo(name: str, near: str) -> None:
    message = refusal(lambda: canonical_name(name))
    assert near in message
    assert "funcam nets" in message


def test_a_network_that_a_newer_torchvision_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "list_models", lambda **_: ["latenet_b"])
    assert "latenet_b" in refusal(lambda: canonical_name("latenet_b"))
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.0.0a1+cpu")
    assert canonical_name("latenet_b") == "latenet_b"
    refusal(lambda: canonical_name("latenet_c"))


# Files


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2_x1_0", "squeezenet1_1"])
def test_real_weights(name: str, assets: Path, real_network: Callable[[str], nn.Module]) -> None:
    from PIL import Image

    random_state = torch.get_rng_state()
    net = load_net(name, assets / "weights" / f"{name}.pth")
    assert torch.equal(random_state, torch.get_rng_state())
    preset = models.get_model_weights(name).IMAGENET1K_V1.transforms()
    image = preset(Image.open(assets / "photos" / "seed" / "pic1.jpg").convert("RGB"))[None]
    with torch.no_grad():
        logits = net.model(image)
        torch.testing.assert_close(logits, real_network(name)(image), rtol=0, atol=0)
    assert net.classes[int(logits.argmax())] in {"boxer", "bull mastiff", "tabby", "tiger cat"}  # a dog and a cat
    assert net.weights == str(assets / "weights" / f"{name}.pth")


def test_the_networks_fields(own: nn.Module, own_file: Path) -> None:
    net = load_net("ShuffleNet-v2-x0-5", str(own_file), labels=[f"name {index}" for index in range(1000)])
    assert_same_network(net.model, own)
    assert (net.name, net.input_size, net.resize_size, net.interpolation) == (NAME, 224, 256, "bilinear")
    assert (net.mean, net.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (net.fixed_size, net.min_size) == (False, 1)
    assert net.classes[17] == "name 17"
    assert not net.model.training


@pytest.mark.parametrize("name", [name for name in NETS if name != "scenes"])
def test_preprocessing_is_that_of_the_weights(name: str) -> None:
    entries = models.get_model_weights(name)
    entry = getattr(entries, "IMAGENET1K_V1", entries.DEFAULT)
    preset = entry.transforms()
    model = meta_network(name, image_size=preset.crop_size[0]) if name.startswith("vit_") else meta_network(name)
    net = nets._torchvision_net(name, model, entry, entry.name)
    assert [net.input_size] == preset.crop_size
    assert [net.resize_size] == preset.resize_size
    assert [*net.mean, *net.std] == [*preset.mean, *preset.std]
    assert net.interpolation == preset.interpolation.value
    assert net.classes == tuple(entry.meta["categories"])
    assert 1 <= net.min_size <= net.input_size
    assert net.fixed_size == (name.split("_")[0] in ("vit", "maxvit"))


@pytest.mark.parametrize("name", ["swin_t", "squeezenet1_1", "densenet121", "vgg11", "alexnet", "inception_v3"])
def test_the_smallest_input(name: str) -> None:
    net = build_net(name, num_classes=2)
    model = net.model.to("meta")  # shapes are enough
    assert model(torch.empty(1, 3, net.min_size, net.min_size, device="meta")).shape == (1, 2)


def test_a_vision_transformer_for_larger_images(monkeypatch: pytest.MonkeyPatch, own_file: Path) -> None:
    def light(side: int) -> dict[str, torch.Tensor]:
        state = meta_network("vit_b_32", image_size=side, num_classes=3).state_dict()
        return {key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in state.items()}

    for side, resize in ((224, 256), (96, 96)):
        monkeypatch.setattr("funcam.zoo.checkpoints.read_checkpoint", lambda _, side=side: light(side))
        net = load_net("vit_b_32", own_file)
        assert (net.input_size, net.resize_size, net.min_size, net.fixed_size) == (side, resize, side, True)
        assert net.classes == ("class 0", "class 1", "class 2")


def test_a_downloaded_file_keeps_its_weights_preprocessing(tmp_path: Path) -> None:
    model = models.mobilenet_v2(weights=None)
    sizes = []
    for entry in models.MobileNet_V2_Weights:
        file = tmp_path / Path(entry.url).name
        torch.save(model.state_dict(), file)
        sizes.append(load_net("mobilenet_v2", file).resize_size)
    assert sizes == [256, 232]


def test_a_fine_tuned_network(tmp_path: Path) -> None:
    torch.save({"state_dict": models.shufflenet_v2_x0_5(num_classes=3).state_dict()}, tmp_path / "a.pth")
    (tmp_path / "a.txt").write_text("cat\ndog\nbird\n")
    assert load_net(NAME, tmp_path / "a.pth").classes == ("class 0", "class 1", "class 2")
    assert load_net(NAME, tmp_path / "a.pth", num_classes=3, labels=tmp_path / "a.txt").classes == (
        "cat",
        "dog",
        "bird",
    )
    message = refusal(lambda: load_net(NAME, tmp_path / "a.pth", num_classes=4))
    assert "num_classes=4" in message
    assert "has 3 classes" in message
    message = refusal(lambda: load_net(NAME, tmp_path / "a.pth", labels=("cat", "dog")))
    assert "2 class names" in message
    assert "has 3 classes" in message


def test_weights_that_are_nowhere() -> None:
    message = refusal(lambda: load_net("resnet50", "IMAGENET1K_V9"))
    assert "expected IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT, or a file" in message
    assert "does not exist" in refusal(lambda: load_net("resnet50", "no/such/file"))
    assert "does not exist" in refusal(lambda: load_net("resnet50", Path("missing.pth")))
    assert "neither published for vgg16" in refusal(lambda: load_net("vgg16", "IMAGENET1K_FEATURES"))  # no classifier
    assert "is a folder" in refusal(lambda: load_net("resnet50", Path(__file__).parent))


# The network in the package


@pytest.mark.skipif(not SCENES_WEIGHTS.exists(), reason="the scenes network is not trained yet")
def test_scenes() -> None:
    net = load_net("scenes")
    assert_same_network(net.model, scenes_network())
    assert len(net.classes) == 10
    assert net.weights == "the package"


def test_scenes_from_a_file(tmp_path: Path, own_file: Path) -> None:
    random_state = torch.get_rng_state()
    made = build_net("scenes", seed=3)
    torch.save(made.model.half().state_dict(), tmp_path / "a.pth")
    net = load_net("scenes", tmp_path / "a.pth", labels=[*"abcdefghij"])
    assert_same_network(net.model, made.model.float())
    assert net.classes == tuple("abcdefghij")
    assert net.weights == str(tmp_path / "a.pth")
    assert f"the file fits {NAME}" in refusal(lambda: load_net("scenes", own_file))
    assert torch.equal(random_state, torch.get_rng_state())


# Random weights


def test_random_weights_come_from_the_seed() -> None:
    random_state = torch.get_rng_state()
    net = build_net(NAME, num_classes=4)
    assert net.weights == "random (seed 0)"
    assert net.classes[3] == "class 3"
    assert_same_network(net.model, load_net(NAME, "random", num_classes=4).model)
    other = build_net(NAME, num_classes=4, seed=1)
    assert not torch.equal(net.model.state_dict()["fc.weight"], other.model.state_dict()["fc.weight"])
    assert torch.equal(random_state, torch.get_rng_state())
    assert "num_classes=0" in refusal(lambda: build_net(NAME, num_classes=0))
    assert "has 10 classes" in refusal(lambda: load_net("scenes", "random", num_classes=3))


# What `funcam nets` lists


def test_infos_say_what_the_networks_are() -> None:
    infos = {info.name: info for info in net_infos()}
    assert tuple(infos) == NETS
    for name in ("resnet50", "densenet121", "vit_b_16", "scenes", "regnet_y_400mf", "swin_v2_t"):
        assert infos[name].parameters == sum(parameter.numel() for parameter in meta_network(name).parameters())
    assert infos["resnet50"].weights == ("IMAGENET1K_V1", "IMAGENET1K_V2")
    assert infos["vgg16"].weights == ("IMAGENET1K_V1",)
    assert infos["vit_h_14"].input_size == 518
    assert infos["vit_h_14"].fixed_size
    assert infos["inception_v3"].aliases == ("inception",)
    assert infos["scenes"].classes == 10
    assert all(info.accuracy and 40 < info.accuracy < 90 for info in infos.values() if info.name != "scenes")


def test_an_input_of_more_pixels_than_fit_is_refused_before_it_is_made() -> None:
    net = load_net("scenes")
    assert at_size(net, 2048).input_size == 2048
    with pytest.raises(FuncamError, match="2049x2049 pixels is more than 4,194,304"):
        at_size(net, 2049)
