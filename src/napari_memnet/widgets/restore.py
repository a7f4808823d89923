"""The restore widget: preview what is seen, restore a slice, a stack or a layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container
from napari.layers import Image, Layer

from memnet_core.errors import MemnetError
from napari_memnet.layers import Region, layer_planes, origin
from napari_memnet.regions import (
    LayerSource,
    progress_of,
    restore_region,
    result_layer,
)
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.form import RestorationForm
from napari_memnet.widgets.preview import Preview, current_index, image_layers
from napari_memnet.widgets.run_bar import RunBar
from napari_memnet.widgets.status import Status
from napari_memnet.workers import Work

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from memnet_core.restoration.settings import Settings
    from napari_memnet.regions import Restored

__all__ = ["RestoreWidget"]

_SLICE, _LAYER = "current slice", "whole layer"


class RestoreWidget(DockWidget):
    """Restores image layers.

    Parameters
    ----------
    viewer : Viewer
        The viewer that it is docked in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.layer = ComboBox(label="layer", choices=self._layers)
        self.extent = ComboBox(label="restore", choices=self._extents)
        self.form = RestorationForm(
            for_layers=True, first=[self.layer], last=[self.extent]
        )
        self.live = CheckBox(text="live preview", value=True)
        self.before = CheckBox(text="show before", value=False)
        self.seen = Status("What the preview shows")
        self.run = RunBar("Restore")
        switches = Container(
            widgets=[self.live, self.before], layout="horizontal", labels=False
        )
        switches.margins = (0, 0, 0, 0)
        super().__init__(self.form, switches.native, self.seen, self.run)
        self._switches = switches
        self.preview = Preview(viewer, self._request, self)
        self.preview.told.connect(self.seen.setText)
        self.preview.refused.connect(self.seen.ask)
        self.seen.accepted.connect(self._accept)
        self.run.status.accepted.connect(self._accept)
        self.run.status.accepted.connect(self.apply)
        self.preview.closed.connect(partial(setattr, self.live, "value", False))
        self.live.changed.connect(self._on_live)
        self.before.changed.connect(self.preview.show_before)
        self.layer.changed.connect(self._on_layer)
        self.form.changed.connect(self.preview.refresh)
        self.form.ready.connect(self._on_ready)
        self.run.requested.connect(self.apply)
        self.run.button.setEnabled(False)
        self.run.status.setText("Loading PyTorch…")
        self._layer_events = (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.events.reordered,
        )
        for event in self._layer_events:
            event.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_selection)
        self._on_selection()
        self.preview.enable(True)

    def apply(self) -> None:
        """Restore what was chosen, in the background."""
        layer = self.layer.value
        if layer is None:
            self._tell("Open an image first: there is no image layer.")
            return
        try:
            settings = self.form.settings(layer)
            source = LayerSource.of(layer, self._region(layer))
        except MemnetError as error:
            self._tell(str(error))
            return
        self.live.value = False
        work = Work(
            restore_region(source, settings),
            f"MemNet: {layer.name}",
            fraction=progress_of,
            parent=self,
        )
        work.yielded.connect(self._on_event)
        work.succeeded.connect(partial(self._on_restored, layer))
        self.run.follow(work)

    def hideEvent(self, event: QHideEvent) -> None:
        """End the preview, which nobody could switch off."""
        self.preview.enable(False)
        super().hideEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Preview again."""
        self.preview.enable(self.live.value)
        super().showEvent(event)

    def close_down(self) -> None:
        """Stop all work, remove the preview, and let go of the viewer."""
        self.run.cancel()
        self.preview.close_down()
        self.form.close_down()
        for event in self._layer_events:
            event.disconnect(self._on_layers)
        self._viewer.layers.selection.events.active.disconnect(self._on_selection)

    def _layers(self, *_: Any) -> list[Image]:
        return image_layers(self._viewer)

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

    def _region(self, layer: Image) -> Region:
        whole = layer_planes(layer).region
        if self.extent.value == _LAYER:
            return whole
        keep = None if self.extent.value == _SLICE else self.extent.value
        return whole.at(current_index(self._viewer, layer), keep)

    def _request(self) -> tuple[Image, Settings] | None:
        layer = self.layer.value
        if layer is None or not self.form.is_ready:
            return None
        return layer, self.form.settings(layer)

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

    def _on_layers(self, event: Any = None) -> None:
        self.layer.reset_choices()

    def _on_selection(self, event: Any = None) -> None:
        self.layer.reset_choices()
        active = self._viewer.layers.selection.active
        if active in self.layer.choices and not origin(active):
            self.layer.value = active
        self._on_layer()

    def _on_layer(self) -> None:
        self.extent.reset_choices()
        self.preview.refresh()

    def _on_event(self, event: Any) -> None:
        from memnet_core.events import Notice
        from memnet_core.restoration.prepare import Prepared

        if isinstance(event, Prepared):
            self._tell(str(event))
        elif isinstance(event, Notice):
            self._tell(event.text)

    def _on_restored(self, layer: Image, restored: Restored) -> None:
        if layer.ndim != len(restored.region.slices):
            self._tell(f"{layer.name!r} has other axes now; restore it again.")
            return
        self._viewer.add_layer(Layer.create(*result_layer(layer, restored)))
        if store := restored.provenance.get("store"):
            self._tell(
                f"The result is large and lies in {store} until napari ends; "
                "save the layer to keep it."
            )

    def _tell(self, text: str) -> None:
        self.run.status.setText(text)
