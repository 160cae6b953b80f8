"""What the hand-written traps have in common: a small network, and an entry for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmarks.models.entry import Entry

IMAGE, GRID, LAYERS = (3, 32, 48), (8, 12), ("features.1", "features")


class Small(nn.Module):
    """stem (stride 2) -> `before` -> features (stride 2) -> mean -> `behind` -> fc: 3 x 32 x 48 to 8 x 12."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.features = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())
        self.hidden, self.fc = nn.Linear(16, 16), nn.Linear(16, 5)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)

    def before(self, y: Tensor) -> Tensor:
        """In front of the cut, `[B, 8, 16, 24]`."""
        return y

    def behind(self, v: Tensor) -> Tensor:
        """Behind the cut, `[B, 16]`."""
        return v

    def forward(self, x: Tensor) -> Any:
        y = self.features(self.before(self.stem(x)))
        return self.fc(self.behind(self.hidden(y.mean((2, 3))).tanh()))


def trap(name: str, make: Callable[[], nn.Module], why: str, **expected: Any) -> Entry:
    """An entry of a trap; what isn't given is that of `Small`."""
    usual: dict[str, Any] = {"image": IMAGE, "layers": LAYERS, "grid": GRID, "kind": "trap"}
    return Entry(f"traps/{name}", make, why=why, **(usual | expected))
