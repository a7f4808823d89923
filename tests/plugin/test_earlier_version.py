"""Presets, and what forms remembered, of version 0.1: forms say what they said then.

Forms are asked by "Copy as command".
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton

from napari_memnet.widgets.batch import BatchWidget
from napari_memnet.widgets.restore import RestoreWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

DATA = Path(__file__).parents[1] / "data" / "version_0_1"


@pytest.fixture(autouse=True)
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forms find what version 0.1 remembered, and its models."""
    shutil.copytree(DATA / "settings", tmp_path / "settings")
    shutil.copytree(DATA / "models", tmp_path / "models")
    monkeypatch.setenv("MEMNET_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setenv("MEMNET_MODELS", str(tmp_path / "models"))


@pytest.fixture
def ready(qtbot: Any, wait: Any) -> Callable[[QWidget], QWidget]:
    """Wait until a widget can be used."""

    def ready(widget: QWidget) -> QWidget:
        qtbot.addWidget(widget)
        wait(lambda: button(widget, "Load preset…").isEnabled())
        return widget

    return ready


def button(widget: QWidget, text: str) -> QPushButton:
    [found] = [x for x in widget.findChildren(QPushButton) if x.text() == text]
    return found


def said(widget: QWidget) -> set[str]:
    """Give the options of the command that stands for what a widget says."""
    button(widget, "Copy as command").click()
    command = str(QApplication.clipboard().text()).replace("=", " ")
    return {option.strip() for option in command.split("--")[1:]}


def test_the_form_for_folders_says_what_it_said(ready: Any) -> None:
    widget = ready(BatchWidget())
    expected = {"task deblock", "q 35", "channels luminance", "recursive"}
    assert said(widget) == expected | {"format tiff"}
    widget.close()


def test_the_form_for_layers_says_what_it_said(viewer: Any, ready: Any) -> None:
    viewer.add_image(np.zeros((20, 24), np.uint8))
    widget = ready(RestoreWidget(viewer))
    expected = {"task denoise", "range dtype", "noise photons", "hot-pixels keep"}
    assert said(widget) == expected
    widget.close_down()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "denoise-given",
            "task denoise, sigma 12.5, model tiny, strength 0.8, range 5.0,900.0, "
            "channels each",
        ),
        (
            "denoise-photons",
            "task denoise, range dtype, noise photons, hot-pixels keep",
        ),
        ("deblock-folder", "task deblock, q 35, channels luminance"),
    ],
)
def test_presets_are_loaded(
    ready: Any, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    path = str(DATA / "presets" / f"{name}.yaml")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (path, ""))
    widget = ready(BatchWidget())
    button(widget, "Restore defaults").click()
    assert said(widget) == {"task denoise"}
    button(widget, "Load preset…").click()
    of_folders = {"recursive", "format tiff"} if name == "deblock-folder" else set()
    assert said(widget) == set(expected.split(", ")) | of_folders
    widget.close()
