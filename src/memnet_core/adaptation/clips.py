"""Clips: consecutive frames in network units, split for training and validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from memnet_core.inference.channels import select_input
from memnet_core.sources.wrappers import NaNFilled
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.inference.plan import RestorePlan
    from memnet_core.sources.protocols import PixelSource

__all__ = [
    "FEWEST_HELD",
    "Clip",
    "FrameSplit",
    "FrameWindow",
    "clips_at",
    "planned",
    "series_along",
    "told",
]


FEWEST_HELD = 4
"""Minimum frames to hold out whole frames; with fewer, a quarter of the area is held
out."""

_FRAMES_OF_A_BLOCK = 16
"""Frames per held-out block."""

_MOST_BLOCKS = 4
_TRAINED = 2**24
"""Maximum training values (64 MiB), more than the patches of one minute hold."""

_TRIED = 2**18
"""Maximum held-out values; validation on them takes a second or two."""

_CLIP = 8
"""Consecutive frames to read at once if the stack exceeds the maximum."""

_MOST_CLIPS = 64
_MOST_TRIALS = 4
_APART = 8
"""Gap in pixels between held-out and training area."""


class FrameWindow(NamedTuple):
    """Consecutive frames and the window to read of them.

    Attributes
    ----------
    planes : tuple of int
        Numbers of the planes in their source.
    rows, columns : slice
        Without a step.
    """

    planes: tuple[int, ...]
    rows: slice
    columns: slice


class FrameSplit(NamedTuple):
    """Disjoint windows for training and validation."""

    training: list[FrameWindow]
    held_out: list[FrameWindow]


def series_along(sizes: Sequence[int], axis: int | None) -> NDArray[np.int64]:
    """Return the indices of consecutive planes along an axis.

    Parameters
    ----------
    sizes : sequence of int
        Of the axes before Y; planes are counted in their order.
    axis : int, optional
        One of them; None if every plane is alone.

    Returns
    -------
    ndarray, shape (series, frames)
        A row for each place along the other axes.
    """
    numbers = np.arange(math.prod(sizes)).reshape(tuple(sizes))
    if axis is None:
        return numbers.reshape(-1, 1)
    return np.moveaxis(numbers, axis, -1).reshape(-1, sizes[axis])


def planned(
    series: NDArray[np.int64], height: int, width: int, rng: np.random.Generator
) -> FrameSplit:
    """Split series of frames into training and held-out windows of bounded size.

    Blocks of two or three frames are held out, spread over time, and learning never
    sees a pair of which one frame is in a block.

    Parameters
    ----------
    series : ndarray, shape (series, frames)
        Numbers of planes.
    height, width : int
        Size of a plane.
    rng : numpy.random.Generator
        Where windows of large planes lie.
    """
    rows, columns = slice(0, height), slice(0, width)
    if series.shape[1] >= FEWEST_HELD:
        runs, blocks = _divided(series.shape[1])
        learned, tried = rows, rows
    else:
        runs = blocks = [range(series.shape[1])]
        border = height - height // 4
        learned, tried = slice(0, border - _APART), slice(border, height)
    return FrameSplit(
        _spots(_taken(series, runs), (learned, columns), _TRAINED, _MOST_CLIPS, rng),
        _spots(_taken(series, blocks), (tried, columns), _TRIED, _MOST_TRIALS, rng),
    )


def _divided(frames: int) -> tuple[list[range], list[range]]:
    """Return training runs and held-out blocks; the last block is at the end."""
    length = 3 if frames > FEWEST_HELD else 2
    count = min(max(frames // _FRAMES_OF_A_BLOCK, 1), _MOST_BLOCKS)
    ends = [frames * n // count for n in range(count + 1)]
    blocks = [range(end - length, end) for end in ends[1:]]
    runs = [
        range(*ends)
        for ends in zip(ends[:-1], (block.start for block in blocks), strict=True)
    ]
    return runs, blocks


def _taken(series: NDArray[np.int64], parts: Sequence[range]) -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in row[part]) for row in series for part in parts]


def _spots(
    runs: list[tuple[int, ...]],
    area: tuple[slice, slice],
    budget: int,
    most: int,
    rng: np.random.Generator,
) -> list[FrameWindow]:
    """Return whole runs, or random windows of them if they exceed the maximum."""
    height, width = (part.stop - part.start for part in area)
    if sum(map(len, runs)) * height * width <= budget:
        return [FrameWindow(run, *area) for run in runs]
    clips = [run[i : i + _CLIP] for run in runs for i in range(0, len(run), _CLIP)]
    if len(runs[0]) > 1:
        clips = [clip for clip in clips if len(clip) > 1]
    if len(clips) > most:
        clips = [clips[(2 * n + 1) * len(clips) // (2 * most)] for n in range(most)]
    side = math.isqrt(budget // sum(map(len, clips)))
    return [
        FrameWindow(clip, *(_window(part, side, rng) for part in area))
        for clip in clips
    ]


def _window(part: slice, side: int, rng: np.random.Generator) -> slice:
    """Return a random slice of bounded length."""
    length = min(side, part.stop - part.start)
    start = part.start + int(rng.integers(part.stop - part.start - length + 1))
    return slice(start, start + length)


class Clip(NamedTuple):
    """Consecutive frames of one channel.

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
    source: PixelSource, decision: RestorePlan, image_channels: int, spot: FrameWindow
) -> list[Clip]:
    """Read the clips of a window: one, or one per color channel.

    Frames of one value, such as those a recording lacks, are left out, and what is
    before and behind them are clips of their own.

    Parameters
    ----------
    source : Source
        Where frames are read.
    decision : RestorePlan
        How they are scaled; every channel has its scaling.
    image_channels : int
        Planes that the model restores together.
    spot : FrameWindow
        Which frames, and where.
    """
    task = find_task(decision.task)
    channel = decision.channels[source.channel(spot.planes[0])]
    assert channel.scaling is not None
    filled = NaNFilled(source, (channel.scaling.low + channel.scaling.high) / 2)
    frames: list[NDArray[np.float32] | None] = []
    for plane in spot.planes:
        pixels = filled.read(plane, spot.rows, spot.columns)
        seen = select_input(pixels, decision.colors, image_channels)
        is_blank = pixels.min() == pixels.max()
        spread = task.clip_margin(channel.level)
        frames.append(None if is_blank else channel.scaling.forward(seen, spread))
    return [
        Clip(
            torch.from_numpy(np.stack(run)[:, color]),
            task.level_map_value(channel.level),
        )
        for run in _unbroken(frames)
        for color in range(run[0].shape[0])
    ]


def told(shown: Tensor, level: float | Tensor, *, level_map: bool) -> Tensor:
    """Append the level plane, for a network with a level map.

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
    """Return the runs of frames between those left out."""
    runs: list[list[NDArray[np.float32]]] = [[]]
    for frame in frames:
        if frame is not None:
            runs[-1].append(frame)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
