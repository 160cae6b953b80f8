"""The report of a comparison: one page that needs no server, and a Markdown gallery in the original's form.

Importing this package does not import torch.
"""

from funcam.report.data import (
    Box,
    Explained,
    ImageEntry,
    MapEntry,
    MethodEntry,
    MetricEntry,
    NetEntry,
    Pair,
    Report,
    Result,
)
from funcam.report.markdown import write_gallery
from funcam.report.page import write_report

__all__ = [
    "Box",
    "Explained",
    "ImageEntry",
    "MapEntry",
    "MethodEntry",
    "MetricEntry",
    "NetEntry",
    "Pair",
    "Report",
    "Result",
    "write_gallery",
    "write_report",
]
