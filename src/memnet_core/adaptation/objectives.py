"""Training pairs from noisy frames alone: Noise2Noise and Noise2Void.

Both assume zero-mean noise that is independent between input and target. Two frames
fulfill this. Two pixels of one frame do so only if the noise is white.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

__all__ = [
    "OBJECTIVES",
    "Objective",
    "TrainingPair",
    "noise2void",
    "noisy_pairs",
]

Objective = Literal["noise2noise", "noise2void"]

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

_BLIND_SHARE = 0.02
"""Fraction of pixels that are blind spots, so sparse that few are close together."""

_REACH = 2
"""Maximum distance in pixels along each axis of a blind spot's substitute value."""


class TrainingPair(NamedTuple):
    """Network input, target and weight of a batch.

    Attributes
    ----------
    shown, target : Tensor, shape (N, C, h, w)
        Network input and target, in network units.
    weight : Tensor, shape (N, 1, h, w)
        1 where the loss is evaluated, else 0.
    """

    shown: Tensor
    target: Tensor
    weight: Tensor


def noisy_pairs(frames: Tensor, others: Tensor) -> TrainingPair:
    """Pair frames for Noise2Noise (Lehtinen et al., ICML 2018).

    Parameters
    ----------
    frames, others : Tensor, shape (N, C, h, w)
        Two noisy exposures of the same scene.
    """
    return TrainingPair(frames, others, torch.ones_like(frames[:, :1]))


def noise2void(frames: Tensor, generator: torch.Generator) -> TrainingPair:
    """Mask blind spots for Noise2Void (Krull et al., CVPR 2019).

    Parameters
    ----------
    frames : Tensor, shape (N, C, h, w)
        Noisy frames, on the CPU; both sides are at least 5.
    generator : torch.Generator
        Draws the blind spots and their substitute values.
    """
    count, _, height, width = frames.shape
    shape = (count, 1, height, width)
    blind = torch.rand(shape, generator=generator) < _BLIND_SHARE
    side = 2 * _REACH + 1
    step = torch.randint(1, side**2, shape, generator=generator)
    # Count offsets from the center, so that a spot never keeps its own value.
    step = (step + side**2 // 2) % side**2
    rows = _inside(torch.arange(height)[:, None], step // side - _REACH, height)
    columns = _inside(torch.arange(width), step % side - _REACH, width)
    index = (rows * width + columns).expand_as(frames).flatten(2)
    moved = frames.flatten(2).gather(2, index).view_as(frames)
    return TrainingPair(
        torch.where(blind, moved, frames), frames, blind.to(frames.dtype)
    )


def _inside(places: Tensor, step: Tensor, size: int) -> Tensor:
    """Return places after a step, the other way where it would lead outside."""
    after = places + step
    return torch.where((after >= 0) & (after < size), after, places - step)
