"""Whether the noise of a channel is that of photons, as asked for or as it looks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import SettingRef, UsageError
from memnet_core.noise.estimation import PoissonGaussianNoise, estimate_noise_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.sources.protocols import PixelSource
    from memnet_core.tasks import Task

__all__ = [
    "check_noise",
    "is_poisson_gaussian",
    "lowest_useful_sigma",
    "noise_of",
]

_SHARE = 0.5
"""Share of the mildest σ that a model serves, down to which it is taken for photons.
A blind one for 5 to 75 gains 2 dB at σ 4 (1000 photo-electrons), loses 3 dB at 2."""

_DARK, _BRIGHT = 0.25, 0.56
"""Where in the range of 8-bit micrographs the median and the 90th percentile lie at
most; of photographs they lie above 0.24 and 0.61."""

_GROWN = 2
"""Ratio of bright to dark noise in 8-bit micrographs; noise that is cut off in noisy
photographs makes it 1.1 to 1.8."""

_CUT = 0.05
"""Share of the pixels at the lowest value from which on noise was cut off there."""


def check_noise(task: Task, settings: RestoreOptions) -> None:
    """Check that the noise that is given goes with the other settings.

    Raises
    ------
    UsageError
        If it does not.
    """
    if settings.cyclic and (not task.noisy or _is_chosen(settings)):
        named = SettingRef("cyclic", True)
        other = (
            SettingRef("noise", settings.noise)
            if task.noisy
            else SettingRef("task", task.name)
        )
        raise UsageError(f"{named} excludes {other}.", settings=[named, other])
    if not _is_chosen(settings):
        return
    if isinstance(settings.noise, tuple):
        gain, constant = settings.noise
        if not (gain > 0 and math.isfinite(gain) and math.isfinite(constant)):
            raise UsageError(
                f"Noise of {gain:g},{constant:g} does not grow with the signal; give "
                "the values of a photo-electron, above 0, and the variance at a mean "
                "of 0."
            )
    wrong = {
        SettingRef("task", task.name): not task.noisy,
        SettingRef("sigma", settings.level): settings.level is not None,
        SettingRef("range", "plane"): settings.value_range == "plane",
        SettingRef("channels", "luminance"): settings.channels == "luminance",
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(
                f"Noise of photons, as is asked for, excludes {what}.", settings=[what]
            )


def noise_of(
    blocks: Sequence[NDArray[Any]], task: Task, settings: RestoreOptions
) -> PoissonGaussianNoise | None:
    """Return how noise grows with the signal, as given or estimated.

    Parameters
    ----------
    blocks : sequence of ndarray, shape (h, w, S)
        A sample of a channel.
    task : Task
        What is to be done.
    settings : RestoreOptions
        What was asked for.

    Returns
    -------
    NoiseLine or None
        None if the task is about something else, the level is given, or there is no
        noise.

    Raises
    ------
    UsageError
        If by what is given not even bright parts have noise, or noise that is to grow
        with the signal does not.
    """
    if not task.noisy or settings.level is not None:
        return None
    line = estimate_noise_model(blocks)
    if not isinstance(settings.noise, tuple):
        if settings.noise == "photons" and not (line and line.gain > 0):
            given = SettingRef("noise", "A,B")
            gaussian = SettingRef("noise", "gaussian")
            raise UsageError(
                f"No noise was found that grows with the signal; give it with {given}, "
                f"or choose {gaussian}.",
                settings=[given, gaussian],
            )
        return line
    gain, constant = settings.noise
    values = np.concatenate([block[np.isfinite(block)] for block in blocks])
    if line:
        dark, bright = line.dark, line.bright
    else:
        ends = np.percentile(values, (1, 99)) if values.size else (0.0, 1.0)
        dark, bright = (float(end) for end in ends)
    if gain * bright + constant <= 0:
        raise UsageError(
            f"Noise of {gain:g},{constant:g} has no variance at the values of the "
            f"image, mostly {dark:g} to {bright:g}; 'memnet info' estimates it."
        )
    return PoissonGaussianNoise(
        gain, constant, error=0, misfit=0, dark=dark, bright=bright
    )


def is_poisson_gaussian(
    line: PoissonGaussianNoise,
    blocks: Sequence[NDArray[Any]],
    source: PixelSource,
    settings: RestoreOptions,
    *,
    is_read: bool = False,
) -> bool:
    """Whether the values are to be scaled so that noise is the same everywhere.

    Black and white by the type or by each plane are a choice against it.

    Parameters
    ----------
    line : PoissonGaussianNoise
        The noise.
    blocks : sequence of ndarray, shape (h, w, S)
        The sample that it was found in.
    source : Source
        What that is a sample of.
    settings : RestoreOptions
        What was asked for.
    is_read : bool
        Whether the noise network reads that noise, too. Of types wider than 8 bits a
        likely line then suffices: where it is right it gains 1 dB (benchmarks/
        microscopy.py: EMCCD, hot pixels), and texture of clean images reads as none.
    """
    if _is_chosen(settings):
        return True
    if settings.value_range in ("dtype", "plane") or settings.channels == "luminance":
        return False
    is_wide = source.dtype.itemsize > 1
    is_sure = line.is_clear or (is_wide and is_read and line.is_likely)
    if settings.noise != "auto" or not is_sure:
        return False
    return is_wide or _is_micrograph(line, blocks, source)


def _is_chosen(settings: RestoreOptions) -> bool:
    return settings.noise == "photons" or isinstance(settings.noise, tuple)


def _is_micrograph(
    line: PoissonGaussianNoise, blocks: Sequence[NDArray[Any]], source: PixelSource
) -> bool:
    """Whether 8 bits are counts of photons: gray, mostly dark, and not cut off there.

    Others are photographs mostly, whose values were bent for the eye. If their noise
    was cut off at black and white, it seems to grow with the signal, too.
    """
    if source.shape[-1] > 2 or source.jpeg_tables:
        return False
    values = np.concatenate([block.ravel() for block in blocks]).astype(np.float64)
    low, middle, bright, high = np.percentile(values, (0.1, 50, 90, 99.9))
    spread = high - low
    is_dark = middle - low < _DARK * spread and bright - low < _BRIGHT * spread
    grows = line.deviation(line.bright) > _GROWN * line.deviation(line.dark)
    is_cut = np.mean(values == values.min()) > _CUT
    return bool(is_dark and grows and not is_cut)


def lowest_useful_sigma(served: float) -> float:
    """Return down to which σ a model that serves `served` removes noise of photons."""
    return max(_SHARE * served, min(served, 1.0))
