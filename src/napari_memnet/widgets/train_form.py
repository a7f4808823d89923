"""The form that says what to train, on what, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, FloatSpinBox, LineEdit, Select
from napari.qt.threading import create_worker
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from memnet_core.errors import UsageError
from memnet_core.tasks import TASKS
from napari_memnet.form_state import preferences
from napari_memnet.jobs.train import (
    NOTHING,
    TrainingRequest,
    has_its_model_installed,
    name_of_run,
    runs_folder,
    runs_in,
)
from napari_memnet.layers.source import layer_planes
from napari_memnet.layers.view import image_layers, layer_events
from napari_memnet.model_choices import models_changed, models_for
from napari_memnet.widgets.fields import chosen_folder, finish_fields, folder_field
from napari_memnet.widgets.restore_form import FIRST_TASK, TASK_CHOICES

if TYPE_CHECKING:
    from pathlib import Path

    import napari.viewer
    from napari.layers import Image

__all__ = ["TrainForm"]

_FOLDER, _PAIRS, _LAYERS = "folder", "pairs", "layers"
_CLEAN_PAIR, _NOISY_PAIR, _RUN = "clean pair", "noisy pair", "run"
_SOURCES = [
    ("clean image files", _FOLDER),
    ("pairs of files", _PAIRS),
    ("clean open layers", _LAYERS),
    ("noisy and clean layer", _CLEAN_PAIR),
    ("two noisy layers", _NOISY_PAIR),
    ("an earlier run", _RUN),
]
_BY_DATA = ("automatic", None)
_ANEW = ("nothing", NOTHING)
_MISSING = "Give the model a name, and choose what to learn from."


class TrainForm(QWidget):  # type: ignore[misc]
    """Fields of a training run; those that do not matter are hidden.

    Parameters
    ----------
    viewer : Viewer
        The viewer, whose layers can be learned from.

    Attributes
    ----------
    ready : Signal
        The models are known.
    """

    ready = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.is_ready = False
        self._viewer = viewer
        self.task = ComboBox(
            label="task",
            choices=TASK_CHOICES,
            value=FIRST_TASK,
            tooltip="What the model will do.",
        )
        self.source = ComboBox(
            label="learn from",
            choices=_SOURCES,
            tooltip="Clean images are degraded during training. Pairs are "
            "degraded images and clean ones of the same sample; to remove "
            "noise, two noisy images of the same sample work as well. An earlier run "
            "is continued.",
        )
        self.data = folder_field("clean images", "Images to train on.")
        self.low = folder_field("degraded", "One half of each pair.")
        self.high = folder_field(
            "clean",
            "The other half, in files of the same names; to remove noise, it may be "
            "noisy as well.",
        )
        self.layers = Select(
            label="layers",
            choices=self._image_layers,
            tooltip="Open images without noise; you can select several.",
        )
        self.noisy = ComboBox(
            label="noisy",
            choices=self._image_layers,
            tooltip="A noisy image, as acquired.",
        )
        self.partner = ComboBox(
            label="partner",
            choices=self._image_layers,
            tooltip="The same field of view without noise, or a second exposure.",
        )
        self.out = folder_field(
            "keep runs in",
            f"Folder for logs, checkpoints and models; by default {runs_folder()}.",
        )
        self.past = ComboBox(
            label="run",
            choices=self._runs,
            tooltip="An earlier training run, finished or not; it keeps its settings.",
        )
        self.level = ComboBox(
            label="level of the pairs",
            choices=[],
            tooltip="Upscaling factor between the degraded and the clean images.",
        )
        self.validation = folder_field(
            "validate on",
            "Clean images that are held out to measure progress; optional.",
        )
        self.start = ComboBox(
            label="start from",
            choices=[_BY_DATA, _ANEW],
            tooltip="Starting from a trained model needs few images and only "
            "minutes; that model stays as it is. “automatic” starts from the supplied "
            "model if you have few images.",
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
            tooltip="Training time; for an earlier run, the additional time.",
        )
        self.name = LineEdit(
            label="model name",
            value="my-model",
            tooltip="Name of the model in the list of models.",
        )
        self._fields = Container(
            widgets=[
                self.source,
                self.task,
                self.data,
                self.low,
                self.high,
                self.level,
                self.layers,
                self.noisy,
                self.partner,
                self.past,
                self.validation,
                self.start,
                self.recipe,
                self.minutes,
                self.name,
                self.out,
            ]
        )
        self._fields.margins = (0, 0, 0, 0)
        finish_fields(self._fields)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._fields.native)
        self.task.changed.connect(self._offer)
        self.out.changed.connect(self.refresh_runs)
        self._fields.changed.connect(self._show_fields)
        self._layer_events = layer_events(viewer)
        for event in self._layer_events:
            event.connect(self._on_layers)
        self._on_layers()
        self._offer()
        self._show_fields()
        self._search = create_worker(_load)
        self._search.returned.connect(self._on_ready)
        self._search.start()

    def request(self) -> TrainingRequest:
        """Return what the fields say.

        Raises
        ------
        UsageError
            If one that is needed is empty, or the two layers are one.
        """
        source = self.source.value
        if source == _RUN:
            return self._longer()
        name = self.name.value.strip()
        data = chosen_folder(self.data) if source == _FOLDER else None
        low, high = chosen_folder(self.low), chosen_folder(self.high)
        pairs = (low, high) if source == _PAIRS and low and high else None
        chosen = self.layers.value if source == _LAYERS else ()
        pair = self._pair() if source in (_CLEAN_PAIR, _NOISY_PAIR) else None
        if not (name and (data or pairs or chosen or pair)):
            raise UsageError(_MISSING)
        is_degraded_here = source in (_FOLDER, _LAYERS)
        return TrainingRequest(
            name=name,
            out=self._folder() / name,
            task=self.task.value,
            recipe=self.recipe.value,
            start=self.start.value,
            minutes=self.minutes.value,
            data=data,
            pairs=pairs,
            layers=[layer_planes(layer) for layer in chosen],
            pair=pair and (layer_planes(pair[0]), layer_planes(pair[1])),
            both_noisy=source == _NOISY_PAIR,
            validation=chosen_folder(self.validation) if is_degraded_here else None,
            level=float(self.level.value or 0),
            device=preferences().device,
        )

    def refresh_runs(self) -> None:
        """Refresh the list of runs."""
        self.past.reset_choices()

    def close_down(self) -> None:
        """Disconnect from the viewer."""
        for event in self._layer_events:
            event.disconnect(self._on_layers)
        models_changed.disconnect(self._offer, missing_ok=True)

    def _longer(self) -> TrainingRequest:
        out: Path | None = self.past.value
        if out is None:
            raise UsageError(f"There is no run in {self._folder()}; train one first.")
        name = name_of_run(out)
        return TrainingRequest(
            name=name,
            out=out,
            run=out,
            minutes=self.minutes.value,
            replaces=has_its_model_installed(out, name),
            device=preferences().device,
        )

    def _pair(self) -> tuple[Image, Image] | None:
        noisy, partner = self.noisy.value, self.partner.value
        if noisy is None or partner is None:
            return None
        if noisy == partner:
            raise UsageError(f"{noisy.name!r} is its own partner; choose another one.")
        return noisy, partner

    def _folder(self) -> Path:
        return chosen_folder(self.out) or runs_folder()

    def _runs(self, *_: Any) -> list[tuple[str, Path]]:
        return [(path.name, path) for path in runs_in(self._folder())]

    def _image_layers(self, *_: Any) -> list[Image]:
        return image_layers(self._viewer)

    def _on_layers(self, event: Any = None) -> None:
        for field in (self.layers, self.noisy, self.partner):
            field.reset_choices()
        if self.partner.value is not None and self.partner.value == self.noisy.value:
            others = [x for x in self.partner.choices if x != self.noisy.value]
            self.partner.value = others[0] if others else self.partner.value

    def _offer(self) -> None:
        """Offer the levels and models of the task."""
        task = TASKS[self.task.value]
        offered = task.standard_levels if task.field.offered else ()
        self.level.choices = [(f"{task.symbol}{v:g}", v) for v in offered]
        if self.is_ready:
            names = [entry.card.name for entry in models_for(task.name)]
            self.start.choices = [_BY_DATA, _ANEW, *((name, name) for name in names)]

    def _on_ready(self) -> None:
        self.is_ready = True
        self._offer()
        models_changed.connect(self._offer)
        self.ready.emit()

    def _show_fields(self) -> None:
        source = self.source.value
        is_new = source != _RUN
        is_pair = source in (_CLEAN_PAIR, _NOISY_PAIR)
        is_offered = TASKS[self.task.value].field.offered
        has_model = self.start.value not in (None, NOTHING)
        shown = {
            self.data: source == _FOLDER,
            self.low: source == _PAIRS,
            self.high: source == _PAIRS,
            self.level: source == _PAIRS and is_offered,
            self.layers: source == _LAYERS,
            self.noisy: is_pair,
            self.partner: is_pair,
            self.past: not is_new,
            self.validation: source in (_FOLDER, _LAYERS),
            self.task: is_new,
            self.start: is_new,
            self.recipe: is_new and not has_model,
            self.name: is_new,
        }
        for field, is_shown in shown.items():
            field.visible = is_shown


def _load() -> None:
    """Import PyTorch and the model registry, which takes seconds."""
    import memnet_core.model.registry  # noqa: F401
