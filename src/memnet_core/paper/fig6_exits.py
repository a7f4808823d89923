"""Quality and cost of each intermediate prediction (Figures 4 and 6)."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.evaluation.published import known_set, published
from memnet_core.evaluation.run import evaluate, restored_plane
from memnet_core.inference.engine import Engine
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.card import Card
    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Task

__all__ = [
    "BANDS",
    "SIDE",
    "Exit",
    "Prediction",
    "Spectrum",
    "convolution_weights",
    "decibels",
    "exits",
    "published_psnr",
    "score_predictions",
    "spectrum_of",
]


BANDS = {"low": (0, 1 / 6), "middle": (1 / 6, 1 / 3), "high": (1 / 3, 0.5)}
"""Thirds of the frequencies, in cycles a pixel."""


@dataclass(frozen=True)
class Spectrum:
    """Power of an image on concentric circles around frequency 0.

    Attributes
    ----------
    frequency : ndarray of float, shape (K,)
        Radius of the circles in cycles a pixel, up to 0.5.
    power : ndarray of float, shape (K,)
        Sum of |F|² over each circle, a part of the mean square of the image's values.
    """

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]

    def band(self, name: str) -> float:
        """Return the power within one of `BANDS`."""
        low, high = BANDS[name]
        inside = (self.frequency >= low) & (self.frequency < high)
        return float(self.power[inside].sum())


def spectrum_of(plane: NDArray[Any]) -> Spectrum:
    """Integrate the centered power spectrum of an image over concentric circles.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
        Pixels on any scale; their mean is taken away first.

    Notes
    -----
    Circles are 1 / min(H, W) cycles a pixel wide; the first one is around 0. The image
    is taken as it is, without a window: what its borders add is the same for all
    networks that are compared.
    """
    values = np.asarray(plane, np.float64)
    values = values - values.mean()
    height, width = values.shape
    power = np.abs(np.fft.fft2(values) / values.size) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    side = min(height, width)
    circle = np.rint(radius * side).astype(int)
    circles = side // 2 + 1
    sums = np.bincount(circle.ravel(), power.ravel(), minlength=circles)[:circles]
    frequency = np.arange(circles, dtype=np.float64) / side
    return Spectrum(frequency, sums.astype(np.float64))


def decibels(power: Any, reference: Any) -> Any:
    """Return a ratio of powers in dB; nothing to nothing is 0.

    Parameters
    ----------
    power, reference : float or ndarray
        Powers on one scale.
    """
    # Far below what 8 bits can hold (1/12 spread over all circles), far above rounding.
    floor = 1e-12
    return 10 * np.log10((power + floor) / (reference + floor))


SIDE = 288
"""Side of the square image that the paper measures seconds on (section 5)."""

_RUNS = 3
"""Number of timings; the shortest counts, as other processes only add to it."""


@dataclass(frozen=True)
class Prediction:
    """A prediction of a network: its cost and its scores.

    Attributes
    ----------
    name : str
        As of an `Exit`.
    block : int
        Memory block after which it is made.
    weights : int
        Number of weights of convolutions that it needs.
    multiply_adds : float
        Multiply-adds a pixel.
    seconds : float
        For an image of 288×288 pixels.
    input_psnr, psnr : float
        Means over the images in dB.
    input_ssim, ssim : float
        Means over the images.
    """

    name: str
    block: int
    weights: int
    multiply_adds: float
    seconds: float
    input_psnr: float
    psnr: float
    input_ssim: float
    ssim: float


@dataclass(frozen=True)
class Exit:
    """A prediction that a network can make.

    Attributes
    ----------
    name : str
        ``y1`` … ``yM`` of a memory block, or ``y``, the output.
    block : int
        Memory block after which it is made.
    """

    name: str
    block: int

    def engine(self, model: MemNet, device: str = "auto") -> Engine:
        """Return a network on a device that makes this prediction and no more."""
        blocks = model.architecture.memory_blocks
        if self.block < blocks:
            return Engine(model, device=device, exit_block=self.block)
        if self.name != "y":
            # y_M comes with the fusion of all: one that counts y_M alone.
            model = copy.deepcopy(model)
            model.fusion.data.zero_()[-1] = 1
        return Engine(model, device=device)


def exits(architecture: Architecture) -> list[Exit]:
    """Return the predictions a network makes, the output last."""
    blocks = architecture.memory_blocks
    supervised = range(1, blocks + 1) if architecture.multi_supervised else ()
    return [*(Exit(f"y{block}", block) for block in supervised), Exit("y", blocks)]


def convolution_weights(model: MemNet, exit_block: int | None = None) -> int:
    """Count the weights of convolutions, as the paper does, up to a prediction.

    Parameters
    ----------
    model : MemNet
        The network.
    exit_block : int, optional
        Memory block after which it stops; M by default.
    """
    parts = [model.fenet, *model.blocks[:exit_block], model.reconnet]
    return sum(
        parameter.numel()
        for part in parts
        for parameter in part.parameters()
        if parameter.ndim == 4
    )


def score_predictions(
    model: MemNet,
    card: Card,
    folder: Path,
    level: float,
    *,
    device: str = "auto",
    seed: int = 0,
) -> Iterator[Prediction]:
    """Score every prediction of a network by the paper's protocol, and time it.

    Parameters
    ----------
    model : MemNet
        The network.
    card : Card
        What its file says of it.
    folder : Path
        Clean images.
    level : float
        Quality, deviation or scale.
    device : str
        Where to compute.
    seed : int
        Determines the noise.

    Yields
    ------
    Prediction
        In the order of the memory blocks; the fusion of all comes last.

    Raises
    ------
    MemnetError
        As `memnet_core.evaluation.run.evaluate`.
    """
    architecture = model.architecture
    value = find_task(card.task).level_map_value(level)
    for made in exits(architecture):
        engine = made.engine(model, device)
        [evaluation] = evaluate(engine, card, folder, [level], seed=seed)
        mean = evaluation.mean
        yield Prediction(
            made.name,
            made.block,
            convolution_weights(model, made.block),
            architecture.multiply_adds(made.block),
            _seconds(engine, value),
            mean.input_psnr,
            mean.psnr,
            mean.input_ssim,
            mean.ssim,
        )


def published_psnr(task: Task, folder: Path, level: float) -> dict[str, float]:
    """Return the PSNR of other methods on a standard set in dB, in ascending order."""
    known = known_set(folder.name)
    tables = published(task.table, known.name) if known else {}
    found = {name: psnr for name, (psnr, _) in tables.get(level, {}).items()}
    return dict(sorted(found.items(), key=lambda system: system[1]))


def _seconds(engine: Engine, value: float) -> float:
    """Return the shortest time for an image of the paper's size."""
    plane = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE))
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        restored_plane(engine, plane, value)
        times.append(time.perf_counter() - start)
    return min(times)
