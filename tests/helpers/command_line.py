"""What the tests of the command line share: how a run ended, the shape of its errors, a photo."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from funcam.imaging.reading import Pixels


@dataclass(frozen=True)
class Ran:
    """How a run of the command line ended."""

    code: int
    out: str
    err: str

    def error(self, code: int, expected: str) -> str:
        """The one line that was printed, on standard error, after nothing else."""
        assert self.code == code, self
        assert self.out == ""
        assert re.fullmatch(r"funcam: \S[^\n]*\S\n", self.err), self.err
        assert "Traceback" not in self.err
        assert re.search(expected, self.err), self.err
        return self.err


Funcam = Callable[..., Ran]
FORCING = (
    *("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("COLUMNS", "LINES", "TERMINAL_WIDTH", "FUNCAM_DEBUG"),
)
"""What a developer's environment may hold that changes what is printed."""


def photo(height: int = 60, width: int = 90, seed: int = 0) -> Pixels:
    """Something to look at: soft colours with a bright disc."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 160, (4, 6, 3), dtype=np.uint8))
    picture = np.array(small.resize((width, height), Image.Resampling.BICUBIC))
    rows, columns = np.ogrid[:height, :width]
    disc = (rows - height / 3) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 5) ** 2
    picture[disc] = (250, 240, 90)
    return picture


SCENES = ("--net", "scenes", "--weights", "random")
"""The fastest network, for what does not depend on one."""
