"""The form that says how to restore; widgets for layers and for folders share it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSlider,
    FloatSpinBox,
    PushButton,
)
from napari.qt.threading import create_worker
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from memnet_core.errors import UsageError
from memnet_core.inference.settings import MOST_STRENGTH, SETTINGS
from memnet_core.tasks import TASKS
from napari_memnet.form_state import forget, preferences, recall, remember
from napari_memnet.model_choices import (
    describe,
    levels_for,
    models_changed,
    models_for,
    trained_for,
)
from napari_memnet.widgets.fields import NoiseFields, finish_fields, level_field
from napari_memnet.widgets.run_bar import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magicgui.widgets.bases import Widget
    from napari.layers import Image

    from memnet_core.inference.settings import RangeChoice, RestoreOptions

__all__ = ["FIRST_TASK", "TASK_CHOICES", "RestorationForm"]


TASK_CHOICES = [(task.title, task.name) for task in TASKS.values()]
FIRST_TASK = "denoise"
_RANGES = [
    ("automatic", "auto"),
    ("all that the data type holds", "dtype"),
    ("darkest to brightest, by percentiles", "percentile"),
    ("two values of my own", "pair"),
]
_LAYER_RANGES = [*_RANGES, ("contrast limits of the layer", "contrast")]
_FOLDER_RANGES = [*_RANGES, ("percentiles of each plane by itself", "plane")]
_BEST = "best for the level"
_ALL_BLOCKS = ("full", None)
_FINDS = {
    "denoise": (
        "measure the noise",
        "Estimate σ from the image: from the middle plane of a layer or stack, for "
        "each channel by itself. Otherwise σ can be given.",
    ),
    "deblock": (
        "read the JPEG quality from the file",
        "It is known where the image was opened from a JPEG file; otherwise it has to "
        "be given.",
    ),
}
"""Label and tooltip of the automatic level, by task."""

_FOLDED, _OPEN = "▸ more options", "▾ more options"


class RestorationForm(QWidget):  # type: ignore[misc]
    """Task, level and model; below a fold what seldom needs a change.

    What is chosen is remembered for the next time, but for what is given for one image.

    Parameters
    ----------
    name : str
        Under which it is remembered.
    for_layers : bool
        Whether value ranges can come from a layer.
    first, last : sequence of Widget
        Fields of the owner's, above and below those of the form.
    kept : mapping of str to Widget, optional
        Those of them that are remembered, too, by name.

    Attributes
    ----------
    kept : dict of str to Widget
        Fields that are remembered, by name.
    changed : Signal
        Something was edited.
    ready : Signal
        Models and devices are known; before that, nothing can be restored.
    """

    changed = Signal()
    ready = Signal()

    def __init__(
        self,
        name: str,
        *,
        for_layers: bool,
        first: Sequence[Widget] = (),
        last: Sequence[Widget] = (),
        kept: Mapping[str, Widget] | None = None,
    ) -> None:
        super().__init__()
        self._name = name
        self.task = ComboBox(
            label="task",
            choices=TASK_CHOICES,
            value=FIRST_TASK,
            tooltip="What to remove from the image.",
        )
        self.automatic = CheckBox(text=_FINDS[FIRST_TASK][0], value=True)
        self.levels = {name: level_field(task) for name, task in TASKS.items()}
        self.model = ComboBox(label="model", choices=[_BEST])
        self.strength = FloatSlider(
            label="strength",
            value=1,
            min=0,
            max=MOST_STRENGTH,
            step=0.05,
            tooltip="1 removes the noise or artifacts that were found, 0 removes none.",
        )
        self.more = PushButton(
            text=_FOLDED, tooltip="Show or hide settings that you rarely need."
        )
        self.more.native.setCheckable(True)
        self.nearest = CheckBox(
            text=SETTINGS["nearest"].label,
            value=False,
            tooltip="If no model is trained for this level, use the one that "
            "comes closest instead of asking.",
        )
        self.device = ComboBox(
            label="compute on",
            choices=["auto"],
            tooltip="Processor to use; “auto” takes a graphics card if there is one.",
        )
        self.range = ComboBox(
            label=SETTINGS["value_range"].label,
            choices=_LAYER_RANGES if for_layers else _FOLDER_RANGES,
            tooltip="Intensities that become black and white for the network. One "
            "range is used for the whole layer or stack, or for each channel.",
        )
        self.low = FloatSpinBox(
            label="darkest value",
            value=0,
            min=-1e9,
            max=1e9,
            tooltip="Intensity that becomes black for the network.",
        )
        self.high = FloatSpinBox(
            label="brightest value",
            value=255,
            min=-1e9,
            max=1e9,
            tooltip="Intensity that becomes white for the network.",
        )
        self.channels = ComboBox(
            label="colors",
            choices=[
                ("as the task needs", None),
                ("brightness only", "luminance"),
                ("each by itself", "each"),
                ("all together", "joint"),
            ],
            tooltip="Which parts of a color image are restored.",
        )
        self.exit_block = ComboBox(
            label="network depth",
            choices=[_ALL_BLOCKS],
            tooltip="Number of memory blocks of the network to use: fewer are "
            "faster and restore less.",
        )
        self.defaults = PushButton(
            text="Restore defaults", tooltip="Reset all settings to their defaults."
        )
        self.noise = NoiseFields()
        self._folded = [
            self.nearest,
            *self.noise.all,
            self.device,
            self.range,
            self.low,
            self.high,
            self.channels,
            self.exit_block,
            self.defaults,
        ]
        fields = [
            *first,
            self.task,
            self.automatic,
            *self.levels.values(),
            self.model,
            self.strength,
            *last,
            self.more,
            *self._folded,
        ]
        self._fields = Container(widgets=fields)
        self._fields.margins = (0, 0, 0, 0)
        self.about = Status("About the model")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._fields.native)
        layout.addWidget(self.about)
        finish_fields(self._fields)
        self.kept: dict[str, Any] = {
            "task": self.task,
            "automatic": self.automatic,
            **{f"level {name}": field for name, field in self.levels.items()},
            "model": self.model,
            "strength": self.strength,
            "range": self.range,
            "low": self.low,
            "high": self.high,
            "channels": self.channels,
            "depth": self.exit_block,
            **self.noise.by_name,
            **(kept or {}),
        }

        chosen = preferences()
        self._preferred_device = chosen.device
        self.is_ready = self._has_strength = False
        self.task.changed.connect(self._show_models)
        self.task.changed.connect(self._ask_again)
        self.model.changed.connect(self._show_card)
        self.more.changed.connect(self._show_fields)
        self.defaults.changed.connect(self.restore_defaults)
        self._fields.changed.connect(self._on_change)
        self._show_fields()
        self._search = create_worker(_devices)
        self._search.returned.connect(self._on_ready)
        self._search.start()

    @property
    def level(self) -> float | None:
        """The level that is given, or None if it is to be found out."""
        task = TASKS[self.task.value]
        if task.estimable and self.automatic.value:
            return None
        return float(self.levels[task.name].value)

    def settings(self, layer: Image | None = None) -> RestoreOptions:
        """Return what the form says.

        Parameters
        ----------
        layer : Image, optional
            Where contrast limits come from.

        Raises
        ------
        UsageError
            If black does not lie below white.
        """
        from memnet_core.inference.settings import RestoreOptions

        return RestoreOptions(
            task=self.task.value,
            level=self.level,
            channels=self.channels.value,
            value_range=self._range(layer),
            strength=self.strength.value if self._has_strength else 1.0,
            model=None if self.model.value == _BEST else self.model.value,
            nearest=self.nearest.value,
            device=self.device.value,
            exit_block=self.exit_block.value,
            **self.noise.settings(self.task.value, is_given=self.level is not None),
        )

    def close_down(self) -> None:
        """Remember the settings and disconnect from other widgets."""
        self._remember()
        models_changed.disconnect(self._show_models, missing_ok=True)

    def restore_defaults(self) -> None:
        """Reset the form to its defaults and forget what was remembered."""
        forget(self._name)
        with self._fields.changed.blocked():
            self._take(self._initial)
            self.nearest.value = False
            self.device.value = "auto"
        self._on_change()

    def _remember(self) -> None:
        if self.is_ready:
            remember(self._name, {key: x.value for key, x in self.kept.items()})

    def _take(self, values: dict[str, Any]) -> None:
        """Set the fields that accept their value; a model may have been deleted."""
        for key, field in self.kept.items():
            if key in values:
                with suppress(ValueError, TypeError):
                    field.value = values[key]

    def _range(self, layer: Image | None) -> RangeChoice:
        choice: Any = self.range.value
        if choice == "pair":
            low, high = self.low.value, self.high.value
            if not low < high:
                raise UsageError(f"Black, {low:g}, has to lie below white, {high:g}.")
            return low, high
        if layer is not None and choice == "contrast":
            low, high = layer.contrast_limits
            return float(low), float(high)
        return choice  # type: ignore[no-any-return]

    def _ask_again(self) -> None:
        """Reset “nearest model” when the task changes."""
        self.nearest.value = False

    def _on_change(self) -> None:
        self._show_fields()
        self.changed.emit()

    def _show_fields(self) -> None:
        is_open = self.more.native.isChecked()
        self.more.text = _OPEN if is_open else _FOLDED
        for widget in self._folded:
            widget.visible = is_open
        chosen = TASKS[self.task.value]
        is_given = not (chosen.estimable and self.automatic.value)
        self.noise.show(chosen.name, is_open=is_open, is_given=is_given)
        self.automatic.visible = chosen.estimable
        self.strength.visible = self._has_strength
        if chosen.estimable:
            self.automatic.text, self.automatic.tooltip = _FINDS[chosen.name]
        for name, field in self.levels.items():
            field.visible = is_given and name == chosen.name
        for end in (self.low, self.high):
            end.visible = is_open and self.range.value == "pair"

    def _show_models(self) -> None:
        if not self.is_ready:
            return
        for name, task in TASKS.items():
            if task.field.offered:
                found = [(f"{task.symbol}{n:g}", n) for n in levels_for(name)]
                self.levels[name].choices = found
        names = [entry.card.name for entry in models_for(self.task.value)]
        self.model.choices = [_BEST, *names]
        self._show_card()

    def _show_card(self) -> None:
        if not self.is_ready:
            return
        entries = models_for(self.task.value)
        chosen = [e for e in entries if e.card.name == self.model.value]
        self.model.tooltip = "\n\n".join(describe(e.card) for e in chosen or entries)
        blocks = [e.card.architecture.memory_blocks for e in chosen or entries]
        most = min(blocks, default=0)
        parts = [(f"{n} of {most} blocks", n) for n in range(1, most)]
        self.exit_block.choices = [_ALL_BLOCKS, *parts]
        self.about.setText(trained_for(chosen or entries))
        self._has_strength = any(e.card.takes_strength for e in chosen or entries)
        self._show_fields()

    def _on_ready(self, devices: list[str]) -> None:
        self.is_ready = True
        self.device.choices = ["auto", *devices]
        if self._preferred_device in self.device.choices:
            self.device.value = self._preferred_device
        self._show_models()
        self._initial = {key: field.value for key, field in self.kept.items()}
        self._take(recall(self._name))
        models_changed.connect(self._show_models)
        self.ready.emit()


def _devices() -> list[str]:
    """List the devices of this machine; this imports PyTorch, which takes seconds."""
    from memnet_core._util.devices import available_devices

    return available_devices()
