"""The systems that benchmarks/quality.py sets beside our models, by benchmark.

Their networks are in peer_networks.py and memnet_core.training.distillation. BM3D
(package bm3d, licensed for non-commercial use only) and non-local means (package
opencv-python-headless) are for comparison alone: nothing that is installed with
napari-memnet needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from peer_networks import arcnn, multiply_adds, read_weights

from memnet_core.image_ops.color import (
    add_luminance,
    full_range_luminance,
    rgb2ycbcr_luminance,
)
from memnet_core.training.distillation import dncnn, ffdnet, smfanet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.evaluation.run import Sample

    Pixels = NDArray[Any]

__all__ = ["PEERS", "System"]

NLM_STRENGTH = 0.8
"""h/σ of non-local means, chosen in its favor: of 0.7, 0.8, ... 1.2 the one with the
best mean PSNR over σ 30, 50 and 70 on the first six images of S14."""


@dataclass(frozen=True, kw_only=True)
class System:
    """Something that restores images.

    Attributes
    ----------
    name : str
        What tables and pictures call it.
    restore : callable
        Takes a sample, of which it must not look at the clean image, and the level of
        its degradation; returns pixels in [0, 255] of the shape that is scored.
    levels : tuple of float
        The levels it is made for.
    multiply_adds : float, optional
        Multiply-adds of its convolutions for one pixel; of several networks those of
        the costliest.
    sha256 : str, optional
        Checksum of the weights, for a model of this project.
    is_slow : bool
        Whether its speed is measured once, on a smaller image.
    """

    name: str
    restore: Callable[[Sample, float], Pixels]
    levels: tuple[float, ...]
    multiply_adds: float | None = None
    sha256: str | None = None
    is_slow: bool = False


@torch.inference_mode()
def answer(network: Callable[[Tensor], Tensor], image: Pixels) -> Pixels:
    """Return what a network makes of (H, W) or (H, W, C) pixels in [0, 255]."""
    channels = np.atleast_3d(image).astype(np.float32) / np.float32(255)
    x = torch.from_numpy(np.ascontiguousarray(channels.transpose(2, 0, 1)))[None]
    y = network(x.contiguous(memory_format=torch.channels_last))[0]
    restored: Pixels = 255 * y.numpy().transpose(1, 2, 0)
    return restored.reshape(*restored.shape[:2], *image.shape[2:])


def on_planes(
    name: str,
    network: Callable[[dict[str, Tensor], Tensor], Tensor],
    files: Mapping[float, str],
) -> System:
    """Return a network that has a file of weights, all of one shape, for each level."""
    weights = {level: read_weights(file) for level, file in files.items()}
    return System(
        name=name,
        restore=lambda sample, level: answer(
            partial(network, weights[level]), sample.degraded
        ),
        levels=tuple(files),
        multiply_adds=max(map(multiply_adds, weights.values())),
    )


def ar_cnn(name: str) -> System:
    return on_planes(name, arcnn, {float(q): f"ARCNN_q{q}" for q in (10, 20)})


def dncnn_s(name: str) -> System:
    files = {float(sigma): f"DnCNN_sigma{sigma}" for sigma in (30, 50, 70)}
    return on_planes(name, dncnn, files)


def dncnn_3(name: str, levels: tuple[float, ...]) -> System:
    return on_planes(name, dncnn, dict.fromkeys(levels, "DnCNN3"))


def dncnn_3_on_luminance(name: str) -> System:
    """DnCNN-3 on the luminance of a color JPEG, whose chroma stays."""
    weights = read_weights("DnCNN3")

    def restore(sample: Sample, level: float) -> Pixels:
        before = full_range_luminance(sample.degraded)
        after = answer(partial(dncnn, weights), before)
        return add_luminance(sample.degraded, after - before)

    return System(
        name=name,
        restore=restore,
        levels=(10, 20, 40),
        multiply_adds=multiply_adds(weights),
    )


def ffdnet_of(name: str, file: str, *, each: bool = False) -> System:
    """FFDNet for gray planes or colors, or for gray planes on each channel."""
    weights = read_weights(file)

    def denoised(image: Pixels, sigma: float) -> Pixels:
        told = torch.full((1, 1, 1, 1), sigma / 255)
        return answer(lambda x: ffdnet(weights, x, told), image)

    def restore(sample: Sample, sigma: float) -> Pixels:
        if not each:
            return denoised(sample.degraded, sigma)
        channels = np.moveaxis(sample.degraded, -1, 0)
        return np.stack([denoised(channel, sigma) for channel in channels], -1)

    return System(
        name=name,
        restore=restore,
        levels=(30, 50, 70),
        multiply_adds=multiply_adds(weights, 4) * (3 if each else 1),
    )


def smfanet_plus(name: str) -> System:
    """SMFANet+, which enlarges the small picture in color; its luminance is scored."""
    weights = {float(s): read_weights(f"SMFANetplus_x{s}") for s in (2, 3, 4)}

    def restore(sample: Sample, scale: float) -> Pixels:
        if sample.source is None:
            raise ValueError("The sample has no small picture in color.")
        colors = answer(partial(smfanet, weights[scale]), sample.source.stack[0])
        return rgb2ycbcr_luminance(np.clip(np.rint(colors), 0, 255).astype(np.uint8))

    return System(
        name=name,
        restore=restore,
        levels=tuple(weights),
        multiply_adds=max(multiply_adds(w, scale**2) for scale, w in weights.items()),
    )


def bm3d(name: str) -> System:
    """BM3D with its normal profile, told σ."""
    from bm3d import bm3d as denoise

    def restore(sample: Sample, sigma: float) -> Pixels:
        restored: Pixels = 255 * denoise(sample.degraded / 255, sigma / 255)
        return restored

    return System(name=name, restore=restore, levels=(30, 50, 70), is_slow=True)


def non_local_means(name: str) -> System:
    """OpenCV's non-local means, told σ, on pixels rounded and clipped to 8 bits."""
    import cv2

    cv2.setNumThreads(torch.get_num_threads())

    def restore(sample: Sample, sigma: float) -> Pixels:
        pixels = np.clip(np.rint(sample.degraded), 0, 255).astype(np.uint8)
        restored: Pixels = cv2.fastNlMeansDenoising(
            pixels, None, NLM_STRENGTH * sigma, 7, 21
        )
        return restored

    return System(name=name, restore=restore, levels=(30, 50, 70))


PEERS: dict[str, dict[str, Callable[[str], System]]] = {
    "deblock": {
        "AR-CNN (one per q)": ar_cnn,
        "DnCNN-3": partial(dncnn_3, levels=(5, 10, 20, 40)),
    },
    "denoise": {
        "DnCNN-S (one per σ)": dncnn_s,
        "DnCNN-3": partial(dncnn_3, levels=(30, 50)),
        "FFDNet": partial(ffdnet_of, file="FFDNet_gray"),
        "BM3D": bm3d,
        "Non-local means": non_local_means,
    },
    "sr": {
        "DnCNN-3": partial(dncnn_3, levels=(2, 3, 4)),
        "SMFANet+ (one per ×)": smfanet_plus,
    },
    "deblock-color": {"DnCNN-3 (luminance)": dncnn_3_on_luminance},
    "denoise-color": {
        "FFDNet color": partial(ffdnet_of, file="FFDNet_color"),
        "FFDNet gray (each)": partial(ffdnet_of, file="FFDNet_gray", each=True),
    },
}
"""How to make each peer from its name, by benchmark."""
