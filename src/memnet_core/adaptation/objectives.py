"""What noisy frames alone teach: pairs, sub-sampled pairs, and blind spots.

Each makes of noisy patches what the network is shown, what it is to make of that, and
where. All take it that noise has a mean of zero and that what is shown and what is
aimed at do not share it; that is true of two frames, and of two pixels of one frame
only where neighbors do not share their noise.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "OBJECTIVES",
    "Objective",
    "TrainingPair",
    "neighbor_targets",
    "noise2void",
    "noisy_pairs",
    "subsampled",
]

Objective = Literal["noise2noise", "neighbor2neighbor", "noise2void"]

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

_PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))
"""Pixels of a cell of 2×2, counted in rows, that touch."""

_BLIND_SHARE = 0.02
"""Pixels that are blind spots: few see another one near."""

_REACH = 2
"""Pixels from which a blind spot gets the value of another."""

_CONSISTENT = 0.5
"""Weight of the second term of Neighbor2Neighbor: γ / (1 + γ) at γ = 1."""


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


def subsampled(frames: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
    """Return two pictures of half the size, of pixels that touch in the frames.

    Parameters
    ----------
    frames : Tensor, shape (N, C, 2h, 2w)
        Noisy frames.
    choice : Tensor of int, shape (N, h, w)
        Which of eight pairs each cell of 2×2 pixels gives.
    """
    count, channels, height, width = frames.shape
    cells = F.pixel_unshuffle(frames, 2).view(
        count, channels, 4, height // 2, width // 2
    )
    chosen = torch.tensor(_PAIRS, device=frames.device)[choice]
    first, second = (
        cells.gather(2, chosen[:, None, None, ..., n].expand_as(cells[:, :, :1]))[
            :, :, 0
        ]
        for n in range(2)
    )
    return first, second


def neighbor_targets(
    frames: Tensor, choice: Tensor, restored: Tensor | None = None
) -> TrainingPair:
    """Return Neighbor2Neighbor (Huang et al., CVPR 2021).

    Its two squared errors, of the neighbors and of how what the network makes of them
    differs from what it makes of the whole, are one to a target between, but for what
    no weight can change.

    Parameters
    ----------
    frames : Tensor, shape (N, C, 2h, 2w)
        Noisy frames.
    choice : Tensor
        As for `subsampled`.
    restored : Tensor, of the shape of the frames, optional
        What the network makes of them; None leaves the second term out.
    """
    shown, target = subsampled(frames, choice)
    if restored is not None:
        first, second = subsampled(restored, choice)
        target = target + _CONSISTENT * (first - second)
    return TrainingPair(shown, target, torch.ones_like(shown[:, :1]))


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
