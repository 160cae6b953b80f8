"""The run of `funcam explain`: every image's record printed or kept, every error told, the report written."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funcam.cli.collector import collect_again
from funcam.cli.messages import complain, reason
from funcam.cli.skip_done import EXPLAINED, FLAG
from funcam.errors import about, json_text
from funcam.resuming.words import stopped

if TYPE_CHECKING:
    from rich.console import Console

    from funcam.pipeline.earlier import ImageSource
    from funcam.pipeline.gallery import Gallery
    from funcam.pipeline.stream import Job
    from funcam.streaming.outcome import Outcome

    Explain = Callable[[Callable[[ImageSource], object]], Generator[Outcome[ImageSource, dict[str, Any]], None, None]]


def run(
    jobs: Sequence[Job],
    sources: Sequence[ImageSource],
    earlier: Mapping[ImageSource, dict[str, Any]],
    reports: Sequence[Path],
    as_json: bool,
    silent: bool,
    question: str = "",
    colormap: str = "",
    alpha: float | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """Explain all images but those that were explained before; a bad one is reported and the others are done.

    Args:
        jobs: one for each network.
        sources: the images.
        earlier: the records of those that were explained before.
        reports: pages and galleries to write.
        as_json: whether records are printed.
        silent: whether nothing else is.
        question: what the reports answer, in letters.
        colormap: the one that was asked for.
        alpha: the weight of the heat that was asked for.

    Returns:
        How many were done, and their records; of a silent run the first one.
    """
    gallery = None
    if reports:
        from funcam.pipeline.gallery import Gallery

        gallery = Gallery(jobs, sources, colormap, alpha)
        jobs = [replace(job, also=partial(gallery.add, job.label)) for job in jobs]
    left = [source for source in sources if source not in earlier]
    flag = f"{FLAG} and without --report" if reports else FLAG
    counts = _explained(_explain(jobs, left), left, earlier, flag, jobs[0].out, as_json, silent)
    if gallery is not None and counts[1]:
        _write_reports(gallery, reports, question)
    return counts


def _explain(jobs: Sequence[Job], sources: Sequence[ImageSource]) -> Explain:
    if len(jobs) == 1:
        from funcam.pipeline.stream import explain_files

        return partial(explain_files, jobs[0], sources)
    from funcam.pipeline.several import explain_with_several

    return partial(explain_with_several, jobs, sources)


def _explained(
    explain: Explain,
    left: Sequence[ImageSource],
    earlier: Mapping[ImageSource, dict[str, Any]],
    flag: str,
    out: Path,
    as_json: bool,
    silent: bool,
) -> tuple[int, list[dict[str, Any]]]:
    shown, bar = _bar(len(left), silent)
    records: list[dict[str, Any]] = []
    done = list(earlier)
    failed = 0
    for before in earlier.values():
        _told(before, records, as_json, silent)
    try:
        with bar as tick, closing(explain(done.append)) as outcomes:
            for outcome in outcomes:
                record = _record(outcome, shown)
                tick()
                if record is None:
                    continue
                failed += bool(record.get("failed"))
                _told(record, records, as_json, silent)
    except KeyboardInterrupt:
        if done and (total := len(left) + len(earlier)) > 1:
            complain(stopped(len(done), total, f"{EXPLAINED}, in {str(out)!r}", flag))
        raise
    return len(done) - failed, records


def _bar(total: int, silent: bool) -> tuple[Console | None, AbstractContextManager[Callable[[], None]]]:
    """Where a bar of the images is drawn, and the bar; a silent run and a single image do without Rich's progress."""
    if silent or total == 1:
        return None, nullcontext(lambda: None)
    from funcam.cli.progress import bar_console, explaining_bar

    shown = bar_console()
    return shown, explaining_bar(shown, total, silent)


def _told(record: dict[str, Any], records: list[dict[str, Any]], as_json: bool, silent: bool) -> None:
    if not silent or not records:
        records.append(record)
    if as_json:
        print(json_text(record, ascii_only=True), flush=True)


def _record(outcome: Outcome[ImageSource, dict[str, Any]], shown: Console | None) -> dict[str, Any] | None:
    """What is known of an image, or nothing but its error, told."""
    collect_again()
    try:
        record = outcome.get()
    except Exception as error:
        complain(about(outcome.item.name, reason(error)), above=shown)
        return None
    for label, problem in record.get("failed", {}).items():
        complain(about(outcome.item.name, f"{label}: {problem}"), above=shown)
    return record


def _write_reports(gallery: Gallery, paths: Sequence[Path], question: str) -> None:
    from funcam.pipeline.gallery import MOST
    from funcam.report import write_gallery, write_report

    report = replace(gallery.report(), question=question)
    if len(gallery.sources) > MOST:
        complain(f"--report shows the first {MOST} of {len(gallery.sources):,} images")
    for path in paths:
        (write_gallery if path.suffix.lower() == ".md" else write_report)(path, report)
