"""The restore widget in a real viewer, with tiny networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QPushButton

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from napari_memnet.widgets.restore import RestoreWidget

pytestmark = pytest.mark.usefixtures("models")


def test_the_whole_layer_is_restored_into_a_new_layer(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    source = viewer.add_image(noise(3, 20, 24), scale=(2, 0.5, 0.5), name="cells")
    widget.extent.value = "whole layer"
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    names = [layer.name for layer in viewer.layers]
    level = viewer.layers[-1].metadata["memnet"]["level"]
    assert names == ["cells", f"cells denoised σ {level:g} by noise"]
    assert widget.run.status.text().endswith(" s.")
    result = viewer.layers[-1]
    assert result.data.shape == (3, 20, 24)
    assert not np.array_equal(result.data, source.data)
    np.testing.assert_array_equal(result.extent.world, source.extent.world)
    assert str(widget.layer.value) == "cells"


def test_the_current_slice_lies_at_its_place_in_the_stack(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    viewer.add_image(noise(4, 20, 24), scale=(2, 0.5, 0.5), name="cells")
    viewer.dims.set_current_step(0, 3)
    widget.extent.value = "current slice"
    widget.apply()
    wait(lambda: widget.run.work is None)
    result = viewer.layers[-1]
    assert result.name.startswith("cells, slice 3, denoised σ ")
    assert result.data.shape == (1, 20, 24)
    np.testing.assert_array_equal(result.extent.world[:, 0], (6, 6))


def test_a_stack_along_one_axis_can_be_chosen(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    viewer.add_image(
        noise(2, 3, 20, 24), axis_labels=("t", "z", "y", "x"), name="movie"
    )
    viewer.dims.set_current_step(0, 1)
    assert [text for text, _ in widget._extents()] == [
        "current slice",
        "stack along t",
        "stack along z",
        "whole layer",
    ]
    widget.extent.value = 1
    widget.apply()
    wait(lambda: widget.run.work is None)
    result = viewer.layers[-1]
    assert result.name.startswith("movie, t 1, denoised σ ")
    assert result.data.shape == (1, 3, 20, 24)
    assert result.translate[0] == 1


def test_cancel_acts_within_one_strip_and_restores_the_button(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any, gate: threading.Event
) -> None:
    viewer.add_image(noise(50, 20, 24), name="cells")
    widget.extent.value = "whole layer"
    widget.run.button.click()
    assert widget.run.button.text() == "Cancel"
    wait(lambda: "model noise" in widget.run.status.text())
    widget.run.button.click()
    assert widget.run.button.text() == "Cancelling…"
    assert not widget.run.button.isEnabled()
    gate.set()
    wait(lambda: widget.run.work is None)
    assert widget.run.button.text() == "Restore"
    assert widget.run.button.isEnabled()
    assert widget.run.status.text() == "Cancelled."
    assert len(viewer.layers) == 1


def test_an_error_is_one_sentence_and_restores_the_button(
    widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    viewer.add_image(np.zeros((20, 24), np.uint16), contrast_limits=(0, 1), name="odd")
    widget.form.task.value = "deblock"
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert "quantization tables" in widget.run.status.text()
    assert widget.run.button.text() == "Restore"
    assert widget.run.button.isEnabled()
    assert len(viewer.layers) == 1


def test_without_an_image_it_says_so(widget: RestoreWidget, viewer: Any) -> None:
    viewer.add_points(np.zeros((2, 2)))
    widget.apply()
    assert "Open an image first" in widget.run.status.text()
    assert widget.run.work is None


def test_other_layers_cannot_be_chosen_and_stay_as_they_are(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    labels = np.arange(480).reshape(20, 24)
    viewer.add_labels(labels.copy(), name="labels")
    viewer.add_image(noise(20, 24), name="cells")
    assert list(map(str, widget.layer.choices)) == ["cells"]
    widget.apply()
    wait(lambda: widget.run.work is None)
    np.testing.assert_array_equal(viewer.layers["labels"].data, labels)


def test_a_multiscale_layer_is_restored_in_full_resolution_and_it_is_said(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    pixels = noise(40, 48)
    viewer.add_image([pixels, pixels[::2, ::2]], name="pyramid")
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert "level 0 of the multiscale layer" in widget.run.status.text()
    assert viewer.layers[-1].data.shape == (40, 48)


def test_taking_the_widget_out_of_its_dock_stops_the_work(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any, gate: threading.Event
) -> None:
    viewer.add_image(noise(50, 20, 24), name="cells")
    widget.extent.value = "whole layer"
    widget.apply()
    wait(lambda: "model noise" in widget.run.status.text())
    viewer.window.remove_dock_widget(widget)
    gate.set()
    wait(lambda: widget.run.work is None)
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_enlarging_keeps_the_extent_of_the_pixels(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    source = viewer.add_image(noise(20, 24), scale=(0.5, 0.5), name="small")
    widget.form.task.value = "sr"
    widget.form.levels["sr"].value = 4
    widget.apply()
    wait(lambda: widget.run.work is None)
    result = viewer.layers[-1]
    assert result.data.shape == (80, 96)
    edges = [layer.data_to_world((-0.5, -0.5)) for layer in (source, result)]
    np.testing.assert_allclose(*edges)


@pytest.mark.parametrize(
    ("disturb", "sentence"),
    [
        (lambda dims: setattr(dims, "order", (1, 0, 2)), "show those"),
        (lambda dims: dims.set_current_step(0, 9), "beside the layer"),
    ],
    ids=["other axes", "other planes"],
)
def test_a_slice_that_is_not_shown_is_not_restored(
    noise: Any, widget: RestoreWidget, viewer: Any, disturb: Any, sentence: str
) -> None:
    viewer.add_image(np.zeros((10, 20, 24), np.uint8), name="longer")
    viewer.add_image(noise(3, 20, 24), name="cells")
    widget.extent.value = "current slice"
    disturb(viewer.dims)
    widget.apply()
    assert sentence in widget.run.status.text()
    assert widget.run.work is None


def test_a_layer_that_got_other_axes_in_the_meantime_keeps_them(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any, gate: threading.Event
) -> None:
    source = viewer.add_image(noise(3, 20, 24), name="cells")
    widget.extent.value = "whole layer"
    widget.apply()
    wait(lambda: "model noise" in widget.run.status.text())
    source.data = noise(20, 24)
    gate.set()
    wait(lambda: widget.run.work is None)
    assert "has other axes now" in widget.run.status.text()
    assert len(viewer.layers) == 1


@pytest.mark.parametrize("change", ["removed", "replaced", "in place"])
def test_a_result_of_pixels_that_are_gone_is_not_kept(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    gate: threading.Event,
    change: str,
) -> None:
    source = viewer.add_image(noise(3, 20, 24), name="cells")
    widget.extent.value = "whole layer"
    widget.apply()
    wait(lambda: "model noise" in widget.run.status.text())
    if change == "removed":
        viewer.layers.remove(source)
    elif change == "replaced":
        source.data = noise(2, 10, 12)
    else:
        source.data[:] = 255 - source.data
    gate.set()
    wait(lambda: widget.run.work is None)
    said = "was removed meanwhile" if change == "removed" else "has other pixels now"
    assert said in widget.run.status.text()
    assert "Done" not in widget.run.status.text()
    assert len(viewer.layers) == (0 if change == "removed" else 1)


def test_no_button_moves_when_texts_get_longer(widget: RestoreWidget) -> None:
    def places() -> list[Any]:
        widget.layout().activate()
        QApplication.processEvents()
        buttons = widget.findChildren(QPushButton)
        return [x.mapTo(widget, x.rect().topLeft()) for x in buttons if x.isVisible()]

    before = places()
    for text in (widget.seen, widget.run.status):
        text.setText("A sentence that takes several lines in a narrow dock. " * 6)
        assert places() == before
    widget.run.bar.show()
    assert places() == before


def test_a_level_that_no_model_is_trained_for_is_a_question(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    models_folder: Path,
    install: Callable[..., Path],
) -> None:
    (models_folder / "noise.safetensors").unlink()
    install("weak", 0, 20, task="denoise")
    viewer.add_image(noise(20, 24), name="cells")
    widget.form.automatic.value = False
    widget.form.levels["denoise"].value = 60
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    assert "covers σ 60" in widget.run.status.text()
    assert "--" not in widget.run.status.text()
    assert len(viewer.layers) == 1
    assert not widget.run.status.accept.isHidden()
    widget.run.status.accept.click()
    wait(lambda: widget.run.work is None)
    assert "beyond σ 20, the nearest of the model" in widget.run.status.text()
    assert widget.run.status.accept.isHidden()
    assert len(viewer.layers) == 2


def test_a_level_that_no_model_is_trained_for_is_a_question_of_the_preview_too(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    models_folder: Path,
    install: Callable[..., Path],
) -> None:
    (models_folder / "noise.safetensors").unlink()
    install("strong", 250, 255, task="denoise")
    viewer.add_image(noise(20, 24), name="cells")
    widget.live.value = True
    wait(lambda: not widget.preview.is_running)
    assert "is milder than σ 250" in widget.seen.text()
    assert "--" not in widget.seen.text()
    assert len(viewer.layers) == 1
    widget.seen.accept.click()
    wait(lambda: not widget.preview.is_running)
    assert [layer.name for layer in viewer.layers] == ["cells", "MemNet preview"]


def test_channels_that_are_selected_are_restored_at_once_and_none_is_added_twice(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    stack = np.stack([noise(20, 24) * np.uint16(100), noise(20, 24)])
    names = ["bright", "dim"]
    viewer.add_image(stack, channel_axis=0, name=names, blending="additive")
    viewer.layers.selection = set(viewer.layers)
    assert widget.every.text == "all 2 selected layers"
    widget.apply()
    wait(lambda: widget.run.work is None)
    shown = [layer.name.split()[0] for layer in viewer.layers if layer.visible]
    assert shown == ["bright", "dim"]
    assert [layer.visible for layer in viewer.layers] == [False, True, False, True]
    ranges = [
        layer.metadata["memnet"]["channels"][0]["scaling"]["high"]
        for layer in viewer.layers
        if layer.visible
    ]
    assert ranges[0] > 90 * ranges[1]


def test_one_layer_is_restored_where_several_are_selected_but_one_is_wanted(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    viewer.add_image(noise(20, 24), name="one")
    viewer.add_image(noise(20, 24), name="two")
    viewer.layers.selection = set(viewer.layers)
    widget.layer.value = viewer.layers["one"]
    widget.every.value = False
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert [layer.name.split()[0] for layer in viewer.layers] == ["one", "two", "one"]


def test_a_layer_that_fails_does_not_stop_the_others_and_can_be_gone_on_with(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    models_folder: Path,
    install: Callable[..., Path],
) -> None:
    (models_folder / "noise.safetensors").unlink()
    install("strong", 50, 255, task="denoise")
    viewer.add_image(np.full((40, 48), 9, np.uint8), name="flat")
    viewer.add_image(noise(40, 48), name="noisy")
    viewer.layers.selection = set(viewer.layers)
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert widget.run.status.text().startswith("1 of 2 layers restored in ")
    assert "flat: needs none" in widget.run.status.text()
    assert len(viewer.layers) == 3
    widget.run.status.accept.click()
    wait(lambda: widget.run.work is None)
    names = [layer.name.split()[0] for layer in viewer.layers]
    assert names == ["flat", "noisy", "noisy", "flat"]


def test_restoring_leaves_the_live_preview_switched_on(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    viewer.add_image(noise(20, 24), name="cells")
    widget.live.value = True
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert widget.live.value
    wait(lambda: not widget.preview.is_running)
    assert "'cells' is restored in 'cells denoised" in widget.seen.text()
    assert [x.name for x in viewer.layers if x.name == "MemNet preview"] == []


def test_a_layer_that_is_renamed_is_renamed_in_the_form(
    noise: Any, widget: RestoreWidget, viewer: Any
) -> None:
    viewer.add_image(noise(20, 24), name="other")
    cells = viewer.add_image(noise(20, 24), name="cells")
    cells.name = "nuclei"
    assert [text for text, _ in widget.layer._widget._mgui_get_choices()] == [
        "other",
        "nuclei",
    ]
    assert widget.layer.value == cells


def test_asking_for_an_image_ends_when_one_is_open(
    noise: Any, widget: RestoreWidget, viewer: Any
) -> None:
    widget.apply()
    assert "Open an image first" in widget.run.status.text()
    viewer.add_image(noise(20, 24), name="cells")
    assert widget.run.status.text() == ""
