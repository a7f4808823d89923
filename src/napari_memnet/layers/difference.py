"""The difference source - result as a layer; no Qt."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import UsageError
from memnet_core.image_ops.color import without_alpha
from napari_memnet.layers.result_store import LARGEST_PLANE
from napari_memnet.layers.source import (
    LayerRegion,
    aligned_layer_attributes,
    layer_planes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_memnet.layers.source import LayerSource

__all__ = ["difference_layer", "shared_windows", "start_in"]


_ALMOST = 1e-4


def start_in(source: Image, result: Image) -> NDArray[np.float64] | None:
    """Return the origin of a layer in pixel coordinates of another one.

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
    """Return the rows and columns of each layer in which all layers overlap.

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


_COLORMAP = "PiYG"
_BRIGHTEST = 99.9
"""Percentile of the absolute difference that is drawn in full color."""


def difference_layer(source: Image, result: Image) -> tuple[Any, dict[str, Any], str]:
    """Return the difference source - result as layer data; 0 is drawn white.

    Parameters
    ----------
    source, result : Image
        A layer, and what was made of all or a part of it, at its place in the world.

    Returns
    -------
    tuple
        Data of float32, of colors the mean; keyword arguments and ``image``, as
        ``Layer.create`` takes them. Many planes are computed as they are looked at.

    Raises
    ------
    UsageError
        If the result does not lie on pixels of the source, is enlarged, or has planes
        that are too large.
    """
    region = _place(source, result)
    before, after = layer_planes(source), layer_planes(result)
    if math.prod(after.region.shape[-2:]) > LARGEST_PLANE:
        raise UsageError(
            f"The planes of {result.name!r} are too large; restore what is seen, and "
            "look at what was removed there."
        )
    shape, numbers = after.region.shape, before.numbers(region)
    middle = len(numbers) // 2
    seen = np.abs(_difference(before, after, region, numbers, middle))
    most = float(np.percentile(np.nan_to_num(seen, posinf=0), _BRIGHTEST)) or 1.0
    attributes = aligned_layer_attributes(
        result, f"{result.name}: removed", (0,) * len(shape)
    )
    attributes |= {
        "rgb": False,
        "colormap": _COLORMAP,
        "contrast_limits": (-most, most),
        "gamma": 1.0,
        "blending": "translucent_no_depth",
        "opacity": 1.0,
        "metadata": {"memnet": {"removed": [source.name, result.name]}},
    }
    if math.prod(shape) > LARGEST_PLANE:
        return _lazy(before, after, region, numbers), attributes, "image"
    data = np.empty((len(numbers), *shape[-2:]), np.float32)
    for place in range(len(numbers)):
        data[place] = _difference(before, after, region, numbers, place)
    return data.reshape(shape), attributes, "image"


def _difference(
    before: LayerSource,
    after: LayerSource,
    region: LayerRegion,
    numbers: list[int],
    place: int,
) -> NDArray[np.float32]:
    """Return source - result of one plane, averaged over colors."""
    whole = after.region.slices[-2:]
    first = without_alpha(before.read(numbers[place], *region.slices[-2:]))
    second = without_alpha(after.read(place, *whole))
    change = first.astype(np.float64) - second.astype(np.float64)
    mean: NDArray[np.float32] = change.mean(axis=-1).astype(np.float32)
    return mean


def _lazy(
    before: LayerSource, after: LayerSource, region: LayerRegion, numbers: list[int]
) -> Any:
    """Return source - result as a lazy array, computed plane by plane."""
    import dask.array

    *leading, height, width = after.region.shape

    def plane(block_info: Any) -> NDArray[np.float32]:
        at = block_info[None]["chunk-location"][: len(leading)]
        place = int(np.ravel_multi_index(at, leading))
        change = _difference(before, after, region, numbers, place)
        return change.reshape((1,) * len(leading) + change.shape)

    return dask.array.map_blocks(
        plane,
        chunks=(*((1,) * count for count in leading), (height,), (width,)),
        dtype=np.float32,
        meta=np.empty((0,) * (len(leading) + 2), np.float32),
    )


def _place(source: Image, result: Image) -> LayerRegion:
    """Return the region of a source that a result covers."""
    beside = f"{result.name!r} does not lie on pixels of {source.name!r}"
    if source.ndim != result.ndim or source.rgb != result.rgb or source == result:
        raise UsageError(f"{beside}; choose a layer and what was made of it.")
    start = start_in(source, result)
    if start is None:
        raise UsageError(
            f"Pixels of {result.name!r} are not as large as those of {source.name!r}, "
            "so that there is nothing that was removed."
        )
    shape = layer_planes(result).region.shape
    begin = np.rint(start).astype(int)
    slices = [
        slice(int(first), int(first) + size)
        for first, size in zip(begin, shape, strict=True)
    ]
    whole = layer_planes(source).region.shape
    inside = all(
        s.start >= 0 and s.stop <= n for s, n in zip(slices, whole, strict=True)
    )
    if not inside or not np.allclose(start, begin, atol=1e-2):
        raise UsageError(f"{beside}; choose a layer and what was made of it.")
    return LayerRegion(tuple(slices))
