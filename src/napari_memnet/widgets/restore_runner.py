"""Restoring layers behind a button: results, failures and questions, told once."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel

from memnet_core._util.sanitize import escape_control_chars, join_limited
from memnet_core.errors import MemnetError, NotCovered, NothingToDo
from memnet_core.tasks import TASKS
from napari_memnet.form_state import preferences
from napari_memnet.jobs.restore import (
    LayerBegun,
    LayerRestored,
    RestoreRequest,
    progress_of,
    restore_layers,
)
from napari_memnet.jobs.worker import Work
from napari_memnet.layers.results import add_result
from napari_memnet.layers.source import fingerprint, layer_planes
from napari_memnet.snippets import as_field
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from napari.layers import Image
    from napari.viewer import Viewer

    from memnet_core.inference.settings import RestoreOptions
    from napari_memnet.jobs.restore import LayerFailed
    from napari_memnet.layers.results import RestoredRegion

__all__ = ["LayerRun", "OneClick", "one_click"]


_REFRESH_S = 1.0
"""Seconds between two looks at a result that fills."""


class LayerRun(RunBar):
    """A run bar that restores layers into new ones.

    Parameters
    ----------
    viewer : Viewer
        Where results are added.
    title : str
        What the button says when nothing runs.

    Attributes
    ----------
    again : Signal(list)
        Layers are to be restored with the nearest model, which was declined before.
    """

    again = Signal(list)

    def __init__(self, viewer: Viewer, title: str) -> None:
        super().__init__(title)
        self._viewer = viewer
        self._layers: list[Image] = []
        self._declined: list[Image] = []
        self._pixels: list[int | str] = []
        self._lost: list[str] = []
        self._filling: dict[int, Image] = {}
        self._refreshed = 0.0
        self.status.accepted.connect(self._on_accepted)

    def start(
        self,
        layers: Sequence[Image],
        parts: Sequence[tuple[RestoreRequest, RestoreOptions]],
    ) -> Work:
        """Restore layers, in the background.

        Parameters
        ----------
        layers : sequence of Image
            The layers.
        parts : sequence of (RestoreRequest, RestoreOptions)
            What of each is restored, and how.
        """
        self._layers = self._declined = [*layers]
        self._pixels = [fingerprint(source.planes.data) for source, _ in parts]
        self._lost = []
        names = join_limited([layer.name for layer in layers])
        work = Work(
            restore_layers(parts), f"MemNet: {names}", fraction=progress_of, parent=self
        )
        work.yielded.connect(self._on_event)
        work.succeeded.connect(partial(self._on_finished, time.monotonic()))
        work.ended.connect(self._remove_unfinished)
        self.follow(work)
        return work

    def _on_event(self, event: Any) -> None:
        from memnet_core.inference.plan import Prepared
        from memnet_core.progress import Notice

        if isinstance(event, Prepared):
            self.status.setText(str(event))
        elif isinstance(event, Notice):
            self.status.setText(event.text)
        elif isinstance(event, LayerBegun):
            self._begin(event.number, event.restored)
        elif isinstance(event, LayerRestored):
            self._finish(event.number, event.restored)
        elif self._filling and time.monotonic() - self._refreshed > _REFRESH_S:
            self._refreshed = time.monotonic()
            for made in self._filling.values():
                made.refresh()

    def _begin(self, number: int, restored: RestoredRegion) -> None:
        """Show a result that fills as its pixels come."""
        if not self._reason_to_drop(number, restored):
            made = add_result(self._viewer, self._layers[number], restored)
            self._filling[number] = made
            self.status.setText(
                f"{self.status.text().rstrip('.')}. The result is large and lies in "
                f"{restored.provenance['store']} until napari ends; save the layer to "
                "keep it."
            )

    def _remove_unfinished(self) -> None:
        """Remove what was cancelled or failed before it was full."""
        for made in self._filling.values():
            if made in self._viewer.layers:
                self._viewer.layers.remove(made)
        self._filling = {}

    def _finish(self, number: int, restored: RestoredRegion) -> None:
        """Keep a result, unless its source is not what it was."""
        if reason := self._reason_to_drop(number, restored):
            self._lost.append(reason)
        elif number in self._filling:
            self._filling.pop(number).refresh()
        elif restored.provenance.get("store") is None:
            add_result(self._viewer, self._layers[number], restored)

    def _reason_to_drop(self, number: int, restored: RestoredRegion) -> str:
        layer = self._layers[number]
        if layer not in self._viewer.layers:
            return f"{layer.name!r} was removed meanwhile; its result is not kept."
        if layer.ndim != len(restored.region.slices):
            return f"{layer.name!r} has other axes now; restore it again."
        if fingerprint(layer_planes(layer).data) != self._pixels[number]:
            return f"{layer.name!r} has other pixels now; restore it again."
        return ""

    def _on_finished(self, started: float, failures: list[LayerFailed]) -> None:
        seconds = time.monotonic() - started
        if self._lost and not failures:
            self.status.setText(" ".join(self._lost))
            return
        if not failures:
            self.status.setText(
                f"{self.status.text().rstrip('.')}. Done in {seconds:.1f} s."
            )
            return
        count = len(self._layers)
        reasons = " ".join(
            f"{self._layers[lost.number].name}: {lost.error.spelled(as_field)}"
            for lost in failures
        )
        told = (
            f"{count - len(failures) - len(self._lost)} of {count} layers restored in "
            f"{seconds:.1f} s. {' '.join([*self._lost, reasons])}"
        )
        self.status.setText(told)
        self._declined = [
            self._layers[lost.number]
            for lost in failures
            if isinstance(lost.error, NotCovered | NothingToDo)
        ]
        if self._declined:
            self.status.ask(told)

    def _on_accepted(self) -> None:
        self.again.emit([x for x in self._declined if x in self._viewer.layers])


_NAME = "MemNet: one click"


class OneClick(DockWidget):
    """Restores layers with everything automatic.

    Parameters
    ----------
    viewer : Viewer
        The viewer that it is docked in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._task = ""
        self._level: float | None = None
        self.what = QLabel()
        self.what.setWordWrap(True)
        self.run = LayerRun(viewer, "Once more")
        super().__init__(self.what, self.run)
        self._layers: list[Image] = []
        self.run.requested.connect(lambda: self._restore(self._layers))
        self.run.again.connect(lambda layers: self._restore(layers, nearest=True))

    def start(self, layers: Sequence[Image], task: str, level: float | None) -> None:
        """Restore layers, unless others are being restored.

        Parameters
        ----------
        layers : sequence of Image
            The layers.
        task : str
            What to do.
        level : float, optional
            The level; None to find it out.
        """
        if self.run.work is not None:
            self.run.status.setText("Wait until this is done, or cancel it.")
            return
        self._layers = [*layers]
        self._task, self._level = task, level
        self._restore(self._layers)

    def close_down(self) -> None:
        """Stop the work."""
        self.run.cancel()

    def _restore(self, layers: Sequence[Image], nearest: bool = False) -> None:
        from memnet_core.inference.settings import RestoreOptions

        names = join_limited([layer.name for layer in layers])
        self.what.setText(escape_control_chars(f"{TASKS[self._task].title}: {names}"))
        settings = RestoreOptions(
            task=self._task,
            level=self._level,
            nearest=nearest,
            device=preferences().device,
        )
        try:
            parts = [(RestoreRequest.of(layer), settings) for layer in layers]
        except MemnetError as error:
            self.run.status.setText(error.spelled(as_field))
            return
        self.run.start(layers, parts)


def one_click(viewer: napari.viewer.Viewer) -> OneClick:
    """Return the dock of a viewer, opened if it is not."""
    known = viewer.window.dock_widgets.get(_NAME)
    if isinstance(known, OneClick):
        return known
    widget = OneClick(viewer)
    viewer.window.add_dock_widget(widget, name=_NAME, area="right")
    return widget
