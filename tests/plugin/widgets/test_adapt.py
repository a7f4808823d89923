"""The widget that adapts a model to a layer: axes, verdict, the model, cancelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from memnet_core.adaptation import loop
from memnet_core.model.architecture import Architecture
from memnet_core.model.checkpoint import save_model
from memnet_core.model.network import MemNet
from memnet_core.tasks import Levels
from napari_memnet.widgets.adapt import AdaptWidget
from napari_memnet.widgets.restore_form import RestorationForm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def movie() -> NDArray[np.uint8]:
    """Make six takes of the same, each with its own noise."""
    y, x = np.mgrid[:48, :56] / 7
    scene = 128 + 100 * np.sin(x) * np.cos(y)
    noise = np.random.default_rng(0).normal(0, 25, (6, *scene.shape))
    return np.asarray((scene + noise).clip(0, 255), np.uint8)


@pytest.fixture
def widget(
    viewer: Any,
    dock: Callable[..., Any],
    wait: Any,
    models_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[AdaptWidget]:
    """Dock the widget, beside a model that learned nothing yet; learn for seconds."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"memory_blocks": 1, "recursions": 1, "channels": 4}
    save_model(
        models_folder / "noisy.safetensors",
        MemNet(Architecture(**shape)),
        name="noisy",
        task="denoise",
        levels=Levels.between(1, 75),
        version="1",
        license="BSD-3-Clause",
    )
    recipe = loop._Optimization(learning_rate=0.05)
    monkeypatch.setattr(loop, "_Optimization", lambda: recipe)
    monkeypatch.setattr(loop, "_PATCH", 24)
    widget = dock(AdaptWidget(viewer))
    widget.minutes.min = 0.01
    widget.minutes.value = 0.05
    yield widget
    widget.close()
    wait(lambda: widget.run.work is None)


def test_an_adapted_model_can_be_chosen_at_once(
    widget: AdaptWidget, viewer: Any, movie: Any, wait: Any, qtbot: Any
) -> None:
    form = RestorationForm("test", for_layers=False)
    qtbot.addWidget(form)
    wait(lambda: form.is_ready)
    viewer.add_image(movie, name="my cells")
    assert widget.name.value == "my-cells-adapted"
    assert widget.axis.current_choice == "axis 0 (6 frames)"
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    assert "The model my-cells-adapted is adapted" in widget.run.status.text()
    assert "Held-out loss" in widget.run.status.text()
    assert widget.picture is not None
    titles = [axes.get_title() for axes in widget.picture.figure.axes[:3]]
    assert titles == ["held-out frame", "before", "after"]
    assert "my-cells-adapted" in form.model.choices
    form.close_down()


def test_without_a_fall_of_the_loss_the_old_model_stays(
    widget: AdaptWidget,
    viewer: Any,
    movie: Any,
    wait: Any,
    models_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = loop._Optimization()
    object.__setattr__(recipe, "learning_rate", 0.0)
    monkeypatch.setattr(loop, "_Optimization", lambda: recipe)
    viewer.add_image(movie, name="cells")
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "noisy stays and nothing is written" in widget.run.status.text()
    assert [file.stem for file in models_folder.iterdir()] == ["noisy"]


def test_cancelling_leaves_nothing(
    widget: AdaptWidget, viewer: Any, movie: Any, wait: Any, models_folder: Path
) -> None:
    viewer.add_image(movie, name="cells")
    widget.minutes.value = 10
    widget.start()
    learned: list[Any] = []
    assert widget.run.work is not None
    widget.run.work.yielded.connect(
        lambda event: learned.append(event) if hasattr(event, "step") else None
    )
    wait(lambda: len(learned) > 2)
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    assert widget.run.status.text() == "Cancelled."
    assert widget.picture is None
    assert [file.stem for file in models_folder.iterdir()] == ["noisy"]


def test_frames_lie_along_any_axis_but_that_of_channels(
    widget: AdaptWidget, viewer: Any, movie: Any
) -> None:
    stack = np.broadcast_to(movie[:, None], (6, 3, 48, 56))
    viewer.add_image(stack, name="a", axis_labels=("t", "c", "y", "x"))
    assert [*widget.axis.choices] == [0]
    viewer.add_image(stack, name="b", axis_labels=("t", "z", "y", "x"))
    assert widget.layer.value.name == "b"
    assert [*widget.axis.choices] == [0, 1]


def test_a_single_plane_is_refused_in_a_sentence(
    widget: AdaptWidget, viewer: Any, movie: Any
) -> None:
    widget.start()
    assert "no frames to learn from" in widget.run.status.text()
    viewer.add_image(movie[0], name="plane")
    assert "no frames to learn from" in widget.run.status.text()
    widget.start()
    assert widget.run.work is None


def test_a_name_that_is_taken_is_told(
    widget: AdaptWidget, viewer: Any, movie: Any, wait: Any
) -> None:
    viewer.add_image(movie, name="cells")
    widget.name.value = "noisy"
    widget.start()
    wait(lambda: widget.run.work is None)
    assert "already a model" in widget.run.status.text()
