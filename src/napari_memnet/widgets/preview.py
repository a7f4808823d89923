"""A live preview of what is seen, on a layer of its own."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from memnet_core.errors import MemnetError, UsageError
from napari_memnet.layers import Region, layer_planes, origin
from napari_memnet.regions import (
    LayerSource,
    restore_region,
    result_layer,
)
from napari_memnet.workers import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

    from memnet_core.restoration.decision import Decision
    from memnet_core.restoration.settings import Settings
    from napari_memnet.regions import Restored

__all__ = [
    "LARGEST_SIDE",
    "Preview",
    "current_index",
    "image_layers",
    "is_preview",
    "visible_region",
]

LARGEST_SIDE = 512
"""Largest height and width of a preview in pixels of the source."""

_NAME = "MemNet preview"
_WATCHED = (
    "data",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "contrast_limits",
    "colormap",
    "gamma",
    "blending",
    "opacity",
)
_DELAY_MS = 250

Request = tuple["Image", "Settings"]


def is_preview(layer: Any) -> bool:
    """Whether a layer is the preview of another one."""
    return "preview" in origin(layer)


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


def visible_region(
    layer: Image, index: tuple[int, ...], largest: int = LARGEST_SIDE
) -> Region:
    """Return the part of a plane that is seen, or the middle of it if that is large.

    Parameters
    ----------
    layer : Image
        The layer; its ``corner_pixels`` tell what is seen.
    index : tuple of int
        The plane.
    largest : int
        Most rows and columns.
    """
    whole = layer_planes(layer).region
    factors = np.ones(layer.ndim)
    if layer.multiscale:
        factors = np.asarray(layer.downsample_factors[layer.data_level])
    corners = np.asarray(layer.corner_pixels) * factors
    sides = []
    for axis in (-2, -1):
        size = whole.shape[axis]
        begin = int(np.clip(corners[0, axis], 0, size - 1))
        end = int(np.clip(corners[1, axis] + factors[axis], begin + 1, size))
        surplus = max(end - begin - largest, 0)
        sides.append(slice(begin + surplus // 2, end - (surplus - surplus // 2)))
    return whole.at(index).with_planes(*sides)


class Preview(QObject):  # type: ignore[misc]
    """Restores the visible region whenever the view, the slice or the form changes.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    request : callable
        Returns the layer and the settings, or None if there is nothing to preview.
    parent : QObject
        Owner.

    Attributes
    ----------
    told : Signal(str)
        What is going on, for a status line.
    refused : Signal(str)
        Why there is none: no model is trained for the level, though one comes close.
    closed : Signal
        The preview layer was removed by hand.
    """

    told = Signal(str)
    refused = Signal(str)
    closed = Signal()

    def __init__(
        self, viewer: Viewer, request: Callable[[], Request | None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._request = request
        self._layer: Layer | None = None
        self._work: Work | None = None
        self._source: Image | None = None
        self._decided: tuple[Any, int, Settings, Decision] | None = None
        self._watched: list[Any] = []
        self._visible = True
        self._enabled = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DELAY_MS)
        self._timer.timeout.connect(self._start)
        self._events = (
            viewer.scene.camera.events.center,
            viewer.scene.camera.events.zoom,
            viewer.dims.events.current_step,
            viewer.dims.events.ndisplay,
            viewer.dims.events.order,
        )
        for event in self._events:
            event.connect(self.refresh)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_running(self) -> bool:
        """Whether a preview is being computed or about to be."""
        return self._timer.isActive() or self._work is not None

    def enable(self, enabled: bool) -> None:
        """Switch the preview on or off; off removes its layer."""
        self._enabled = enabled
        if enabled:
            self.refresh()
            return
        self._timer.stop()
        if self._work is not None:
            self._work.cancel()
        self._remove_layer()

    def refresh(self, event: Any = None) -> None:
        """Compute it anew, once nothing has changed for a quarter of a second."""
        if self._enabled:
            if self._work is not None:
                self._work.cancel()
            self._timer.start()

    def show_before(self, before: bool) -> None:
        """Show the source in place of the preview, or the preview again."""
        self._visible = not before
        if self._layer is not None:
            self._layer.visible = self._visible

    def close_down(self) -> None:
        """Stop, remove the layer, and let go of the viewer."""
        self.enable(False)
        self._watch(None)
        for event in self._events:
            event.disconnect(self.refresh)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _start(self) -> None:
        if self._work is not None or not self._enabled:
            return
        try:
            request = self._request()
            self._watch(request[0] if request else None)
            if request is None:
                self._remove_layer()
                return
            layer, settings = request
            if self._viewer.dims.ndisplay != 2:
                raise UsageError("The preview needs a 2D view.")
            region = visible_region(layer, current_index(self._viewer, layer))
            source = LayerSource.of(layer, region)
        except MemnetError as error:
            self._fail(str(error))
            return
        started = time.perf_counter()
        work = Work(
            restore_region(source, settings, decision=self._known(source, settings)),
            "MemNet preview",
            quiet=True,
            parent=self,
        )
        self._work = work

        def remember(event: Any) -> None:
            from memnet_core.restoration.prepare import Prepared

            if isinstance(event, Prepared):
                planes = source.planes
                self._decided = planes.data, planes.channels, settings, event.decision
                self._prepared = event

        def finish(restored: Restored) -> None:
            if self._enabled and not work.is_cancelling:
                self._show(layer, restored)
                height, width = region.shape[-2:]
                seconds = time.perf_counter() - started
                pace = f"{width}×{height} px in {seconds:.1f} s"
                self.told.emit(f"{self._prepared}, {pace}")

        work.yielded.connect(remember)
        work.succeeded.connect(finish)
        work.failed.connect(partial(self._on_failed, work))
        work.ended.connect(self._on_ended)

    def _known(self, source: LayerSource, settings: Settings) -> Decision | None:
        """Return what was decided for these planes and settings before."""
        if self._decided is None:
            return None
        data, *asked, decision = self._decided
        planes = source.planes
        is_same = data is planes.data and asked == [planes.channels, settings]
        return decision if is_same else None

    def _watch(self, layer: Image | None) -> None:
        """Follow what changes in a layer, and in no other."""
        for event in self._watched:
            event.disconnect(self.refresh)
        self._watched = (
            [getattr(layer.events, name) for name in _WATCHED] if layer else []
        )
        for event in self._watched:
            event.connect(self.refresh)

    def _fail(self, sentence: str) -> None:
        self._remove_layer()
        self.told.emit(sentence)

    def _on_failed(self, work: Work, sentence: str) -> None:
        self._fail(sentence)
        if work.is_question:
            self.refused.emit(sentence)

    def _on_ended(self) -> None:
        overtaken = self._work is not None and self._work.is_cancelling
        self._work = None
        # What was wished for while this one came to its end.
        if overtaken and not self._timer.isActive():
            self._start()

    def _show(self, source: Image, restored: Restored) -> None:
        self._source = source
        data, attributes, kind = result_layer(source, restored)
        attributes |= {"name": _NAME, "visible": self._visible}
        attributes["metadata"]["memnet"]["preview"] = True
        if not self._update(data, attributes):
            self._remove_layer()
            selected = self._viewer.layers.selection.active
            self._layer = self._viewer.add_layer(Layer.create(data, attributes, kind))
            self._viewer.layers.selection.active = selected

    def _update(self, data: Any, attributes: dict[str, Any]) -> bool:
        """Give the layer that is there new data; return False if there is none."""
        layer = self._layer
        if layer is None or layer.ndim != len(attributes["scale"]):
            return False
        if layer.rgb != attributes["rgb"] or layer.dtype != data.dtype:
            return False
        layer.data = data
        for name in attributes.keys() - {"name", "multiscale", "rgb"}:
            setattr(layer, name, attributes[name])
        layers = self._viewer.layers
        above = layers.index(self._source) + 1 if self._source in layers else 0
        if layers.index(layer) < above:
            layers.move(layers.index(layer), above)
        return True

    def _remove_layer(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
            # All layers may be on their way out, of which the source is but the next.
            QTimer.singleShot(0, self._on_preview_removed)

    def _on_preview_removed(self) -> None:
        if self._source is not None and self._source in self._viewer.layers:
            self.closed.emit()
