"""The mean over the eight flips and rotations of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.inference.engine import Engine

__all__ = ["TURNS", "average_over_dihedral"]

TURNS = 8


def average_over_dihedral(
    engine: Engine,
    strips: Iterator[NDArray[np.float32]],
    length: int,
    step: int,
    level: float | Sequence[float],
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the mean over eight flips and rotations, and before it empty rows.

    The window is kept in memory for that. Each output comes with the rows of work that
    it stands for.
    """
    image = np.concatenate(list(strips), axis=2)
    mean = np.zeros_like(image[:, : engine.image_channels])
    nothing = mean[:, :, :0]
    for turn in range(TURNS):
        turned = np.ascontiguousarray(_turned(image, turn))
        sides = turned.shape[2]
        parts = (turned[:, :, top : top + step] for top in range(0, sides, step))
        outputs = []
        worked = 0
        for output in engine.stream(parts, sides, level):
            outputs.append(output)
            before, worked = worked, worked + output.shape[2]
            yield worked * length // sides - before * length // sides, nothing
        mean += _turned_back(np.concatenate(outputs, axis=2), turn)
    mean /= TURNS
    yield 0, mean


def _turned(planes: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Return one of the eight flips and rotations of (N, C, H, W) planes."""
    rotated = np.rot90(planes, turn % 4, axes=(2, 3))
    return rotated[..., ::-1] if turn >= 4 else rotated


def _turned_back(planes: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Undo `_turned`."""
    flipped = planes[..., ::-1] if turn >= 4 else planes
    return np.rot90(flipped, -(turn % 4), axes=(2, 3))
