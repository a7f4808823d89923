"""Models of one's own: renamed, and deleted after a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtWidgets import QMessageBox

from napari_memnet.model_choices import own_models
from napari_memnet.widgets.restore_form import RestorationForm
from napari_memnet.widgets.train import OwnModels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

YES, NO = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No


@pytest.fixture
def widget(
    qtbot: Any, install: Callable[..., Path], models_folder: Path
) -> Iterator[OwnModels]:
    """Unfold the list of two models; a third one ships."""
    shipped = install("noise", 5, 75, task="denoise")
    shipped.rename(models_folder.with_name("shipped") / shipped.name)
    install("first", 5, 50, task="denoise")
    install("second", 5, 75)
    widget = OwnModels()
    qtbot.addWidget(widget)
    widget.show()
    widget.begin()
    widget.more.native.click()
    yield widget
    widget.close_down()


def names() -> list[str]:
    return [entry.card.name for entry in own_models()]


def answer(monkeypatch: pytest.MonkeyPatch, given: Any) -> list[str]:
    asked: list[str] = []

    def question(parent: Any, title: str, text: str) -> Any:
        asked.append(text)
        return given

    monkeypatch.setattr(QMessageBox, "question", question)
    return asked


def test_shipped_models_are_not_offered(widget: OwnModels) -> None:
    assert widget.model.choices == ("first", "second")
    assert "denoise σ 5-50" in str(widget.model.tooltip)


def test_renamed_model_is_offered_by_its_new_name_everywhere(
    widget: OwnModels, qtbot: Any, wait: Any
) -> None:
    form = RestorationForm("test", for_layers=False)
    qtbot.addWidget(form)
    wait(lambda: form.is_ready)
    widget.name.value = "cells"
    widget.rename.native.click()
    assert names() == ["cells", "second"]
    assert widget.model.value == "cells"
    assert "cells" in form.model.choices
    assert "'first' is called 'cells' now" in widget.status.text()
    form.close_down()


def test_name_that_does_not_serve_is_one_sentence(widget: OwnModels) -> None:
    for name, told in (
        ("second", "already a model 'second'"),
        ("a b", "'a b' is no name of a model"),
        ("", "'' is no name of a model"),
    ):
        widget.name.value = name
        widget.rename.native.click()
        assert told in widget.status.text()
    assert names() == ["first", "second"]


def test_model_is_deleted_only_after_a_yes(
    widget: OwnModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, NO)
    widget.delete.native.click()
    assert "Delete 'first' (denoise σ 5-50)?" in asked[0]
    assert names() == ["first", "second"]
    answer(monkeypatch, YES)
    widget.delete.native.click()
    assert names() == ["second"]
    assert widget.model.choices == ("second",)
    assert "'first' is deleted" in widget.status.text()
    widget.delete.native.click()
    assert not widget.model.visible
