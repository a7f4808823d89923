"""The train widget: data, curves, stopping, and the model that comes of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from matplotlib.colors import to_hex
from napari.utils.theme import get_theme

from memnet_core.model.checkpoint import read_card
from napari_memnet.jobs import train
from napari_memnet.jobs.train import TrainingRequest
from napari_memnet.model_choices import models_for
from napari_memnet.widgets.restore_form import RestorationForm
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

KEPT = [0, 1, 2, 3, 4, 5, 6, 8]
"""Of nine planes those that are learned from."""


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
    original = train._settings
    monkeypatch.setattr("napari_memnet.widgets.train.gain_of", lambda event: 1.0)
    monkeypatch.setattr(
        train, "_settings", lambda request: {**original(request), **SMALL}
    )
    widget = dock(TrainWidget(viewer))
    widget.form.out.value = tmp_path / "runs"
    widget.form.minutes.min = 0.01
    widget.form.minutes.value = 0.05
    widget.form.name.value = "mine"
    wait(lambda: widget.form.is_ready)
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
    widget.form.data.value = clean
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
    # Colors beyond the range of their numbers would be drawn as others.
    patches = [axes.get_images()[0] for axes in widget.curves._patches]
    shown = [np.asarray(patch.get_array()) for patch in patches]
    assert {patch.dtype for patch in shown} == {np.dtype(np.uint8)}
    form.close_down()


def test_stopping_keeps_the_best_model_so_far(
    widget: TrainWidget, clean: Path, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget.form.data.value = clean
    monkeypatch.setitem(SMALL, "validations", 1000)
    widget.form.minutes.value = 10
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
    widget.form.source.value = "layers"
    widget.form.layers.value = [viewer.layers["stack"]]
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
    widget.form.source.value = "pairs"
    widget.form.low.value = tmp_path / "low"
    widget.form.high.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "can be chosen now" in widget.run.status.text()


def noisy_pair(viewer: Any, planes: int) -> None:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(1000, 9000, (planes, 5, 6)), np.ones((1, 8, 8)))
    for name in ("first", "second"):
        noisy = picture + rng.normal(0, 500, picture.shape)
        viewer.add_image(noisy.clip(0).astype(np.uint16), name=name)


def choose_pair(widget: TrainWidget, viewer: Any, source: str) -> None:
    widget.form.source.value = source
    widget.form.noisy.value = viewer.layers["first"]
    widget.form.partner.value = viewer.layers["second"]


def test_two_noisy_layers_are_learned_from_each_other(
    widget: TrainWidget, viewer: Any, wait: Any, tmp_path: Path
) -> None:
    noisy_pair(viewer, 9)
    choose_pair(widget, viewer, "noisy pair")
    assert not widget.form.data.visible
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    assert "can be chosen now" in widget.run.status.text()
    run = tmp_path / "runs" / "mine"
    a, b = (viewer.layers[name].data for name in ("first", "second"))
    for folder, orders in (("from", (a, b)), ("to", (b, a))):
        for number, stack in enumerate(orders):
            path = run / "layers" / f"learn {folder}" / f"{number:03}.tif"
            np.testing.assert_array_equal(tifffile.imread(path).squeeze(), stack[KEPT])
            path = run / "layers" / f"validate {folder}" / f"{number:03}.tif"
            np.testing.assert_array_equal(tifffile.imread(path).squeeze(), stack[7])


def test_noisy_layer_is_learned_from_its_clean_one(
    widget: TrainWidget, viewer: Any, wait: Any, tmp_path: Path
) -> None:
    noisy_pair(viewer, 2)
    choose_pair(widget, viewer, "clean pair")
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "can be chosen now" in widget.run.status.text()
    folders = sorted(p.name for p in (tmp_path / "runs/mine/layers").iterdir())
    assert folders == ["learn from", "learn to"]


def test_layers_that_make_no_pair_are_refused(
    widget: TrainWidget, viewer: Any, wait: Any
) -> None:
    noisy_pair(viewer, 2)
    choose_pair(widget, viewer, "clean pair")
    widget.form.partner.value = viewer.layers["first"]
    widget.start()
    assert "'first' is its own partner" in widget.run.status.text()
    viewer.add_image(np.zeros((2, 40, 40), np.uint16), name="other")
    widget.form.partner.value = viewer.layers["other"]
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "2 × 40 × 48 and 2 × 40 × 40 pixels" in widget.run.status.text()


def test_run_of_before_is_trained_for_longer_and_its_model_replaced(
    widget: TrainWidget, clean: Path, wait: Any
) -> None:
    widget.form.data.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    (before,) = models_for("denoise")
    points = np.size(widget.curves._gain.get_lines()[0].get_xdata())
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "train its run for longer" in widget.run.status.text()
    widget.form.source.value = "run"
    assert [getattr(path, "name", "") for path in widget.form.past.choices] == ["mine"]
    assert not widget.form.name.visible
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    (after,) = models_for("denoise")
    assert after.card.training is not None
    assert before.card.training is not None
    assert after.card.training.steps >= before.card.training.steps
    assert "can be chosen now" in widget.run.status.text() or (
        "no better than before" in widget.run.status.text()
    )
    assert np.size(widget.curves._gain.get_lines()[0].get_xdata()) > points


@pytest.fixture
def shipped(install: Callable[..., Path], models_folder: Path) -> None:
    """Ship a tiny model, which a run starts from with its own architecture."""
    path = install("noise", 5, 75, task="denoise", level_map=True)
    path.rename(models_folder.with_name("shipped") / path.name)


def test_few_images_are_learned_from_a_shipped_model(
    shipped: None,
    widget: TrainWidget,
    clean: Path,
    wait: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(SMALL, "architecture")
    told: list[str] = []
    tell = widget.run.status.setText

    def note(text: str) -> None:
        told.append(text)
        tell(text)

    monkeypatch.setattr(widget.run.status, "setText", note)
    widget.form.data.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "The images are few: training goes on from the model 'noise'." in told
    card = read_card(tmp_path / "runs" / "mine" / "mine.safetensors")
    assert card.training is not None
    assert card.training.started_from == "noise"
    assert card.architecture.level_map


def validated(step: int, gain: float, *, is_best: bool) -> Any:
    return SimpleNamespace(step=step, gain=gain, is_best=is_best)


def test_a_tuned_model_is_installed_if_it_is_better_than_its_start(
    widget: TrainWidget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("napari_memnet.widgets.train.gain_of", lambda event: event.gain)
    monkeypatch.setattr(
        "napari_memnet.widgets.train.add_best",
        lambda request: SimpleNamespace(card=SimpleNamespace(name="x", serves="y")),
    )
    request = TrainingRequest(name="x", out=tmp_path, task="denoise", minutes=1)
    widget._note(validated(0, 5.0, is_best=True))
    assert "no better than the model it started from" in widget._kept(request)
    widget._note(validated(9, 5.4, is_best=True))
    widget._note(validated(10, 5.2, is_best=False))
    assert widget._kept(request).startswith("+0.40 dB. The model x (y) can be chosen")


def test_model_that_became_no_better_than_its_start_is_not_installed(
    shipped: None,
    widget: TrainWidget,
    clean: Path,
    wait: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(SMALL, "architecture")
    widget.form.start.value = "noise"
    assert not widget.form.recipe.visible
    widget.form.data.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    # Every gain is 1 dB here.
    assert "no better than the model it started from" in widget.run.status.text()
    assert [entry.card.name for entry in models_for("denoise")] == ["noise"]


def test_many_images_and_a_wish_to_learn_anew_need_no_model(
    shipped: None, clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = TrainingRequest(
        name="x", out=tmp_path / "x", task="denoise", minutes=1, data=clean
    )
    assert train._is_tuned(request)
    assert not train._is_tuned(replace(request, start=train.NOTHING))
    assert not train._is_tuned(replace(request, recipe="paper"))
    monkeypatch.setattr("memnet_core.training.finetune.FEW_MEGAPIXELS", 0.001)
    assert not train._is_tuned(request)


def test_plots_follow_the_theme(widget: TrainWidget, viewer: Any) -> None:
    faces, inks = [], []
    for theme in ("dark", "light"):
        viewer.theme = theme
        faces.append(to_hex(widget.curves._loss.get_facecolor()))
        inks.append(to_hex(widget.curves._loss.xaxis.label.get_color()))
        assert to_hex(widget.curves.figure.get_facecolor()) == faces[-1]
        assert faces[-1] == to_hex(get_theme(theme).background.as_hex())
    assert faces[0] < inks[0]
    assert faces[1] > inks[1]


def test_what_is_missing_is_asked_for(widget: TrainWidget) -> None:
    widget.start()
    assert "choose what to learn from" in widget.run.status.text()
    assert widget.run.work is None


def test_a_model_that_makes_images_worse_is_not_installed(
    widget: TrainWidget, clean: Path, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_memnet.widgets.train.gain_of", lambda event: -2.5)
    widget.form.data.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "by -2.50 dB, for the worse" in widget.run.status.text()
    assert models_for("denoise") == []


def test_the_gain_is_the_mean_over_levels() -> None:
    event: Any = SimpleNamespace(
        psnr={"σ 15": 30.0, "σ 50": 26.0}, input_psnr={"σ 15": 24.0, "σ 50": 14.0}
    )
    assert train.gain_of(event) == pytest.approx(9)


def test_a_name_that_is_taken_is_refused_before_training(
    widget: TrainWidget,
    clean: Path,
    models_folder: Path,
    install: Callable[..., Path],
    wait: Any,
) -> None:
    install("mine", 5, 75, task="denoise")
    widget.form.data.value = clean
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "There is already a model 'mine'" in widget.run.status.text()
    assert not (models_folder.parent / "runs" / "mine").exists()


def test_images_that_do_not_serve_are_one_sentence(
    widget: TrainWidget, tmp_path: Path, wait: Any
) -> None:
    (tmp_path / "empty").mkdir()
    widget.form.data.value = tmp_path / "empty"
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "holds no image" in widget.run.status.text()
    assert widget.run.button.text() == "Train"
