"""The restore widget: preview what is seen, restore a slice, a stack or a layer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container

from memnet_core.errors import MemnetError, UsageError
from napari_memnet.jobs.restore import RestoreRequest
from napari_memnet.layers.source import LayerRegion, layer_planes, origin
from napari_memnet.layers.view import (
    areas,
    current_index,
    image_layers,
    layer_events,
    within,
)
from napari_memnet.snippets import as_command, as_field, as_python
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.form_buttons import CopyBar, PresetBar
from napari_memnet.widgets.preview import Preview
from napari_memnet.widgets.restore_form import RestorationForm
from napari_memnet.widgets.restore_runner import LayerRun
from napari_memnet.widgets.run_bar import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Image
    from qtpy.QtGui import QHideEvent, QShowEvent

    from memnet_core.inference.settings import RestoreOptions

__all__ = ["RestoreWidget"]

_SLICE, _LAYER = "current slice", "whole layer"
_NONE = "Open an image first: there is no image layer."


class RestoreWidget(DockWidget):
    """Restores image layers.

    Parameters
    ----------
    viewer : Viewer
        The viewer that it is docked in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.layer = ComboBox(
            label="layer", choices=self._layers, tooltip="The image to restore."
        )
        self.every = CheckBox(
            text="all selected layers",
            value=True,
            tooltip="Restore every image selected in the layer list.",
        )
        self.extent = ComboBox(
            label="restore",
            choices=self._extents,
            tooltip="Restore the current slice, a stack or the whole layer.",
        )
        self.part = ComboBox(
            label="area",
            choices=self._areas,
            tooltip="Part of the image to restore. For a shapes layer, the "
            "bounding box of the selected shapes, or of all.",
        )
        self.form = RestorationForm(
            "restore",
            for_layers=True,
            first=[self.layer, self.every],
            last=[self.extent, self.part],
        )
        self.live = CheckBox(
            text="live preview",
            value=True,
            tooltip="Restore the visible part, up to 512×512 px, while you browse.",
        )
        self.before = CheckBox(
            text="show before",
            value=False,
            tooltip="Hide the preview to see the original image.",
        )
        self.seen = Status("What the preview shows", lines=3)
        self.run = LayerRun(viewer, "Restore")
        switches = Container(
            widgets=[self.live, self.before], layout="horizontal", labels=False
        )
        switches.margins = (0, 0, 0, 0)
        self.copy = CopyBar(
            {
                "Copy as command": partial(self._copied, as_command),
                "Copy as Python": partial(self._copied, as_python),
            },
            self._tell,
        )
        self.presets = PresetBar(self.form, self._tell)
        bars = self.copy, self.presets
        # Texts of changing length come last, so that no button moves under the mouse.
        super().__init__(self.form, switches.native, *bars, self.run, self.seen)
        self._switches = switches
        self.preview = Preview(viewer, self._request, self)
        self.preview.told.connect(self.seen.setText)
        self.preview.refused.connect(self.seen.ask)
        self.seen.accepted.connect(self._accept)
        self.run.again.connect(self._apply_again)
        self.preview.closed.connect(partial(setattr, self.live, "value", False))
        self.live.changed.connect(self._on_live)
        self.before.changed.connect(self.preview.show_before)
        self.layer.changed.connect(self._on_layer)
        self.form.changed.connect(self.preview.refresh)
        self.form.ready.connect(self._on_ready)
        self.run.requested.connect(self.apply)
        self.run.button.setEnabled(False)
        self.run.status.setText("Loading PyTorch…")
        reordered = viewer.layers.events.reordered
        self._layer_events = (*layer_events(viewer), reordered)
        for event in self._layer_events:
            event.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_selection)
        viewer.layers.selection.events.changed.connect(self._show_every)
        self._is_seen = True
        self._on_selection()
        self.preview.enable(True)

    def apply(self) -> None:
        """Restore what was chosen, in the background."""
        self._apply(self._chosen())

    def _apply_again(self, layers: list[Image]) -> None:
        """Restore what was declined, now that the nearest model is accepted."""
        self._accept()
        self._apply(layers)

    def _apply(self, layers: list[Image]) -> None:
        if not layers:
            self._tell(_NONE)
            return
        try:
            parts = [
                (
                    RestoreRequest.of(layer, self._region(layer)),
                    self.form.settings(layer),
                )
                for layer in layers
            ]
        except MemnetError as error:
            self._tell(error.spelled(as_field))
            return
        self.preview.enable(False)
        self.run.start(layers, parts).ended.connect(self._resume)

    def hideEvent(self, event: QHideEvent) -> None:
        """End the preview, which nobody could switch off."""
        self._is_seen = False
        self.preview.enable(False)
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Preview again."""
        self._is_seen = True
        self._resume()
        super().showEvent(event)

    def close_down(self) -> None:
        """Stop all work, remove the preview, and let go of the viewer."""
        self.run.cancel()
        self.preview.close_down()
        self.form.close_down()
        for event in self._layer_events:
            event.disconnect(self._on_layers)
        selection = self._viewer.layers.selection.events
        selection.active.disconnect(self._on_selection)
        selection.changed.disconnect(self._show_every)

    def _layers(self, *_: Any) -> list[Image]:
        return image_layers(self._viewer)

    def _selected(self) -> list[Image]:
        """Return the images that are selected together with the chosen one."""
        selected = [x for x in self._layers() if x in self._viewer.layers.selection]
        return selected if self.layer.value in selected else []

    def _areas(self, *_: Any) -> list[tuple[str, Any]]:
        return areas(self._viewer)

    def _chosen(self) -> list[Image]:
        selected = self._selected()
        if len(selected) > 1 and self.every.value:
            return selected
        return [] if self.layer.value is None else [self.layer.value]

    def _extents(self, *_: Any) -> list[tuple[str, Any]]:
        """Return what of a layer can be restored: plane, stack along an axis, all."""
        layer = self.layer.value
        if layer is None or layer.ndim == 2:
            return [(_LAYER, _LAYER)]
        sizes = layer_planes(layer).region.shape
        long = [axis for axis, size in enumerate(sizes[:-2]) if size > 1]
        stacks = [(f"stack along {layer.axis_labels[axis]}", axis) for axis in long]
        return [
            (_SLICE, _SLICE),
            *(stacks if len(long) > 1 else []),
            (_LAYER, _LAYER),
        ]

    def _region(self, layer: Image) -> LayerRegion:
        planes = self._planes(layer)
        return within(self._viewer, layer, planes, self.part.value)

    def _planes(self, layer: Image) -> LayerRegion:
        whole = layer_planes(layer).region
        if self.extent.value == _LAYER:
            return whole
        keep = None if self.extent.value == _SLICE else self.extent.value
        if keep is not None and keep >= len(whole.slices) - 2:
            raise UsageError(f"{layer.name!r} has no such axis; restore it by itself.")
        return whole.at(current_index(self._viewer, layer), keep)

    def _request(self) -> tuple[Image, RestoreOptions] | None:
        layer = self.layer.value
        if layer is None or not self.form.is_ready:
            return None
        return layer, self.form.settings(layer)

    def _copied(self, write: Callable[[RestoreOptions, str, str], str]) -> str:
        """Return what restores the whole file of the layer elsewhere."""
        layer = self.layer.value
        if layer is None:
            raise UsageError(_NONE)
        path = Path(layer.source.path or "IMAGE.tif")
        output = path.with_name(f"{path.stem}-restored.tif")
        return write(self.form.settings(layer), str(path), str(output))

    def _accept(self) -> None:
        self.form.nearest.value = True

    def _on_ready(self) -> None:
        self.run.button.setEnabled(True)
        self._tell("")
        self.preview.refresh()

    def _on_live(self, live: bool) -> None:
        self.before.enabled = live
        self.before.value = False
        self.preview.enable(live)
        self.seen.setText("")

    def _resume(self) -> None:
        """Preview again, which restoring had stopped."""
        is_idle = self.run.work is None
        self.preview.enable(self.live.value and self._is_seen and is_idle)

    def _on_layers(self, event: Any = None) -> None:
        """Offer the layers by the names that they have now."""
        chosen = self.layer.value
        self.part.reset_choices()
        with self.layer.changed.blocked():
            self.layer.reset_choices()
            if chosen in self.layer.choices:
                self.layer.value = chosen
        if self.layer.value != chosen:
            self._on_layer()
        if self.layer.value is not None and self.run.status.text() == _NONE:
            self._tell("")
        self._show_every()

    def _show_every(self, event: Any = None) -> None:
        count = len(self._selected())
        self.every.visible = count > 1
        self.every.text = f"all {count} selected layers"

    def _on_selection(self, event: Any = None) -> None:
        self._on_layers()
        active = self._viewer.layers.selection.active
        if active in self.layer.choices and not origin(active):
            self.layer.value = active
        self._on_layer()

    def _on_layer(self) -> None:
        self.extent.reset_choices()
        self.preview.refresh()

    def _tell(self, text: str) -> None:
        self.run.status.setText(text)
