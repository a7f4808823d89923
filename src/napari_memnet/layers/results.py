"""Restored regions as layers: their names, and that they lie on their source."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_memnet.layers.area import window_of
from napari_memnet.layers.links import belong, made_of, place
from napari_memnet.layers.source import origin, place_of, twin_attributes

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from memnet_core.inference.settings import Settings
    from napari_memnet.jobs.restore import Restored
    from napari_memnet.layers.source import Region

__all__ = ["add_result", "name_of", "restored_already", "result_layer"]


def add_result(viewer: Viewer, layer: Image, restored: Restored) -> Image:
    """Add a restored region to a viewer, in step with its source; return its layer."""
    made: Image = viewer.add_layer(Layer.create(*result_layer(layer, restored)))
    if layer in viewer.layers:
        belong(viewer.layers, layer, made)
        place(viewer.layers, layer, made)
    return made


def restored_already(layer: Image, region: Region, settings: Settings) -> Image | None:
    """Return the layer that holds what restoring a region would give, if one does."""
    for made in made_of(layer):
        told = origin(made)
        if told.get("preview") or told.get("settings") != asdict(settings):
            continue
        parts = zip(told["region"], region.slices, strict=True)
        if all(low <= part.start and part.stop <= high for (low, high), part in parts):
            return made
    return None


def name_of(layer: Image, restored: Restored) -> str:
    """Return a name that tells slice, task, level and model."""
    from memnet_core.tasks import find_task

    task, told = find_task(restored.task), restored.provenance
    places = place_of(layer, restored.region), window_of(layer, restored.region)
    place = ", ".join(filter(None, places))
    return (
        f"{layer.name}{f', {place},' if place else ''} {task.result} "
        f"{task.label(told['level'])} by {told['model']}"
    )


def result_layer(layer: Image, restored: Restored) -> tuple[Any, dict[str, Any], str]:
    """Return a restored region as layer data: the twin of its source.

    Parameters
    ----------
    layer : Image
        The source.
    restored : Restored
        What came of it.

    Returns
    -------
    tuple
        Data, keyword arguments and ``image``, as ``Layer.create`` takes them.
    """
    name = name_of(layer, restored)
    attributes = twin_attributes(layer, name, restored.region.start, restored.scale)
    attributes["multiscale"] = isinstance(restored.data, list)
    attributes["metadata"]["memnet"] = restored.provenance | {
        "source": {"layer": layer.name, "path": layer.source.path}
    }
    return restored.data, attributes, "image"
