"""The train widget: learn a model from folders, pairs or open layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from memnet_core.errors import MemnetError
from napari_memnet.jobs.train import add_best, fraction_of, gain_of, train
from napari_memnet.jobs.worker import Work
from napari_memnet.model_choices import models_changed
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.model_manager import OwnModels
from napari_memnet.widgets.plots import Curves
from napari_memnet.widgets.run_bar import RunBar
from napari_memnet.widgets.train_form import TrainForm

if TYPE_CHECKING:
    import napari.viewer

    from napari_memnet.jobs.train import TrainingRequest

__all__ = ["TrainWidget"]


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
        """Know nothing of a run yet."""
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
        """Install the best model, if it is of use."""
        self.run.status.setText(self._kept(request))

    def _kept(self, request: TrainingRequest) -> str:
        """Install the best model, if it is of use, and return what to say of it."""
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
