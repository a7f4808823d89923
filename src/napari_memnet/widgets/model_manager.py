"""The user's own models: renamed and deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox, Container, LineEdit, PushButton
from qtpy.QtWidgets import QHBoxLayout, QMessageBox, QVBoxLayout, QWidget

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.errors import MemnetError
from napari_memnet.model_choices import describe, models_changed, own_models
from napari_memnet.widgets.fields import finish_fields
from napari_memnet.widgets.run_bar import Status

if TYPE_CHECKING:
    from memnet_core.model.registry import Entry

__all__ = ["OwnModels"]

_FOLDED, _OPEN = "▸ models of your own", "▾ models of your own"


class OwnModels(QWidget):  # type: ignore[misc]
    """A list of the models that were added, folded at first."""

    def __init__(self) -> None:
        super().__init__()
        self._is_ready = False
        self.more = PushButton(
            text=_FOLDED, tooltip="Rename or delete models that you trained or added."
        )
        self.more.native.setCheckable(True)
        self.model = ComboBox(label="model", choices=self._names)
        self.name = LineEdit(
            label="new name",
            tooltip="What it is to be called where models are chosen: letters, digits, "
            "'.', '_' and '-'.",
        )
        self.rename = PushButton(
            text="Rename", tooltip="Give the model the new name; nothing else changes."
        )
        self.delete = PushButton(
            text="Delete…", tooltip="Remove the model from the list, after a question."
        )
        self._fields = Container(widgets=[self.more, self.model, self.name])
        self._fields.margins = (0, 0, 0, 0)
        finish_fields(self._fields)
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.rename, self.delete):
            row.addWidget(button.native)
        self.status = Status("What became of the model")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self._fields.native, self._buttons, self.status):
            layout.addWidget(widget)
        self.more.changed.connect(self._show)
        self.model.changed.connect(self._show_card)
        self.rename.changed.connect(self._rename)
        self.delete.changed.connect(self._delete)
        self._show()

    def begin(self) -> None:
        """Offer models from now on; reading them imports PyTorch."""
        self._is_ready = True
        models_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Offer the models that there are now."""
        self.model.reset_choices()
        self._show()

    def close_down(self) -> None:
        """Let go of what outlives the widget."""
        models_changed.disconnect(self.refresh, missing_ok=True)

    def _names(self, *_: object) -> list[str]:
        entries = own_models() if self._is_ready else []
        return [entry.card.name for entry in entries]

    def _chosen(self) -> Entry | None:
        chosen = self.model.value
        found = [x for x in own_models() if x.card.name == chosen] if chosen else []
        return found[0] if found else None

    def _show(self) -> None:
        is_open = self.more.native.isChecked()
        self.more.text = _OPEN if is_open else _FOLDED
        has_any = bool(self.model.choices)
        for field in (self.model, self.name):
            field.visible = is_open and has_any
        self._buttons.setVisible(is_open and has_any)
        self.status.setVisible(is_open)
        if is_open and not has_any and not self.status.text():
            self.status.setText("There is none; what you train here will be.")
        self._show_card()

    def _show_card(self) -> None:
        entry = self._chosen()
        self.model.tooltip = describe(entry.card) if entry else "There is none."

    def _rename(self) -> None:
        from memnet_core.model.registry import rename_model

        old, new = self.model.value, self.name.value.strip()
        try:
            rename_model(old, new)
        except MemnetError as error:
            self.status.setText(str(error))
            return
        models_changed.emit()
        self.model.value = new
        self.name.value = ""
        self.status.setText(f"{old!r} is called {new!r} now.")

    def _delete(self) -> None:
        from memnet_core.model.registry import delete_model

        entry = self._chosen()
        if entry is None or not self._is_meant(entry):
            return
        name = entry.card.name
        try:
            delete_model(name)
        except MemnetError as error:
            self.status.setText(str(error))
            return
        self.status.setText(f"{name!r} is deleted.")
        models_changed.emit()

    def _is_meant(self, entry: Entry) -> bool:
        asked = QMessageBox.question(
            self,
            "Delete the model?",
            escape_control_chars(
                f"Delete {entry.card.name!r} ({entry.card.serves})? It cannot be had "
                "back; the folder of its training run stays."
            ),
        )
        return bool(asked == QMessageBox.StandardButton.Yes)
