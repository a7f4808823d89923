"""Which frames of a stack are learned from, and which are held out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["FEWEST_HELD", "Plan", "Spot", "planned", "series_along"]

FEWEST_HELD = 4
"""Frames from which on some are held out; of fewer, a quarter of the area is."""

_FRAMES_OF_A_BLOCK = 16
"""Frames to each block that is held out."""

_MOST_BLOCKS = 4
_TRAINED = 2**24
"""Values to learn from in all, 64 MiB: more than a minute's patches hold."""

_TRIED = 2**18
"""Values that are held out in all; trying a network on them takes a second or two."""

_CLIP = 8
"""Frames that are read in a row where a stack does not fit as a whole."""

_MOST_CLIPS = 64
_MOST_TRIALS = 4
_APART = 8
"""Pixels between the area that is held out and the rest."""


class Spot(NamedTuple):
    """Frames in a row, and the part of them that is read.

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


class Plan(NamedTuple):
    """What is learned from and what is held out; no pixel is in both."""

    training: list[Spot]
    held_out: list[Spot]


def series_along(sizes: Sequence[int], axis: int | None) -> NDArray[np.int64]:
    """Return the numbers of planes that follow each other along an axis.

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
) -> Plan:
    """Divide series of frames, of which as much is read as memory is meant for.

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
    return Plan(
        _spots(_taken(series, runs), (learned, columns), _TRAINED, _MOST_CLIPS, rng),
        _spots(_taken(series, blocks), (tried, columns), _TRIED, _MOST_TRIALS, rng),
    )


def _divided(frames: int) -> tuple[list[range], list[range]]:
    """Return runs to learn from and blocks held out, the last one at the end."""
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
) -> list[Spot]:
    """Return runs as they are, or windows of parts of them if they are too much."""
    height, width = (part.stop - part.start for part in area)
    if sum(map(len, runs)) * height * width <= budget:
        return [Spot(run, *area) for run in runs]
    clips = [run[i : i + _CLIP] for run in runs for i in range(0, len(run), _CLIP)]
    if len(runs[0]) > 1:
        clips = [clip for clip in clips if len(clip) > 1]
    if len(clips) > most:
        clips = [clips[(2 * n + 1) * len(clips) // (2 * most)] for n in range(most)]
    side = math.isqrt(budget // sum(map(len, clips)))
    return [Spot(clip, *(_window(part, side, rng) for part in area)) for clip in clips]


def _window(part: slice, side: int, rng: np.random.Generator) -> slice:
    """Return a part of an axis of at most some length, at a place drawn at random."""
    length = min(side, part.stop - part.start)
    start = part.start + int(rng.integers(part.stop - part.start - length + 1))
    return slice(start, start + length)
