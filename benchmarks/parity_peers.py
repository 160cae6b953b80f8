"""What grad-cam, torchcam and captum compute for a method, before they rescale or resize it.

A peer is given what funcam is given: the same network (a copy, for its hooks), layer, class and image, and where noise
is drawn, the same noise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from photos import out_of_place
from torch import nn

import funcam

Options = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Scene:
    """A network, a layer, images and one class of each: what funcam and a peer are both asked to explain."""

    name: str
    model: nn.Module
    layer: str
    images: torch.Tensor
    classes: list[int]

    def ours(self, method: str, **options: Any) -> torch.Tensor:
        """funcam's values, as `funcam.explain` gives them."""
        layer = self.layer if funcam.METHODS[method].at_layer else None
        return funcam.explain(self.model, self.images, self.classes, method=method, layer=layer, **options).maps

    def double(self) -> Scene:
        """The same in float64."""
        model = copy.deepcopy(self.model).double()
        return replace(self, model=model, images=self.images.double())

    def hooked(self) -> tuple[nn.Module, nn.Module]:
        """A copy of the model that keeps what its layers computed, and its layer."""
        model = out_of_place(self.model)
        return model, model.get_submodule(self.layer)


Compute = Callable[[Scene, Options], torch.Tensor]


# --- grad-cam ---------------------------------------------------------------------------------------------------------


def of_grad_cam(name: str, *, target: str = "ClassifierOutputTarget", at: str = "get_cam_image") -> Compute:
    """A class of grad-cam; what its method `at` returns is what it goes on to rescale."""

    def theirs(scene: Scene, _options: Options) -> torch.Tensor:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils import model_targets

        model, layer = scene.hooked()
        layers = [] if name == "FullGrad" else [layer]
        with getattr(pytorch_grad_cam, name)(model, layers) as cam:
            kept = _overheard(cam, at)
            cam(scene.images, [getattr(model_targets, target)(index) for index in scene.classes])
        return torch.as_tensor(kept[0]).flatten(0, 1) if at == "compute_cam_per_layer" else torch.as_tensor(kept[0])

    return theirs


def _overheard(thing: Any, name: str) -> list[Any]:
    """What a method of an object returns from now on."""
    kept: list[Any] = []
    method = getattr(thing, name)

    def overheard(*args: Any, **kwargs: Any) -> Any:
        kept.append(method(*args, **kwargs))
        return kept[-1]

    setattr(thing, name, overheard)
    return kept


def grad_cams_finer(scene: Scene, options: Options) -> torch.Tensor:
    from pytorch_grad_cam import FinerCAM

    model, layer = scene.hooked()
    with FinerCAM(model, [layer]) as cam:
        kept = _overheard(cam.base_cam, "get_cam_image")
        for image, index in zip(scene.images, scene.classes, strict=True):
            cam(image[None], target_idx=index, alpha=options["gamma"])
    return torch.as_tensor(np.concatenate(kept))


def grad_cams_guided(scene: Scene, _options: Options) -> torch.Tensor:
    from pytorch_grad_cam import GuidedBackpropReLUModel

    guided = GuidedBackpropReLUModel(scene.hooked()[0])
    pairs = zip(scene.images, scene.classes, strict=True)
    return torch.stack([torch.as_tensor(guided(image[None].clone(), index)).movedim(-1, 0) for image, index in pairs])


def grad_cams_random(scene: Scene, options: Options) -> torch.Tensor:
    state = np.random.get_state()  # noqa: NPY002 - the peer draws from NumPy's global generator
    np.random.seed(options["seed"])  # noqa: NPY002
    try:
        return of_grad_cam("RandomCAM")(scene, options)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def ours_random(scene: Scene, options: Options) -> torch.Tensor:
    """With the numbers that the peer draws."""
    A, _ = funcam.split(scene.model, scene.layer)(scene.images)
    drawn = np.random.RandomState(options["seed"]).uniform(-1, 1, A.shape[:2])
    return torch.stack([funcam.random_cam(a, torch.as_tensor(w, dtype=a.dtype)) for a, w in zip(A, drawn, strict=True)])


def grad_cams_factors(scene: Scene, options: Options) -> torch.Tensor:
    """Its factors of each image; of these the one that alone gives the class its highest score, as funcam chooses."""
    from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff

    chosen = []
    for image, index in zip(scene.images, scene.classes, strict=True):
        A, head = funcam.split(scene.model, scene.layer)(image[None])
        concepts, (maps,) = dff(A.detach().numpy().copy(), n_components=options["factors"])
        rows = np.einsum("cf,fhw->fchw", concepts, maps).astype(np.float32)
        chosen.append(torch.as_tensor(maps)[head_of_rows(head, torch.as_tensor(rows))[:, index].argmax()])
    return torch.stack(chosen)


