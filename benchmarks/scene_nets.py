"""Three small networks of the families that the original compares (VGG, ResNet, DenseNet), trained on the scenes.

    python benchmarks/scene_nets.py --net vgg --output vgg.pth      # a quarter of an hour on one CPU core
    funcam compare --scenes 500 --net small-vgg:benchmarks/scene_nets.py:vgg=vgg.pth

Only image-level labels are used. All three take 128 x 128 pixels, have last maps of 16 x 16 (so that none is told by a
finer grid), and see the same pictures in the same curriculum.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torchvision.models import VGG, DenseNet, ResNet
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import make_layers
from train_scenes import Stage, save, train

from funcam.scenes import CLASSES, scenes
from funcam.scenes.network import INPUT_SIZE, MEAN, STD, inputs
from funcam.zoo.checkpoints import read_checkpoint
from funcam.zoo.nets import Net, own_net

CURRICULUM = (
    Stage(0.0, 4_000, 5, 0.0),
    Stage(0.3, 4_000, 2, 0.0),
    Stage(0.6, 5_000, 2, 0.2),
    Stage(1.0, 10_000, 8, 0.25),
)
HELD_OUT = {"single": 1_000, "multiple": 300}
RESNET_WIDTHS = (32, 48, 96, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure-only", action="store_true")
    options = parser.parse_args()
    if not options.measure_only:
        torch.manual_seed(options.seed)
        model = NETS[options.net]().model
        for line in train(model, CURRICULUM, options.seed):
            print(line, flush=True)
            save(model, options.output)
    model = NETS[options.net]().model
    model.load_state_dict(read_checkpoint(options.output))
    for subset, count in HELD_OUT.items():
        print(f"{subset}: {count} held-out scenes, top-1 {top_1(model, subset, count):.1%}")


def vgg() -> Net:
    """A VGG as its authors have it: no shortcuts, and a fully connected head on the last maps, pooled to 8 x 8."""
    layers = [16, "M", 24, "M", 48, 48, "M", 96, 96, "M"]
    model = VGG(make_layers(layers, batch_norm=True), num_classes=len(CLASSES))
    model.avgpool = nn.Identity()
    model.classifier = nn.Sequential(nn.Linear(96 * 8 * 8, 128), nn.ReLU(), nn.Linear(128, len(CLASSES)))
    return of_scenes(model)


def resnet() -> Net:
    """A ResNet of four basic blocks; the last two keep the grid of the second."""
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=len(CLASSES))
    model.inplanes = RESNET_WIDTHS[0]
    model.conv1 = nn.Conv2d(3, RESNET_WIDTHS[0], 7, stride=2, padding=3, bias=False)
    model.bn1 = nn.BatchNorm2d(RESNET_WIDTHS[0])
    for number, (width, stride) in enumerate(zip(RESNET_WIDTHS, (1, 2, 1, 1), strict=True), start=1):
        setattr(model, f"layer{number}", model._make_layer(BasicBlock, width, 1, stride=stride))
    model.fc = nn.Linear(RESNET_WIDTHS[-1], len(CLASSES))
    return of_scenes(model)


def densenet() -> Net:
    """A DenseNet of three blocks; the last keeps the grid of the second."""
    model = DenseNet(growth_rate=12, block_config=(3, 6, 8), num_init_features=24, num_classes=len(CLASSES))
    model.features.transition2.pool = nn.Identity()
    return of_scenes(model)


NETS = {"vgg": vgg, "resnet": resnet, "densenet": densenet}


def of_scenes(model: nn.Module) -> Net:
    """The model with the scenes' input and class names."""
    return own_net(model, input_size=INPUT_SIZE, mean=MEAN, std=STD, classes=CLASSES)


def top_1(model: nn.Module, subset: str, count: int) -> float:
    """The share of held-out scenes that show the predicted class."""
    pictures, right = list(scenes(count, subset=subset)), 0
    for start in range(0, count, 50):
        batch = pictures[start : start + 50]
        with torch.inference_mode():
            predicted = model(inputs([picture.image for picture in batch])).argmax(1).tolist()
        right += sum(
            label in {thing.label for thing in picture.things} for label, picture in zip(predicted, batch, strict=True)
        )
    return right / count


if __name__ == "__main__":
    main()
