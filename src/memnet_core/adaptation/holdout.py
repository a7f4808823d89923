"""Validation on held-out frames: losses, Stein's risk estimate, and motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memnet_core.adaptation.clips import append_level
from memnet_core.adaptation.objectives import TrainingPair, noise2noise, noise2void

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
    "detect_motion",
    "held_out_losses",
    "pair_clip",
    "restore_frames",
    "sure_loss",
]

_CELL = 16
"""Side in pixels of the cells whose scatter gives standard errors. Correlated noise
stays within a cell."""

_SIGNIFICANT = 2.0
"""Standard errors by which the held-out loss must fall."""

# Motion: the differences of frames two apart exceed those of consecutive ones by so
# many standard errors, and by this part of them.
_MOTION_ERRORS = 3.0
_MOTION_EXCESS = 0.1

_PERTURBATION = 0.1
"""Step of the divergence in Stein's estimate, in standard deviations of the noise."""


@dataclass(frozen=True)
class HeldOutClip:
    """A held-out clip with its network inputs and targets."""

    clip: Clip
    pair: TrainingPair


@dataclass(frozen=True)
class Losses:
    """Losses per cell over all clips, in units of the noise variance."""

    cells: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean loss."""
        return float(self.cells.mean())


@dataclass(frozen=True)
class LossDrop:
    """Held-out losses before and after adapting, in units of the noise variance.

    A noisy target alone makes a loss of 1. `error` is the standard error of the
    difference.
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
    def is_significant(self) -> bool:
        """Whether the loss fell beyond chance."""
        return self.before - self.after > _SIGNIFICANT * self.error

    def __str__(self) -> str:
        return f"{self.before:.4f} -> {self.after:.4f} (± {self.error:.4f})"


def pair_clip(clip: Clip, generator: torch.Generator) -> HeldOutClip:
    """Pair held-out frames with their targets.

    Each frame is paired with the next one, the last with the one before it. A single
    frame is paired with itself by blind spots, which `generator` draws.
    """
    frames = clip.frames
    count = len(frames)
    if count > 1:
        neighbors = [*range(1, count), count - 2]
        return HeldOutClip(clip, noise2noise(frames, frames[neighbors]))
    return HeldOutClip(clip, noise2void(frames, generator))


def held_out_losses(
    model: MemNet, held_out: Sequence[HeldOutClip], device: torch.device
) -> Losses:
    """Compute the losses of a network (on `device`) on held-out clips (on the CPU)."""
    losses = []
    for clip, pair in ((each.clip, each.pair) for each in held_out):
        output = restore_frames(model, pair.input, clip.level, device)
        squares = (output - pair.target).square()
        losses.append(_cell_means(squares, pair.weight, clip.level))
    return Losses(np.concatenate(losses))


def sure_loss(
    model: MemNet, held_out: Sequence[HeldOutClip], device: torch.device, seed: int
) -> Losses:
    """Estimate the squared error of a network by Stein's unbiased risk estimate.

    Valid for white Gaussian noise; the divergence is taken along one random direction
    (Ramani, Blu and Unser, IEEE TIP 17(9), 2008). Only the first frame of each clip
    enters, so that motion does not mislead the estimate.

    Parameters
    ----------
    model, held_out, device
        As for `held_out_losses`.
    seed : int
        Determines the directions. Use the same for networks that are compared.

    Returns
    -------
    Losses
        Estimates, which can be negative.
    """
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for clip in (each.clip for each in held_out):
        frame, level = clip.frames[:1], clip.level
        noise = level * torch.randn(frame.shape, generator=generator)
        output = restore_frames(model, frame, level, device)
        perturbed = restore_frames(model, frame + _PERTURBATION * noise, level, device)
        divergence = noise * (perturbed - output) / _PERTURBATION
        errors = (output - frame).square() - level**2 + 2 * divergence
        losses.append(_cell_means(errors, torch.ones_like(errors[:, :1]), level))
    return Losses(np.concatenate(losses))


@torch.no_grad()
def restore_frames(
    model: MemNet, frames: Tensor, level: float, device: torch.device
) -> Tensor:
    """Restore frames (n, C, h, w) one by one in evaluation mode; results on the CPU."""
    model.eval()
    level_map = model.architecture.level_map
    return torch.cat(
        [
            model(
                append_level(frame, level, level_map=level_map).to(device)
            ).output.cpu()
            for frame in torch.split(frames, 1)
        ]
    )


def _cell_means(errors: Tensor, weight: Tensor, level: float) -> NDArray[np.float64]:
    """Average squared errors (n, C, h, w) over cells, with weights (n, 1, h, w).

    Returns one value in noise variances for each cell that has a weight.
    """
    summed, weights = (
        F.avg_pool2d(part, _CELL, ceil_mode=True, divisor_override=1)
        for part in (errors.mean(1, keepdim=True) * weight, weight)
    )
    means: NDArray[np.float64] = (summed / weights)[weights > 0].double().numpy()
    return means / level**2


@dataclass(frozen=True)
class Motion:
    """Excess difference of restored frames two steps apart over consecutive ones.

    Noise that is left makes all frames differ alike; motion accumulates.

    Attributes
    ----------
    amount : float
        Excess in units of the noise variance.
    is_significant : bool
        Whether it is beyond chance, and large enough to matter.
    """

    amount: float
    is_significant: bool


def detect_motion(
    model: MemNet, held_out: Sequence[HeldOutClip], device: torch.device
) -> Motion:
    """Detect motion in clips of at least three frames, restored by the initial network.

    Parameters are as for `held_out_losses`.
    """
    near, far = [np.empty(0)], [np.empty(0)]
    for clip in (each.clip for each in held_out if len(each.clip.frames) >= 3):
        frames = restore_frames(model, clip.frames[:3], clip.level, device)
        once = (frames[1:] - frames[:-1]).square().mean(0, keepdim=True)
        twice = (frames[2:] - frames[:1]).square()
        weight = torch.ones_like(twice[:, :1])
        near.append(_cell_means(once, weight, clip.level))
        far.append(_cell_means(twice, weight, clip.level))
    differences = np.concatenate(near)
    excess = np.concatenate(far) - differences
    if not excess.size:
        return Motion(0.0, is_significant=False)
    amount, error = float(excess.mean()), float(excess.std() / np.sqrt(excess.size))
    least = max(_MOTION_ERRORS * error, _MOTION_EXCESS * float(differences.mean()))
    return Motion(amount, is_significant=amount > least)
