"""The one sample by which an input is judged, whatever door it came through."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.image_ops.color import without_alpha

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.sources.protocols import PixelSource

__all__ = ["sampled_blocks", "sampled_planes"]

_PLANES = 16
"""Planes that are looked at in all; each costs the decoding of a page."""

_PIXELS = 4_000_000
"""Pixels that are looked at of one channel: percentiles are sure to 0.05 %."""

_GRID = 4
"""Blocks along each side of planes that are too large to be looked at as a whole."""


def sampled_planes(source: PixelSource, channel: int) -> list[int]:
    """Return the planes of a channel that stand for it, evenly spaced.

    Missing planes hold zeros, which say nothing; they are left out.
    """
    planes = [p for p in range(source.shape[0]) if source.channel(p) == channel]
    planes = [p for p in planes if p not in source.missing_planes] or planes
    most = max(1, _PLANES // source.channels)
    if len(planes) <= most:
        return planes
    return [planes[(2 * i + 1) * len(planes) // (2 * most)] for i in range(most)]


def sampled_blocks(
    source: PixelSource, planes: list[int], *, pixels: int = _PIXELS
) -> list[NDArray[Any]]:
    """Read planes, or blocks all over them where they are large.

    Parameters
    ----------
    source : Source
        What to look at.
    planes : list of int
        Which planes.
    pixels : int
        How many pixels to read at most, over all planes.

    Returns
    -------
    list of ndarray, shape (h, w, 1 or 3)
        In the source's dtype, without alpha.
    """
    _, height, width, _ = source.shape
    budget = pixels // len(planes)
    rows, columns = [slice(0, height)], [slice(0, width)]
    if height * width > budget:
        side = math.isqrt(budget // _GRID**2)
        rows, columns = _spread(height, side), _spread(width, side)
    return [
        without_alpha(np.asarray(source.read(plane, y, x)))
        for plane in planes
        for y in rows
        for x in columns
    ]


def _spread(length: int, side: int) -> list[slice]:
    """Return blocks along an axis from border to border, at most the axis itself."""
    if length <= _GRID * side:
        return [slice(0, length)]
    starts = [(length - side) * i // (_GRID - 1) for i in range(_GRID)]
    return [slice(start, start + side) for start in starts]
