"""Ground truth: boxes and masks of images, from any of the usual files. Imports no torch.

    truths, problems = read_truth("boxes.csv", classes)         # CSV, VOC, COCO, ILSVRC, a folder of them or of masks
    names = read_names("names.csv", classes)                    # what the truth's own words mean, for read_truth
    matched, more = match(truths, find_images(["photos"]).paths)  # {path: Truth}, boxes in pixels of the upright image

A reader's problem is one line in `problems` for each kind; the rest is done. Nothing left is a `FuncamError`.
"""

from funcam.truth.find import read_truth
from funcam.truth.match import Matched, match
from funcam.truth.name_file import read_names
from funcam.truth.truth import Box, Mask, Object, Truth, TruthSet

__all__ = ["Box", "Mask", "Matched", "Object", "Truth", "TruthSet", "match", "read_names", "read_truth"]
