"""`--json` of the commands that list something: one document on standard output, and nothing else."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from funcam.errors import json_text

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the list as one JSON document, only.")]


def print_json(document: Any) -> None:
    """Print a document in letters that every stream takes."""
    print(json_text(document, indent=1, ascii_only=True))
