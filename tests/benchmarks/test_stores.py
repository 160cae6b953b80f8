"""What `python -m benchmarks batch` tells: its page holds what was measured, and the estimate is arithmetic."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from benchmarks.pages import filled
from benchmarks.stores.command import PAGE, REPORT
from benchmarks.stores.estimate import Rates, cost
from benchmarks.stores.generated import write_shards
from benchmarks.stores.tables import tables
from funcam.sources import Reader, list_items


def test_the_page_shows_what_was_measured():
    page = PAGE.read_text()
    assert filled(page, tables(json.loads(REPORT.read_text()))) == page


@pytest.mark.parametrize(
    ("rates", "hours", "bottleneck"),
    [
        (Rates(decoded=100, serial=1e-4, explained=1000, cores=16, read=1e5), 100e6 / 1000 / 3600, "explaining"),
        (Rates(decoded=50, serial=1e-4, explained=1000, cores=16, read=1e5), 100e6 / 750 / 3600, "decoding"),
        (Rates(decoded=100, serial=2e-3, explained=1000, cores=16, read=1e5), 100e6 / 500 / 3600, "the process"),
    ],
)
def test_a_pipeline_is_as_fast_as_its_slowest_stage(rates, hours, bottleneck):
    for gpus in (1, 8):
        told = cost(rates, gpus)
        assert told.hours == pytest.approx(hours / gpus)
        assert told.gpu_hours == pytest.approx(hours)
        assert told.bottleneck.startswith(bottleneck)
        assert told.read_gb_s == pytest.approx(100e6 / (hours / gpus * 3600) * 1e5 / 1e9)


def test_generated_images_are_each_another_of_the_size_that_was_asked_for(tmp_path):
    (shard,) = write_shards(tmp_path / "shards", 5, side=64)
    with Reader() as reader:
        found = {reader.read(item) for item in list_items([str(shard)])}
    assert len(found) == 5
    with Image.open(io.BytesIO(min(found))) as image:
        assert image.size == (64, 64)
