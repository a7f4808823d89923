"""Fixtures of the plugin's suite: a real viewer, tiny models, and patience."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("napari")

from memnet_core.inference.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    Wait = Callable[[Callable[[], bool]], None]

PATIENCE_MS = 90_000


@pytest.fixture(autouse=True)
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forms and plans remember nothing of other tests or of the user."""
    monkeypatch.setenv("MEMNET_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setattr("napari_memnet.jobs.restore._plans", OrderedDict())


@pytest.fixture
def wait(qtbot: Any) -> Wait:
    """Handle events until something is true."""

    def wait(condition: Callable[[], bool]) -> None:
        qtbot.waitUntil(condition, timeout=PATIENCE_MS)

    return wait


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    """Open a viewer that is guarded as napari guards it against plugins."""
    return make_napari_viewer_proxy()


@pytest.fixture
def models(install: Callable[..., Path]) -> None:
    """Install a tiny model for each task."""
    install("blocks", 1, 100)
    install("noise", 0, 255, task="denoise")
    install("large", 2, 4, task="sr")


@pytest.fixture
def dock(viewer: Any) -> Callable[[QWidget], QWidget]:
    """Put a widget into the viewer's window."""

    def dock(widget: QWidget) -> QWidget:
        viewer.window.add_dock_widget(widget, name="MemNet")
        return widget

    return dock


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold every strip back until the event is set."""
    event = threading.Event()
    original = Engine.stream

    def held(self: Engine, *args: Any) -> Iterator[Any]:
        for rows in original(self, *args):
            event.wait(90)
            yield rows

    monkeypatch.setattr(Engine, "stream", held)
    yield event
    event.set()
