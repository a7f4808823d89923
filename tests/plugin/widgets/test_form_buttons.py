"""Saving and loading presets in the restore widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from pathlib import Path

    from napari_memnet.widgets.restore import RestoreWidget


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answer the dialogs for files with a path."""

    def choose(path: Path | str) -> None:
        for name in ("getSaveFileName", "getOpenFileName"):
            monkeypatch.setattr(QFileDialog, name, lambda *_: (str(path), ""))

    return choose


def test_settings_go_into_a_file_and_come_back(
    widget: RestoreWidget, choose: Any, tmp_path: Path
) -> None:
    choose(tmp_path / "mine")
    widget.form.task.value = "deblock"
    widget.presets.save.click()
    assert (tmp_path / "mine.yaml").exists()
    assert widget.run.status.text() == f"Saved: {tmp_path / 'mine.yaml'}"
    widget.form.task.value = "denoise"
    choose(tmp_path / "mine.yaml")
    widget.presets.load.click()
    assert widget.form.task.value == "deblock"
    assert widget.run.status.text() == f"Loaded: {tmp_path / 'mine.yaml'}"


def test_a_bad_file_is_told_in_the_widget(
    widget: RestoreWidget, choose: Any, tmp_path: Path
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("memnet preset: 1\ntask: paint\n")
    choose(path)
    widget.presets.load.click()
    assert widget.run.status.text() == "other.yaml: “task” cannot be 'paint' here."
    assert widget.form.task.value == "denoise"


def test_no_choice_is_no_file(
    widget: RestoreWidget, choose: Any, tmp_path: Path
) -> None:
    choose("")
    widget.presets.save.click()
    widget.presets.load.click()
    assert widget.run.status.text() == ""
