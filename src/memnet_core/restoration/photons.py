"""Whether the noise of a channel is that of photons, as asked for or as it looks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import UsageError
from memnet_core.restoration.noise import NoiseLine, noise_line
from memnet_core.tasks import LevelFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.restoration.scaling import Linear
    from memnet_core.restoration.settings import Settings
    from memnet_core.tasks import Task

__all__ = ["check_noise", "is_of_photons", "mean_level", "mildest", "noise_of"]

_SHARE = 0.5
"""Share of the mildest σ that a model serves, down to which it is taken for photons.
A blind one for 5 to 75 gains 2 dB at σ 4 (1000 photo-electrons), loses 3 dB at 2."""


def check_noise(task: Task, settings: Settings) -> None:
    """Check that the noise that is given goes with the other settings.

    Raises
    ------
    UsageError
        If it does not.
    """
    if not isinstance(settings.noise, tuple):
        return
    gain, constant = settings.noise
    if not (gain > 0 and math.isfinite(gain) and math.isfinite(constant)):
        raise UsageError(
            f"Noise of {gain:g},{constant:g} does not grow with the signal; give the "
            "values of a photo-electron, above 0, and the variance at a mean of 0."
        )
    wrong = {
        f"task {task.name}": not task.noisy,
        f"--sigma {settings.level or 0:g}": settings.level is not None,
        "--range plane": settings.value_range == "plane",
        "--channels luminance": settings.channels == "luminance",
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(f"The noise of photons that is given excludes {what}.")


def noise_of(
    blocks: Sequence[NDArray[Any]], task: Task, settings: Settings
) -> NoiseLine | None:
    """Return how noise grows with the signal, as given or estimated.

    Parameters
    ----------
    blocks : sequence of ndarray, shape (h, w, S)
        A sample of a channel.
    task : Task
        What is to be done.
    settings : Settings
        What was asked for.

    Returns
    -------
    NoiseLine or None
        None if the task is about something else, the level is given, or there is no
        noise.

    Raises
    ------
    UsageError
        If by what is given not even bright parts have noise.
    """
    if not task.noisy or settings.level is not None:
        return None
    line = noise_line(blocks)
    if not isinstance(settings.noise, tuple):
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
    return NoiseLine(gain, constant, error=0, misfit=0, dark=dark, bright=bright)


def is_of_photons(line: NoiseLine, dtype: np.dtype[Any], settings: Settings) -> bool:
    """Whether the values are to be scaled so that noise is the same everywhere.

    Pictures of 8 bits are photographs mostly, whose values were bent for the eye, and
    black and white by the type or by each plane are a choice against it.
    """
    if isinstance(settings.noise, tuple):
        return True
    fits = dtype.itemsize > 1 and settings.value_range not in ("dtype", "plane")
    grows = line.is_clear and settings.channels != "luminance"
    return settings.noise == "auto" and fits and grows


def mean_level(
    blocks: Sequence[NDArray[Any]], scaling: Linear, line: NoiseLine
) -> LevelFound:
    """Return the root of the mean variance, which dark ground does not hide."""
    values = np.concatenate([block[np.isfinite(block)] for block in blocks])
    noise = line.deviation(float(values.mean(dtype=np.float64)))
    level = round(min(255 * noise / (scaling.high - scaling.low), 255.0), 1)
    return LevelFound(level, f"σ estimated as {level:.1f}, a mean of dark and bright")


def mildest(served: float) -> float:
    """Return down to which σ a model that serves `served` removes noise of photons."""
    return max(_SHARE * served, min(served, 1.0))
