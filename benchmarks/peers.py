"""The systems that benchmarks/quality.py sets beside our models, by task.

Weights come from ../shared/peers. BM3D (package bm3d, licensed for non-commercial use
only) and non-local means (package opencv-python-headless) are for comparison alone:
nothing that is installed with napari-memnet needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

__all__ = ["PEERS", "SHARED", "System", "peer"]

SHARED = Path(__file__).parents[2] / "shared"

NLM_STRENGTH = 0.8
"""h/σ of non-local means, chosen in its favour: of 0.7, 0.8, ... 1.2 the one with the
best mean PSNR over σ 30, 50 and 70 on the first six images of S14."""


@dataclass(frozen=True, kw_only=True)
class System:
    """Something that restores planes.

    Attributes
    ----------
    name : str
        What tables and pictures call it.
    restore : callable
        Takes a plane in [0, 1] and the level of its degradation; returns a plane.
    levels : tuple of float
        The levels it is made for.
    multiply_adds : float, optional
        Multiply-adds of its convolutions for one pixel.
    is_ours : bool
        Whether it is a model of this project.
    is_slow : bool
        Whether its speed is measured once, on a smaller plane.
    """

    name: str
    restore: Callable[[Plane, float], Plane]
    levels: tuple[float, ...]
    multiply_adds: float | None = None
    is_ours: bool = False
    is_slow: bool = False


def peer(file: str, *, residual: bool, padding: int) -> Callable[[Plane], Plane]:
    """Return a plain chain of convolutions with ReLU between them."""
    layers = read_layers(file)

    @torch.inference_mode()
    def restore(plane: Plane) -> Plane:
        x = torch.from_numpy(plane)[None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        y = F.pad(x, (padding,) * 4, mode="replicate") if padding else x
        for index, (weight, bias) in enumerate(layers):
            y = F.conv2d(y, weight, bias, padding=weight.shape[-1] // 2)
            y = y.relu_() if index < len(layers) - 1 else y
        if padding:
            y = y[..., padding:-padding, padding:-padding]
        restored: Plane = (x - y if residual else y)[0, 0].numpy()
        return restored

    return restore


@cache
def read_layers(file: str) -> list[tuple[Tensor, Tensor]]:
    """Return the weight and bias of every convolution."""
    weights = np.load(SHARED / "peers" / file)
    return [
        (torch.from_numpy(weights[f"w{i}"]), torch.from_numpy(weights[f"b{i}"]))
        for i in range(len(weights.files) // 2)
    ]


def network(
    name: str, files: Mapping[float, str], *, residual: bool, padding: int = 0
) -> System:
    """Return a peer that has a file of weights, all of one shape, for each level."""
    chains = {
        level: peer(file, residual=residual, padding=padding)
        for level, file in files.items()
    }
    first = read_layers(next(iter(files.values())))
    return System(
        name=name,
        restore=lambda plane, level: chains[level](plane),
        levels=tuple(files),
        multiply_adds=sum(weight.numel() for weight, _ in first),
    )


def arcnn(name: str) -> System:
    files = {float(q): f"ARCNN_q{q}.npz" for q in (10, 20)}
    return network(name, files, residual=False, padding=12)


def dncnn_s(name: str) -> System:
    files = {float(sigma): f"DnCNN_sigma{sigma}.npz" for sigma in (30, 50, 70)}
    return network(name, files, residual=True)


def dncnn_3(name: str, levels: tuple[float, ...]) -> System:
    return network(name, dict.fromkeys(levels, "DnCNN3.npz"), residual=True)


def bm3d(name: str) -> System:
    """BM3D with its normal profile, told σ."""
    from bm3d import bm3d as denoise

    def restore(plane: Plane, sigma: float) -> Plane:
        restored: Plane = denoise(plane.astype(np.float64), sigma / 255)
        return restored.astype(np.float32)

    return System(name=name, restore=restore, levels=(30, 50, 70), is_slow=True)


def non_local_means(name: str) -> System:
    """OpenCV's non-local means, told σ, on pixels rounded and clipped to 8 bits."""
    import cv2

    cv2.setNumThreads(torch.get_num_threads())

    def restore(plane: Plane, sigma: float) -> Plane:
        pixels = np.clip(np.rint(255 * plane), 0, 255).astype(np.uint8)
        denoised = cv2.fastNlMeansDenoising(pixels, None, NLM_STRENGTH * sigma, 7, 21)
        restored: Plane = denoised.astype(np.float32) / np.float32(255)
        return restored

    return System(name=name, restore=restore, levels=(30, 50, 70))


PEERS: dict[str, dict[str, Callable[[str], System]]] = {
    "deblock": {
        "AR-CNN (one per q)": arcnn,
        "DnCNN-3": partial(dncnn_3, levels=(5, 10, 20, 40)),
    },
    "denoise": {
        "DnCNN-S (one per σ)": dncnn_s,
        "DnCNN-3": partial(dncnn_3, levels=(30, 50)),
        "BM3D": bm3d,
        "Non-local means": non_local_means,
    },
    "sr": {"DnCNN-3": partial(dncnn_3, levels=(2, 3, 4))},
}
"""How to make each peer from its name."""
