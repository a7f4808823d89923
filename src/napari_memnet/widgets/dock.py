"""What the plugin's dock widgets share: they stop their work when they are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QCloseEvent

__all__ = ["DockWidget"]


class DockWidget(QWidget):  # type: ignore[misc]
    """A column of parts.

    Parameters
    ----------
    *parts : QWidget
        From top to bottom.
    """

    _is_open = False

    def __init__(self, *parts: QWidget) -> None:
        super().__init__()
        self._is_open = True
        layout = QVBoxLayout(self)
        for part in parts:
            layout.addWidget(part)
        layout.addStretch()

    def event(self, event: QEvent) -> bool:
        """Close down when napari takes the widget out of its dock."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._close_down_once()
        return bool(super().event(event))

    def closeEvent(self, event: QCloseEvent) -> None:
        """Close down."""
        self._close_down_once()
        super().closeEvent(event)

    def close_down(self) -> None:
        """Stop all work and let go of what outlives the widget; called once."""

    def _close_down_once(self) -> None:
        if self._is_open:
            self._is_open = False
            self.close_down()
