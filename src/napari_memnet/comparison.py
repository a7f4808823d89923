"""Comparing layers: figures against a reference; no Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError, UsageError
from memnet_core.metrics import psnr, ssim
from napari_memnet.layers import layer_planes
from napari_memnet.view import current_index

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari.layers import Image
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from memnet_core.restoration.scaling import Linear
    from napari_memnet.layers import LayerPlanes, Region

__all__ = ["Scores", "Stack", "scores", "scores_along", "stack_of"]

_SMALLEST = 11


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM of one plane, and the values that count as 0 and 255."""

    psnr: float
    ssim: float
    low: float
    high: float


def scores(reference: Image, plane: Region, layer: Image, other: Region) -> Scores:
    """Compare the plane of a layer with that of a reference.

    Parameters
    ----------
    reference : Image
        The clean image.
    plane : Region
        Its plane.
    layer : Image
        What is scored, such as one restored slice of a stack.
    other : Region
        Its plane, which lies at the same place.

    Raises
    ------
    ImageError, UsageError
        If the shapes differ, or the plane is too small for SSIM.
    """
    clean, scored = layer_planes(reference), layer_planes(layer)
    _check(reference, clean, layer, scored)
    number = clean.numbers(plane)[0]
    values = _values(clean, clean.channel(number))
    return _scored(values, clean, number, scored, scored.numbers(other)[0])


@dataclass(frozen=True)
class Stack:
    """Slices of a clean image, and those of other layers at their places.

    Attributes
    ----------
    clean : LayerPlanes
        The clean image.
    axis : int
        The axis along which slices lie.
    places : tuple of int
        Number of the plane of the clean image for each slice.
    others : tuple of (LayerPlanes, tuple of int or None)
        Of each layer that is scored the planes; None where it has none.
    """

    clean: LayerPlanes
    axis: int
    places: tuple[int, ...]
    others: tuple[tuple[LayerPlanes, tuple[int | None, ...]], ...]


def stack_of(viewer: Viewer, reference: Image, layers: Sequence[Image]) -> Stack:
    """Return the slices along the longest axis, where the other sliders are.

    Parameters
    ----------
    viewer : Viewer
        Its sliders.
    reference : Image
        The clean image.
    layers : sequence of Image
        What is scored.

    Raises
    ------
    ImageError, UsageError
        As `scores`; also if there is but one slice.
    """
    clean = layer_planes(reference)
    sizes = clean.region.shape[:-2]
    if max(sizes, default=1) < 2:
        raise UsageError(f"{reference.name!r} has no slices besides the one shown.")
    axis = sizes.index(max(sizes))
    shown = current_index(viewer, reference)
    points = []
    for position in range(sizes[axis]):
        index = (*shown[:axis], position, *shown[axis + 1 :])
        points.append((index[:-2], reference.data_to_world(index)))
    others = []
    for layer in layers:
        planes = layer_planes(layer)
        _check(reference, clean, layer, planes)
        places = tuple(_plane_at(viewer, layer, planes, world) for _, world in points)
        others.append((planes, places))
    numbers = tuple(int(np.ravel_multi_index(at, sizes)) for at, _ in points)
    return Stack(clean, axis, numbers, tuple(others))


def scores_along(
    stack: Stack,
) -> Generator[tuple[int, tuple[Scores | None, ...]], None, None]:
    """Score one slice after the other.

    Yields
    ------
    int, tuple of (Scores or None)
        The slice, and what each layer scores there.
    """
    known: dict[int, Linear] = {}
    for position, number in enumerate(stack.places):
        channel = stack.clean.channel(number)
        if channel not in known:
            known[channel] = _values(stack.clean, channel)
        found = [
            None
            if (other := places[position]) is None
            else _scored(known[channel], stack.clean, number, planes, other)
            for planes, places in stack.others
        ]
        yield position, tuple(found)


def _plane_at(
    viewer: Viewer, layer: Image, planes: LayerPlanes, world: Sequence[float]
) -> int | None:
    """Return the plane of a layer at a point of the world, if it has one there."""
    point = np.array(viewer.dims.point, np.float64)[-layer.ndim :]
    shared = min(len(point), len(world))
    point[-shared:] = world[-shared:]
    at = np.rint(np.asarray(layer.world_to_data(point)))[:-2].astype(int)
    sizes = planes.region.shape[:-2]
    if any(not 0 <= i < size for i, size in zip(at, sizes, strict=True)):
        return None
    return int(np.ravel_multi_index(tuple(at), sizes)) if sizes else 0


def _check(
    reference: Image, clean: LayerPlanes, layer: Image, scored: LayerPlanes
) -> None:
    """Check that planes of a layer can be scored against a clean image."""
    if clean.shape[1:] != scored.shape[1:]:
        raise UsageError(
            f"{layer.name!r} has planes of the shape {scored.shape[1:]}, the clean "
            f"image {reference.name!r} {clean.shape[1:]}; choose layers of one shape."
        )
    if min(clean.shape[1:3]) < _SMALLEST:
        raise ImageError(
            f"SSIM needs {_SMALLEST}×{_SMALLEST} px; {reference.name!r} is smaller."
        )


def _values(clean: LayerPlanes, channel: int) -> Linear:
    """Return which values count as 0 and 255."""
    from memnet_core.restoration.sample import sampled_blocks, sampled_planes
    from memnet_core.restoration.scaling import scaling_of

    sample = sampled_blocks(clean, sampled_planes(clean, channel))
    return scaling_of(sample, clean.dtype, "auto")


def _scored(
    values: Linear, clean: LayerPlanes, number: int, scored: LayerPlanes, other: int
) -> Scores:
    """Score a plane against a clean one."""
    first, second = (
        255 * values.forward(_whole(planes, n).astype(np.float64))
        for planes, n in ((clean, number), (scored, other))
    )
    channels = range(first.shape[-1])
    similarity = np.mean([ssim(first[..., c], second[..., c]) for c in channels])
    return Scores(psnr(first, second), float(similarity), values.low, values.high)


def _whole(planes: LayerPlanes, number: int) -> NDArray[Any]:
    _, height, width, _ = planes.shape
    return planes.read(number, slice(0, height), slice(0, width))
