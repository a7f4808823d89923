"""Fields of forms that magicgui has no name for."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    FloatSpinBox,
    SpinBox,
)
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QLabel,
    QLineEdit,
    QStyle,
    QStyleOptionFrame,
    QWidget,
)

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

    from memnet_core.tasks import Task

__all__ = [
    "NoiseFields",
    "chosen_folder",
    "finish_fields",
    "folder_field",
    "level_field",
    "plain_tip",
]


_NARROWEST = 8
"""Minimum number of characters that a combo box shows."""


def folder_field(label: str, tooltip: str = "") -> FileEdit:
    """Return a field for a folder, which is empty at first.

    A path that is longer than the field is elided in its middle, and is all in the
    tooltip.
    """
    field = FileEdit(
        label=label,
        mode=FileDialogMode.EXISTING_DIRECTORY,
        nullable=True,
        value=None,
        tooltip=tooltip,
    )
    field.choose_btn.text = "Choose…"
    line: QLineEdit = field.line_edit.native
    line.installEventFilter(_Elided(line, tooltip))
    return field


def level_field(task: Task) -> Any:
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


def chosen_folder(field: FileEdit) -> Path | None:
    """Return the folder of a field, or None if it is empty."""
    value = field.value
    return value if isinstance(value, Path) and value != Path() else None


def plain_tip(text: str) -> str:
    """Return a tooltip, which Qt takes for HTML where it looks like that."""
    return f"<qt>{escape(escape_control_chars(text))}</qt>"


def finish_fields(fields: Container[Any]) -> None:
    """Align fields, name them for those who do not see them, cut long choices."""
    fields.native.installEventFilter(_Aligned(fields.native))
    for field in fields:
        native: Any = field.native
        for widget in (native, *native.findChildren(QWidget)):
            # Buttons are named by their text, which may change.
            if not isinstance(widget, QAbstractButton):
                widget.setAccessibleName(str(field.label))
        if isinstance(native, QComboBox):
            native.setMinimumContentsLength(_NARROWEST)
            native.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )


class _Aligned(QObject):  # type: ignore[misc]
    """Gives the labels of fields one width, whenever their font may have changed."""

    _WHEN = (QEvent.Type.Show, QEvent.Type.StyleChange, QEvent.Type.LayoutRequest)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in self._WHEN:
            rows = watched.findChildren(
                QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly
            )
            labels = [
                row.findChild(QLabel, options=Qt.FindChildOption.FindDirectChildrenOnly)
                for row in rows
            ]
            widest = max((x.sizeHint().width() for x in labels if x), default=0)
            for label in labels:
                if label:
                    label.setMinimumWidth(widest)
        return False


class _Elided(QObject):  # type: ignore[misc]
    """Draws the text of a line edit without its middle where it is too long.

    While the field has the focus, it is drawn as ever, so that it can be edited.
    """

    def __init__(self, line: QLineEdit, tooltip: str) -> None:
        super().__init__(line)
        self._line = line
        self._tooltip = tooltip
        line.textChanged.connect(self._on_text)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.Paint or self._line.hasFocus():
            return False
        elided = self.text()
        if elided == self._line.text():
            return False
        option = QStyleOptionFrame()
        self._line.initStyleOption(option)
        painter = QPainter(self._line)
        style = self._line.style()
        style.drawPrimitive(
            QStyle.PrimitiveElement.PE_PanelLineEdit, option, painter, self._line
        )
        painter.setPen(self._line.palette().text().color())
        painter.drawText(self._inside(), Qt.AlignmentFlag.AlignVCenter, elided)
        painter.end()
        return True

    def text(self) -> str:
        """Return the text, shortened in the middle to the width of the field."""
        metrics = self._line.fontMetrics()
        return str(
            metrics.elidedText(
                self._line.text(),
                Qt.TextElideMode.ElideMiddle,
                self._inside().width(),
            )
        )

    def _inside(self) -> Any:
        option = QStyleOptionFrame()
        self._line.initStyleOption(option)
        rectangle = self._line.style().subElementRect(
            QStyle.SubElement.SE_LineEditContents, option, self._line
        )
        return rectangle.adjusted(2, 0, -2, 0)

    def _on_text(self, text: str) -> None:
        told = [plain_tip(text)] if text else []
        self._line.setToolTip("<br>".join([*told, *filter(None, [self._tooltip])]))


class NoiseFields:
    """Where noise is stronger, hot pixels, and values that come around.

    Attributes
    ----------
    noise : ComboBox
        Whether it grows with the signal; only where its strength is found out.
    hot_pixels : CheckBox
        Whether single pixels that are far too bright are replaced.
    cyclic : ComboBox
        Whether the ends of the range mean the same, as of phases.
    """

    def __init__(self) -> None:
        self.noise = ComboBox(
            label="noise",
            choices=[
                ("automatic", "auto"),
                ("same everywhere", "gaussian"),
                ("shot noise (photons)", "photons"),
            ],
            tooltip="Shot noise is stronger in bright areas. It is equalized "
            "before the network, and intensities are kept. “Automatic” does so if the "
            "image clearly shows it.",
        )
        self.hot_pixels = CheckBox(
            text="replace hot pixels",
            value=True,
            tooltip="Replace single pixels that are far brighter than shot noise "
            "explains; structures as wide as the point spread function stay.",
        )
        self.cyclic = ComboBox(
            label="cyclic values",
            choices=[("automatic", None), ("yes", True), ("no", False)],
            tooltip="Phases and angles come around: both ends of their range mean the "
            "same. They are restored as sine and cosine. “Automatic” does so if "
            "floats clearly show it.",
        )

    @property
    def all(self) -> list[Widget]:
        """All fields, in the order of the form."""
        return [self.noise, self.hot_pixels, self.cyclic]

    @property
    def by_name(self) -> dict[str, Any]:
        """The fields, by the name under which a choice is remembered."""
        names = ("noise", "hot pixels", "cyclic values")
        return dict(zip(names, self.all, strict=True))

    def show(self, task: str, *, is_open: bool, is_given: bool) -> None:
        """Show what matters for a task, whose level is given or found out."""
        is_noisy = is_open and TASKS[task].noisy
        for field in self.all:
            field.visible = is_noisy and not is_given

    def settings(self, task: str, *, is_given: bool) -> dict[str, Any]:
        """Return what they say to `memnet_core.inference.settings.RestoreOptions`."""
        if is_given or not TASKS[task].noisy:
            return {}
        hot = "auto" if self.hot_pixels.value else "keep"
        return {
            "noise": self.noise.value,
            "hot_pixels": hot,
            "cyclic": self.cyclic.value,
        }
