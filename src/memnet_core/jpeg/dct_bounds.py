"""Intervals of DCT coefficients that a JPEG file implies.

The encoder rounds each coefficient to a multiple k of its step t, so the original lies
in (k ± ½)·t. A restored image is projected onto these intervals. Coefficients are not
read from the file; they follow from its tables and the decoded pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.jpeg.coding import BLOCK, JpegCoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FROM_YCC",
    "TO_YCC",
    "dct_basis",
    "dct_rows",
    "estimate_dct_bounds",
    "project_chroma_to_bounds",
    "project_colors_to_bounds",
    "project_to_bounds",
]


_HALF = 0.4995
"""Half width of an interval in steps; below ½, so that rounding stays inside."""

_ROUNDS = 40
"""Maximum iterations before a block's coefficients are given up as inconsistent."""

_TOLERANCE = 0.1
"""Error of decoders in gray levels, relative to the exact transform before rounding."""

TO_YCC = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168736, -0.331264, 0.5],
        [0.5, -0.418688, -0.081312],
    ]
)
"""RGB to luminance, blue and red difference, as JFIF defines them."""

FROM_YCC = np.linalg.inv(TO_YCC).T
"""YCbCr to RGB, transposed: row n is the RGB change for a unit of component n."""


def dct_basis() -> NDArray[np.float64]:
    """Return the orthonormal DCT of a block, (64, 64): coefficients from pixels."""
    return np.asarray(np.kron(dct_rows(), dct_rows()), np.float64)


def dct_rows() -> NDArray[np.float64]:
    """Return the orthonormal DCT of a row of eight, (8, 8)."""
    k, x = np.mgrid[:BLOCK, :BLOCK]
    rows = np.cos(np.pi * (2 * x + 1) * k / (2 * BLOCK)) / 2
    rows[0] /= np.sqrt(2)
    return np.asarray(rows, np.float64)


_DCT = dct_basis()


