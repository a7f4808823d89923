"""Which rows and columns of a layer are restored: all, what is seen, a box; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from memnet_core.errors import UsageError
from napari_memnet.layers.source import layer_planes
from napari_memnet.layers.view import seen_sides, touched

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_memnet.layers.source import Region

__all__ = ["ALL", "SEEN", "areas", "window_of", "within"]

ALL, SEEN = "all of it", "what is seen"


def areas(viewer: Viewer) -> list[tuple[str, Any]]:
    """Return what can be chosen as an area, by what it is called."""
    shapes = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    return [
        (ALL, ALL),
        (SEEN, SEEN),
        *((f"inside “{layer.name}”", layer) for layer in shapes),
    ]


def within(viewer: Viewer, layer: Image, region: Region, area: Any) -> Region:
    """Return the part of a region that lies in an area.

    Parameters
    ----------
    viewer : Viewer
        Its canvas and sliders tell what is seen.
    layer : Image
        The layer.
    region : Region
        Whole planes of it.
    area : str or Shapes
        `ALL`; `SEEN`, the part of the canvas that is in view; or a layer of shapes,
        which stands for the bounding box of those that are selected, or of all.

    Raises
    ------
    UsageError
        If nothing of the layer lies in the area, or there is no area.
    """
    if area == ALL:
        return region
    if area == SEEN:
        if viewer.dims.ndisplay != 2:
            raise UsageError("What is seen is an area in a 2D view only.")
        return _cut(region, seen_sides(viewer, layer), f"{layer.name!r} is out of view")
    shapes = area
    chosen = [shapes.data[i] for i in sorted(shapes.selected_data)] or shapes.data
    if not chosen:
        raise UsageError(f"{shapes.name!r} has no shape yet; draw one.")
    corners = np.concatenate([np.asarray(one) for one in chosen])
    world = np.array([shapes.data_to_world(corner) for corner in corners])
    lost = f"The shapes of {shapes.name!r} lie beside {layer.name!r}"
    return _cut(region, touched(viewer, layer, world), lost)


def _cut(region: Region, sides: tuple[slice, slice], lost: str) -> Region:
    """Return the part of a region in some rows and columns."""
    kept = [
        slice(max(side.start, part.start), min(side.stop, part.stop))
        for side, part in zip(sides, region.slices[-2:], strict=True)
    ]
    if any(part.start >= part.stop for part in kept):
        raise UsageError(f"{lost}; there is nothing to restore.")
    return region.with_planes(*kept)


def window_of(layer: Image, region: Region) -> str:
    """Say which rows and columns of a layer a region is; empty if it is all."""
    rows, columns = region.slices[-2:]
    height, width = region.shape[-2:]
    if (height, width) == layer_planes(layer).region.shape[-2:]:
        return ""
    return f"{width}×{height} px at x {columns.start}, y {rows.start}"
