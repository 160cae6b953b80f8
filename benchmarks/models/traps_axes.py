"""Traps in axes: tokens, class tokens, folded batches, channels last, inputs of other ranks than the map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.models.entry import Entry
from benchmarks.models.traps import LAYERS, Small, trap


class Tokens(nn.Module):
    """A small Vision Transformer: 3 x 32 x 48 in patches of 8, 4 x 6 of them; what is read out differs."""

    first, last = 0, 0
    batch_first = True

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 8, 8)
        self.extra = nn.Parameter(torch.randn(1, self.first + self.last, 32))
        self.position = nn.Parameter(torch.randn(1, 24, 32) / 4)
        block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=self.batch_first, norm_first=True)
        self.encoder, self.fc = nn.TransformerEncoder(block, 3, enable_nested_tensor=False), nn.Linear(32, 5)

    def tokens(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2) + self.position
        extra = self.extra.expand(len(x), -1, -1)
        return torch.cat([extra[:, : self.first], y, extra[:, self.first :]], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.encoder(self.tokens(x)).mean(1))


class ClassTokenFirst(Tokens):
    first = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.encoder(self.tokens(x))[:, 0])


class ClassTokenLast(Tokens):
    last = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.encoder(self.tokens(x))[:, -1])


class Registers(ClassTokenFirst):
    """A class token and two registers in front, one register behind."""

    first, last = 3, 1


class TokensFirst(Tokens):
    """`[L, B, C]`, as nn.Transformer has it by default."""

    batch_first = False

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.encoder(self.tokens(x).transpose(0, 1)).mean(0))


def from_tokens_first(tokens: Tensor) -> Tensor:
    """`[24, B, C]` to `[B, C, 4, 6]`."""
    return tokens.permute(1, 2, 0).unflatten(2, (4, 6))


class Attention(Small):
    """nn.MultiheadAttention over the features: its `out_proj` is a module that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(x)).flatten(2).transpose(1, 2)
        return self.fc(self.attention(y, y, y)[0].mean(1))


class Frames(Small):
    """Clips `[B, C, T, H, W]` whose frames are folded into the batch: the layer holds `[4 B, 16, 8, 12]`."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(x.transpose(1, 2).flatten(0, 1)))
        v = y.mean((2, 3)).unflatten(0, (len(x), -1)).mean(1)
        return self.fc(self.hidden(v).tanh())


class Views(Small):
    """The image and its mirror image as one batch, `[2 B, ...]`, the first half the images themselves."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(torch.cat([x, x.flip(-1)])))
        first, second = self.hidden(y.mean((2, 3))).tanh().chunk(2)
        return self.fc(first + 2 * second)


def of_the_images(both: Tensor) -> Tensor:
    """`[2 B, C, h, w]` to the images' own half."""
    return both.chunk(2)[0]


def from_frames(frames: Tensor) -> Tensor:
    """`[4 B, C, h, w]` to `[B, C, 4, h, w]`."""
    return frames.unflatten(0, (-1, 4)).transpose(1, 2)


class Axes(Small):
    """Width before height, as some libraries of medical images have it."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().forward(x.transpose(2, 3))
        return outputs


def from_axes(y: Tensor) -> Tensor:
    return y.transpose(2, 3)


class ChannelsLast(nn.Module):
    """As ConvNeXt and Swin: `[B, H, W, C]` from a LayerNorm, with as many channels as rows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.mlp = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mlp(self.norm(self.conv(x).permute(0, 2, 3, 1))).mean((1, 2)))


class FlipAndAdd(Small):
    """Behind the sum the map is its own mirror image; in front of it, it lies where the image does."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(self.stem(x))
        y = y + 2 * y.flip(-1)
        return self.fc(self.hidden(y.mean((2, 3))).tanh())


class Sensors(nn.Module):
    """An EEG network: `[B, 1, time 64, sensors 32]`; the second convolution collapses the sensors."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 40, (5, 1)), nn.Conv2d(40, 40, (1, 32)), nn.ELU())
        self.fc = nn.Linear(40, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


class Spectrogram(nn.Module):
    """A wave, its STFT, two convolutions: the map lies over frequency and time, which the input has not."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(x[:, 0], 64, 32, window=self.window, return_complex=True).abs().add(1e-6).log()
        return self.fc(self.features(spectrum[:, None]).mean((2, 3)))


def entries() -> list[Entry]:
    """The traps of this file."""
    return [*_tokens(), *_axes()]


def _tokens() -> list[Entry]:
    norm, grid = ("encoder.layers.2.norm1", "encoder.layers.1"), (4, 6)
    behind = "behind the last attention the class token reads no other token"
    ends = ("encoder.layers.2", "encoder", "encoder.layers.1", "encoder.layers.2.norm1")
    return [
        trap("tokens_mean", Tokens, "encoder(tokens).mean(1)", layers=ends, grid=grid, layout="tokens"),
        trap("class_token", ClassTokenFirst, behind, layers=norm, grid=grid, layout="tokens", prefix=1),
        trap("class_token_last", ClassTokenLast, behind, layers=norm, grid=grid, layout="tokens", suffix=1),
        trap("registers", Registers, behind, layers=norm, grid=grid, layout="tokens", prefix=3, suffix=1),
        trap(
            "tokens_first",
            TokensFirst,
            "encoder(tokens [L, B, C]).mean(0)",
            layers=ends,
            grid=grid,
            layout="other",
            to_map=from_tokens_first,
        ),
        trap(
            "attention_out_proj",
            Attention,
            "attention(y, y, y)[0].mean(1): out_proj's weights are read, it is never called",
            layers=("features.1", "features", "attention"),
        ),
    ]


def _axes() -> list[Entry]:
    eeg = {"image": (1, 64, 32), "layers": ("features.2", "features"), "grid": (60, 1)}
    wave = {"image": (1, 1024), "layers": LAYERS, "grid": (17, 17)}
    last = {"layers": ("mlp", "norm"), "grid": (8, 12), "layout": "channels-last"}
    return [
        trap(
            "frames_folded",
            Frames,
            "x.transpose(1, 2).flatten(0, 1): [4 B, 16, 8, 12]",
            image=(3, 4, 32, 48),
            grid=(4, 8, 12),
            layout="other",
            to_map=from_frames,
        ),
        trap("views_folded", Views, "cat([x, x.flip(-1)]): [2 B, ...]", layout="other", to_map=of_the_images),
        trap(
            "axes_swapped", Axes, "x.transpose(2, 3): the layer holds [B, 16, 12, 8]", layout="other", to_map=from_axes
        ),
        trap("channels_last", ChannelsLast, "mlp(norm([B, 8, 12, 8])).mean((1, 2)): 8 rows, 8 channels", **last),
        trap("flip_and_add", FlipAndAdd, "y + 2 * y.flip(-1): behind the sum, places are two places"),
        trap("sensors_collapsed", Sensors, "Conv2d(40, 40, (1, 32)): [B, 40, 60, 1]", **eeg),
        trap("stft", Spectrogram, "stft(64, 32): 33 x 33 frequencies and times, then stride 2", **wave),
    ]
