"""Frames in a row, as the network sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from memnet_core.inference.channels import seen_planes
from memnet_core.sources.wrappers import Filled
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.adaptation.frame_split import Spot
    from memnet_core.inference.plan import Decision
    from memnet_core.sources.protocols import Source

__all__ = ["Clip", "clips_at", "told"]


class Clip(NamedTuple):
    """Frames in a row of one channel.

    Attributes
    ----------
    frames : Tensor, shape (n, C, h, w)
        Values as the network sees them, those that are not finite filled.
    level : float
        Deviation of their noise on the same scale, which a level map holds.
    """

    frames: Tensor
    level: float


def clips_at(
    source: Source, decision: Decision, image_channels: int, spot: Spot
) -> list[Clip]:
    """Read the clips of a spot: one, or one for each colour.

    Frames of one value, such as those a recording lacks, are left out, and what is
    before and behind them are clips of their own.

    Parameters
    ----------
    source : Source
        Where frames are read.
    decision : Decision
        How they are scaled; every channel has its scaling.
    image_channels : int
        Planes that the model restores together.
    spot : Spot
        Which frames, and where.
    """
    task = find_task(decision.task)
    channel = decision.channels[source.channel(spot.planes[0])]
    assert channel.scaling is not None
    filled = Filled(source, (channel.scaling.low + channel.scaling.high) / 2)
    frames: list[NDArray[np.float32] | None] = []
    for plane in spot.planes:
        pixels = filled.read(plane, spot.rows, spot.columns)
        seen = seen_planes(pixels, decision.colours, image_channels)
        is_blank = pixels.min() == pixels.max()
        spread = task.spread(channel.level)
        frames.append(None if is_blank else channel.scaling.forward(seen, spread))
    return [
        Clip(torch.from_numpy(np.stack(run)[:, colour]), task.map_value(channel.level))
        for run in _unbroken(frames)
        for colour in range(run[0].shape[0])
    ]


def told(shown: Tensor, level: float | Tensor, *, level_map: bool) -> Tensor:
    """Return planes with that of the level behind, for a network that has one.

    Parameters
    ----------
    shown : Tensor, shape (N, C, h, w)
        What the network is shown.
    level : float or Tensor of shape (N, 1, 1, 1)
        What the plane holds.
    level_map : bool
        Whether the network has one.
    """
    if not level_map:
        return shown
    return torch.cat([shown, torch.zeros_like(shown[:, :1]) + level], 1)


def _unbroken(
    frames: list[NDArray[np.float32] | None],
) -> list[list[NDArray[np.float32]]]:
    """Return the frames between those that are left out."""
    runs: list[list[NDArray[np.float32]]] = [[]]
    for frame in frames:
        if frame is not None:
            runs[-1].append(frame)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
