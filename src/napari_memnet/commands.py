"""One-click commands for the selected layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from memnet_core.errors import MemnetError
from memnet_core.text import shown
from napari_memnet.regions import (
    LayerSource,
    progress_of,
    restore_region,
    result_layer,
)
from napari_memnet.settings import preferences

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari.viewer

    from napari_memnet.regions import Restored

__all__ = ["deblock", "denoise", "enlarge_twice"]


def deblock(viewer: napari.viewer.Viewer) -> None:
    """Remove JPEG blocks from the selected image layer."""
    _restore_selected(viewer, "deblock", None)


def denoise(viewer: napari.viewer.Viewer) -> None:
    """Remove noise, whose level is estimated, from the selected image layer."""
    _restore_selected(viewer, "denoise", None)


def enlarge_twice(viewer: napari.viewer.Viewer) -> None:
    """Enlarge the selected image layer two times."""
    _restore_selected(viewer, "sr", 2)


def _restore_selected(
    viewer: napari.viewer.Viewer, task: str, level: float | None
) -> None:
    from napari.utils.notifications import show_error

    from napari_memnet.workers import Work

    layer = viewer.layers.selection.active
    if not isinstance(layer, Image):
        show_error("Select one image layer first.")
        return
    try:
        source = LayerSource.of(layer)
    except MemnetError as error:
        show_error(shown(error))
        return
    work = Work(
        _restore(source, task, level),
        f"MemNet: {layer.name}",
        fraction=progress_of,
    )
    work.succeeded.connect(partial(_add, viewer, layer))


def _restore(
    source: LayerSource, task: str, level: float | None
) -> Generator[Any, None, Restored]:
    from memnet_core.restoration.settings import Settings

    settings = Settings(
        task=task, level=level, nearest=True, device=preferences().device
    )
    return (yield from restore_region(source, settings))


def _add(viewer: napari.viewer.Viewer, layer: Image, restored: Restored) -> None:
    viewer.add_layer(Layer.create(*result_layer(layer, restored)))
