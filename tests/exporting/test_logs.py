"""What other packages log while a file is written: not of it, and nothing of what other threads log is lost."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from small import small

import funcam


def test_what_other_threads_log_meanwhile_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger, export = logging.getLogger("onnxscript.made.on_the_way"), torch.onnx.export

    def told(*arguments: Any, **options: Any) -> Any:
        logger.error("of this file")
        other = Thread(target=logger.error, args=("of another thread",))
        other.start()
        other.join()
        return export(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", told)
    funcam.export(small().eval(), tmp_path / "explainer.onnx", example=torch.zeros(1, 3, 16, 16))
    logger.error("of nothing that is written")
    ours = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert ours == ["of another thread", "of nothing that is written"]
