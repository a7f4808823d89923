"""Intermediate predictions: side by side (Fig. 4), scores and costs (Fig. 6)."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import UsageError
from memnet_core.evaluation.protocol import degraded_input, reference, scores
from memnet_core.evaluation.published import known_set, published
from memnet_core.evaluation.run import evaluate, restored_plane
from memnet_core.inference.engine import Engine
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.model.architecture import Architecture
    from memnet_core.model.card import Card
    from memnet_core.model.network import MemNet
    from memnet_core.tasks import Task

__all__ = [
    "BANDS",
    "SIDE",
    "Comparison",
    "Exit",
    "Picture",
    "Prediction",
    "Spectrum",
    "compare",
    "convolution_weights",
    "decibels",
    "exits",
    "published_psnr",
    "score_predictions",
    "spectrum_of",
]

BANDS = {"low": (0, 1 / 6), "middle": (1 / 6, 1 / 3), "high": (1 / 3, 0.5)}
"""Thirds of the frequencies, in cycles per pixel."""

SIDE = 288
"""Side of the square image that the paper times for Fig. 6."""

_RUNS = 3
"""Number of timings; the shortest counts, as other processes only add to it."""

_CROP = 96
"""Side of the crop in pixels if none is given."""


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
        """Return an engine that computes this prediction and nothing beyond."""
        blocks = model.architecture.memory_blocks
        if self.block < blocks:
            return Engine(model, device=device, exit_block=self.block)
        if self.name != "y":
            # The last block ends in the fusion of all: make y_M its only summand.
            model = copy.deepcopy(model)
            model.fusion.data.zero_()[-1] = 1
        return Engine(model, device=device)


def exits(architecture: Architecture) -> list[Exit]:
    """Return the predictions of a network, the output last."""
    blocks = architecture.memory_blocks
    supervised = range(1, blocks + 1) if architecture.multi_supervised else ()
    return [*(Exit(f"y{block}", block) for block in supervised), Exit("y", blocks)]


@dataclass(frozen=True)
class Spectrum:
    """Power of an image on concentric circles around frequency 0.

    Attributes
    ----------
    frequency : ndarray of float, shape (K,)
        Radius of the circles in cycles per pixel, up to 0.5.
    power : ndarray of float, shape (K,)
        Sum of |F|² over each circle; all sum up to the variance of the image.
    """

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]

    def band(self, name: str) -> float:
        """Return the power within one of `BANDS`."""
        low, high = BANDS[name]
        inside = (self.frequency >= low) & (self.frequency < high)
        return float(self.power[inside].sum())


def spectrum_of(plane: NDArray[Any]) -> Spectrum:
    """Integrate the power spectrum of a plane, less its mean, over concentric circles.

    Circles are 1 / min(H, W) cycles per pixel wide; the first one is around 0. No
    window is applied: the borders add the same to all networks that are compared.
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
    """Return a ratio of powers (float or ndarray) in dB; 0 / 0 is 0 dB."""
    # Far below what 8 bits can hold (1/12 spread over all circles), far above rounding.
    floor = 1e-12
    return 10 * np.log10((power + floor) / (reference + floor))


@dataclass(frozen=True)
class Picture:
    """A plane to show: title, crop (H, W) in [0, 255], and spectrum of the whole."""

    title: str
    crop: NDArray[Any]
    spectrum: Spectrum


@dataclass(frozen=True)
class Comparison:
    """Predictions of networks for one image.

    Attributes
    ----------
    common : tuple of Picture
        The degraded and the clean image.
    rows : dict of str to tuple of Picture
        Predictions of each network, by its name.
    pairs : tuple of (str, Spectrum, Spectrum)
        Title of a comparison and its two spectra.
    spectra : dict of (str, str) to Spectrum
        All spectra, by network (empty for the common images) and image.
    """

    common: tuple[Picture, ...]
    rows: dict[str, tuple[Picture, ...]]
    pairs: tuple[tuple[str, Spectrum, Spectrum], ...]
    spectra: dict[tuple[str, str], Spectrum]

    def words(self) -> list[str]:
        """Describe each pair: the ratio of powers by thirds of the frequencies.

        The clean image is compared with the first network, to show what that lacks.
        """
        return [
            f"{name}: "
            + ", ".join(
                f"{band} {decibels(first.band(band), second.band(band)):+.2f} dB"
                for band in BANDS
            )
            for name, first, second in self.pairs
        ]


