"""A button that starts work and cancels it, and how far that has come."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from memnet_core.text import shown_lines

if TYPE_CHECKING:
    from napari_memnet.workers import Work

__all__ = ["RunBar"]


class _Status(QLabel):  # type: ignore[misc]
    """Text as it is: no markup, no control characters."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)

    def setText(self, text: str) -> None:
        super().setText(shown_lines(text))


class RunBar(QWidget):  # type: ignore[misc]
    """Run, Cancel, Cancelling… and back.

    Parameters
    ----------
    title : str
        What the button says when nothing runs.

    Attributes
    ----------
    requested : Signal
        The button was pressed to start something.
    """

    requested = Signal()

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._work: Work | None = None
        self.button = QPushButton(title)
        self.button.clicked.connect(self._on_click)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.status = _Status()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.bar, self.status):
            layout.addWidget(widget)
        self._idle()

    @property
    def work(self) -> Work | None:
        """The work that runs, if any does."""
        return self._work

    def follow(self, work: Work) -> None:
        """Show how a work advances, until it ends."""
        self._work = work
        self.button.setText("Cancel")
        self.bar.show()
        self.bar.setValue(0)
        self.bar.setFormat("starting")
        self.status.setText("")
        work.advanced.connect(self._on_advanced)
        work.failed.connect(self.status.setText)
        work.cancelled.connect(lambda: self.status.setText("Cancelled."))
        work.ended.connect(self._idle)

    def cancel(self) -> None:
        """Ask the work to end, if there is any."""
        if self._work is not None:
            self._work.cancel()
            self.button.setText("Cancelling…")
            self.button.setEnabled(False)

    def _on_click(self) -> None:
        if self._work is None:
            self.requested.emit()
        else:
            self.cancel()

    def _on_advanced(self, fraction: float, seconds: float) -> None:
        self.bar.setValue(round(1000 * fraction))
        self.bar.setFormat(f"%p % – {timedelta(seconds=round(seconds))} left")

    def _idle(self) -> None:
        self._work = None
        self.bar.hide()
        self.button.setText(self._title)
        self.button.setEnabled(True)
