"""Put the figures of comparisons into a page: a table for each subset, and what the command said of them.

    python benchmarks/comparison_tables.py docs/scenes.md scenes=comparison/results.json

writes between the page's markers `<!-- scenes -->` and `<!-- end of scenes -->`; several pairs may be given.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pages import filled

from funcam.comparison.plan import BASELINES, METRICS
from funcam.files import write_atomically

SHOWN = {"max-box-acc-v2": "MaxBoxAccV2", "pointing-game": "pointing", "energy": "energy", "coverage": "coverage"}
SUBSETS = {
    "all": "All {n} images",
    "single": "{n} images with one object",
    "multiple": "{n} images with several objects",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("results", nargs="+", help="MARKER=results.json")
    options = parser.parse_args()
    text = options.page.read_text(encoding="utf-8")
    tables = {}
    for pair in options.results:
        marker, _, path = pair.partition("=")
        if any(mark not in text for mark in (f"<!-- {marker} -->\n", f"\n<!-- end of {marker} -->")):
            parser.error(f"{options.page} has no markers <!-- {marker} --> and <!-- end of {marker} -->")
        tables[marker] = section(json.loads(Path(path).read_text(encoding="utf-8")))
    text = filled(text, tables)
    write_atomically(options.page, text.encode())


def section(document: Mapping[str, Any]) -> str:
    """The tables and the words of one comparison."""
    rows: dict[str, dict[tuple[str, str, str], dict[str, Any]]] = {}
    for row in document["results"]:
        place = (row["net"], row["layer"], row["method"])
        rows.setdefault(row["subset"], {}).setdefault(place, {})[row["metric"]] = row
    subsets = [name for name in SUBSETS if name in rows]
    parts = [table(rows[name], SUBSETS[name]) for name in (subsets if len(subsets) > 2 else subsets[:1])]
    words = ["- " + re.sub(r"([*_<>])", r"\\\1", sentence) for sentence in document["conclusions"]]
    said = ["In the command's own words:", "", *words, ""] if words else []
    return "\n".join(["", *parts, *said])


def table(places: Mapping[tuple[str, str, str], Mapping[str, Any]], title: str) -> str:
    """One subset's figures, the baselines once at the end."""
    nets = dict.fromkeys(net for net, *_ in places)
    ours = [place for place in places if place[2] not in BASELINES]
    nothing = [place for place in places if place[2] in BASELINES and place[0] == next(iter(nets))]
    lines = [
        f"**{title.format(n=max(found['energy']['n'] for found in places.values()))}**",
        "",
        f"| network | layer | method | {' | '.join(SHOWN.values())} |",
        "| --- | --- | --- |" + " --- |" * len(SHOWN),
    ]
    for net, layer, method in [*ours, *nothing]:
        cells = [told(places[net, layer, method][metric]) for metric in SHOWN]
        where = ("-", "-") if method in BASELINES else (f"`{net}`", f"`{layer}`")
        lines.append(f"| {' | '.join((*where, method, *cells))} |")
    return "\n".join([*lines, "", ""])


def told(row: Mapping[str, Any]) -> str:
    """A figure with its interval, in per cent."""
    assert METRICS[row["metric"]].share
    value, low, high = (100 * row[name] for name in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