def head_of_rows(head: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """A head that was split for one image, for each row."""
    with torch.no_grad():
        return torch.cat([head(row[None]) for row in rows])


# --- torchcam ---------------------------------------------------------------------------------------------------------


def of_torchcam(name: str, settings: Callable[[Options], dict[str, Any]] = lambda options: {}) -> Compute:
    def theirs(scene: Scene, options: Options) -> torch.Tensor:
        import torchcam.methods

        model, layer = scene.hooked()
        with getattr(torchcam.methods, name)(model, layer, **settings(options)) as extractor:
            (maps,) = extractor(scene.classes, model(scene.images), normalized=False)
        return torch.as_tensor(maps).detach()

    return theirs


class _Given:
    """Stands in for a distribution: the numbers that funcam draws, one sample at a time."""

    def __init__(self, samples: torch.Tensor) -> None:
        self.samples = iter(samples)

    def sample(self, size: torch.Size) -> torch.Tensor:
        return next(self.samples).expand(size)


def noise_of_images(images: torch.Tensor, options: Options) -> torch.Tensor:
    """funcam's noise for Smooth Grad-CAM++, `[samples, B, channels, *size]`."""
    generator = torch.Generator().manual_seed(options["seed"])
    unit = torch.randn((options["samples"], 1, *images.shape[1:]), generator=generator).to(images)
    spread = images.flatten(1).amax(1) - images.flatten(1).amin(1)
    return unit * options["noise"] * spread.view(-1, 1, 1, 1)


def torchcams_smooth(scene: Scene, options: Options) -> torch.Tensor:
    from torchcam.methods import SmoothGradCAMpp

    model, layer = scene.hooked()
    with SmoothGradCAMpp(model, layer, num_samples=options["samples"]) as extractor:
        extractor._distrib = _Given(noise_of_images(scene.images, options))
        model(scene.images)
        return torch.as_tensor(extractor(scene.classes, normalized=False)[0]).detach()


def noise_of_masks(A: torch.Tensor, size: torch.Size, options: Options) -> torch.Tensor:
    """funcam's noise for SS-CAM on one image `A` `[C, *S]`: `[samples, C, *size]`, zero for constant channels."""
    generator = torch.Generator().manual_seed(options["seed"])
    noise = torch.zeros(options["samples"], len(A), *size)
    for channel in (A.flatten(1).amax(1) > A.flatten(1).amin(1)).nonzero().flatten():
        for sample in range(options["samples"]):
            noise[sample, channel] = torch.randn(size, generator=generator)
    return noise * options["noise"]


def torchcams_ss_cam(scene: Scene, options: Options) -> torch.Tensor:
    """Image by image: funcam's noise is the same for each."""
    from torchcam.methods import SSCAM

    maps = []
    for image, index in zip(scene.images, scene.classes, strict=True):
        model, layer = scene.hooked()
        with SSCAM(model, layer, num_samples=options["samples"]) as extractor, torch.no_grad():
            model(image[None])
            noise = noise_of_masks(extractor.hook_a[0][0], image.shape[1:], options)
            extractor._distrib = _Given(noise[:, None])
            maps.append(extractor([index], normalized=False)[0])
    return torch.cat(maps)


def torchcams_le_grad(scene: Scene, _options: Options) -> torch.Tensor:
    from torchcam.methods import LeGrad

    model: Any = out_of_place(scene.model)
    with LeGrad(model, list(model.encoder.layers)) as extractor:
        scores = model(scene.images)
        return torch.as_tensor(extractor(scene.classes, scores, normalized=False)[0]).detach()


# --- captum -----------------------------------------------------------------------------------------------------------


def of_captum(name: str, *, layer: bool = False, of_layer: bool = False, **settings: Any) -> Compute:
    """A class of captum; of a layer's attributions the sum over the channels."""

    def theirs(scene: Scene, _options: Options) -> torch.Tensor:
        import captum.attr

        model, module = scene.hooked()
        method = getattr(captum.attr, name)(*((model, module) if layer else (model,)))
        found = method.attribute(scene.images.clone(), target=torch.tensor(scene.classes), **settings).detach()
        return torch.as_tensor(found.sum(1) if of_layer else found)

    return theirs


def captums_smooth_grad(scene: Scene, options: Options) -> torch.Tensor:
    """Image by image: funcam's noise is the same for each."""
    from captum.attr import NoiseTunnel, Saliency

    found = []
    for image, index in zip(scene.images, scene.classes, strict=True):
        generator = torch.Generator().manual_seed(options["seed"])
        unit = torch.stack([torch.randn(image.shape, generator=generator) for _ in range(options["samples"])])
        noise = unit.to(image) * options["noise"] * (image.amax() - image.amin())
        tunnel = NoiseTunnel(Saliency(out_of_place(scene.model)))
        tunnel._add_noise_to_input = lambda given, _std, _count, noise=noise: given + noise
        found.append(tunnel.attribute(image[None], nt_samples=len(noise), target=index, abs=False).detach())
    return torch.cat(found)
