"""The results of the matrix as a page: figures, origins, every failure by name, every model a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.models.entry import Entry

Records = Mapping[str, Mapping[str, Any]]
STOPPED = ("did not finish", "too slow", "too large", "judge failed")
PEERS = {
    "grad-cam": "pytorch-grad-cam by its defaults, at the expected layer",
    "torchcam": "torchcam by its defaults",
}
_ANSWERS = ("equal", "another map", "another layer", "error")
VERDICTS = ("right", "other layer", "refused", "wrong", "changed model", "raw exception", *STOPPED, "no reference")


def part(record: Mapping[str, Any], which: str) -> str:
    """The verdict of `named` or `default`; of a process that was stopped before, what stopped it."""
    return str(record.get(which, {}).get("verdict", record["verdict"]))


def figures(records: Records) -> dict[str, str]:
    """The figures of the goal, as text."""
    judged = [record for record in records.values() if record["verdict"] not in ("no reference", "judge failed")]
    count = len(judged)
    refused = [record for record in judged if "refused" in (part(record, "named"), part(record, "default"))]
    offers = [way for record in refused for way in ways_out(record)]
    above = [record["seconds"]["first"] - record["seconds"]["forward"] for record in judged if has_first(record)]
    second = [record["seconds"]["second"] / record["seconds"]["forward"] for record in judged if has_second(record)]

    def share(wanted: Callable[[Mapping[str, Any]], bool]) -> str:
        number = sum(map(wanted, judged))
        return f"{100 * number / max(count, 1):.1f} % ({number} of {count})"

    return {
        "head and map right at the expected layer, named": share(lambda r: part(r, "named") == "right"),
        "default layer right": share(lambda r: part(r, "default") == "right"),
        "default layer told to carry a part of the score": share(_is_told_in_part),
        "refused (named, or without a layer)": share(lambda r: r in refused),
        "ways out that refusals offer: worked": f"{sum(w for w, _ in offers)} of {sum(o for _, o in offers)}",
        "wrong without a word": share(is_wrong),
        "caller's model changed": share(lambda r: bool(r.get("changed"))),
        "raw exceptions": share(lambda r: "raw exception" in (part(r, "named"), part(r, "default"))),
        "stopped by the limits": share(lambda r: r["verdict"] in STOPPED),
        "first call over a plain forward pass, median": f"{median(above):.2f} s" if above else "-",
        "first call over a plain forward pass, worst": f"{max(above):.2f} s" if above else "-",
        "second call, in forward passes, median": f"{median(second):.2f}" if second else "-",
        "ways of the named cut": ", ".join(
            f"{way} {number}" for way, number in Counter(str(r["way"]) for r in judged if "way" in r).most_common()
        ),
        **{label: _of_peer(judged, peer) for peer, label in PEERS.items() if _asked(judged, peer)},
    }


def _asked(records: Sequence[Mapping[str, Any]], peer: str) -> list[str]:
    """What a peer made of each model that it can be asked about."""
    answers = [record["peers"][peer] for record in records if "peers" in record]
    return [answer for answer in answers if answer != "n/a"]


def _of_peer(records: Sequence[Mapping[str, Any]], peer: str) -> str:
    answers = _asked(records, peer)
    kinds = Counter(next(kind for kind in _ANSWERS if answer.startswith(kind)) for answer in answers)
    counted = [f"{kind} {kinds[kind]}" for kind in _ANSWERS if kinds[kind]]
    return f"{', '.join(counted)}, of {len(answers)} that it can be asked about"


def _is_told_in_part(record: Mapping[str, Any]) -> bool:
    return any(line.startswith("no layer carries all") for line in record.get("default", {}).get("told", []))


def is_wrong(record: Mapping[str, Any]) -> bool:
    """Whether something was explained that isn't the model, without a word."""
    return "wrong" in (part(record, "named"), part(record, "default"))


def has_first(record: Mapping[str, Any]) -> bool:
    return "first" in record.get("seconds", {})


def has_second(record: Mapping[str, Any]) -> bool:
    return "second" in record.get("seconds", {})


def ways_out(record: Mapping[str, Any]) -> list[tuple[int, int]]:
    """How many ways worked, of how many that were offered, for each refusal of the entry."""
    refusals = [record.get(which, {}).get("way_out") for which in ("named", "default")]
    return [(len(way["worked"]), len(way["offered"])) for way in refusals if way]


def in_short(records: Records) -> str:
    """For a terminal."""
    lines = [f"{name:57}{value}" for name, value in figures(records).items()]
    return "\n".join([f"{len(records)} models", *lines])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def by_origin(records: Records) -> str:
    """A row for each origin: the verdicts counted."""
    origins = dict.fromkeys(name.partition("/")[0] for name in records)
    seen = [verdict for verdict in VERDICTS if any(record["verdict"] == verdict for record in records.values())]
    rows = []
    for origin in origins:
        verdicts = [record["verdict"] for name, record in records.items() if name.partition("/")[0] == origin]
        rows.append([origin, str(len(verdicts)), *(str(verdicts.count(verdict) or "") for verdict in seen)])
    return table(["origin", "models", *seen], rows)


