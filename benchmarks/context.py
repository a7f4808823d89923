"""Whether the frames before and after help to denoise one: means before the network.

    python benchmarks/context.py [--frames 4]

prints a table as Markdown. Each frame of a stack is restored from itself alone, from
the mean of three frames, from their mean after registration by phase correlation, and
from that mean where the neighbors differ by no more than noise does. Stacks are movies
of lysosomes (../shared/data/micro), whose own frames count as the truth, and simulated
ones whose truth is known: nothing moves, everything drifts, or every cell moves by
itself. Noise is that of a camera (benchmarks/microscopy.py) of 20 photo-electrons at
the peak; the methods are told it. PSNR in dB over the range of the truth.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from microscopy import CAMERAS, SHARED, blurred, psnr, scenes
from skimage import registration, transform

from memnet_core import restore
from memnet_core.sources.frame_average import averaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Plane = NDArray[np.float64]
    Three = NDArray[np.float64]

CAMERA, ELECTRONS = CAMERAS["sCMOS"], 20
CONSTANT = (CAMERA.gain * CAMERA.read) ** 2 - CAMERA.gain * CAMERA.black


def shift(plane: Plane, move: tuple[float, float]) -> Plane:
    """Move a plane down and across by parts of pixels."""
    made: Any = transform
    back = made.AffineTransform(translation=(-move[1], -move[0]))
    return np.asarray(made.warp(plane, back, order=3, mode="reflect", clip=False))


def stacks() -> dict[str, NDArray[np.float64]]:
    """Return clean stacks of shape (T, H, W) in [0, 1]."""
    found = {}
    for number in (1, 2, 5, 8):
        movie = tifffile.imread(SHARED / f"micro/lysosome/{number}.tif")[10:22]
        low, high = np.percentile(movie, (0.5, 99.9))
        spread = np.clip((movie.astype(np.float64) - low) / (high - low), 0, 1)
        found[f"lysosomes {number}"] = spread
    still = scenes()["filaments"]
    found["filaments, still"] = np.stack([still] * 12)
    found["filaments, drift 0.7 px"] = np.stack(
        [shift(still, (0.7 * n, 0.4 * n)) for n in range(12)]
    )
    found["cells, each moves"] = _moving()
    return {name: np.clip(stack, 0, 1) for name, stack in found.items()}


def _moving() -> NDArray[np.float64]:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:128, :128]
    cells = [
        (rng.uniform(10, 118, 2), rng.normal(0, 1.2, 2), rng.uniform(3, 14))
        for _ in range(14)
    ]
    frames = []
    for n in range(12):
        frame = np.full((128, 128), 0.03)
        for place, speed, radius in cells:
            row, column = place + n * speed
            inside = np.hypot(y - row, x - column) < radius
            frame[inside] = np.maximum(frame[inside], min(1.0, 3 / radius))
        frames.append(blurred(frame, 1.0))
    return np.stack(frames)


def alone(three: Three) -> tuple[Plane, float]:
    return three[1], 1.0


def mean(three: Three) -> tuple[Plane, float]:
    return three.mean(0), 3.0


def _registered(three: Three) -> Three:
    moved = []
    for frame in three:
        # On smoothed frames: noise alone would have its peak at no shift.
        smooth = blurred(three[1], 1.5), blurred(frame, 1.5)
        correlate: Any = registration.phase_cross_correlation
        offset, _, _ = correlate(*smooth, upsample_factor=10, normalization=None)
        moved.append(shift(frame, offset))
    moved[1] = three[1]
    return np.stack(moved)


def registered(three: Three) -> tuple[Plane, float]:
    return mean(_registered(three))


def gated(three: Three) -> tuple[Plane, float]:
    """Average as `--context 3` does: where no more than noise differs."""
    first, plane, last = three[..., None]
    found, frames = averaged(plane, [first, last], CAMERA.gain, CONSTANT)
    return found[..., 0], frames


METHODS: dict[str, Callable[[Three], tuple[Plane, float]]] = {
    "the frame alone": alone,
    "mean of 3": mean,
    "registered": registered,
    "`--context 3`": gated,
}


def restored(plane: Plane, frames: float) -> Plane:
    """Denoise a mean of so many frames: their gain and their read noise are smaller."""
    gain = CAMERA.gain / frames
    constant = (CAMERA.gain * CAMERA.read) ** 2 / frames - gain * CAMERA.black
    noise: Any = (gain, constant)
    return restore(plane, "denoise", noise=noise, nearest=True, device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=4, help="scored of each stack")
    count = parser.parse_args().frames
    print("| PSNR, dB | noisy |", " | ".join(METHODS), "|")
    print("|---" * (2 + len(METHODS)) + "|", flush=True)
    for name, stack in stacks().items():
        rng = np.random.default_rng(0)
        noisy = np.stack([CAMERA.photograph(ELECTRONS * f, rng) for f in stack])
        truth = CAMERA.black + CAMERA.gain * ELECTRONS * stack
        rows = []
        for n in np.linspace(1, len(stack) - 2, count).round().astype(int):
            results = [restored(*way(noisy[n - 1 : n + 2])) for way in METHODS.values()]
            rows.append([psnr(result, truth[n]) for result in (noisy[n], *results)])
        means = " | ".join(f"{value:.2f}" for value in np.mean(rows, 0))
        print(f"| {name} | {means} |", flush=True)


if __name__ == "__main__":
    main()
