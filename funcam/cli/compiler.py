"""torch's compiler under `--fast`: that it works is said before it begins, and what it says itself is kept back."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence


def begin_compiling(methods: Sequence[str], silent: bool) -> None:
    """Say what is about to take long, and let torch be heard at errors only; `TORCH_LOGS` asks for more.

    Args:
        methods: what is compiled, each by itself.
        silent: whether nothing is said.
    """
    import torch._logging

    from funcam.cli.messages import complain

    if "TORCH_LOGS" not in os.environ:
        torch._logging.set_logs(all=logging.ERROR)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", module=r"torch\.")
    if not silent:
        complain(
            f"--fast: torch compiles {', '.join(methods)} before the first image, in a minute or more; what it has "
            "compiled it keeps for the next run"
        )
