"""Where one-click commands show how far they are, can be cancelled, and ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel

from memnet_core._util.sanitize import listed, shown
from memnet_core.errors import MemnetError
from memnet_core.tasks import TASKS
from napari_memnet.jobs.restore import LayerSource
from napari_memnet.preferences import preferences
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.restore_runner import LayerRun
from napari_memnet.words import in_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from napari.layers import Image

__all__ = ["OneClick", "one_click"]

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
        from memnet_core.inference.settings import Settings

        names = listed([layer.name for layer in layers])
        self.what.setText(shown(f"{TASKS[self._task].title}: {names}"))
        settings = Settings(
            task=self._task,
            level=self._level,
            nearest=nearest,
            device=preferences().device,
        )
        try:
            parts = [(LayerSource.of(layer), settings) for layer in layers]
        except MemnetError as error:
            self.run.status.setText(in_window(str(error)))
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
