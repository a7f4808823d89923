"""The compare widget: blink, split view, and figures against a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSlider, Label
from napari.layers import Image, Layer
from qtpy.QtCore import QTimer

from memnet_core.errors import MemnetError
from napari_memnet.comparison import right_part, scores
from napari_memnet.layers import layer_planes
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.preview import current_index, is_preview

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["CompareWidget"]

_BLINK_MS = 600
_NONE = "none"


class CompareWidget(DockWidget):
    """Shows a result against its source.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.source = ComboBox(label="before", choices=self._layers)
        self.result = ComboBox(label="after", choices=self._layers)
        self.reference = ComboBox(
            label="reference", choices=lambda *_: [_NONE, *self._layers()]
        )
        self.blink = CheckBox(text="blink")
        self.split = CheckBox(text="split view")
        self.position = FloatSlider(label="line", value=0.5, min=0, max=0.99, step=0.01)
        self.figures = Label(label="")
        self._fields = Container(
            widgets=[
                self.source,
                self.result,
                self.blink,
                self.split,
                self.position,
                self.reference,
                self.figures,
            ]
        )
        self._fields.margins = (0, 0, 0, 0)
        super().__init__(self._fields.native)
        self._part: Layer | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_BLINK_MS)
        self._timer.timeout.connect(self._toggle)
        self.blink.changed.connect(self._on_blink)
        self.split.changed.connect(self._on_split)
        self.position.changed.connect(self._move_line)
        for field in (self.source, self.result):
            field.changed.connect(self._on_layers_chosen)
        self.reference.changed.connect(self._show_figures)
        self._layer_events = (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
        )
        for event in self._layer_events:
            event.connect(self._on_layers)
        viewer.dims.events.current_step.connect(self._show_figures)
        self.position.visible = False
        self._choose_latest()

    def close_down(self) -> None:
        """End the blinking and the split view."""
        self.blink.value = self.split.value = False
        for event in self._layer_events:
            event.disconnect(self._on_layers)
        self._viewer.dims.events.current_step.disconnect(self._show_figures)

    def _layers(self, *_: Any) -> list[Image]:
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Image)
            and not is_preview(layer)
            and "memnet_part" not in layer.metadata
        ]

    def _choose_latest(self) -> None:
        """Choose the newest result, and the layer that it was made from."""
        restored = [layer for layer in self._layers() if "memnet" in layer.metadata]
        if not restored:
            return
        self.result.value = restored[-1]
        origin = restored[-1].metadata["memnet"]["source"]["layer"]
        for layer in self._layers():
            if layer.name == origin:
                self.source.value = layer

    def _on_layers(self, event: Any = None) -> None:
        before = len(self.source.choices)
        for field in (self.source, self.result, self.reference):
            field.reset_choices()
        if len(self.source.choices) > before:
            self._choose_latest()

    def _on_layers_chosen(self) -> None:
        if self.split.value:
            self._on_split(True)
        self._show_figures()

    def _on_blink(self, on: bool) -> None:
        if on:
            self.split.value = False
            self._timer.start()
            return
        self._timer.stop()
        if self.result.value is not None:
            self.result.value.visible = True

    def _toggle(self) -> None:
        if (layer := self.result.value) is not None:
            layer.visible = not layer.visible

    def _on_split(self, on: bool) -> None:
        self.position.visible = on
        self._remove_part()
        layer = self.result.value
        if layer is None:
            return
        layer.visible = not on
        if on:
            self.blink.value = False
            self._add_part(layer)

    def _move_line(self) -> None:
        layer = self.result.value
        if self._part is not None and layer is not None:
            data, attributes, _ = right_part(layer, self.position.value)
            self._part.data = data
            self._part.translate = attributes["translate"]

    def _add_part(self, layer: Image) -> None:
        selected = self._viewer.layers.selection.active
        data, attributes, kind = right_part(layer, self.position.value)
        attributes["metadata"] = {"memnet_part": True}
        self._part = self._viewer.add_layer(Layer.create(data, attributes, kind))
        self._viewer.layers.selection.active = selected

    def _remove_part(self) -> None:
        part, self._part = self._part, None
        if part is not None and part in self._viewer.layers:
            self._viewer.layers.remove(part)

    def _show_figures(self, event: Any = None) -> None:
        reference, source, result = (
            self.reference.value,
            self.source.value,
            self.result.value,
        )
        if reference in (None, _NONE) or source is None or result is None:
            self.figures.value = ""
            return
        index = current_index(self._viewer, reference)
        region = layer_planes(reference).region.at(index)
        lines = []
        for name, layer in (("before", source), ("after", result)):
            try:
                found = scores(reference, layer, region)
            except MemnetError as error:
                lines.append(f"{name}: {error}")
            else:
                lines.append(f"{name}: {found.psnr:.2f} dB, SSIM {found.ssim:.4f}")
                lines.append(f"(values {found.low:g} to {found.high:g}, this plane)")
        self.figures.value = "\n".join(dict.fromkeys(lines))
