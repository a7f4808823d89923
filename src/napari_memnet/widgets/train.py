"""The train widget: learn a model from folders, pairs or open layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, LineEdit, PushButton
from qtpy.QtWidgets import QHBoxLayout, QMessageBox, QVBoxLayout, QWidget

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.errors import MemnetError
from napari_memnet.jobs.train import add_best, fraction_of, gain_of, train
from napari_memnet.jobs.worker import Work
from napari_memnet.model_choices import describe, models_changed, own_models
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.fields import finish_fields
from napari_memnet.widgets.plots import Curves
from napari_memnet.widgets.run_bar import RunBar, Status
from napari_memnet.widgets.train_form import TrainForm

if TYPE_CHECKING:
    import napari.viewer

    from memnet_core.model.registry import Entry
    from napari_memnet.jobs.train import TrainingRequest

__all__ = ["OwnModels", "TrainWidget"]


class TrainWidget(DockWidget):
    """Trains models; the best one can be chosen for restoring at once.

    Parameters
    ----------
    viewer : Viewer
        The viewer, whose layers can be learned from.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.form = TrainForm(viewer)
        self.run = RunBar("Train")
        self.curves = Curves(viewer.theme)
        self.curves.hide()
        self.own = OwnModels()
        super().__init__(self.form, self.run, self.curves, self.own)
        self.form.ready.connect(self.own.begin)
        self.run.requested.connect(self.start)
        viewer.events.theme.connect(self._on_theme)
        self._forget()

    def start(self) -> None:
        """Train, in the background."""
        try:
            request = self.form.request()
        except MemnetError as error:
            self.run.status.setText(str(error))
            return
        self.curves.clear()
        self.curves.show()
        self._forget()
        work = Work(
            train(request),
            f"MemNet training: {request.name}",
            fraction=fraction_of,
            parent=self,
        )
        work.yielded.connect(self._on_event)
        work.succeeded.connect(partial(self._keep, request))
        work.ended.connect(self.form.refresh_runs)
        self.run.follow(work)
        work.cancelled.connect(partial(self._keep, request))
        self.run.status.setText("Reading images…")

    def close_down(self) -> None:
        """Stop the training, which keeps what it learned in its folder."""
        self.run.cancel()
        self.form.close_down()
        self.own.close_down()
        self._viewer.events.theme.disconnect(self._on_theme)

    def _on_theme(self, event: Any = None) -> None:
        self.curves.follow(self._viewer.theme)

    def _forget(self) -> None:
        """Reset what is known of the run."""
        self._first_gain: float | None = None
        self._best_gain: float | None = None
        self._is_validated = False

    def _on_event(self, event: Any) -> None:
        from memnet_core.progress import Notice
        from memnet_core.training.events import TrainingProgress, Validated

        if isinstance(event, Notice):
            self.run.status.setText(event.text)
        elif isinstance(event, TrainingProgress):
            self.curves.add_loss(event)
            self.run.status.setText(
                f"step {event.step}, loss {event.loss:.5f}, "
                f"{event.patches_per_second:.0f} patches/s"
            )
        elif isinstance(event, Validated):
            self.curves.add_validation(event)
            self._note(event)
            gains = ", ".join(
                f"{level}: {event.input_psnr[level]:.2f} → {event.psnr[level]:.2f} dB"
                for level in event.psnr
            )
            self.run.status.setText(gains)

    def _note(self, event: Any) -> None:
        """Note how good the best model is, and the one that was started from."""
        gain = gain_of(event)
        self._is_validated = True
        if event.is_best:
            self._best_gain = gain
        if event.step == 0:
            self._first_gain = gain

    def _keep(self, request: TrainingRequest, *_: Any) -> None:
        """Install the best model if it improves images, and say so."""
        self.run.status.setText(self._kept(request))

    def _kept(self, request: TrainingRequest) -> str:
        """Install the best model if it improves images, and return the message."""
        if not self._is_validated:
            return (
                "Stopped before the first validation, so that there is no model yet; "
                "train with the same settings to go on."
            )
        if self._best_gain is None:
            return "It has become no better than before, and so stays what it was."
        if self._best_gain <= 0:
            return (
                f"The best model changes images by {self._best_gain:.2f} dB, for the "
                f"worse; it is kept in {request.out} only. Train longer."
            )
        first = self._first_gain
        if first is not None and self._best_gain <= first:
            return (
                "It has become no better than the model it started from, and is kept "
                f"in {request.out} only. Train longer, or on more images."
            )
        try:
            card = add_best(request).card
        except MemnetError as error:
            return str(error)
        models_changed.emit()
        better = "" if first is None else f"{self._best_gain - first:+.2f} dB. "
        return (
            f"{better}The model {card.name} ({card.serves}) can be chosen now, and is "
            "taken for these levels where the choice is automatic."
        )


_FOLDED, _OPEN = "▸ models of your own", "▾ models of your own"


class OwnModels(QWidget):  # type: ignore[misc]
    """The user's own models: rename or delete them; folded at first."""

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
            tooltip="New name in the list of models: letters, digits, "
            "'.', '_' and '-'.",
        )
        self.rename = PushButton(text="Rename", tooltip="Rename the model.")
        self.delete = PushButton(
            text="Delete…", tooltip="Delete the model, after asking."
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
            self.status.setText("None yet; models that you train or add appear here.")
        self._show_card()

    def _show_card(self) -> None:
        entry = self._chosen()
        self.model.tooltip = describe(entry.card) if entry else "No model yet."

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
