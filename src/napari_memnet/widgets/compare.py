"""The compare widget: blink, split view, and figures against a reference."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSlider, PushButton
from napari.layers import Image, Layer
from qtpy.QtCore import QTimer

from memnet_core.errors import MemnetError
from napari_memnet.layers.difference import difference_layer
from napari_memnet.layers.results import source_of
from napari_memnet.layers.source import layer_planes, origin
from napari_memnet.layers.view import current_index, image_layers
from napari_memnet.scores import plane_at, scores
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.fields import finish_fields
from napari_memnet.widgets.plots import ScorePlot
from napari_memnet.widgets.run_bar import Status
from napari_memnet.widgets.split_view import SplitViewOverlay

if TYPE_CHECKING:
    import napari.viewer
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CompareWidget"]

_BLINK_MS = 600
_NONE = "none"
_NAMES = ("before", "after")
_SAME = "Nothing to compare yet: restore an image, or choose two that differ."


class CompareWidget(DockWidget):
    """Shows a result against its source.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.source = ComboBox(
            label="before", choices=self._layers, tooltip="The original image."
        )
        self.result = ComboBox(
            label="after", choices=self._layers, tooltip="The restored image."
        )
        self.reference = ComboBox(
            label="clean image",
            choices=lambda *_: [_NONE, *self._layers()],
            tooltip="A clean image of the same sample, if you have one: PSNR and "
            "SSIM of before and after are computed against it.",
        )
        self.blink = CheckBox(
            text="blink",
            tooltip="Alternate between before and after; other layers are hidden.",
        )
        self.split = CheckBox(
            text="split view",
            tooltip="Show before left and after right of a line that you can drag.",
        )
        self.position = FloatSlider(
            label="line",
            value=0.5,
            min=0,
            max=1,
            step=0.01,
            tooltip="Position of the line; you can also drag it in the image.",
        )
        self.hint = Status("What is missing")
        self.removed = PushButton(
            text="Show what was removed",
            tooltip="Add the difference before - after as a layer; white is no change.",
        )
        self.figures = Status("Scores")
        self._fields = Container(
            widgets=[
                self.source,
                self.result,
                self.blink,
                self.split,
                self.position,
                self.removed,
                self.reference,
            ]
        )
        self._fields.margins = (0, 0, 0, 0)
        finish_fields(self._fields)
        self.plot = ScorePlot(viewer, self._scored, self.figures.setText)
        super().__init__(self._fields.native, self.hint, self.figures, self.plot)
        self._pair: tuple[Image, Image] | None = None
        self._visible: dict[Image, bool] = {}
        self._curtain: SplitViewOverlay | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_BLINK_MS)
        self._timer.timeout.connect(self._toggle)
        self.blink.changed.connect(self._on_blink)
        self.split.changed.connect(self._on_split)
        self.position.changed.connect(self._move_line)
        self.removed.changed.connect(self._show_removed)
        for field in (self.source, self.result):
            field.changed.connect(self._on_layers_chosen)
        self.reference.changed.connect(self.plot.clear)
        self.reference.changed.connect(self._show_figures)
        self._layer_events = (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
        )
        for event in self._layer_events:
            event.connect(self._on_layers)
        viewer.dims.events.current_step.connect(self._show_figures)
        self._view_events = (
            viewer.scene.camera.events.center,
            viewer.scene.camera.events.zoom,
            viewer.dims.events.current_step,
        )
        self.position.visible = False
        self._choose_latest()
        self._show_figures()
        self._show_hint()

    def close_down(self) -> None:
        """End the blinking and the split view."""
        self.blink.value = self.split.value = False
        for event in self._layer_events:
            event.disconnect(self._on_layers)
        self._viewer.dims.events.current_step.disconnect(self._show_figures)
        self.plot.close_down()

    def _layers(self, *_: Any) -> list[Image]:
        return image_layers(self._viewer)

    def _choose_latest(self) -> None:
        """Choose the newest result, and the layer that it was made from."""
        layers = self._layers()
        restored = [layer for layer in layers if origin(layer)]
        if not restored:
            if self.source.value == self.result.value and len(layers) > 1:
                self.result.value = layers[-1]
            return
        self.result.value = restored[-1]
        own = source_of(restored[-1])
        name = origin(restored[-1])["source"].get("layer")
        for layer in self._layers():
            if layer == own or (own is None and layer.name == name):
                self.source.value = layer

    def _on_layers(self, event: Any = None) -> None:
        pair = self._pair
        if pair and any(layer not in self._viewer.layers for layer in pair):
            self.blink.value = self.split.value = False
        before = len(self.source.choices)
        for field in (self.source, self.result, self.reference):
            field.reset_choices()
        if len(self.source.choices) > before and not self._pair:
            self._choose_latest()
        self._show_hint()

    def _show_hint(self) -> None:
        self.hint.setText(_SAME if self.source.value == self.result.value else "")

    def _on_layers_chosen(self) -> None:
        self._show_hint()
        self._show()
        self.plot.clear()
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
        """Switch to the layers that were chosen."""
        self._end()
        source, result = self.source.value, self.result.value
        is_on = self.blink.value or self.split.value
        if not is_on or source is None or result is None or source == result:
            return
        self._pair = source, result
        self._visible = {layer: layer.visible for layer in self._images()}
        self._show_only(result)
        if self.blink.value:
            self._timer.start()
            return
        self._curtain = SplitViewOverlay(self, self._picture_before)
        self._curtain.moved.connect(partial(setattr, self.position, "value"))
        self._curtain.move_to(self.position.value)
        for event in self._seen_events():
            event.connect(self._curtain.refresh)

    def _end(self) -> None:
        """Show again what was visible before; of the pair, at least the result."""
        self._timer.stop()
        if self._curtain is not None:
            for event in self._seen_events():
                event.disconnect(self._curtain.refresh)
            self._curtain.close()
            self._curtain.deleteLater()
            self._curtain = None
        pair, self._pair = self._pair, None
        for layer, visible in self._visible.items():
            if layer in self._viewer.layers:
                layer.visible = visible
        self._visible = {}
        if pair and pair[1] in self._viewer.layers:
            pair[1].visible = True

    def _seen_events(self) -> list[Any]:
        """Return the events that change how the source looks."""
        shown = self._pair[0].events if self._pair else None
        names = ("contrast_limits", "gamma", "colormap", "data", "opacity")
        return [*self._view_events, *(getattr(shown, n) for n in names if shown)]

    def _show_only(self, layer: Image) -> None:
        for other in self._images():
            other.visible = other == layer

    def _images(self) -> list[Image]:
        """Return all images, with previews, which would cover what is compared."""
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def _toggle(self) -> None:
        if self._pair is not None:
            source, result = self._pair
            self._show_only(source if result.visible else result)

    def _picture_before(self) -> NDArray[np.uint8]:
        """Return what the canvas shows with the source alone."""
        assert self._pair is not None
        source, result = self._pair
        self._show_only(source)
        try:
            pixels: NDArray[np.uint8] = self._viewer.screenshot(
                canvas_only=True, flash=False
            )
        finally:
            self._show_only(result)
        return pixels

    def _move_line(self) -> None:
        if self._curtain is not None:
            self._curtain.move_to(self.position.value)

    def _show_removed(self) -> None:
        source, result = self.source.value, self.result.value
        if source is None or result is None:
            self.figures.setText("Open an image and restore it first.")
            return
        try:
            made = difference_layer(source, result)
        except MemnetError as error:
            self.figures.setText(str(error))
        else:
            self._viewer.add_layer(Layer.create(*made))

    def _scored(self) -> tuple[Image, list[Image]] | None:
        """Return the clean image, and what is scored against it."""
        chosen = self.reference.value, self.source.value, self.result.value
        return None if None in chosen or _NONE in chosen else (chosen[0], [*chosen[1:]])

    def _show_figures(self, event: Any = None) -> None:
        scored = self._scored()
        # A stack has more to score than the plane that is shown.
        self.plot.setVisible(scored is not None and _is_stack(scored[0]))
        if scored is None:
            self.figures.setText("")
            return
        try:
            self.figures.setText(self._figures(*scored))
        except MemnetError as error:
            self.figures.setText(str(error))

    def _figures(self, reference: Image, layers: list[Image]) -> str:
        """Return the scores of the plane where the sliders are."""
        world = reference.data_to_world(current_index(self._viewer, reference))
        planes = [plane_at(self._viewer, x, world) for x in (reference, *layers)]
        assert planes[0] is not None
        found = scores(reference, planes[0], list(zip(layers, planes[1:], strict=True)))
        lines, compared = [], ""
        for name, layer, score in zip(_NAMES, layers, found, strict=True):
            if score is None:
                lines.append(f"{name}: the sliders are beside {layer.name!r}.")
                continue
            lines.append(f"{name}: {score.psnr:.2f} dB, SSIM {score.ssim:.4f}")
            compared = (
                f"(values {score.low:g} to {score.high:g}, "
                f"{score.width}×{score.height} px of this plane)"
            )
        return "\n".join(filter(None, [*lines, compared]))


def _is_stack(layer: Image) -> bool:
    return max(layer_planes(layer).region.shape[:-2], default=1) > 1
