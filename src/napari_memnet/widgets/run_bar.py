"""A button that starts work and cancels it, and how far that has come."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from memnet_core._util.sanitize import shown_lines

if TYPE_CHECKING:
    from qtpy.QtGui import QMouseEvent

    from napari_memnet.jobs.worker import Work

__all__ = ["RunBar", "StartButton", "Status"]


_SEPARATOR = re.compile(r"([/\\_-])")
"""Characters after which paths and file names may wrap."""

_ACCEPT = "Use the nearest model all the same"


class Status(QWidget):  # type: ignore[misc]
    """Text as it is, without markup or control characters, and a button to accept.

    Parameters
    ----------
    name : str
        What screen readers call it.
    lines : int
        Lines of text that always have their room.

    Attributes
    ----------
    accepted : Signal
        The question was answered with yes.
    """

    accepted = Signal()

    def __init__(self, name: str, lines: int = 0) -> None:
        super().__init__()
        self._text = ""
        self._lines = lines
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        # However long a word is, it does not make the dock wider.
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setAccessibleName(name)
        self.label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.label.setMinimumHeight(lines * self.label.fontMetrics().lineSpacing())
        self.accept = QPushButton(_ACCEPT)
        self.accept.setToolTip(
            "No model is trained for this level; results may be worse than usual."
        )
        self.accept.clicked.connect(self._on_accept)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.label, self.accept):
            layout.addWidget(widget)
        self.setText("")

    def text(self) -> str:
        """Return the message."""
        return self._text

    def setText(self, text: str) -> None:
        """Show a message without a question."""
        self._text = shown_lines(text)
        self.label.setText(_SEPARATOR.sub("\\1\u200b", self._text))
        self.label.setVisible(bool(text or self._lines))
        self.accept.hide()

    def ask(self, text: str) -> None:
        """Show a message and ask whether to use the nearest model."""
        self.setText(text)
        self.accept.show()

    def _on_accept(self) -> None:
        self.accept.hide()
        self.accepted.emit()


class StartButton(QPushButton):  # type: ignore[misc]
    """A button that takes a double click as one click.

    Otherwise the second click would cancel the work that the first one has started.
    """

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ignore the second click."""
        event.accept()


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
        self.button = StartButton(title)
        self.button.clicked.connect(self._on_click)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        # What lies below stays where it is when the bar comes and goes.
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.status = Status(f"What became of “{title}”")
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
        work.failed.connect(self._on_failed)
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

    def _on_failed(self, sentence: str) -> None:
        if self._work is not None and self._work.is_question:
            self.status.ask(sentence)
        else:
            self.status.setText(sentence)

    def _on_advanced(self, fraction: float, seconds: float) -> None:
        self.bar.setValue(round(1000 * fraction))
        self.bar.setFormat(f"%p % – {timedelta(seconds=round(seconds))} left")

    def _idle(self) -> None:
        self._work = None
        self.bar.hide()
        self.button.setText(self._title)
        self.button.setEnabled(True)
