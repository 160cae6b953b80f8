"""Scenes with known truth, and (in `funcam.scenes.network`) a network that knows them; nothing is downloaded.

Importing this package does not import torch.
"""

from funcam.scenes.draw import SIZE, SUBSETS, TRAIN_SEED, Scene, Thing, scene, scenes
from funcam.scenes.shapes import CLASSES

__all__ = ["CLASSES", "SIZE", "SUBSETS", "TRAIN_SEED", "Scene", "Thing", "scene", "scenes"]
