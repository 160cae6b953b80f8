"""How a network takes its input and what its outputs are: options of `funcam explain` and `funcam batch` alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

INPUT = "Input"

Labels = Annotated[
    Path | None, typer.Option("--labels", help="File of class names, one a line or JSON.", rich_help_panel=INPUT)
]
InputSize = Annotated[
    int | None,
    typer.Option("--input-size", min=1, help="Side of the network's input in pixels.", rich_help_panel=INPUT),
]
Scores = Annotated[
    str | None,
    typer.Option("--scores", help="Outputs are: softmax, sigmoid or none (as they are).", rich_help_panel=INPUT),
]
Output = Annotated[
    str | None,
    typer.Option("--output", help="Which of a model's several outputs: a key or number.", rich_help_panel=INPUT),
]
Device = Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1, xpu or mps.")]
