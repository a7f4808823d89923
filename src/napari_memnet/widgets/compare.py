"""The compare widget: blink, split view, and figures against a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSlider, Label
from napari.layers import Image, Layer
from qtpy.QtCore import Qt, QTimer

from memnet_core.errors import MemnetError
from napari_memnet.comparison import right_part, scores
from napari_memnet.layers import layer_planes, origin
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.preview import current_index, image_layers

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
        self.figures.native.setTextFormat(Qt.TextFormat.PlainText)
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
        self._shown: Layer | None = None
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
        return image_layers(self._viewer)

    def _choose_latest(self) -> None:
        """Choose the newest result, and the layer that it was made from."""
        restored = [layer for layer in self._layers() if origin(layer)]
        if not restored:
            return
        self.result.value = restored[-1]
        source = origin(restored[-1])["source"].get("layer")
        for layer in self._layers():
            if layer.name == source:
                self.source.value = layer

    def _on_layers(self, event: Any = None) -> None:
        layers = self._viewer.layers
        if any(x is not None and x not in layers for x in (self._shown, self._part)):
            self.blink.value = self.split.value = False
        before = len(self.source.choices)
        for field in (self.source, self.result, self.reference):
            field.reset_choices()
        if len(self.source.choices) > before and not self._shown:
            self._choose_latest()

    def _on_layers_chosen(self) -> None:
        self._show()
        self._show_figures()

    def _on_blink(self, on: bool) -> None:
        if on:
            self.split.value = False
        self._show()

    def _on_split(self, on: bool) -> None:
        if on:
            self.blink.value = False
        self.position.visible = on
        self._show()

    def _show(self) -> None:
        """End what is shown now, and begin what was chosen."""
        self._timer.stop()
        self._remove_part()
        if self._shown is not None:
            self._shown.visible = True
        is_on = self.blink.value or self.split.value
        self._shown = self.result.value if is_on else None
        if self._shown is None:
            return
        if self.split.value:
            self._add_part(self._shown)
            self._shown.visible = False
        else:
            self._timer.start()

    def _toggle(self) -> None:
        if self._shown is not None:
            self._shown.visible = not self._shown.visible

    def _move_line(self) -> None:
        if self._part is not None and self._shown is not None:
            data, attributes, _ = right_part(self._shown, self.position.value)
            self._part.data = data
            self._part.translate = attributes["translate"]

    def _add_part(self, layer: Image) -> None:
        selected = self._viewer.layers.selection.active
        data, attributes, kind = right_part(layer, self.position.value)
        attributes["metadata"] = {"memnet": {"preview": True, "source": {}}}
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
        try:
            index = current_index(self._viewer, reference)
        except MemnetError as error:
            self.figures.value = str(error)
            return
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
