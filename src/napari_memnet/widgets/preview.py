"""A live preview of the visible region, in a layer of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

from memnet_core.errors import MemnetError, UsageError
from napari_memnet.jobs.restore import RestoreRequest, restore_region
from napari_memnet.jobs.worker import Work
from napari_memnet.layers.results import (
    link_result,
    place,
    restored_already,
    result_layer,
    unlink,
)
from napari_memnet.layers.source import fingerprint, place_of
from napari_memnet.layers.view import current_index, visible_region

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image
    from napari.viewer import Viewer

    from memnet_core.inference.settings import RestoreOptions
    from napari_memnet.layers.results import RestoredRegion
    from napari_memnet.layers.source import LayerRegion

__all__ = ["Preview"]

_NAME = "MemNet preview"
_WATCHED = (
    "data",
    "set_data",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
)
"""Attributes of the source whose change needs a new preview."""

_COPIED = ("blending", "opacity")
"""Attributes that the preview copies once from its source."""

_PLACED = (
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
    "metadata",
)
_DELAY_MS = 250

Request = tuple["Image", "RestoreOptions"]


@dataclass(frozen=True)
class _Wish:
    """What a preview shows, and everything that it depends on."""

    layer: Image
    region: LayerRegion
    settings: RestoreOptions
    pixels: int | str
    attributes: tuple[str, ...]
    source: RestoreRequest = field(compare=False)


def _named(layer: Image, region: LayerRegion) -> str:
    return ", ".join(filter(None, (repr(layer.name), place_of(layer, region))))


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
    computations : int
        Previews that were computed.
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
        self._wanted: _Wish | None = None
        self._shown: tuple[_Wish, str] | None = None
        self._failure: tuple[_Wish, str] | None = None
        self.computations = 0
        self._watched: list[tuple[Any, Callable[..., None]]] = []
        self._settings: RestoreOptions | None = None
        self._instead: Layer | None = None
        self._before = False
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
        """Switch the preview on or off; off hides its layer."""
        self._enabled = enabled
        if enabled:
            self.refresh()
            return
        self._timer.stop()
        if self._work is not None:
            self._work.cancel()
        self._hide()

    def refresh(self, event: Any = None) -> None:
        """Look for a change once nothing has happened for a quarter of a second."""
        if self._enabled:
            self._timer.start()

    def show_before(self, before: bool) -> None:
        """Show the source in place of the preview, or the preview again."""
        self._before = before
        shown = self._instead or self._layer
        if shown is not None and shown in self._viewer.layers:
            shown.visible = not before

    def close_down(self) -> None:
        """Stop, remove the layer, and let go of the viewer."""
        self.enable(False)
        self._remove_layer()
        self._watch(None)
        self._wanted = self._shown = self._failure = None
        for event in self._events:
            event.disconnect(self.refresh)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _start(self) -> None:
        """Compute what is wished for, unless it is there or on its way."""
        if not self._enabled:
            return
        wish = self._wish()
        if self._work is not None:
            if wish is None or wish != self._wanted:
                self._work.cancel()  # and `_on_ended` starts again
            return
        if wish is None:
            return
        if self._failure and self._failure[0] == wish:
            self._fail(self._failure[1])
            return
        if self._shown and self._shown[0] == wish and self._layer is not None:
            self._layer.visible = not self._before
            self.told.emit(self._shown[1])
            return
        self._compute(wish)

    def _wish(self) -> _Wish | None:
        """Return what is to be previewed now; say why if that is nothing."""
        try:
            request = self._request()
            self._watch(request[0] if request else None)
            if request is None:
                self._hide()
                return None
            layer, settings = request
            self._settings = settings
            if self._viewer.dims.ndisplay != 2:
                raise UsageError("The preview needs a 2D view.")
            index = current_index(self._viewer, layer)
            region = visible_region(self._viewer, layer, index)
            source = RestoreRequest.of(layer, region)
        except MemnetError as error:
            self._fail(str(error))
            return None
        self._instead = restored_already(layer, region, settings)
        if self._instead is not None:
            self._hide()
            place = _named(layer, region)
            self.told.emit(f"{place} is restored in {self._instead.name!r}.")
            return None
        attributes = tuple(str(getattr(layer, name)) for name in _PLACED[:-1])
        pixels = fingerprint(source.planes.data, region)
        return _Wish(layer, region, settings, pixels, attributes, source)

    def _compute(self, wish: _Wish) -> None:
        place = _named(wish.layer, wish.region)
        self.told.emit(f"Computing the preview of {place}…")
        started = time.perf_counter()
        work = Work(
            restore_region(wish.source, wish.settings),
            "MemNet preview",
            quiet=True,
            parent=self,
        )
        self._work, self._wanted = work, wish
        self.computations += 1

        def remember(event: Any) -> None:
            from memnet_core.inference.plan import Prepared

            if isinstance(event, Prepared):
                self._prepared = event

        def finish(restored: RestoredRegion) -> None:
            if self._enabled and not work.is_cancelling:
                self._show(wish.layer, restored)
                height, width = wish.region.shape[-2:]
                seconds = time.perf_counter() - started
                pace = f"{width}×{height} px in {seconds:.1f} s"
                task = self._prepared.task
                told = f"Preview of {place}, {task.result}: {self._prepared}, {pace}"
                self._shown = wish, told
                self.told.emit(told)

        work.yielded.connect(remember)
        work.succeeded.connect(finish)
        work.failed.connect(partial(self._on_failed, work))
        work.ended.connect(self._on_ended)

    def _watch(self, layer: Image | None) -> None:
        """Follow what changes in a layer, and in no other."""
        for event, callback in self._watched:
            event.disconnect(callback)
        events = layer.events if layer else None
        self._watched = [
            *((getattr(events, name), self.refresh) for name in _WATCHED if events),
            *((getattr(events, name), self._copy) for name in _COPIED if events),
        ]
        if events:
            self._watched.append((events.contrast_limits, self._on_contrast))
        for event, callback in self._watched:
            event.connect(callback)

    def _copy(self, event: Any = None) -> None:
        if self._layer is not None and self._source is not None:
            for name in _COPIED:
                setattr(self._layer, name, getattr(self._source, name))

    def _on_contrast(self, event: Any = None) -> None:
        """Compute anew only if the network takes black and white from the contrast."""
        try:
            request = self._request()
        except MemnetError:
            return
        if request and request[1] != self._settings:
            self.refresh()

    def _fail(self, sentence: str) -> None:
        self._hide()
        self.told.emit(sentence)

    def _on_failed(self, work: Work, sentence: str) -> None:
        if work.is_cancelling:
            return
        if self._wanted is not None:
            self._failure = self._wanted, sentence
        self._fail(sentence)
        if work.is_question:
            self.refused.emit(sentence)

    def _on_ended(self) -> None:
        overtaken = self._work is not None and self._work.is_cancelling
        self._work = None
        # What was wished for while this one came to its end.
        if overtaken and not self._timer.isActive():
            self._start()

    def _show(self, source: Image, restored: RestoredRegion) -> None:
        data, attributes, kind = result_layer(source, restored)
        attributes |= {"name": _NAME, "visible": not self._before}
        attributes["metadata"]["memnet"]["preview"] = True
        if not self._update(source, data, attributes):
            self._remove_layer()
            # All of them: where several are selected, none is active.
            selected = set(self._viewer.layers.selection)
            self._layer = self._viewer.add_layer(Layer.create(data, attributes, kind))
            self._viewer.layers.selection = selected
            link_result(self._viewer.layers, source, self._layer)
            place(self._viewer.layers, source, self._layer)
        self._source = source

    def _update(self, source: Image, data: Any, attributes: dict[str, Any]) -> bool:
        """Give the layer that is there new data; return False if there is none.

        Contrast, gamma and colormap are linked to those of the source.
        """
        layer = self._layer
        if layer is None or layer.ndim != len(attributes["scale"]):
            return False
        if layer.rgb != attributes["rgb"] or layer.dtype != data.dtype:
            return False
        is_other = source != self._source
        if is_other:
            unlink(layer)
        layer.data = data
        names = attributes.keys() - {"name", "multiscale", "rgb", "visible"}
        for name in names if is_other else _PLACED:
            setattr(layer, name, attributes[name])
        if is_other:
            link_result(self._viewer.layers, source, layer)
            place(self._viewer.layers, source, layer)
        layer.visible = attributes["visible"]
        return True

    def _hide(self) -> None:
        """Hide the layer; where graphics are software, removing it may crash."""
        if self._layer is not None:
            self._layer.visible = False

    def _remove_layer(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            unlink(layer)
            self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if self._layer is None:
            return
        # All layers may be on their way out, of which this one is but the first.
        if self._layer not in self._viewer.layers:
            self._layer = None
            QTimer.singleShot(0, self._on_preview_removed)
        elif self._source not in self._viewer.layers:
            QTimer.singleShot(0, self._on_source_removed)

    def _on_preview_removed(self) -> None:
        if self._source is not None and self._source in self._viewer.layers:
            self.closed.emit()

    def _on_source_removed(self) -> None:
        """Remove a preview of nothing, which would keep the sliders' ranges."""
        if self._source not in self._viewer.layers:
            self._wanted = self._shown = self._failure = self._source = None
            self._remove_layer()
