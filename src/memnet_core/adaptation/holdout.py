"""Validation on held-out frames: losses, Stein's estimate, and motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memnet_core.adaptation.clips import told
from memnet_core.adaptation.objectives import (
    TrainingPair,
    noise2void,
    noisy_pairs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.adaptation.clips import Clip
    from memnet_core.model.network import MemNet

__all__ = [
    "HeldOutClip",
    "LossDrop",
    "Losses",
    "Motion",
    "losses_of",
    "motion",
    "restored",
    "sure_loss",
    "trial_of",
]

_CELL = 16
"""Side in pixels of the cells whose scatter gives standard errors. Correlated noise
stays within a cell."""

_SURE = 2.0
"""Standard errors by which the held-out loss must fall to be significant."""

_MOVES_SURELY = 3.0
_MOVES = 0.1
"""Minimum relative excess of differences two frames apart over consecutive ones."""

_NUDGE = 0.1
"""Perturbation of Stein's estimate, in standard deviations of the noise."""


@dataclass(frozen=True)
class HeldOutClip:
    """A held-out clip with its targets.

    Attributes
    ----------
    clip : Clip
        Its frames.
    lesson : TrainingPair
        What is shown and aimed at.
    """

    clip: Clip
    lesson: TrainingPair


@dataclass(frozen=True)
class Losses:
    """Losses per cell over all clips, in variances of the noise."""

    cells: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean of the losses."""
        return float(self.cells.mean())


@dataclass(frozen=True)
class LossDrop:
    """Change of the held-out loss.

    Attributes
    ----------
    before, after : float
        In variances of the noise, which makes 1 even where nothing else is wrong.
    error : float
        Standard error of the difference.
    """

    before: float
    after: float
    error: float

    @classmethod
    def between(cls, before: Losses, after: Losses) -> LossDrop:
        """Compare two validations on the same clips."""
        differences = before.cells - after.cells
        error = float(differences.std() / np.sqrt(differences.size))
        return cls(before.mean, after.mean, error)

    @property
    def is_sure(self) -> bool:
        """Whether the loss fell significantly."""
        return self.before - self.after > _SURE * self.error

    def __str__(self) -> str:
        return f"{self.before:.4f} -> {self.after:.4f} (± {self.error:.4f})"


def trial_of(clip: Clip, generator: torch.Generator) -> HeldOutClip:
    """Pair held-out frames with their targets.

    Several frames are paired with each other; a single frame is paired with itself by
    blind spots (Noise2Void).

    Parameters
    ----------
    clip : Clip
        Held-out frames.
    generator : torch.Generator
        Draws the blind spots.
    """
    frames = clip.frames
    count = len(frames)
    if count > 1:
        next_ones = [*range(1, count), count - 2]
        return HeldOutClip(clip, noisy_pairs(frames, frames[next_ones]))
    return HeldOutClip(clip, noise2void(frames, generator))


def losses_of(
    model: MemNet, trials: Sequence[HeldOutClip], device: torch.device
) -> Losses:
    """Compute the held-out losses of a network in evaluation mode.

    Parameters
    ----------
    model : MemNet
        On the device.
    trials : sequence of HeldOutClip
        On the CPU.
    device : torch.device
        Where it computes.
    """
    losses = []
    for trial in trials:
        shown, target, weight = trial.lesson
        output = restored(model, shown, trial.clip.level, device)
        losses.append(_cells((output - target).square(), weight, trial.clip.level))
    return Losses(np.concatenate(losses))


def sure_loss(
    model: MemNet, trials: Sequence[HeldOutClip], device: torch.device, seed: int
) -> Losses:
    """Estimate the squared error of a network by Stein's unbiased risk estimate.

    Stein's unbiased estimate for white Gaussian noise, with the divergence by one
    random direction (Ramani, Blu and Unser, IEEE TIP 17(9), 2008). It knows nothing of
    other frames, so that motion does not mislead it.

    Parameters
    ----------
    model, trials, device
        As for `losses_of`; the first frame of each clip is looked at.
    seed : int
        Determines the directions; the same for networks that are to be compared.

    Returns
    -------
    Losses
        Estimates, which can be negative.
    """
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for trial in trials:
        frame, level = trial.clip.frames[:1], trial.clip.level
        noise = level * torch.randn(frame.shape, generator=generator)
        plain = restored(model, frame, level, device)
        nudged = restored(model, frame + _NUDGE * noise, level, device)
        divergence = noise * (nudged - plain) / _NUDGE
        errors = (plain - frame).square() - level**2 + 2 * divergence
        losses.append(_cells(errors, torch.ones_like(errors[:, :1]), level))
    return Losses(np.concatenate(losses))


@torch.no_grad()
def restored(
    model: MemNet, shown: Tensor, level: float, device: torch.device
) -> Tensor:
    """Restore frames (n, C, h, w) one by one; return them on the CPU."""
    model.eval()
    level_map = model.architecture.level_map
    return torch.cat(
        [
            model(told(frame, level, level_map=level_map).to(device)).output.cpu()
            for frame in torch.split(shown, 1)
        ]
    )


def _cells(errors: Tensor, weight: Tensor, level: float) -> NDArray[np.float64]:
    """Return weighted means over cells that have a weight, in variances of the noise.

    Parameters
    ----------
    errors : Tensor, shape (n, C, h, w)
        Squared errors.
    weight : Tensor, shape (n, 1, h, w)
        What each counts.
    level : float
        Standard deviation of the noise.
    """
    summed, weights = (
        F.avg_pool2d(part, _CELL, ceil_mode=True, divisor_override=1)
        for part in (errors.mean(1, keepdim=True) * weight, weight)
    )
    means: NDArray[np.float64] = (summed / weights)[weights > 0].double().numpy()
    return means / level**2


@dataclass(frozen=True)
class Motion:
    """Excess difference of frames two steps apart over consecutive frames.

    What noise is left in restored frames makes all differ alike; what moves goes on.

    Attributes
    ----------
    amount : float
        In variances of the noise.
    is_sure : bool
        Whether it is more than chance, and enough to matter.
    """

    amount: float
    is_sure: bool


def motion(
    model: MemNet, trials: Sequence[HeldOutClip], device: torch.device
) -> Motion:
    """Detect motion between frames; needs at least three consecutive frames.

    Parameters
    ----------
    model : MemNet
        The network before it is adapted.
    trials : sequence of HeldOutClip
        Those of three frames count.
    device : torch.device
        Where it computes.
    """
    near, far = [np.empty(0)], [np.empty(0)]
    for trial in trials:
        frames, level = trial.clip.frames, trial.clip.level
        if len(frames) >= 3:
            frames = restored(model, frames[:3], level, device)
            steps = (frames[1:] - frames[:-1]).square().mean(0, keepdim=True)
            twice = (frames[2:] - frames[:1]).square()
            weight = torch.ones_like(twice[:, :1])
            near.append(_cells(steps, weight, level))
            far.append(_cells(twice, weight, level))
    nearer = np.concatenate(near)
    more = np.concatenate(far) - nearer
    if not more.size:
        return Motion(0.0, is_sure=False)
    amount, error = float(more.mean()), float(more.std() / np.sqrt(more.size))
    moves = amount > max(_MOVES_SURELY * error, _MOVES * float(nearer.mean()))
    return Motion(amount, is_sure=moves)
