"""The form: what it shows, and the settings that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image

from memnet_core.inference.settings import RestoreOptions
from memnet_core.tasks import TASKS
from napari_memnet.widgets.restore_form import RestorationForm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("models")

LAYER = Image(np.zeros((4, 4), np.uint16), contrast_limits=(7, 300))


@pytest.fixture
def form(qtbot: Any, wait: Any) -> Iterator[RestorationForm]:
    form = RestorationForm("test", for_layers=True)
    qtbot.addWidget(form)
    form.show()
    wait(lambda: form.is_ready)
    yield form
    form.close_down()


def test_only_fields_of_the_task_are_shown(form: RestorationForm) -> None:
    for task in TASKS:
        form.task.value = task
        form.automatic.value = False
        assert [name for name, f in form.levels.items() if f.visible] == [task]
    form.task.value = "denoise"
    form.automatic.value = True
    assert not any(field.visible for field in form.levels.values())


def test_models_are_those_of_the_task_with_their_cards_as_tooltip(
    form: RestorationForm,
) -> None:
    form.task.value = "deblock"
    assert form.model.choices == ("best for the level", "blocks")
    form.model.value = "blocks"
    assert "blocks: deblock q 1-100" in str(form.model.tooltip)
    assert form.exit_block.choices == (None, 1)
    form.task.value = "sr"
    assert form.model.choices == ("best for the level", "large")


def test_a_new_model_appears_at_once(
    form: RestorationForm, install: Callable[..., Path]
) -> None:
    from napari_memnet.model_choices import models_changed

    install("newer", 10, 20, task="denoise")
    models_changed.emit()
    assert "newer" in form.model.choices


def test_devices_are_those_of_the_machine(form: RestorationForm) -> None:
    from memnet_core._util.devices import available_devices

    assert list(form.device.choices) == ["auto", *available_devices()]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("contrast", (7, 300)),
        ("dtype", "dtype"),
        ("percentile", "percentile"),
        ("pair", (5, 90)),
    ],
)
def test_the_range_of_values_can_come_from_the_layer(
    form: RestorationForm, choice: str, expected: Any
) -> None:
    form.low.value, form.high.value = 5, 90
    form.range.value = choice
    assert form.settings(LAYER).value_range == expected


def test_settings_are_what_the_fields_say(form: RestorationForm) -> None:
    form.task.value = "deblock"
    form.automatic.value = False
    form.levels["deblock"].value = 12
    form.model.value = "blocks"
    form.channels.value = "each"
    form.exit_block.value = 1
    form.device.value = "cpu"
    assert form.settings(LAYER) == RestoreOptions(
        task="deblock",
        level=12,
        channels="each",
        model="blocks",
        exit_block=1,
        device="cpu",
    )
    form.nearest.value = True
    assert form.settings(LAYER).nearest
    form.automatic.value = True
    form.exit_block.value = None
    settings = form.settings(LAYER)
    assert (settings.level, settings.exit_block) == (None, None)


def test_noise_is_asked_for_where_it_is_removed(form: RestorationForm) -> None:
    fields = form.noise
    form.task.value = "denoise"
    assert not any(field.visible for field in fields.all)
    form.more.native.click()
    assert all(field.visible for field in fields.all)
    form.automatic.value = False
    assert not any(field.visible for field in fields.all)
    form.task.value = "deblock"
    assert not any(field.visible for field in fields.all)


def test_what_is_chosen_of_noise_is_what_is_done(form: RestorationForm) -> None:
    fields = form.noise
    form.task.value, form.automatic.value = "denoise", True
    settings = form.settings(LAYER)
    assert (settings.noise, settings.hot_pixels) == ("auto", "auto")
    fields.noise.value = "photons"
    fields.hot_pixels.value = False
    settings = form.settings(LAYER)
    assert (settings.noise, settings.hot_pixels) == ("photons", "keep")
    fields.noise.value, fields.cyclic.value = "auto", True
    assert form.settings(LAYER).cyclic is True
    form.automatic.value = False
    settings = form.settings(LAYER)
    assert (settings.noise, settings.hot_pixels) == ("auto", "auto")
    form.restore_defaults()
    assert (fields.noise.value, fields.hot_pixels.value) == ("auto", True)


def test_what_was_accepted_for_one_task_is_asked_again_for_another(
    form: RestorationForm,
) -> None:
    form.nearest.value = True
    form.task.value = "deblock"
    assert not form.settings(LAYER).nearest


def test_a_form_begins_with_what_was_chosen_the_last_time(
    form: RestorationForm, qtbot: Any, wait: Any
) -> None:
    form.task.value = "deblock"
    form.automatic.value = False
    form.levels["deblock"].value = 35
    form.range.value = "pair"
    form.high.value = 4095
    form.nearest.value = True
    form.close_down()
    again = RestorationForm("test", for_layers=True)
    qtbot.addWidget(again)
    wait(lambda: again.is_ready)
    settings = again.settings(LAYER)
    assert (settings.task, settings.level) == ("deblock", 35)
    assert settings.value_range == (0, 4095)
    assert not settings.nearest
    again.defaults.native.click()
    assert again.settings(LAYER) == RestoreOptions(task="denoise")
    again.close_down()


def test_a_model_that_has_gone_is_not_chosen_again(
    form: RestorationForm, qtbot: Any, wait: Any, models_folder: Path
) -> None:
    form.model.value = "noise"
    form.close_down()
    (models_folder / "noise.safetensors").unlink()
    again = RestorationForm("test", for_layers=True)
    qtbot.addWidget(again)
    wait(lambda: again.is_ready)
    assert again.settings(LAYER).model is None
    again.close_down()


def test_it_is_said_for_what_images_the_model_was_trained(
    form: RestorationForm, install: Callable[..., Path]
) -> None:
    from napari_memnet.model_choices import models_changed

    install("own", 10, 20, task="denoise")
    models_changed.emit()
    form.model.value = "own"
    assert form.about.text() == "own: trained for σ 10-20."


def test_strength_can_be_chosen_where_a_model_is_told_the_level(
    form: RestorationForm, install: Callable[..., Path]
) -> None:
    from napari_memnet.model_choices import models_changed

    assert not form.strength.visible
    install("told", 1, 75, task="denoise", level_map=True)
    models_changed.emit()
    assert form.strength.visible
    form.strength.value = 0.5
    assert form.settings(LAYER).strength == 0.5
    form.model.value = "noise"
    assert not form.strength.visible
    assert form.settings(LAYER).strength == 1
    form.task.value = "sr"
    assert form.settings(LAYER).strength == 1
