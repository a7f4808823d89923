"""The train widget: learn a model from folders, pairs or open layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, FloatSpinBox, LineEdit, Select

from memnet_core.errors import MemnetError
from memnet_core.tasks import TASKS
from napari_memnet.layers import layer_planes
from napari_memnet.models import models_changed
from napari_memnet.settings import preferences
from napari_memnet.trainings import (
    TrainingRequest,
    add_best,
    fraction_of,
    gain_of,
    runs_folder,
    train,
)
from napari_memnet.view import image_layers
from napari_memnet.widgets.curves import Curves
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.fields import chosen_folder, finish_fields, folder_field
from napari_memnet.widgets.form import FIRST_TASK, TASK_CHOICES
from napari_memnet.widgets.run_bar import RunBar
from napari_memnet.workers import Work

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

__all__ = ["TrainWidget"]

_FOLDER, _PAIRS, _LAYERS = "folder", "pairs", "layers"
_SOURCES = [
    ("clean images in a folder", _FOLDER),
    ("pairs in two folders", _PAIRS),
    ("clean open layers", _LAYERS),
]


class TrainWidget(DockWidget):
    """Trains models; the best one can be chosen for restoring at once.

    Parameters
    ----------
    viewer : Viewer
        The viewer, whose layers can be learned from.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self.task = ComboBox(
            label="task",
            choices=TASK_CHOICES,
            value=FIRST_TASK,
            tooltip="What the model is to do.",
        )
        self.source = ComboBox(
            label="learn from",
            choices=_SOURCES,
            tooltip="Clean images are degraded while the model learns; pairs are "
            "images that are degraded already, and clean ones of the same.",
        )
        self.data = folder_field("clean images", "What the model learns from.")
        self.low = folder_field("degraded", "One half of each pair.")
        self.high = folder_field("clean", "The other half, in files of the same names.")
        self.layers = Select(
            label="layers",
            choices=self._image_layers,
            tooltip="Clean images that are open.",
        )
        self.level = ComboBox(
            label="level of the pairs",
            choices=[],
            tooltip="How many times larger the clean images are.",
        )
        self.validation = folder_field(
            "validate on", "Clean images that are not learned from; may be left empty."
        )
        self.recipe = ComboBox(
            label="recipe",
            choices=[("fast", "fast"), ("the paper's", "paper")],
            tooltip="A small network for a range of levels, or the paper's, which "
            "takes days.",
        )
        self.minutes = FloatSpinBox(
            label="minutes",
            value=30,
            min=0.1,
            max=100000,
            tooltip="How long it learns; it can be gone on with.",
        )
        self.name = LineEdit(
            label="model name",
            value="my-model",
            tooltip="What it is called where models are chosen.",
        )
        self.out = folder_field(
            "keep runs in", f"Logs, states and models; by default {runs_folder()}."
        )
        self._fields = Container(
            widgets=[
                self.task,
                self.source,
                self.data,
                self.low,
                self.high,
                self.level,
                self.layers,
                self.validation,
                self.recipe,
                self.minutes,
                self.name,
                self.out,
            ]
        )
        self._fields.margins = (0, 0, 0, 0)
        finish_fields(self._fields)
        self.run = RunBar("Train")
        self.curves = Curves()
        super().__init__(self._fields.native, self.run, self.curves)
        self.task.changed.connect(self._offer_levels)
        self._fields.changed.connect(self._show_fields)
        self.run.requested.connect(self.start)
        self._layer_events = (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
        )
        for event in self._layer_events:
            event.connect(self._on_layers)
        self._best_gain: float | None = None
        self._offer_levels()
        self._show_fields()

    def start(self) -> None:
        """Train, in the background."""
        try:
            request = self._request()
        except MemnetError as error:
            self.run.status.setText(str(error))
            return
        if request is None:
            return
        self.curves.clear()
        self._best_gain = None
        work = Work(
            train(request),
            f"MemNet training: {request.name}",
            fraction=fraction_of,
            parent=self,
        )
        work.yielded.connect(self._on_event)
        work.succeeded.connect(partial(self._keep, request))
        self.run.follow(work)
        work.cancelled.connect(partial(self._keep, request))
        self.run.status.setText("Reading images…")

    def close_down(self) -> None:
        """Stop the training, which keeps what it learned in its folder."""
        self.run.cancel()
        for event in self._layer_events:
            event.disconnect(self._on_layers)

    def _request(self) -> TrainingRequest | None:
        """Return what the fields say, or None if one that is needed is empty."""
        name = self.name.value.strip()
        out = chosen_folder(self.out)
        source = self.source.value
        data = chosen_folder(self.data) if source == _FOLDER else None
        low, high = chosen_folder(self.low), chosen_folder(self.high)
        pairs = (low, high) if source == _PAIRS and low and high else None
        layers = [
            (layer.name, layer_planes(layer))
            for layer in (self.layers.value if source == _LAYERS else ())
        ]
        if not (name and (data or pairs or layers)):
            self.run.status.setText(
                "Give the model a name, and choose what to learn from."
            )
            return None
        return TrainingRequest(
            name=name,
            out=(out or runs_folder()) / name,
            task=self.task.value,
            recipe=self.recipe.value,
            minutes=self.minutes.value,
            data=data,
            pairs=pairs,
            layers=layers,
            validation=chosen_folder(self.validation) if source != _PAIRS else None,
            level=float(self.level.value or 0),
            device=preferences().device,
        )

    def _image_layers(self, *_: Any) -> list[Image]:
        return image_layers(self._viewer)

    def _on_layers(self, event: Any = None) -> None:
        self.layers.reset_choices()

    def _offer_levels(self) -> None:
        task = TASKS[self.task.value]
        offered = task.standard_levels if task.field.offered else ()
        self.level.choices = [(f"{task.symbol}{v:g}", v) for v in offered]

    def _show_fields(self) -> None:
        source = self.source.value
        self.data.visible = source == _FOLDER
        self.low.visible = self.high.visible = source == _PAIRS
        is_offered = TASKS[self.task.value].field.offered
        self.level.visible = source == _PAIRS and is_offered
        self.layers.visible = source == _LAYERS
        self.validation.visible = source != _PAIRS

    def _on_event(self, event: Any) -> None:
        from memnet_core.events import Notice
        from memnet_core.training.events import Progress, Validated

        if isinstance(event, Notice):
            self.run.status.setText(event.text)
        elif isinstance(event, Progress):
            self.curves.add_loss(event)
            self.run.status.setText(
                f"step {event.step}, loss {event.loss:.5f}, "
                f"{event.patches_per_second:.0f} patches/s"
            )
        elif isinstance(event, Validated):
            self.curves.add_validation(event)
            if event.is_best:
                self._best_gain = gain_of(event)
            gains = ", ".join(
                f"{level}: {event.input_psnr[level]:.2f} → {event.psnr[level]:.2f} dB"
                for level in event.psnr
            )
            self.run.status.setText(gains)

    def _keep(self, request: TrainingRequest, *_: Any) -> None:
        """Install the best model, if it is of use."""
        if self._best_gain is None:
            self.run.status.setText(
                "Stopped before the first validation, so that there is no model yet; "
                "train with the same settings to go on."
            )
            return
        if self._best_gain <= 0:
            self.run.status.setText(
                f"The best model changes images by {self._best_gain:.2f} dB, for the "
                f"worse; it is kept in {request.out} only. Train longer."
            )
            return
        try:
            card = add_best(request).card
        except MemnetError as error:
            self.run.status.setText(str(error))
            return
        models_changed.emit()
        self.run.status.setText(
            f"The model {card.name} ({card.serves}) can be chosen now, and is taken "
            "for these levels where the choice is automatic."
        )
