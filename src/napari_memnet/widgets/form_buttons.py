"""Buttons below forms: copy as command or Python, presets."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QPushButton, QWidget

from memnet_core.errors import MemnetError
from napari_memnet.form_state import load_preset, save_preset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_memnet.widgets.restore_form import RestorationForm

__all__ = ["CopyBar", "PresetBar"]


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
            button.setToolTip(
                "Copy code that restores with these settings outside napari."
            )
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


_KINDS = "MemNet presets (*.yaml *.yml *.json)"
_SUFFIXES = (".yaml", ".yml", ".json")


class PresetBar(QWidget):  # type: ignore[misc]
    """Buttons that save and load the settings of a form.

    Parameters
    ----------
    form : RestorationForm
        The form; until it is ready, nothing can be saved or loaded.
    tell : callable
        Is told what was saved or loaded, or why nothing was.
    """

    def __init__(self, form: RestorationForm, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._form = form
        self._tell = tell
        self.save = QPushButton("Save preset…")
        self.save.setToolTip("Save these settings to a file, to reuse or share them.")
        self.save.clicked.connect(self._on_save)
        self.load = QPushButton("Load preset…")
        self.load.setToolTip("Load settings from a preset file.")
        self.load.clicked.connect(self._on_load)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button in (self.save, self.load):
            button.setEnabled(form.is_ready)
            layout.addWidget(button)
        form.ready.connect(self._on_ready)

    def _on_ready(self) -> None:
        for button in (self.save, self.load):
            button.setEnabled(True)

    def _on_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save preset", f"{self._form.task.value}.yaml", _KINDS
        )
        if name:
            path = Path(name)
            if path.suffix.lower() not in _SUFFIXES:
                path = path.with_name(f"{path.name}.yaml")
            self._do(save_preset, path, "Saved")

    def _on_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load preset", "", _KINDS)
        if name:
            self._do(load_preset, Path(name), "Loaded")

    def _do(self, step: Callable[..., None], path: Path, done: str) -> None:
        try:
            step(path, self._form.kept)
        except MemnetError as error:
            self._tell(str(error))
        else:
            self._tell(f"{done}: {path}")