def what_failed(record: Mapping[str, Any]) -> str:
    """A line that says what was wrong with an entry."""
    parts = [
        f"{kind}: {'; '.join(_faults(record[kind]))}" for kind in ("named", "default") if _faults(record.get(kind))
    ]
    parts += [f"changed: {line}" for line in record.get("changed", [])]
    return " · ".join(parts or [str(record.get("message", ""))])


def _faults(outcome: Mapping[str, Any] | None) -> list[str]:
    if not outcome or outcome["verdict"] == "right":
        return []
    if outcome["verdict"] == "other layer":
        return [f"layer {outcome['layer']!r}", *(f"told: {line}" for line in outcome.get("told", []))]
    ways = outcome.get("way_out") or {"offered": [], "worked": []}
    tried = [f"{way} {'works' if way in ways['worked'] else 'fails'}" for way in ways["offered"]]
    message = [f"{outcome['verdict']}: {outcome['message']}"] if "message" in outcome else []
    return [*message, *outcome.get("faults", []), *tried]


def failures(records: Records) -> str:
    """Every entry that is not right, by verdict and name."""
    sections = []
    for verdict in VERDICTS[1:]:
        names = [name for name, record in records.items() if record["verdict"] == verdict]
        lines = [f"- `{name}`: {what_failed(records[name])}" for name in names]
        sections += [f"### {verdict} ({len(names)})\n\n" + "\n".join(lines)] if names else []
    return "\n\n".join(sections) or "None."


def row_of(name: str, record: Mapping[str, Any], entry: Entry | None) -> list[str]:
    default, seconds = record.get("default", {}), record.get("seconds", {})
    times = [f"{seconds[key]:.2f}" if key in seconds else "" for key in ("forward", "first", "second")]
    expected = f"`{entry.layers[0]}`" if entry else ""
    layer = f"`{default['layer']}`" if default.get("layer") else ""
    grid = "x".join(map(str, entry.grid)) if entry else ""
    alignment = "" if record.get("alignment") is None else f"{record['alignment']}/4"
    peers = record.get("peers", {})
    cells = [name, record["verdict"], str(record.get("way", "")), expected, layer, grid, alignment, *times]
    return [*cells, *(peers.get(peer, "") for peer in PEERS if peers)]


def page_of(results: Mapping[str, Any], entries: Mapping[str, Entry]) -> str:
    """The whole page."""
    records: Records = results["records"]
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    peers = any("peers" in record for record in records.values())
    command = "python -m benchmarks models" + (" --peers" if peers else "")
    head = [
        "model",
        "verdict",
        "way",
        "expected layer",
        "default layer",
        "grid",
        "patch",
        "forward s",
        "first",
        "second",
    ]
    head += list(PEERS) if peers else []
    missing = f"Not installed, left out: {', '.join(results['missing'])}. " if results["missing"] else ""
    rows = [row_of(name, record, entries.get(name)) for name, record in records.items()]
    return _PAGE.format(
        command=command,
        machine="{processor}, {cores} cores, {memory_gb} GB, Python {python}".format(**machine),
        versions=versions,
        missing=missing,
        count=len(records),
        figures=table(["figure", "measured"], [[name, value] for name, value in figures(records).items()]),
        origins=by_origin(records),
        failures=failures(records),
        rows=table(head, [row + [""] * (len(head) - len(row)) for row in rows]),
    )


_PAGE = """\
# Models: right, or refused

{count} models, by `{command}`, which writes this page. Machine: {machine}. {versions}. {missing}Weights are random.

The expected layer, grid and layout of each were written by hand from its source before funcam saw it
(`benchmarks/models/`). The reference is a deep copy with a forward hook and autograd. *right*: the features, all
outputs of the head, the scores, the gradient and Grad-CAM equal it at the expected layer; the layer funcam takes by
default is one of those written down, or inside of such a block with the same grid; and the model is afterwards what
it was: values, classes, dicts, hooks, flags, picklable, same outputs. *other layer*: all that, but by default another
layer is taken. *refused*: an error that says why; the ways out that its message offers are taken. *wrong*: another
function, gradient, branch or other axes, without a word. *patch* is a second alignment: at how many of four places of
a bright patch in the image the cell that answers most lies there (of the expected layer, by a hook). Each model is
run in a fresh process of one thread, with limits of time and memory (`--seconds`, `--memory`).

## Figures

{figures}

## By origin

{origins}

## Every failure

{failures}

## Every model

{rows}
"""
