"""The form that says how to restore; widgets for layers and for folders share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    SpinBox,
)
from napari.qt.threading import create_worker
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QCollapsible

from memnet_core.errors import UsageError
from memnet_core.tasks import TASKS
from napari_memnet.models import describe, levels_for, models_changed, models_for
from napari_memnet.settings import preferences
from napari_memnet.words import NEAREST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magicgui.widgets.bases import Widget
    from napari.layers import Image

    from memnet_core.restoration.settings import RangeChoice, Settings
    from memnet_core.tasks import Task

__all__ = ["FIRST_TASK", "TASK_CHOICES", "RestorationForm"]

TASK_CHOICES = [(task.title, task.name) for task in TASKS.values()]
FIRST_TASK = "denoise"
_RANGES = [
    ("automatic", "auto"),
    ("data type", "dtype"),
    ("percentiles", "percentile"),
    ("two values", "pair"),
]
_LAYER_RANGES = [*_RANGES, ("contrast limits", "contrast")]
_FOLDER_RANGES = [*_RANGES, ("percentiles of each plane", "plane")]
_BEST = "best for the level"


class RestorationForm(QWidget):  # type: ignore[misc]
    """Task, level and model; below a fold what seldom needs a change.

    Parameters
    ----------
    for_layers : bool
        Whether value ranges can come from a layer.
    first, last : sequence of Widget
        Fields of the owner's, above and below those of the form.

    Attributes
    ----------
    changed : Signal
        Something was edited.
    ready : Signal
        Models and devices are known; before that, nothing can be restored.
    """

    changed = Signal()
    ready = Signal()

    def __init__(
        self,
        *,
        for_layers: bool,
        first: Sequence[Widget] = (),
        last: Sequence[Widget] = (),
    ) -> None:
        super().__init__()
        self.task = ComboBox(label="task", choices=TASK_CHOICES, value=FIRST_TASK)
        self.automatic = CheckBox(label="level automatic", value=True)
        self.levels = {name: _level_widget(task) for name, task in TASKS.items()}
        self.model = ComboBox(label="model", choices=[_BEST])
        self._main = Container(
            widgets=[
                *first,
                self.task,
                self.automatic,
                *self.levels.values(),
                self.model,
                *last,
            ],
        )
        self.device = ComboBox(label="device", choices=["auto"])
        self.range = ComboBox(
            label="black and white",
            choices=_LAYER_RANGES if for_layers else _FOLDER_RANGES,
            tooltip="Which values the network takes for black and white; one range "
            "serves the whole layer or stack, or each of its channels.",
        )
        self.low = FloatSpinBox(label="black", value=0, min=-1e9, max=1e9)
        self.high = FloatSpinBox(label="white", value=255, min=-1e9, max=1e9)
        self.channels = ComboBox(
            label="colours",
            choices=[
                ("as the task needs", None),
                ("luminance only", "luminance"),
                ("every channel", "each"),
                ("all together", "joint"),
            ],
        )
        self.exit_block = SpinBox(
            label="stop after block", value=0, min=0, max=0,
            tooltip="Fewer memory blocks are faster and restore less; 0 for all.",
        )  # fmt: skip
        self.nearest = CheckBox(
            text=NEAREST,
            value=False,
            tooltip="Restore also where no model is trained for the level, with the "
            "one that comes closest; otherwise you are asked.",
        )
        self._more = Container(
            widgets=[
                self.nearest,
                self.device,
                self.range,
                self.low,
                self.high,
                self.channels,
                self.exit_block,
            ],
        )
        for container in (self._main, self._more):
            container.margins = (0, 0, 0, 0)
        fold = QCollapsible("more options")
        fold.addWidget(self._more.native)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._main.native)
        layout.addWidget(fold)

        chosen = preferences()
        self._preferred_device = chosen.device
        self.is_ready = False
        self.task.changed.connect(self._show_models)
        self.task.changed.connect(self._ask_again)
        self.model.changed.connect(self._show_card)
        for container in (self._main, self._more):
            container.changed.connect(self._on_change)
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

    def settings(self, layer: Image | None = None) -> Settings:
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
        from memnet_core.restoration.settings import Settings

        return Settings(
            task=self.task.value,
            level=self.level,
            channels=self.channels.value,
            value_range=self._range(layer),
            model=None if self.model.value == _BEST else self.model.value,
            nearest=self.nearest.value,
            device=self.device.value,
            exit_block=self.exit_block.value or None,
        )

    def close_down(self) -> None:
        """Let go of what outlives the form."""
        models_changed.disconnect(self._show_models, missing_ok=True)

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
        """Take what was accepted for one task for no answer for the next."""
        self.nearest.value = False

    def _on_change(self) -> None:
        self._show_fields()
        self.changed.emit()

    def _show_fields(self) -> None:
        chosen = TASKS[self.task.value]
        is_given = not (chosen.estimable and self.automatic.value)
        self.automatic.visible = chosen.estimable
        for name, field in self.levels.items():
            field.visible = is_given and name == chosen.name
        for end in (self.low, self.high):
            end.visible = self.range.value == "pair"

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
        self._show_fields()

    def _show_card(self) -> None:
        if not self.is_ready:
            return
        entries = models_for(self.task.value)
        chosen = [e for e in entries if e.card.name == self.model.value]
        self.model.tooltip = "\n\n".join(describe(e.card) for e in chosen or entries)
        blocks = [e.card.architecture.memory_blocks for e in chosen or entries]
        self.exit_block.max = min(blocks, default=0)

    def _on_ready(self, devices: list[str]) -> None:
        self.is_ready = True
        self.device.choices = ["auto", *devices]
        if self._preferred_device in self.device.choices:
            self.device.value = self._preferred_device
        self._show_models()
        models_changed.connect(self._show_models)
        self.ready.emit()


def _level_widget(task: Task) -> Any:
    """Return what asks for a level; choices of those of models come later."""
    field = task.field
    if field.offered:
        return ComboBox(label=field.label, choices=[], tooltip=field.tooltip)
    number: Any = int if task.whole else float
    return (SpinBox if task.whole else FloatSpinBox)(
        label=field.label,
        value=number(field.value),
        min=number(field.low),
        max=number(field.high),
        step=number(field.step),
        tooltip=field.tooltip,
    )


def _devices() -> list[str]:
    """Return the devices of this machine; this imports PyTorch, which takes seconds."""
    from memnet_core.devices import available_devices

    return available_devices()
