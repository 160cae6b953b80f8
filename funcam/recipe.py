"""Words that the command line and the functions share. No torch: the command line checks them before it is loaded."""

from __future__ import annotations

SCALES = ("none", "per-map", "per-image", "per-batch")
"""What maps are divided by the maximum of."""

COMBINATIONS = ("mean", "max", "product")
"""How the maps of several layers become one."""

SMOOTHINGS = ("aug", "eigen")
"""Flipped and rescaled copies of the image; the first principal component."""
