"""Hugging Face's image classifiers with a map beside each label, called like a `pipeline`.

pip install funcam transformers
python examples/hugging_face.py photo.jpg --model microsoft/resnet-50 --out overlays

explain = CamPipeline.from_pretrained("microsoft/resnet-50")
explain("photo.jpg", top_k=2)                       # [{"label": ..., "score": ..., "map": ..., "overlay": ...}, ...]
explain(["a.jpg", "b.jpg"], top_k=1)                # a list of such lists
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import funcam

Picture = str | Path | Image.Image


class CamPipeline:
    """What `pipeline("image-classification")` returns, and why.

    Args:
        model: a classifier whose output has `logits`.
        processor: what makes `pixel_values` of pictures.
        method: as in `funcam.explain`.
        layer: as in `funcam.explain`.
        batch_size: so many pictures go through the network together.
    """

    def __init__(
        self, model: Any, processor: Any, *, method: str = "grad-cam", layer: str | None = None, batch_size: int = 8
    ) -> None:
        self.model, self.processor = model.eval(), processor
        self._method, self._layer, self._batch = method, layer, batch_size

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> CamPipeline:
        """A model and its processor by their name or folder."""
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        model = AutoModelForImageClassification.from_pretrained(name)
        return cls(model, AutoImageProcessor.from_pretrained(name), **options)

    def __call__(self, images: Picture | Sequence[Picture], top_k: int = 5) -> list[Any]:
        """The likeliest classes of a picture, each with its map; of several pictures a list of such lists."""
        several = isinstance(images, Sequence) and not isinstance(images, str)
        pictures = [_opened(image) for image in (images if several else [images])]
        found: list[Any] = []
        for start in range(0, len(pictures), self._batch):
            found += self._of(pictures[start : start + self._batch], top_k)
        return found if several else found[0]

    def _of(self, pictures: Sequence[Image.Image], top_k: int) -> list[list[dict[str, Any]]]:
        device = next(self.model.parameters()).device
        pixels = self.processor(images=list(pictures), return_tensors="pt")["pixel_values"].to(device)
        with torch.inference_mode():
            shares = self.model(pixel_values=pixels).logits.softmax(-1)
        scores, classes = shares.topk(min(top_k, shares.shape[-1]))
        told = {"method": self._method, "layer": self._layer, "output": "logits", "wrt": "pixel_values"}
        maps = funcam.explain(self.model, pixels.clone(), classes.clone(), **told).maps.cpu()
        return [
            [
                {
                    "label": self.model.config.id2label[int(index)],
                    "score": float(score),
                    "map": map_,
                    "overlay": _overlay(picture, map_),
                }
                for index, score, map_ in zip(classes[one], scores[one], maps[one], strict=True)
            ]
            for one, picture in enumerate(pictures)
        ]


def _overlay(picture: Image.Image, map_: torch.Tensor) -> Image.Image:
    return Image.fromarray(funcam.overlay(np.asarray(picture), funcam.onto_image(map_, picture.size[::-1])))


def _opened(image: Picture) -> Image.Image:
    return image.convert("RGB") if isinstance(image, Image.Image) else Image.fromarray(funcam.read_image(image))


def main() -> None:
    """Explain pictures from the command line."""
    parser = argparse.ArgumentParser(description="Explain pictures with a classifier of Hugging Face's.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--model", default="microsoft/resnet-50", help="name or folder")
    parser.add_argument("--out", type=Path, default=Path("overlays"))
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    pictures = [_opened(path) for path in given.images]  # a wrong file is found before a model is fetched
    explain = CamPipeline.from_pretrained(given.model)
    for path, (best,) in zip(given.images, explain(pictures, top_k=1), strict=True):
        best["overlay"].save(given.out / f"{Path(path).stem}.jpg")
        print(f"{path}: {best['label']} {100 * best['score']:.0f} %")


if __name__ == "__main__":
    try:
        main()
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")
