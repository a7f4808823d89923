"""The button that starts work: however it is clicked, one work runs."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_memnet.jobs.worker import Work
from napari_memnet.widgets.compare import CompareWidget
from napari_memnet.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from qtpy.QtWidgets import QPushButton

    from napari_memnet.widgets.restore import RestoreWidget

_PRESS, _RELEASE = QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease
_DOUBLE = QEvent.Type.MouseButtonDblClick
TWO_CLICKS = (_PRESS, _RELEASE, _PRESS, _RELEASE)
DOUBLE_CLICK = (_PRESS, _RELEASE, _DOUBLE, _RELEASE)


def click(button: QPushButton, kinds: tuple[Any, ...]) -> None:
    """Have all events of the mouse wait at once, as when the window is busy."""
    middle = QPointF(button.rect().center())
    left, up = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    for kind in kinds:
        down = up if kind == _RELEASE else left
        place = (middle, QPointF(button.mapToGlobal(button.rect().center())))
        event = QMouseEvent(kind, *place, left, down, Qt.KeyboardModifier.NoModifier)
        QApplication.postEvent(button, event)


class Bar(RunBar):
    """A bar whose work goes on until it may end."""

    def __init__(self) -> None:
        super().__init__("Start")
        self.started: list[Work] = []
        self.told: list[str] = []
        self.may_end = threading.Event()
        self.requested.connect(self._start)

    def _start(self) -> None:
        work = Work(self._steps(), "steps", parent=self)
        self.started.append(work)
        self.follow(work)
        work.cancelled.connect(partial(self.told.append, "cancelled"))
        work.succeeded.connect(lambda _: self.told.append("succeeded"))

    def _steps(self) -> Generator[int, None, None]:
        yield 1
        while not self.may_end.wait(0.01):
            yield 1


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """List all works that are made from now on."""
    made: list[Work] = []
    original = Work.__init__

    def noted(self: Work, *args: Any, **options: Any) -> None:
        made.append(self)
        original(self, *args, **options)

    monkeypatch.setattr(Work, "__init__", noted)
    return made


@pytest.fixture
def bar(viewer: Any, dock: Any, wait: Any) -> Iterator[Bar]:
    bar = dock(Bar())
    yield bar
    bar.may_end.set()
    bar.cancel()
    wait(lambda: bar.work is None)


def test_a_double_click_starts_one_work_and_does_not_cancel_it(
    bar: Bar, wait: Any
) -> None:
    click(bar.button, DOUBLE_CLICK)
    wait(lambda: bool(bar.started))
    assert bar.work is bar.started[0]
    assert not bar.work.is_cancelling
    bar.may_end.set()
    wait(lambda: bar.work is None)
    assert (len(bar.started), bar.told) == (1, ["succeeded"])


def test_a_second_click_cancels_what_the_first_started(bar: Bar, wait: Any) -> None:
    click(bar.button, TWO_CLICKS)
    wait(lambda: bool(bar.told))
    wait(lambda: bar.work is None)
    assert (len(bar.started), bar.told) == (1, ["cancelled"])


def test_a_double_click_on_restore_adds_one_layer(
    widget: RestoreWidget, viewer: Any, noise: Any, wait: Any, works: list[Work]
) -> None:
    viewer.add_image(noise(20, 24), name="cells")
    click(widget.run.button, DOUBLE_CLICK)
    wait(lambda: len(viewer.layers) > 1 and widget.run.work is None)
    assert len(works) == 1


def test_a_double_click_scores_every_slice_once(
    viewer: Any, dock: Any, noise: Any, wait: Any, works: list[Work]
) -> None:
    clean = noise(3, 20, 24)
    layers = [viewer.add_image(clean // part) for part in (1, 2, 3)]
    widget = dock(CompareWidget(viewer))
    fields = (widget.reference, widget.source, widget.result)
    for field, layer in zip(fields, layers, strict=True):
        field.value = layer
    click(widget.plot.button, DOUBLE_CLICK)
    wait(lambda: len(widget.plot.found) == 3 and not widget.plot.is_running)
    assert len(works) == 1
    widget.close()