def compare(
    models: Mapping[str, MemNet],
    task_name: str,
    plane: NDArray[Any],
    level: float,
    *,
    names: Sequence[str] = (),
    crop: tuple[int, int, int] | None = None,
    device: str = "auto",
    seed: int = 0,
) -> Comparison:
    """Restore an image by several predictions of several networks.

    Parameters
    ----------
    models : mapping of str to MemNet
        Networks by name, all for the task.
    plane : ndarray, shape (H, W)
        Clean pixels in [0, 255], to be degraded at the level.
    names : sequence of str
        Names of predictions; by default those at two thirds of the blocks and at the
        last one, as the paper shows the fourth and the sixth.
    crop : (int, int, int), optional
        Top, left and side of the crop in pixels; by default 96 in the middle.
    seed : int
        Seed of the noise.

    Raises
    ------
    UsageError
        If a network has no such prediction, or the crop is outside of the image.
    """
    task = find_task(task_name)
    clean = reference(plane, task, level)
    degraded = degraded_input(clean, task, level, seed=seed, number=0)
    window = _window(clean.shape, crop)

    def picture(title: str, image: NDArray[Any], *, scored: bool = True) -> Picture:
        if scored:
            psnr, ssim = scores(clean, image, task, level)
            title += f", {psnr:.2f} dB, {ssim:.4f}"
        return Picture(title, image[window], spectrum_of(image))

    inputs = picture(task.label(level), degraded)
    original = picture("clean", clean, scored=False)
    rows: dict[str, tuple[Picture, ...]] = {}
    spectra = {("", "degraded"): inputs.spectrum, ("", "clean"): original.spectrum}
    for name, model in models.items():
        row: dict[str, Picture] = {}
        for each in _chosen(name, model.architecture, names):
            engine = each.engine(model, device)
            restored = restored_plane(engine, degraded, task.level_map_value(level))
            row[each.name] = picture(each.name, restored)
            spectra[name, each.name] = row[each.name].spectrum
        rows[name] = tuple(row.values())
    return Comparison((inputs, original), rows, tuple(_pairs(spectra)), spectra)


def _pairs(
    spectra: Mapping[tuple[str, str], Spectrum],
) -> Iterator[tuple[str, Spectrum, Spectrum]]:
    """Pair each network's last prediction with its first, and with a common base.

    The base, the last prediction of the first network, is paired with the clean image.
    """
    shown: dict[str, list[str]] = {}
    for name, image in spectra:
        if name:
            shown.setdefault(name, []).append(image)
    for name, (first, *others) in shown.items():
        if others:
            last = spectra[name, others[-1]]
            yield f"{name} {others[-1]} against {first}", last, spectra[name, first]
    outputs = [(name, images[-1]) for name, images in shown.items()]
    base, power = " ".join(outputs[0]), spectra[outputs[0]]
    for output in outputs[1:]:
        yield f"{' '.join(output)} against {base}", spectra[output], power
    yield f"clean against {base}", spectra["", "clean"], power


def _chosen(name: str, architecture: Architecture, names: Sequence[str]) -> list[Exit]:
    available = {each.name: each for each in exits(architecture)}
    if not names:
        blocks = architecture.memory_blocks
        usual = dict.fromkeys([f"y{math.ceil(2 * blocks / 3)}", f"y{blocks}"])
        names = [each for each in usual if each in available] or ["y"]
    for each in names:
        if each not in available:
            raise UsageError(
                f"The model {name!r} makes no prediction {each!r}; choose from "
                f"{', '.join(available)}."
            )
    return [available[each] for each in names]


def _window(
    shape: tuple[int, ...], crop: tuple[int, int, int] | None
) -> tuple[slice, slice]:
    height, width = shape
    if crop is None:
        side = min(_CROP, height, width)
        crop = (height - side) // 2, (width - side) // 2, side
    top, left, side = crop
    if min(top, left) < 0 or side < 1 or top + side > height or left + side > width:
        raise UsageError(
            f"A crop of {side} px at row {top}, column {left} is not inside of "
            f"{height}×{width} px; give other numbers."
        )
    return slice(top, top + side), slice(left, left + side)


@dataclass(frozen=True)
class Prediction:
    """Cost and scores of one prediction of a network.

    Attributes
    ----------
    name, block
        Those of its `Exit`.
    weights : int
        Convolution weights that it needs.
    multiply_adds : float
        Multiply-adds per pixel.
    seconds : float
        Time for an image of 288×288 pixels.
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


def convolution_weights(model: MemNet, exit_block: int | None = None) -> int:
    """Count convolution weights up to a block (by default all), as the paper does."""
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

    Parameters are as for `memnet_core.evaluation.run.evaluate`, which also raises.

    Yields
    ------
    Prediction
        In the order of the memory blocks; the output, the fusion of all, is last.
    """
    architecture = model.architecture
    value = find_task(card.task).level_map_value(level)
    for each in exits(architecture):
        engine = each.engine(model, device)
        [evaluation] = evaluate(engine, card, folder, [level], seed=seed)
        mean = evaluation.mean
        yield Prediction(
            each.name,
            each.block,
            convolution_weights(model, each.block),
            architecture.multiply_adds(each.block),
            _seconds(engine, value),
            mean.input_psnr,
            mean.psnr,
            mean.input_ssim,
            mean.ssim,
        )


def published_psnr(task: Task, folder: Path, level: float) -> dict[str, float]:
    """Return the PSNR of other methods on a known set in dB, in ascending order."""
    known = known_set(folder.name)
    tables = published(task.table, known.name) if known else {}
    found = {name: psnr for name, (psnr, _) in tables.get(level, {}).items()}
    return dict(sorted(found.items(), key=lambda system: system[1]))


def _seconds(engine: Engine, value: float) -> float:
    """Time the restoration of an image of the paper's size."""
    plane = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE))
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        restored_plane(engine, plane, value)
        times.append(time.perf_counter() - start)
    return min(times)
