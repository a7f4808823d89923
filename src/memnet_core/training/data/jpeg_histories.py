"""JPEGs that were saved twice: cropped or resized between, finer the second time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from memnet_core.image_ops.resize import imresize
from memnet_core.tasks.deblock import draw_whole_chroma, jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LAST_SHIFT", "JpegHistory", "compress_twice", "draw_history"]

LAST_SHIFT = 15
"""Largest shift in pixels of two grids of 16, those of JPEGs with half the chroma."""

_FINEST = 98
_RESIZED_SHARE = 0.25
_SHRUNK_SHARE = 0.7
_SMALLEST, _LARGEST = 0.5, 1.5


class JpegHistory(NamedTuple):
    """What became of a picture after it was compressed for the first time.

    Attributes
    ----------
    quality : int
        Of the last compression.
    shift : (int, int)
        Rows and columns by which the first grid begins before the last one.
    scale : float
        By which the picture was resized in between; 1 if it was not.
    whole_chroma : (bool, bool)
        Whether the first and the last JPEG keep all samples of chroma.
    """

    quality: int
    shift: tuple[int, int]
    scale: float
    whole_chroma: tuple[bool, bool]

    def source(self, height: int, width: int) -> tuple[int, int]:
        """Return the size, at the first compression, of what has a size at the last."""
        return max(1, round(height / self.scale)), max(1, round(width / self.scale))


def draw_history(
    quality: int, is_color: bool, rng: np.random.Generator
) -> JpegHistory | None:
    """Draw a history, which ends with a finer quality of up to 98.

    A quarter of the pictures is resized: most of these are shrunk, down to half their
    size, and some enlarged, up to 1.5 times.

    Parameters
    ----------
    quality : int
        Of the first compression; if none is finer, there is no history.
    is_color : bool
        Whether there is chroma.
    rng : numpy.random.Generator
        Decides on all of it.
    """
    if quality >= _FINEST:
        return None
    last = int(rng.integers(quality + 1, _FINEST + 1))
    down, across = rng.integers(0, LAST_SHIFT + 1, 2).tolist()
    scale = 1.0
    if rng.random() < _RESIZED_SHARE:
        farthest = _SMALLEST if rng.random() < _SHRUNK_SHARE else _LARGEST
        scale = farthest ** rng.random()
    first_whole, last_whole = (is_color and draw_whole_chroma(rng) for _ in range(2))
    return JpegHistory(last, (down, across), scale, (first_whole, last_whole))


def compress_twice(
    plane: NDArray[np.uint8], quality: int, history: JpegHistory
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a picture with a history, and what it would be without compression.

    Parameters
    ----------
    plane : ndarray of uint8, shape (H, W) or (H, W, 3)
        Clean pixels, at the size that the last compression sees. What was compressed
        first is made from them by resizing.
    quality : int
        Of the first compression.
    history : JpegHistory
        What came after it.

    Returns
    -------
    degraded, clean : ndarray of float64, of the shape of `plane`
        On the same scale. Clean pixels are those of `plane`, or twice resized.
    """
    size = plane.shape[:2]
    source = _resized(plane.astype(np.float64), history.source(*size))
    around = [(shift, LAST_SHIFT - shift) for shift in history.shift]
    padded = np.pad(_rounded(source), [*around, (0, 0)][: plane.ndim], mode="edge")
    first_whole, last_whole = history.whole_chroma
    first = jpeg(padded, quality, subsampled=not first_whole)
    down, across = history.shift
    kept = first[down : down + source.shape[0], across : across + source.shape[1]]
    between = _rounded(_resized(kept.astype(np.float64), size))
    last = jpeg(between, history.quality, subsampled=not last_whole)
    return last.astype(np.float64), _resized(source, size).clip(0, 255)


def _resized(plane: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    return plane if plane.shape[:2] == size else imresize(plane, (size[0], size[1]))


def _rounded(plane: NDArray[Any]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(plane.clip(0, 255)).astype(np.uint8)
    return rounded
