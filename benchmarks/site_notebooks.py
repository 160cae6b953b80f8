"""The executed notebooks in docs/notebooks, made of the texts in benchmarks/notebooks: words and blocks are cells.

python benchmarks/site_notebooks.py            # all of them (it needs nbclient and ipykernel)
python benchmarks/site_notebooks.py volume     # one
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "benchmarks" / "notebooks"
NOTEBOOKS = ROOT / "docs" / "notebooks"
_BLOCK = re.compile(r"^```python\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)


def cells(text: str) -> list[tuple[str, str]]:
    """The cells of a text, `("markdown" or "code", source)`, from the top down."""
    parts = _BLOCK.split(text)
    kinds = ("markdown", "code")
    return [(kinds[number % 2], part.strip("\n")) for number, part in enumerate(parts) if part.strip()]


def executed(text: str) -> dict[str, Any]:
    """The notebook of a text with what its cells give; what differs from run to run is left out."""
    import nbformat
    from nbclient import NotebookClient

    made = nbformat.v4.new_notebook()
    for number, (kind, source) in enumerate(cells(text)):
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        made.cells.append(new(source, id=f"cell-{number}"))
    NotebookClient(made, timeout=600, kernel_name="python3").execute()
    for cell in made.cells:
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/jpeg", None)  # Pillow gives both
            output["metadata"] = {} if "metadata" in output else output.get("metadata")
            if output["metadata"] is None:
                del output["metadata"]
    made.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return dict(made)


def main(names: list[str]) -> None:
    for source in sorted(SOURCES.glob("*.md")):
        if not names or source.stem in names:
            notebook = executed(source.read_text(encoding="utf-8"))
            target = NOTEBOOKS / f"{source.stem}.ipynb"
            target.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
