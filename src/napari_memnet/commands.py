"""One-click commands for the selected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_memnet.layers.view import image_layers

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["deblock", "denoise", "enlarge_twice"]


def deblock(viewer: napari.viewer.Viewer) -> None:
    """Remove JPEG blocks from the selected image layers."""
    _restore_selected(viewer, "deblock", None)


def denoise(viewer: napari.viewer.Viewer) -> None:
    """Remove noise, whose level is estimated, from the selected image layers."""
    _restore_selected(viewer, "denoise", None)


def enlarge_twice(viewer: napari.viewer.Viewer) -> None:
    """Enlarge the selected image layers two times."""
    _restore_selected(viewer, "sr", 2)


def _restore_selected(
    viewer: napari.viewer.Viewer, task: str, level: float | None
) -> None:
    from napari.utils.notifications import show_error

    from napari_memnet.widgets.restore_runner import one_click

    selected = [x for x in image_layers(viewer) if x in viewer.layers.selection]
    if selected:
        one_click(viewer).start(selected, task, level)
    else:
        show_error("Select an image layer first.")
