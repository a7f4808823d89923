"""Score a deblocking model beside AR-CNN and DnCNN-3 on the same inputs.

Usage: python benchmarks/deblocking.py [MODEL] [--record]

MODEL is the name or file of a model, by default the shipped one. With --record its
scores are written into the model file. Needs the images and peers of ../shared.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from memnet_core.checkpoint import load_model, save_model
from memnet_core.engine import Restorer, result_of
from memnet_core.evaluation import deblocking_scores
from memnet_core.zoo import find_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Restore = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SHARED = Path(__file__).parents[2] / "shared"
CLASSIC5 = SHARED / "data" / "bench" / "classic5"
QUALITIES = (5, 10, 20, 40)


def ours(restorer: Restorer) -> Restore:
    def restore(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        restored: NDArray[np.float32] = result_of(restorer.restore(plane[None]))[0]
        return restored

    return restore


def peer(file: str, *, residual: bool, padding: int) -> Restore:
    """Return a plain chain of convolutions with ReLU between them."""
    weights = np.load(SHARED / "peers" / file)
    layers = [
        (torch.from_numpy(weights[f"w{i}"]), torch.from_numpy(weights[f"b{i}"]))
        for i in range(len(weights.files) // 2)
    ]

    @torch.inference_mode()
    def restore(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        x = torch.from_numpy(plane)[None, None]
        x = x.contiguous(memory_format=torch.channels_last)
        y = F.pad(x, (padding,) * 4, mode="replicate") if padding else x
        for index, (weight, bias) in enumerate(layers):
            y = F.conv2d(y, weight, bias, padding=weight.shape[-1] // 2)
            y = y.relu_() if index < len(layers) - 1 else y
        if padding:
            y = y[..., padding:-padding, padding:-padding]
        restored: NDArray[np.float32] = (x - y if residual else y)[0, 0].numpy()
        return restored

    return restore


def seconds_per_megapixel(restore: Restore) -> float:
    plane = np.random.default_rng(0).random((512, 512), np.float32)
    restore(plane)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        restore(plane)
        times.append(time.perf_counter() - started)
    return sorted(times)[1] / (plane.size / 1e6)


def print_row(name: str, cells: list[str], speed: str) -> None:
    print(f"{name:<22}" + "".join(f"{cell:<16}" for cell in cells) + speed)


def main(name: str = "deblock", *flags: str) -> None:
    path = find_model(name).path
    model, card = load_model(path)
    restorers = {card.name: ours(Restorer(model, device="cpu"))}
    scores = {card.name: deblocking_scores(restorers[card.name], CLASSIC5, QUALITIES)}
    for quality in (10, 20):
        arcnn = f"AR-CNN q{quality}"
        restorers[arcnn] = peer(f"ARCNN_q{quality}.npz", residual=False, padding=12)
        scores[arcnn] = deblocking_scores(restorers[arcnn], CLASSIC5, [quality])
    restorers["DnCNN-3"] = peer("DnCNN3.npz", residual=True, padding=0)
    scores["DnCNN-3"] = deblocking_scores(restorers["DnCNN-3"], CLASSIC5, QUALITIES)

    print_row("classic5, PSNR/SSIM", [f"q {quality}" for quality in QUALITIES], "s/Mpx")
    inputs = [f"{s.input_psnr:.2f}/{s.input_ssim:.4f}" for s in scores[card.name]]
    print_row("JPEG", inputs, "")
    for system, rows in scores.items():
        cells = {score.level: f"{score.psnr:.2f}/{score.ssim:.4f}" for score in rows}
        speed = seconds_per_megapixel(restorers[system])
        print_row(system, [cells.get(q, "-") for q in QUALITIES], f"{speed:.2f}")

    if "--record" in flags:
        fields = card.model_dump(exclude={"architecture", "sha256", "scores"})
        save_model(path, model, **fields, scores=scores[card.name])
        print(f"Recorded in {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
