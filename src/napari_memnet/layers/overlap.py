"""Where layers lie on each other, counted in pixels; no Qt here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memnet_core.errors import UsageError
from napari_memnet.layers.source import layer_planes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image
    from numpy.typing import NDArray

__all__ = ["shared_windows", "start_in"]

_ALMOST = 1e-4


def start_in(source: Image, result: Image) -> NDArray[np.float64] | None:
    """Return where a layer begins, in pixels of another one along the axes of both.

    Parameters
    ----------
    source, result : Image
        Layers, the last axes of which are the same ones.

    Returns
    -------
    ndarray of float, optional
        An index of `source`; None if pixels have other sizes or directions.
    """
    shared = min(source.ndim, result.ndim)

    def at(index: NDArray[np.float64]) -> NDArray[np.float64]:
        world = np.asarray(source.data_to_world(np.zeros(source.ndim)))
        place = np.concatenate([np.zeros(result.ndim - shared), index])
        world[-shared:] = np.asarray(result.data_to_world(place))[-shared:]
        return np.asarray(source.world_to_data(world))[-shared:]

    start = at(np.zeros(shared))
    steps = [at(one) - start for one in np.eye(shared)]
    return start if np.allclose(steps, np.eye(shared), atol=_ALMOST) else None


def shared_windows(
    reference: Image, layers: Sequence[Image]
) -> list[tuple[slice, slice]]:
    """Return rows and columns of each layer that show what all of them show.

    Parameters
    ----------
    reference : Image
        The clean image, say.
    layers : sequence of Image
        Others of its shape, or parts of it where these lie on it.

    Returns
    -------
    list of (slice, slice)
        Of the reference first, then of each layer.

    Raises
    ------
    UsageError
        If one is of another shape and no part, or they have no pixel in common.
    """
    known = [layer_planes(layer).shape[1:] for layer in (reference, *layers)]
    starts = [np.zeros(2, int)]
    for layer, shape in zip(layers, known[1:], strict=True):
        start = np.zeros(2) if shape == known[0] else start_in(reference, layer)
        if start is None or shape[2] != known[0][2]:
            raise UsageError(
                f"{layer.name!r} has planes of the shape {shape}, the clean image "
                f"{reference.name!r} {known[0]}; choose layers of one shape, or a part."
            )
        starts.append(np.rint(start[-2:]).astype(int))
    first = np.max(starts, axis=0)
    ends = [s + shape[:2] for s, shape in zip(starts, known, strict=True)]
    last = np.min(ends, axis=0)
    if (last <= first).any():
        raise UsageError(f"The layers have no pixel of {reference.name!r} in common.")
    return [
        (
            slice(int(first[0] - start[0]), int(last[0] - start[0])),
            slice(int(first[1] - start[1]), int(last[1] - start[1])),
        )
        for start in starts
    ]