def estimate_dct_bounds(
    low: NDArray[np.float64], high: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recover quantized DCT coefficients of blocks from bounds on their pixels.

    Clipped or unknown pixels have no bound; there alternating projections between
    pixel bounds and quantized coefficients run until both agree.

    Parameters
    ----------
    low, high : ndarray, shape (n, 64)
        Bounds of the decoded pixels before they were rounded and clipped, in gray
        levels about 0 (less 128 for luminance); without a bound infinite, not both.
    steps : ndarray, shape (64,)
        Quantization steps.

    Returns
    -------
    lowest, highest : ndarray, shape (n, 64)
        Ends of the intervals of the coefficients, in gray levels. Where no coefficients
        explain the pixels, wide enough for those found and for the pixels.
    """
    pixels = np.where(np.isinf(low), high - 0.5, low + 0.5)
    seen = pixels @ _DCT.T
    multiples = np.rint(seen / steps)
    open_ = np.flatnonzero((np.isinf(low) | np.isinf(high)).any(axis=1))
    for _ in range(_ROUNDS):
        decoded = (multiples[open_] * steps) @ _DCT
        floor, roof = low[open_], high[open_]
        fits = (decoded >= floor - _TOLERANCE) & (decoded <= roof + _TOLERANCE)
        kept = ~fits.all(axis=1)
        open_ = open_[kept]
        if not open_.size:
            break
        pulled = np.clip(decoded[kept], floor[kept], roof[kept])
        multiples[open_] = np.rint(pulled @ _DCT.T / steps)
    middle = multiples * steps
    lowest, highest = middle - _HALF * steps, middle + _HALF * steps
    lowest[open_] = np.minimum(lowest[open_], seen[open_] - _HALF * steps)
    highest[open_] = np.maximum(highest[open_], seen[open_] + _HALF * steps)
    return lowest, highest


def project_to_bounds(
    decoded: NDArray[np.float64],
    clipped: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    restored: NDArray[np.float64],
    steps: NDArray[np.float64],
    missing: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    still: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
    unsure: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Project a restored plane onto the intervals of its DCT coefficients.

    The encoder pads partial blocks by repeating the border, and so does this function.
    As the original border is unknown, intervals of these blocks are twice as wide, as
    are those of unsure blocks. A block that is all white or all black is kept.

    Parameters
    ----------
    decoded : ndarray, shape (h, w)
        Plane of the JPEG, rounded to whole gray levels about 0.
    clipped : pair of ndarray of bool, shape (h, w)
        Where the plane may have been lower, and where higher, before it was clipped.
    restored : ndarray, shape (h, w)
        The restored plane, on the same scale.
    steps : ndarray, shape (64,)
        Quantization steps.
    missing : pair of (int, int)
        Rows above and below, columns before and behind, that complete the blocks.
    still : pair of ndarray of bool, shape (h, w)
        Where all is black, and where white; where the plane is clipped by default.
    unsure : ndarray of bool, shape (h, w), optional
        Where the plane is not quite what the file holds.
    """
    height, width = decoded.shape
    low = np.where(clipped[0], -np.inf, decoded - 0.5)
    high = np.where(clipped[1], np.inf, decoded + 0.5)
    unbound = np.isinf(low) & np.isinf(high)
    low[unbound] = decoded[unbound] - BLOCK
    high[unbound] = decoded[unbound] + BLOCK
    low, high, completed = (np.pad(p, missing, "edge") for p in (low, high, restored))
    lowest, highest = estimate_dct_bounds(_blocks(low), _blocks(high), steps)
    partial = _blocks(_outside((height, width), missing)).any(axis=1)
    if unsure is not None:
        partial |= _blocks(np.pad(unsure, missing)).any(axis=1)
    lowest[partial] -= _HALF * steps
    highest[partial] += _HALF * steps
    coefficients = np.clip(_blocks(completed) @ _DCT.T, lowest, highest)
    blocks = coefficients @ _DCT
    for saturated in still or clipped:
        whole = _blocks(np.pad(saturated, missing, "edge")).all(axis=1)
        blocks[whole] = _blocks(np.pad(decoded, missing, "edge"))[whole]
    plane = _plane(blocks, completed.shape)
    (top, _), (left, _) = missing
    return plane[top : top + height, left : left + width]


def project_colors_to_bounds(
    decoded: NDArray[np.float64],
    restored: NDArray[np.float64],
    coding: JpegCoding,
    missing: tuple[tuple[int, int], tuple[int, int]],
) -> NDArray[np.float64]:
    """Project restored pixels so that their luminance agrees with a JPEG file.

    For chroma see `memnet_core.jpeg.chroma`.

    Parameters
    ----------
    decoded : ndarray, shape (h, w, 1 or 3)
        Whole gray levels in [0, 255], as the file gives them.
    restored : ndarray, shape (h, w, 1 or 3)
        What was made of them.
    coding : JpegCoding
        How the file codes them.
    missing : pair of (int, int)
        As in `project_to_bounds`.
    """
    black, white = decoded <= 0, decoded >= 255
    if decoded.shape[-1] == 1:
        clipped = black[..., 0], white[..., 0]
        plane = project_to_bounds(
            decoded[..., 0] - 128,
            clipped,
            restored[..., 0] - 128,
            coding.steps(0),
            missing,
        )
        return plane[..., None] + 128
    changed = restored.copy()
    still = np.asarray(black.all(axis=-1)), np.asarray(white.all(axis=-1))
    clipped = np.asarray(black.any(axis=-1)), np.asarray(white.any(axis=-1))
    before, after = (pixels @ TO_YCC[0] - 128 for pixels in (decoded, restored))
    held = project_to_bounds(
        np.rint(before), clipped, after, coding.steps(0), missing, still
    )
    changed += (held - after)[..., None]
    return changed


def project_chroma_to_bounds(
    decoded: NDArray[np.float64],
    restored: NDArray[np.float64],
    steps: NDArray[np.float64],
    missing: tuple[tuple[int, int], tuple[int, int]],
    still: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    unsure: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Project a restored chroma plane onto the intervals of its DCT coefficients.

    Clipped colors give no useful bounds on chroma, but the decoded values nearly always
    are close enough to identify the coefficients.

    Parameters
    ----------
    decoded, restored, steps, missing, still, unsure
        As for `project_to_bounds`; `decoded` need not be whole numbers.
    """
    never = np.zeros(decoded.shape, np.bool_)
    return project_to_bounds(
        decoded, (never, never), restored, steps, missing, still, unsure
    )


def _outside(
    shape: tuple[int, int], missing: tuple[tuple[int, int], tuple[int, int]]
) -> NDArray[np.bool_]:
    """Mask the padding of a plane padded to whole blocks."""
    return np.pad(np.zeros(shape, np.bool_), missing, constant_values=True)


def _blocks(plane: NDArray[Any]) -> NDArray[Any]:
    """Split a plane of whole blocks into blocks, shape (n, 64)."""
    height, width = plane.shape
    split = plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return split.swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)


def _plane(blocks: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Join blocks, shape (n, 64), to a plane of the given shape."""
    height, width = shape
    split = blocks.reshape(height // BLOCK, width // BLOCK, BLOCK, BLOCK)
    return split.swapaxes(1, 2).reshape(height, width)
