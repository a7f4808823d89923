"""A picture over the left part of the canvas, with an edge to drag; no layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QImage, QPainter, QPixmap
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

__all__ = ["SplitViewOverlay"]

_EDGE = 7
"""Width in pixels of what the mouse can take hold of."""

_SETTLED_MS = 80
"""After which the picture is taken anew, once nothing moves any more."""


class SplitViewOverlay(QObject):  # type: ignore[misc]
    """Shows a picture of the canvas left of a line, and the canvas right of it.

    Parameters
    ----------
    owner : QWidget
        A widget that is docked in the viewer's window.
    take : callable
        Returns the picture, of shape (H, W, 4), uint8.

    Attributes
    ----------
    moved : Signal(float)
        Where the line was dragged to, as a fraction of the canvas's width.
    """

    moved = Signal(float)

    def __init__(self, owner: QWidget, take: Callable[[], NDArray[np.uint8]]) -> None:
        super().__init__(owner)
        self._take = take
        self._fraction = 0.5
        window = owner.window()
        canvases = window.findChildren(QOpenGLWidget)
        # The viewer's canvas is the largest; plots of other plugins may have some, too.
        self.canvas = max(canvases, key=lambda w: w.width() * w.height())
        self.picture = _Picture(self.canvas)
        self.edge = _Edge(self.canvas, self._on_dragged)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLED_MS)
        self._timer.timeout.connect(self._retake)
        self.canvas.installEventFilter(self)
        self._retake()
        self.edge.show()

    def move_to(self, fraction: float) -> None:
        """Put the line at a fraction of the canvas's width."""
        self._fraction = fraction
        x = round(fraction * self.canvas.width())
        height = self.canvas.height()
        self.picture.setGeometry(0, 0, x, height)
        self.edge.setGeometry(x - _EDGE // 2, 0, _EDGE, height)
        self.edge.raise_()

    def refresh(self, event: Any = None) -> None:
        """Take the picture anew once the view has settled."""
        self.picture.hide()
        self._timer.start()

    def close(self) -> None:
        """Take picture and edge off the canvas."""
        self._timer.stop()
        self.canvas.removeEventFilter(self)
        for widget in (self.picture, self.edge):
            widget.hide()
            widget.setParent(None)
            widget.deleteLater()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the canvas when it is resized."""
        if event.type() == QEvent.Type.Resize:
            self.move_to(self._fraction)
            self.refresh()
        return False

    def _retake(self) -> None:
        pixels = self._take()
        height, width = pixels.shape[:2]
        image = QImage(
            pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888
        )
        pixmap = QPixmap.fromImage(image)
        pixmap.setDevicePixelRatio(width / max(self.canvas.width(), 1))
        self.picture.pixmap = pixmap
        self.move_to(self._fraction)
        self.picture.show()
        self.picture.update()

    def _on_dragged(self, x: int) -> None:
        self.moved.emit(min(max(x / max(self.canvas.width(), 1), 0.0), 1.0))


class _Picture(QWidget):  # type: ignore[misc]
    """Lets the mouse through to the canvas below."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.pixmap = QPixmap()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self.pixmap)
        painter.end()


class _Edge(QWidget):  # type: ignore[misc]
    """A line that can be dragged."""

    def __init__(self, parent: QWidget, dragged: Callable[[int], None]) -> None:
        super().__init__(parent)
        self._dragged = dragged
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setToolTip("Drag: before on the left, after on the right.")
        self.setAccessibleName("Line between before and after")

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        middle = self.width() // 2
        painter.fillRect(middle - 1, 0, 3, self.height(), Qt.GlobalColor.black)
        painter.fillRect(middle, 0, 1, self.height(), Qt.GlobalColor.white)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._dragged(round(self.mapToParent(event.position().toPoint()).x()))
