"""A line that tells how things stand, and may ask a question."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from memnet_core._util.sanitize import shown_lines

__all__ = ["Status"]

_SEPARATOR = re.compile(r"([/\\_-])")
"""Where paths and names of files may be broken into lines."""

_ACCEPT = "Use the nearest model all the same"


class Status(QWidget):  # type: ignore[misc]
    """Text as it is, without markup or control characters, and a button to accept.

    Attributes
    ----------
    accepted : Signal
        The question was answered with yes.
    """

    accepted = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self._text = ""
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        # However long a word is, it does not make the dock wider.
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setAccessibleName(name)
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
        """Return what is told."""
        return self._text

    def setText(self, text: str) -> None:
        """Tell something, and ask nothing."""
        self._text = shown_lines(text)
        self.label.setText(_SEPARATOR.sub("\\1\u200b", self._text))
        self.label.setVisible(bool(text))
        self.accept.hide()

    def ask(self, text: str) -> None:
        """Tell what no model is trained for, and ask whether to go on."""
        self.setText(text)
        self.accept.show()

    def _on_accept(self) -> None:
        self.accept.hide()
        self.accepted.emit()
