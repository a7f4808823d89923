"""The train widget: data, curves, stopping, and the model that comes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_memnet import trainings
from napari_memnet.models import models_for
from napari_memnet.widgets.form import RestorationForm
from napari_memnet.widgets.train import TrainWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SMALL = {
    "architecture": {
        "memory_blocks": 1,
        "recursions": 1,
        "channels": 4,
        "unshuffle": 1,
    },
    "phases": [{"until": 1.0, "patch": 16, "batch": 2}],
    "recalibration_batches": 1,
    "report_every": 0.2,
    "validations": 4,
}


@pytest.fixture
def widget(
    viewer: Any,
    dock: Any,
    wait: Any,
    tmp_path: Path,
    models_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TrainWidget]:
    """Dock the widget, for runs of three seconds whose models count as good."""
    original = trainings._settings
    monkeypatch.setattr("napari_memnet.widgets.train.gain_of", lambda event: 1.0)
    monkeypatch.setattr(
        trainings, "_settings", lambda request: {**original(request), **SMALL}
    )
    widget = dock(TrainWidget(viewer))
    widget.out.value = tmp_path / "runs"
    widget.minutes.min = 0.01
    widget.minutes.value = 0.05
    widget.name.value = "mine"
    yield widget
    widget.close()
    wait(lambda: widget.run.work is None)


@pytest.fixture
def clean(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    for name in "ab":
        write_picture(tmp_path / "clean" / f"{name}.png", 40, 44)
    return tmp_path / "clean"


def test_a_trained_model_can_be_chosen_at_once(
    widget: TrainWidget, clean: Path, wait: Any, qtbot: Any
) -> None:
    form = RestorationForm("test", for_layers=False)
    qtbot.addWidget(form)
    wait(lambda: form.is_ready)
    assert "mine" not in form.model.choices
    widget.data.value = clean
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    assert "can be chosen now" in widget.run.status.text()
    assert "mine" in form.model.choices
    assert [entry.card.name for entry in models_for("denoise")] == ["mine"]
    assert widget.curves._gain.get_lines()
    assert widget.curves._loss.get_lines()
    assert [axes.get_title() for axes in widget.curves._patches] == [
        "before",
        "after",
        "clean",
    ]
    form.close_down()


def test_stopping_keeps_the_best_model_so_far(
    widget: TrainWidget, clean: Path, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.data.value = clean
    monkeypatch.setitem(SMALL, "validations", 1000)
    widget.minutes.value = 10
    widget.start()
    validated: list[Any] = []
    assert widget.run.work is not None
    widget.run.work.yielded.connect(
        lambda event: validated.append(event) if hasattr(event, "psnr") else None
    )
    wait(lambda: bool(validated))
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    assert "can be chosen now" in widget.run.status.text()
    (entry,) = models_for("denoise")
    assert entry.card.training is not None
    assert entry.card.training.minutes < 1
    assert widget.run.button.text() == "Train"


def test_open_layers_can_be_learned_from(
    widget: TrainWidget, viewer: Any, wait: Any
) -> None:
    stack = np.random.default_rng(0).integers(100, 4000, (3, 40, 44), np.uint16)
    viewer.add_image(stack, name="stack")
    widget.source.value = "layers"
    widget.layers.value = [viewer.layers["stack"]]
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "can be chosen now" in widget.run.status.text()


def test_pairs_can_be_learned_from(
    widget: TrainWidget,
    clean: Path,
    tmp_path: Path,
    write_picture: Callable[..., Path],
    wait: Any,
) -> None:
    for name in "ab":
        write_picture(tmp_path / "low" / f"{name}.png", 40, 44)
    widget.source.value = "pairs"
    widget.low.value = tmp_path / "low"
    widget.high.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "can be chosen now" in widget.run.status.text()


def test_what_is_missing_is_asked_for(widget: TrainWidget) -> None:
    widget.start()
    assert "choose what to learn from" in widget.run.status.text()
    assert widget.run.work is None


def test_a_model_that_makes_images_worse_is_not_installed(
    widget: TrainWidget, clean: Path, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_memnet.widgets.train.gain_of", lambda event: -2.5)
    widget.data.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "by -2.50 dB, for the worse" in widget.run.status.text()
    assert models_for("denoise") == []


def test_the_gain_is_the_mean_over_levels() -> None:
    event: Any = SimpleNamespace(
        psnr={"σ 15": 30.0, "σ 50": 26.0}, input_psnr={"σ 15": 24.0, "σ 50": 14.0}
    )
    assert trainings.gain_of(event) == pytest.approx(9)


def test_a_name_that_is_taken_is_refused_before_training(
    widget: TrainWidget,
    clean: Path,
    models_folder: Path,
    install: Callable[..., Path],
    wait: Any,
) -> None:
    install("mine", 5, 75, task="denoise")
    widget.data.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "There is already a model 'mine'" in widget.run.status.text()
    assert not (models_folder.parent / "runs" / "mine").exists()


def test_images_that_do_not_serve_are_one_sentence(
    widget: TrainWidget, tmp_path: Path, wait: Any
) -> None:
    (tmp_path / "empty").mkdir()
    widget.data.value = tmp_path / "empty"
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "holds no image" in widget.run.status.text()
    assert widget.run.button.text() == "Train"
