"""Buttons that put what a form says on the clipboard."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QWidget

from memnet_core.errors import MemnetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CopyBar"]


class CopyBar(QWidget):  # type: ignore[misc]
    """A button for each thing to copy.

    Parameters
    ----------
    texts : mapping of str to callable
        What a button says, and what returns the text that it copies.
    tell : callable
        Is told what was copied, or why nothing was.
    """

    def __init__(
        self, texts: Mapping[str, Callable[[], str]], tell: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._tell = tell
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.buttons = {}
        for title, text in texts.items():
            button = QPushButton(title)
            button.setToolTip("For what the form says, to be run elsewhere.")
            button.clicked.connect(partial(self._copy, text))
            layout.addWidget(button)
            self.buttons[title] = button

    def _copy(self, text: Callable[[], str], *_: object) -> None:
        try:
            copied = text()
        except MemnetError as error:
            self._tell(str(error))
            return
        QApplication.clipboard().setText(copied)
        self._tell(f"Copied: {copied}")
