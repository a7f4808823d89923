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

__all__ = ["Clip", "append_level", "read_clips", "series_along", "split_frames"]

_MIN_FRAMES = 4
"""Frames from which whole frames are held out; below, a quarter of the area is."""

_FRAMES_PER_BLOCK = 16
_MAX_BLOCKS = 4
"""Held-out blocks: one for so many frames, and their maximum."""

_TRAINING_VALUES = 2**24
"""Training values to read (64 MiB): more than the patches of one minute cover."""

_HELD_OUT_VALUES = 2**18
"""Held-out values to read: a validation on them takes a second or two."""

# How a stack beyond these numbers of values is sampled: clips of so many frames.
_CLIP_FRAMES = 8
_MAX_TRAINING_CLIPS = 64
_MAX_HELD_OUT_CLIPS = 4

_GAP = 8
"""Pixels between the held-out and the training area of a frame: correlated noise
would tell the one from the other."""


class FrameWindow(NamedTuple):
    """Consecutive planes of a source and the window to read of each."""

    planes: tuple[int, ...]
    rows: slice
    columns: slice


class FrameSplit(NamedTuple):
    """Disjoint windows for training and validation."""

    training: list[FrameWindow]
    held_out: list[FrameWindow]


def series_along(sizes: Sequence[int], axis: int | None) -> NDArray[np.int64]:
    """Group the planes of a source into series of consecutive frames.

    Parameters
    ----------
    sizes : sequence of int
        Lengths of the axes before Y; planes are numbered in C order.
    axis : int, optional
        Index of the axis of the frames; None makes every plane a series of its own.

    Returns
    -------
    ndarray of int64, shape (series, frames)
        Plane numbers, one row for each position along the other axes.
    """
    numbers = np.arange(math.prod(sizes)).reshape(tuple(sizes))
    if axis is None:
        return numbers.reshape(-1, 1)
    return np.moveaxis(numbers, axis, -1).reshape(-1, sizes[axis])


def split_frames(
    series: NDArray[np.int64], height: int, width: int, rng: np.random.Generator
) -> FrameSplit:
    """Split series of frames into training and held-out windows of bounded size.

    Blocks of two or three frames are held out, spread over time. No training pair
    contains a held-out frame.

    Parameters
    ----------
    series : ndarray of int, shape (series, frames)
        Plane numbers.
    height, width : int
        Size of a plane in pixels.
    rng : numpy.random.Generator
        Places windows in planes that are too large to read whole.
    """
    rows, columns = slice(0, height), slice(0, width)
    if series.shape[1] >= _MIN_FRAMES:
        runs, blocks = _split_time(series.shape[1])
        train_rows, held_out_rows = rows, rows
    else:
        runs = blocks = [range(series.shape[1])]
        border = height - height // 4
        train_rows, held_out_rows = slice(0, border - _GAP), slice(border, height)
    return FrameSplit(
        _windows(
            _planes(series, runs),
            (train_rows, columns),
            _TRAINING_VALUES,
            _MAX_TRAINING_CLIPS,
            rng,
        ),
        _windows(
            _planes(series, blocks),
            (held_out_rows, columns),
            _HELD_OUT_VALUES,
            _MAX_HELD_OUT_CLIPS,
            rng,
        ),
    )


def _split_time(frames: int) -> tuple[list[range], list[range]]:
    """Return training runs and held-out blocks; the last block is at the end."""
    length = 3 if frames > _MIN_FRAMES else 2
    count = min(max(frames // _FRAMES_PER_BLOCK, 1), _MAX_BLOCKS)
    ends = [frames * n // count for n in range(count + 1)]
    blocks = [range(end - length, end) for end in ends[1:]]
    runs = [
        range(start, block.start) for start, block in zip(ends, blocks, strict=False)
    ]
    return runs, blocks


def _planes(series: NDArray[np.int64], parts: Sequence[range]) -> list[tuple[int, ...]]:
    return [tuple(int(n) for n in row[part]) for row in series for part in parts]


def _windows(
    runs: list[tuple[int, ...]],
    area: tuple[slice, slice],
    budget: int,
    max_clips: int,
    rng: np.random.Generator,
) -> list[FrameWindow]:
    """Return whole runs, or random windows of clips of them beyond the budget."""
    height, width = (part.stop - part.start for part in area)
    if sum(map(len, runs)) * height * width <= budget:
        return [FrameWindow(run, *area) for run in runs]
    clips = [
        run[i : i + _CLIP_FRAMES]
        for run in runs
        for i in range(0, len(run), _CLIP_FRAMES)
    ]
    if len(runs[0]) > 1:  # a lone frame at the end of a run makes no pair
        clips = [clip for clip in clips if len(clip) > 1]
    if (count := len(clips)) > max_clips:
        clips = [
            clips[(2 * n + 1) * count // (2 * max_clips)] for n in range(max_clips)
        ]
    side = math.isqrt(budget // sum(map(len, clips)))
    return [
        FrameWindow(clip, *(_random_slice(part, side, rng) for part in area))
        for clip in clips
    ]


def _random_slice(part: slice, side: int, rng: np.random.Generator) -> slice:
    length = min(side, part.stop - part.start)
    start = part.start + int(rng.integers(part.stop - part.start - length + 1))
    return slice(start, start + length)


class Clip(NamedTuple):
    """Consecutive frames of one channel.

    Attributes
    ----------
    frames : Tensor, shape (n, C, h, w)
        Values in network units; non-finite pixels are filled.
    level : float
        Standard deviation of the noise in the same units, as a level map holds it.
    """

    frames: Tensor
    level: float


def read_clips(
    source: PixelSource, plan: RestorePlan, image_channels: int, window: FrameWindow
) -> list[Clip]:
    """Read the clips of a window: one, or one per color channel.

    Constant frames, such as a recording leaves for missing ones, are dropped; the
    frames before and behind them become clips of their own.

    Parameters
    ----------
    source : PixelSource
        Source of the frames.
    plan : RestorePlan
        Holds the scaling and noise level of each channel.
    image_channels : int
        Planes that the model restores together.
    window : FrameWindow
        Planes and pixels to read.
    """
    task = find_task(plan.task)
    channel = plan.channels[source.channel(window.planes[0])]
    assert channel.scaling is not None
    filled = NaNFilled(source, (channel.scaling.low + channel.scaling.high) / 2)
    margin = task.clip_margin(channel.level)
    runs: list[list[NDArray[np.float32]]] = [[]]
    for plane in window.planes:
        pixels = filled.read(plane, window.rows, window.columns)
        if pixels.min() == pixels.max():
            runs.append([])
            continue
        planes = select_input(pixels, plan.colors, image_channels)
        runs[-1].append(channel.scaling.forward(planes, margin))
    return [
        Clip(
            torch.from_numpy(np.stack(run)[:, color]),
            task.level_map_value(channel.level),
        )
        for run in filter(None, runs)
        for color in range(run[0].shape[0])
    ]


def append_level(frames: Tensor, level: float | Tensor, *, level_map: bool) -> Tensor:
    """Append a plane of the noise level, if the network has a level map.

    Parameters
    ----------
    frames : Tensor, shape (N, C, h, w)
        Frames to restore.
    level : float or Tensor of shape (N, 1, 1, 1)
        Noise level in network units.
    level_map : bool
        Whether the network takes the plane; without it, `frames` are returned.
    """
    if not level_map:
        return frames
    return torch.cat([frames, torch.zeros_like(frames[:, :1]) + level], 1)
