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
"""Pixels that are blind spots: few see another one near."""

_REACH = 2
"""Pixels from which a blind spot gets the value of another."""


class TrainingPair(NamedTuple):
    """What a network is shown and is to make of it.

    Attributes
    ----------
    shown, target : Tensor, shape (N, C, h, w)
        Values as the network sees them.
    weight : Tensor, shape (N, 1, h, w)
        1 where the target counts, else 0.
    """

    shown: Tensor
    target: Tensor
    weight: Tensor


def noisy_pairs(frames: Tensor, others: Tensor) -> TrainingPair:
    """Return Noise2Noise (Lehtinen et al., ICML 2018): one frame tells another.

    Parameters
    ----------
    frames, others : Tensor, shape (N, C, h, w)
        Two takes of the same.
    """
    return TrainingPair(frames, others, torch.ones_like(frames[:, :1]))


def noise2void(frames: Tensor, generator: torch.Generator) -> TrainingPair:
    """Return Noise2Void (Krull et al., CVPR 2019): pixels told by those around them.

    Parameters
    ----------
    frames : Tensor, shape (N, C, h, w)
        Noisy frames, on the CPU; both sides are at least 5.
    generator : torch.Generator
        Decides where blind spots are, and which value each gets instead.
    """
    count, _, height, width = frames.shape
    shape = (count, 1, height, width)
    blind = torch.rand(shape, generator=generator) < _BLIND_SHARE
    side = 2 * _REACH + 1
    step = torch.randint(1, side**2, shape, generator=generator)
    # Steps are counted from the middle on, so that none leads nowhere.
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
