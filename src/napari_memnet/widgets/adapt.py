"""The widget that adapts a model to the frames of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, FloatSpinBox, LineEdit

from memnet_core.errors import MemnetError
from napari_memnet.form_state import preferences
from napari_memnet.jobs.restore import RestoreRequest
from napari_memnet.jobs.train import fraction_of
from napari_memnet.jobs.worker import Work
from napari_memnet.layers.source import layer_planes
from napari_memnet.layers.view import image_layers, layer_events
from napari_memnet.model_choices import models_changed
from napari_memnet.snippets import as_field
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.fields import finish_fields
from napari_memnet.widgets.plots import colors_of, paint
from napari_memnet.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari.viewer
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
    from napari.layers import Image
    from qtpy.QtWidgets import QVBoxLayout

    from memnet_core.adaptation.result import AdaptOptions, AdaptResult, Event
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["AdaptWidget"]

_NO_FRAMES = "The layer has no frames to learn from; open a movie or a stack."


class AdaptWidget(DockWidget):
    """Adapts a denoising model to a layer; it can be chosen for restoring at once.

    Parameters
    ----------
    viewer : Viewer
        The viewer, whose layers can be learned from.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.layer = ComboBox(
            label="layer",
            choices=self._layers,
            tooltip="A noisy movie or stack; no clean image is needed.",
        )
        self.axis = ComboBox(
            label="frames along",
            choices=self._axes,
            tooltip="Axis along which frames show the same scene: repeated exposures, "
            "or slow movement.",
        )
        self.minutes = FloatSpinBox(
            label="minutes", value=1, min=0.1, max=1000, tooltip="Training time."
        )
        self.name = LineEdit(
            label="model name", tooltip="Name of the model in the list of models."
        )
        self._fields = Container(
            widgets=[self.layer, self.axis, self.minutes, self.name]
        )
        self._fields.margins = (0, 0, 0, 0)
        finish_fields(self._fields)
        self.run = RunBar("Adapt to this layer")
        super().__init__(self._fields.native, self.run)
        self.picture: FigureCanvasQTAgg | None = None
        self.layer.changed.connect(self._on_layer)
        self.run.requested.connect(self.start)
        self._layer_events = layer_events(viewer)
        for event in self._layer_events:
            event.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_selection)
        self._on_selection()
        self._on_layer()

    def start(self) -> None:
        """Adapt, in the background."""
        from memnet_core.adaptation.result import AdaptOptions
        from memnet_core.inference.settings import RestoreOptions

        layer, axis = self.layer.value, self.axis.value
        if layer is None or axis is None:
            self.run.status.setText(_NO_FRAMES)
            return
        self._show(None)
        try:
            source = RestoreRequest.of(layer)
        except MemnetError as error:
            self.run.status.setText(error.spelled(as_field))
            return
        settings = RestoreOptions(task="denoise", device=preferences().device)
        request = AdaptOptions(
            name=self.name.value.strip(),
            data=f"the layer {layer.name}",
            minutes=self.minutes.value,
        )
        work = Work(
            adapt_layer(source, axis, settings, request),
            f"MemNet adapts to {layer.name}",
            fraction=fraction_of,
            parent=self,
        )
        work.yielded.connect(self._on_event)
        work.succeeded.connect(self._on_adapted)
        self.run.follow(work)
        self.run.status.setText("Reading frames…")

    def close_down(self) -> None:
        """Cancel the adaptation; nothing is written."""
        self.run.cancel()
        for event in self._layer_events:
            event.disconnect(self._on_layers)
        self._viewer.layers.selection.events.active.disconnect(self._on_selection)

    def _layers(self, *_: Any) -> list[Image]:
        return image_layers(self._viewer)

    def _axes(self, *_: Any) -> list[tuple[str, int]]:
        layer = self.layer.value
        try:
            return [] if layer is None else axes_of_frames(layer)
        except MemnetError:
            return []

    def _on_layers(self, event: Any = None) -> None:
        self.layer.reset_choices()

    def _on_selection(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if active in self.layer.choices:
            self.layer.value = active

    def _on_layer(self) -> None:
        self.axis.reset_choices()
        layer = self.layer.value
        self.name.value = "" if layer is None else default_name(layer)
        is_movie = self.axis.value is not None
        self.run.status.setText("" if layer is None or is_movie else _NO_FRAMES)

    def _on_event(self, event: Any) -> None:
        from memnet_core.adaptation.result import HoldoutRetest
        from memnet_core.progress import Notice

        if isinstance(event, Notice):
            self.run.status.setText(event.text)
        elif isinstance(event, HoldoutRetest) and event.step:
            self.run.status.setText(
                f"step {event.step}: loss {event.point.training:.4f} in training, "
                f"{event.point.held_out:.4f} on frames that are held out"
            )

    def _on_adapted(self, adapted: AdaptResult) -> None:
        words = [*adapted.sentences]
        if adapted.path is not None:
            models_changed.emit()
            words.append("Choose it as the model to remove noise with.")
        self.run.status.setText(" ".join(words))
        self._show(adapted)

    def _show(self, adapted: AdaptResult | None) -> None:
        """Show the figure of the result in place of an earlier one."""
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

        from memnet_core.adaptation.result import result_figure

        column: QVBoxLayout = self.area.widget().layout()
        if self.picture is not None:
            column.removeWidget(self.picture)
            self.picture.deleteLater()
            self.picture = None
        if adapted is not None:
            figure = result_figure(adapted, (4, 4), (2, 2))
            paint(figure, colors_of(self._viewer.theme))
            self.picture = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]
            self.picture.setMinimumHeight(320)
            column.insertWidget(2, self.picture)


def axes_of_frames(layer: Image) -> list[tuple[str, int]]:
    """Return names and numbers of the axes along which frames may show the same.

    Raises
    ------
    ImageError
        If the layer is no image of planes.
    """
    planes = layer_planes(layer)
    sizes = planes.region.shape[:-2]
    labels = [str(label) for label in layer.axis_labels[: len(sizes)]]
    return [
        (f"{_named(label, axis)} ({size} frames)", axis)
        for axis, (label, size) in enumerate(zip(labels, sizes, strict=True))
        if size > 1 and axis != planes.channel_axis
    ]


def _named(label: str, axis: int) -> str:
    """Return what an axis is called; napari's names for those without are numbers."""
    return f"axis {axis}" if label.lstrip("-").isdigit() else label


def default_name(layer: Image) -> str:
    """Return a name for a model that is adapted to a layer."""
    from memnet_core.adaptation.result import model_name

    return model_name(layer.name)


def adapt_layer(
    source: RestoreRequest, axis: int, settings: RestoreOptions, request: AdaptOptions
) -> Generator[Event, None, AdaptResult]:
    """Adapt a model to a layer; closing the generator cancels, and writes nothing.

    Parameters
    ----------
    source : RestoreRequest
        The layer to learn from.
    axis : int
        The axis along which frames show the same scene.
    settings : RestoreOptions
        Settings of the restoration.
    request : AdaptOptions
        How to adapt.

    Yields
    ------
    Event
        As `memnet_core.adaptation.api.run_adaptation`.

    Returns
    -------
    AdaptResult
        What became of it; the model is installed if it is better.

    Raises
    ------
    MemnetError
        If the layer, the model or the name does not serve.
    """
    from memnet_core.adaptation.api import run_adaptation
    from memnet_core.adaptation.clips import series_along

    series = series_along(source.planes.region.shape[:-2], axis)
    return (yield from run_adaptation(source.planes, series, settings, request))
