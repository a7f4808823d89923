"""The visible part of layers; no Qt here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes

from memnet_core.errors import UsageError
from napari_memnet.layers.source import LayerRegion, layer_planes, origin

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray

__all__ = [
    "ALL",
    "LARGEST_SIDE",
    "SEEN",
    "areas",
    "current_index",
    "image_layers",
    "is_preview",
    "layer_events",
    "seen_sides",
    "touched",
    "visible_region",
    "window_of",
    "within",
]


LARGEST_SIDE = 512
"""Largest height and width of a preview in pixels of the source."""


def is_preview(layer: Any) -> bool:
    """Whether a layer is the preview of another one."""
    return "preview" in origin(layer)


def layer_events(viewer: Viewer) -> tuple[Any, ...]:
    """Return the events after which lists of layers have to be refreshed."""
    events = viewer.layers.events
    return events.inserted, events.removed, events.renamed


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


def seen_sides(viewer: Viewer, layer: Image) -> tuple[slice, slice]:
    """Return the rows and columns of a layer that the canvas shows.

    They can lie beside the layer. `corner_pixels` of a multiscale layer would not do:
    napari makes them larger, up to whole chunks, and leaves them so while it can.
    """
    camera, canvas = viewer.scene.camera, viewer.canvas
    sides = np.asarray(canvas.size, np.float64)
    if canvas.grid.enabled:
        sides /= canvas.grid.actual_shape(len(viewer.layers))
    reach = sides / 2 / camera.zoom
    center = np.asarray(camera.center)[-2:]
    rows, columns = (
        (middle - r, middle + r) for middle, r in zip(center, reach, strict=True)
    )
    corners = [(row, column) for row in rows for column in columns]
    return touched(viewer, layer, np.array(corners))


def touched(
    viewer: Viewer, layer: Image, points: NDArray[np.float64]
) -> tuple[slice, slice]:
    """Return rows and columns of the box around points of the world.

    Parameters
    ----------
    viewer : Viewer
        Where its sliders are counts for axes that the points do not have.
    layer : Image
        The layer in whose pixels is counted; they can lie beside it.
    points : ndarray, shape (N, K)
        Along the last K axes of the world.
    """
    world = np.tile(np.asarray(viewer.dims.point)[-layer.ndim :], (len(points), 1))
    shared = min(points.shape[1], layer.ndim)
    world[:, -shared:] = points[:, -shared:]
    indices = np.array([layer.world_to_data(point) for point in world])[:, -2:]
    # A pixel reaches half a pixel to each side of its index.
    begin = np.floor(indices.min(axis=0) + 0.5).astype(int)
    end = np.maximum(np.ceil(indices.max(axis=0) + 0.5).astype(int), begin + 1)
    return slice(int(begin[0]), int(end[0])), slice(int(begin[1]), int(end[1]))


def visible_region(
    viewer: Viewer, layer: Image, index: tuple[int, ...], largest: int = LARGEST_SIDE
) -> LayerRegion:
    """Return the visible part of a plane, cropped around its center if it is large.

    Parameters
    ----------
    viewer : Viewer
        What is seen.
    layer : Image
        The layer.
    index : tuple of int
        The plane.
    largest : int
        Most rows and columns.
    """
    whole = layer_planes(layer).region
    sides = []
    for seen, size in zip(seen_sides(viewer, layer), whole.shape[-2:], strict=True):
        begin = min(max(seen.start, 0), size - 1)
        end = min(max(seen.stop, begin + 1), size)
        surplus = max(end - begin - largest, 0)
        sides.append(slice(begin + surplus // 2, end - (surplus - surplus // 2)))
    return whole.at(index).with_planes(*sides)


ALL, SEEN = "all of it", "what is seen"


def areas(viewer: Viewer) -> list[tuple[str, Any]]:
    """Return the areas to choose from, as (label, value)."""
    shapes = [layer for layer in viewer.layers if isinstance(layer, Shapes)]
    return [
        (ALL, ALL),
        (SEEN, SEEN),
        *((f"inside “{layer.name}”", layer) for layer in shapes),
    ]


def within(viewer: Viewer, layer: Image, region: LayerRegion, area: Any) -> LayerRegion:
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


def _cut(region: LayerRegion, sides: tuple[slice, slice], lost: str) -> LayerRegion:
    """Crop a region to rows and columns."""
    kept = [
        slice(max(side.start, part.start), min(side.stop, part.stop))
        for side, part in zip(sides, region.slices[-2:], strict=True)
    ]
    if any(part.start >= part.stop for part in kept):
        raise UsageError(f"{lost}; there is nothing to restore.")
    return region.with_planes(*kept)


def window_of(layer: Image, region: LayerRegion) -> str:
    """Describe the rows and columns of a region; empty if it is the whole plane."""
    rows, columns = region.slices[-2:]
    height, width = region.shape[-2:]
    if (height, width) == layer_planes(layer).region.shape[-2:]:
        return ""
    return f"{width}×{height} px at x {columns.start}, y {rows.start}"
