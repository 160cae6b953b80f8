"""The benchmarks are a package at the root of the repository, which isn't installed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
