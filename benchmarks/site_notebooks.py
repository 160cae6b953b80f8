"""The executed notebooks in docs/notebooks, made of the texts in benchmarks/notebooks: blocks of code are cells.

python benchmarks/site_notebooks.py            # all of them (it needs nbclient and ipykernel)
python benchmarks/site_notebooks.py volume     # one
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "benchmarks" / "notebooks"
NOTEBOOKS = ROOT / "docs" / "notebooks"
_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")
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
    NotebookClient(made, timeout=600, startup_timeout=300, kernel_name="python3").execute()
    for cell in made.cells:
        cell.metadata = {}
        if "outputs" in cell:  # warnings are of the machine that it was run on
            cell.outputs = [_kept(each) for each in cell.outputs if each.get("name") != "stderr"]
    made.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return dict(made)


def _kept(output: Any) -> Any:
    """What a cell gave, its pictures as JPEG: a tenth of the size."""
    data = output.get("data", {})
    if "image/png" in data:
        data["image/jpeg"] = _jpeg(data.pop("image/png"))
    if "text/html" in data:
        data["text/html"] = _PNG.sub(lambda found: f"data:image/jpeg;base64,{_jpeg(found[1])}", data["text/html"])
    return output


def _jpeg(png: str) -> str:
    stream = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").save(stream, "JPEG", quality=80)
    return base64.b64encode(stream.getvalue()).decode()


def main(names: list[str]) -> None:
    for source in sorted(SOURCES.glob("*.md")):
        if not names or source.stem in names:
            notebook = executed(source.read_text(encoding="utf-8"))
            target = NOTEBOOKS / f"{source.stem}.ipynb"
            target.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
