"""What of the layers is seen; no Qt here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from memnet_core.errors import UsageError
from napari_memnet.layers import Region, layer_planes, origin

if TYPE_CHECKING:
    from napari.viewer import Viewer

__all__ = [
    "LARGEST_SIDE",
    "current_index",
    "image_layers",
    "is_preview",
    "visible_region",
]

LARGEST_SIDE = 512
"""Largest height and width of a preview in pixels of the source."""


def is_preview(layer: Any) -> bool:
    """Whether a layer is the preview of another one."""
    return "preview" in origin(layer)


def image_layers(viewer: Viewer) -> list[Image]:
    """Return the image layers of a viewer, without previews."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and not is_preview(layer)
    ]


def current_index(viewer: Viewer, layer: Image) -> tuple[int, ...]:
    """Return where the viewer's sliders are in the data of a layer.

    Raises
    ------
    UsageError
        If other axes than the last two are shown, or the sliders are beside the layer.
    """
    dims = viewer.dims
    if tuple(dims.order) != tuple(range(dims.ndim)):
        raise UsageError("Planes of the last two axes are restored; show those.")
    index = tuple(round(value) for value in layer.world_to_data(dims.point))
    sizes = layer_planes(layer).region.shape
    if any(not 0 <= i < size for i, size in zip(index[:-2], sizes[:-2], strict=True)):
        raise UsageError(f"The sliders are beside the layer {layer.name!r}.")
    return index


def visible_region(
    layer: Image, index: tuple[int, ...], largest: int = LARGEST_SIDE
) -> Region:
    """Return the part of a plane that is seen, or the middle of it if that is large.

    Parameters
    ----------
    layer : Image
        The layer; its ``corner_pixels`` tell what is seen.
    index : tuple of int
        The plane.
    largest : int
        Most rows and columns.
    """
    whole = layer_planes(layer).region
    factors = np.ones(layer.ndim)
    if layer.multiscale:
        factors = np.asarray(layer.downsample_factors[layer.data_level])
    corners = np.asarray(layer.corner_pixels) * factors
    sides = []
    for axis in (-2, -1):
        size = whole.shape[axis]
        begin = int(np.clip(corners[0, axis], 0, size - 1))
        end = int(np.clip(corners[1, axis] + factors[axis], begin + 1, size))
        surplus = max(end - begin - largest, 0)
        sides.append(slice(begin + surplus // 2, end - (surplus - surplus // 2)))
    return whole.at(index).with_planes(*sides)
