"""Training pairs from noisy frames alone: Noise2Noise and Noise2Void.

Both assume zero-mean noise that is independent between input and target. Two frames
fulfill this; two pixels of one frame do so only if the noise is white.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

__all__ = ["OBJECTIVES", "Objective", "TrainingPair", "noise2noise", "noise2void"]

Objective = Literal["noise2noise", "noise2void"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

_BLIND_SHARE = 0.02
"""Fraction of blind pixels, so sparse that few are close together."""

_REACH = 2
"""Maximum distance in pixels along each axis of a blind spot's substitute value."""


class TrainingPair(NamedTuple):
    """Network input, target and weight of a batch.

    Attributes
    ----------
    input, target : Tensor, shape (N, C, h, w)
        Noisy frames in network units.
    weight : Tensor, shape (N, 1, h, w)
        1 where the loss is evaluated, else 0.
    """

    input: Tensor
    target: Tensor
    weight: Tensor


def noise2noise(frames: Tensor, others: Tensor) -> TrainingPair:
    """Pair two noisy exposures of a scene, each of shape (N, C, h, w).

    Lehtinen et al., "Noise2Noise", ICML 2018.
    """
    return TrainingPair(frames, others, torch.ones_like(frames[:, :1]))


def noise2void(frames: Tensor, generator: torch.Generator) -> TrainingPair:
    """Replace blind spots by values from their neighborhood.

    Krull et al., "Noise2Void", CVPR 2019.

    Parameters
    ----------
    frames : Tensor, shape (N, C, h, w)
        Noisy frames on the CPU, with sides of at least 5 pixels.
    generator : torch.Generator
        Draws the blind spots and their substitutes.
    """
    count, _, height, width = frames.shape
    shape = (count, 1, height, width)
    blind = torch.rand(shape, generator=generator) < _BLIND_SHARE
    side = 2 * _REACH + 1
    step = torch.randint(1, side**2, shape, generator=generator)
    # Count offsets from the center, so that a spot never keeps its own value.
    step = (step + side**2 // 2) % side**2
    rows = _stepped(torch.arange(height)[:, None], step // side - _REACH, height)
    columns = _stepped(torch.arange(width), step % side - _REACH, width)
    index = (rows * width + columns).expand_as(frames).flatten(2)
    moved = frames.flatten(2).gather(2, index).view_as(frames)
    return TrainingPair(
        torch.where(blind, moved, frames), frames, blind.to(frames.dtype)
    )


def _stepped(position: Tensor, step: Tensor, size: int) -> Tensor:
    """Add a step to positions, or subtract it where it leads outside [0, size)."""
    after = position + step
    return torch.where((after >= 0) & (after < size), after, position - step)
