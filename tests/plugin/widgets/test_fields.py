"""Fields and docks on small screens, and for those who do not see them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLabel, QWidget

from napari_memnet.widgets.adapt import AdaptWidget
from napari_memnet.widgets.batch import BatchWidget
from napari_memnet.widgets.compare import CompareWidget
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.fields import folder_field
from napari_memnet.widgets.restore import RestoreWidget
from napari_memnet.widgets.train import TrainWidget

if TYPE_CHECKING:
    from pathlib import Path

SAME_ROW = 6
"""Pixels by which the middles of fields in one row differ at most."""

pytestmark = pytest.mark.usefixtures("models")


def opened(kind: type[DockWidget], viewer: Any) -> Any:
    return kind() if kind is BatchWidget else kind(viewer)


@pytest.mark.parametrize(
    "kind", [RestoreWidget, BatchWidget, TrainWidget, CompareWidget, AdaptWidget]
)
def test_a_widget_fits_a_low_window_and_each_field_says_what_it_is(
    viewer: Any, dock: Any, wait: Any, kind: type[DockWidget]
) -> None:
    widget = dock(opened(kind, viewer))
    form = getattr(widget, "form", None)
    wait(lambda: getattr(form, "is_ready", True))
    assert widget.minimumSizeHint().height() < 200
    assert widget.sizeHint().height() <= 600
    fields = (form or widget)._fields
    for field in fields:
        assert field.tooltip, field.label
        if not isinstance(field.native, QAbstractButton):
            assert field.native.accessibleName() == field.label
    # Tab leads from top to bottom, and to nothing that is hidden.
    assert len(tab_stops(widget)) > 3
    wait(lambda: leads_down(widget))
    widget.close()


def leads_down(widget: QWidget) -> bool:
    """Whether Tab never leads to a higher row."""
    stops = tab_stops(widget)
    places = [stop.mapTo(widget, stop.rect().center()).y() for stop in stops]
    return all(y >= before - SAME_ROW for before, y in itertools.pairwise(places))


def tab_stops(widget: QWidget) -> list[QWidget]:
    """Return what Tab leads to inside of a widget, in turn, from its first stop."""
    chain, stop = [], widget.nextInFocusChain()
    while stop is not widget:
        policy = stop.focusPolicy() & Qt.FocusPolicy.TabFocus
        if widget.isAncestorOf(stop) and stop.isVisibleTo(widget) and policy:
            chain.append(stop)
        stop = stop.nextInFocusChain()
    return chain


def test_labels_are_as_wide_as_the_widest(qtbot: Any, wait: Any) -> None:
    widget = BatchWidget()
    qtbot.addWidget(widget)
    widget.show()
    wait(lambda: widget.form.is_ready)
    native = widget.form._fields.native
    labels = [x for x in native.findChildren(QLabel) if x.isVisibleTo(native)]
    assert len({label.x() + label.width() for label in labels}) == 1
    # napari's fonts come with its style, which may be later.
    native.setStyleSheet("QLabel { font-size: 19pt }")
    wait(lambda: len({x.x() + x.width() for x in labels if x.isVisible()}) == 1)
    assert labels[0].width() > labels[0].sizeHint().width()
    widget.close()


def test_a_long_message_is_wrapped_and_makes_no_dock_wider(qtbot: Any) -> None:
    from napari_memnet.widgets.run_bar import Status

    status = Status("what")
    qtbot.addWidget(status)
    empty = status.minimumSizeHint().width()
    path = "/home/someone/" + "a-long-name_without_spaces" * 9
    status.setText(path)
    assert status.text() == path
    assert status.minimumSizeHint().width() == empty


def test_a_long_path_is_elided_in_its_middle_and_whole_in_the_tooltip(
    qtbot: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder with a rather long name" / "and one more inside"
    field = folder_field("images in", "What is restored.")
    qtbot.addWidget(field.native)
    field.native.resize(260, 30)
    field.native.show()
    field.value = folder
    line = field.line_edit.native
    drawn = [x for x in line.children() if hasattr(x, "text") and "…" in x.text()]
    assert len(drawn) == 1
    assert drawn[0].text().endswith("inside")
    assert drawn[0].text().startswith("/")
    assert str(folder) in line.toolTip()
    assert "What is restored." in line.toolTip()
    assert field.value == folder


def test_what_is_too_high_for_a_window_is_scrolled_to(qtbot: Any) -> None:
    tall = QWidget()
    tall.setMinimumSize(410, 3000)
    dock = DockWidget(tall)
    qtbot.addWidget(dock)
    assert dock.minimumSizeHint().height() < 200
    assert dock.minimumSizeHint().width() > 410
    dock.resize(dock.sizeHint())
    dock.show()
    assert dock.area.verticalScrollBar().maximum() > 2000
