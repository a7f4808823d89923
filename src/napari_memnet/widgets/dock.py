"""What the plugin's dock widgets share: they stop their work when they are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QCloseEvent

__all__ = ["DockWidget"]

_WIDTH = 340
"""What titles of docks and paths of folders need."""

_LOWEST = 120

_HEIGHT = 600
"""What a dock has of a window that is 700 px high."""


class _Area(QScrollArea):  # type: ignore[misc]
    """As wide as what it holds needs at least, and as low as one likes."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def minimumSizeHint(self) -> QSize:
        needed = self.widget().minimumSizeHint().width()
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(max(needed + bar, _WIDTH), _LOWEST)


class DockWidget(QWidget):  # type: ignore[misc]
    """A column of parts, which is scrolled where the window is too low for it.

    Parameters
    ----------
    *parts : QWidget
        From top to bottom.
    """

    _is_open = False

    def __init__(self, *parts: QWidget) -> None:
        super().__init__()
        self._is_open = True
        column = QWidget()
        layout = QVBoxLayout(column)
        for part in parts:
            layout.addWidget(part)
        layout.addStretch()
        self.area = _Area()
        self.area.setWidget(column)
        column.installEventFilter(self.area)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        # Fields give way in width; what is too high is scrolled to.
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.area)

    def sizeHint(self) -> QSize:
        """Return the size of the column, up to what a small screen has."""
        wanted = self.area.widget().sizeHint()
        bar = self.area.verticalScrollBar().sizeHint().width()
        return QSize(wanted.width() + bar, min(wanted.height(), _HEIGHT))

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
