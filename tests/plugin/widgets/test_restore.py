"""The restore widget in a real viewer, with tiny networks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtGui import QHideEvent, QShowEvent

from memnet_core.engine import Restorer
from napari_memnet.layers import Region, layer_planes
from napari_memnet.widgets.restore import RestoreWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

pytestmark = pytest.mark.usefixtures("models")


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


@pytest.fixture
def widget(viewer: Any, dock: Any, wait: Any) -> Iterator[RestoreWidget]:
    """Dock the widget and wait until it can be used; its preview is off."""
    widget = dock(RestoreWidget(viewer))
    widget.live.value = False
    wait(lambda: widget.form.is_ready)
    yield widget
    widget.close()
    wait(lambda: widget.run.work is None and not widget.preview.is_running)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold every tile back until the event is set."""
    event = threading.Event()
    original = Restorer._run

    def held(self: Restorer, windows: Any) -> Any:
        event.wait(20)
        return original(self, windows)

    monkeypatch.setattr(Restorer, "_run", held)
    yield event
    event.set()


def test_the_whole_layer_is_restored_into_a_new_layer(
    widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    source = viewer.add_image(noise(3, 20, 24), scale=(2, 0.5, 0.5), name="cells")
    widget.extent.value = "whole layer"
    widget.run.button.click()
    wait(lambda: widget.run.work is None)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells denoised"]
    result = viewer.layers[-1]
    assert result.data.shape == (3, 20, 24)
    assert not np.array_equal(result.data, source.data)
    np.testing.assert_array_equal(result.extent.world, source.extent.world)
    assert str(widget.layer.value) == "cells"


def test_the_current_slice_lies_at_its_place_in_the_stack(
    widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    viewer.add_image(noise(4, 20, 24), scale=(2, 0.5, 0.5), name="cells")
    viewer.dims.set_current_step(0, 3)
    widget.extent.value = "current slice"
    widget.apply()
    wait(lambda: widget.run.work is None)
    result = viewer.layers[-1]
    assert result.data.shape == (1, 20, 24)
    np.testing.assert_array_equal(result.extent.world[:, 0], (6, 6))


def test_a_stack_along_one_axis_can_be_chosen(
    widget: RestoreWidget, viewer: Any, wait: Any
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
    assert result.data.shape == (1, 3, 20, 24)
    assert result.translate[0] == 1


def test_cancel_acts_within_one_tile_and_restores_the_button(
    widget: RestoreWidget, viewer: Any, wait: Any, gate: threading.Event
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
    pixels = np.zeros((20, 24), np.float32)
    pixels[3, 3] = np.inf
    viewer.add_image(pixels, contrast_limits=(0, 1), name="broken")
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert widget.run.status.text().startswith("1 of 480 values are NaN or infinite")
    assert widget.run.button.text() == "Restore"
    assert widget.run.button.isEnabled()
    assert len(viewer.layers) == 1


def test_without_an_image_it_says_so(widget: RestoreWidget, viewer: Any) -> None:
    viewer.add_points(np.zeros((2, 2)))
    widget.apply()
    assert "Open an image first" in widget.run.status.text()
    assert widget.run.work is None


def test_other_layers_cannot_be_chosen_and_stay_as_they_are(
    widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    labels = np.arange(480).reshape(20, 24)
    viewer.add_labels(labels.copy(), name="labels")
    viewer.add_image(noise(20, 24), name="cells")
    assert list(map(str, widget.layer.choices)) == ["cells"]
    widget.apply()
    wait(lambda: widget.run.work is None)
    np.testing.assert_array_equal(viewer.layers["labels"].data, labels)


def test_a_multiscale_layer_is_restored_in_full_resolution_and_it_is_said(
    widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    pixels = noise(40, 48)
    viewer.add_image([pixels, pixels[::2, ::2]], name="pyramid")
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert "level 0 of the multiscale layer" in widget.run.status.text()
    assert viewer.layers[-1].data.shape == (40, 48)


def test_taking_the_widget_out_of_its_dock_stops_the_work(
    widget: RestoreWidget, viewer: Any, wait: Any, gate: threading.Event
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
    widget: RestoreWidget, viewer: Any, wait: Any
) -> None:
    source = viewer.add_image(noise(20, 24), scale=(0.5, 0.5), name="small")
    widget.form.task.value = "sr"
    widget.form.scale.value = 4
    widget.apply()
    wait(lambda: widget.run.work is None)
    result = viewer.layers[-1]
    assert result.data.shape == (80, 96)
    edges = [layer.data_to_world((-0.5, -0.5)) for layer in (source, result)]
    np.testing.assert_allclose(*edges)


@pytest.fixture
def live(widget: RestoreWidget, viewer: Any, wait: Any) -> Callable[[], Any]:
    """Switch the preview on; the function that is given waits for its layer."""

    def shown() -> Any:
        wait(lambda: not widget.preview.is_running)
        found = [x for x in viewer.layers if x.name == "MemNet preview"]
        return found[0] if found else None

    widget.live.value = True
    return shown


def test_the_preview_is_the_part_of_the_result_that_it_covers(
    widget: RestoreWidget, viewer: Any, wait: Any, live: Callable[[], Any]
) -> None:
    source = viewer.add_image(noise(3, 40, 48), scale=(2, 0.5, 0.5), name="cells")
    viewer.dims.set_current_step(0, 2)
    preview = live()
    assert preview.data.shape[0] == 1
    assert preview.translate[0] == 4
    assert viewer.layers.selection.active.name == source.name
    begin = np.rint(source.world_to_data(preview.data_to_world((0, 0, 0)))).astype(int)
    height, width = preview.data.shape[1:]
    widget.extent.value = "current slice"
    widget.apply()
    wait(lambda: widget.run.work is None)
    whole = viewer.layers[-1].data[0]
    part = whole[begin[1] : begin[1] + height, begin[2] : begin[2] + width]
    np.testing.assert_allclose(preview.data[0].astype(int), part.astype(int), atol=1)


def test_the_preview_follows_the_slider(viewer: Any, live: Callable[[], Any]) -> None:
    viewer.add_image(noise(3, 40, 48), name="cells")
    viewer.dims.set_current_step(0, 0)
    first = live()
    data = first.data.copy()
    viewer.dims.set_current_step(0, 2)
    second = live()
    assert second.translate[0] == 2
    assert not np.array_equal(second.data, data)
    assert [layer.name for layer in viewer.layers] == ["cells", "MemNet preview"]


def test_a_superseded_preview_is_cancelled_and_only_the_last_is_shown(
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    live: Callable[[], Any],
    gate: threading.Event,
    qtbot: Any,
) -> None:
    viewer.add_image(noise(5, 40, 48), name="cells")
    viewer.dims.set_current_step(0, 1)
    wait(lambda: widget.preview._work is not None)
    superseded = widget.preview._work
    assert superseded is not None
    cancelled: list[bool] = []
    superseded.cancelled.connect(lambda: cancelled.append(True))
    viewer.dims.set_current_step(0, 3)
    qtbot.wait(400)
    gate.set()
    assert live().translate[0] == 3
    assert cancelled == [True]


def test_before_and_after_can_be_switched(
    widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    preview = live()
    widget.before.value = True
    assert not preview.visible
    widget.before.value = False
    assert preview.visible


def test_removing_the_preview_by_hand_switches_it_off(
    widget: RestoreWidget, viewer: Any, wait: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    viewer.layers.remove(live())
    wait(lambda: not widget.live.value)
    assert live() is None


def test_removing_the_source_leaves_the_preview_on_for_the_next_layer(
    widget: RestoreWidget, viewer: Any, live: Callable[[], Any], qtbot: Any
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    assert live() is not None
    viewer.layers.clear()
    qtbot.wait(50)
    assert live() is None
    assert widget.live.value
    viewer.add_image(noise(30, 34), name="others")
    assert live().data.shape == (30, 34)


def test_the_preview_of_a_layer_that_is_added_later_lies_above_it(
    widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(40, 48), name="first")
    assert live() is not None
    viewer.add_image(noise(40, 48), name="second", opacity=0.4, blending="additive")
    preview = live()
    assert [layer.name for layer in viewer.layers] == [
        "first",
        "second",
        "MemNet preview",
    ]
    assert (preview.opacity, preview.blending) == (0.4, "additive")


def test_the_preview_follows_changes_of_its_source(
    viewer: Any, live: Callable[[], Any]
) -> None:
    source = viewer.add_image(noise(40, 48), name="cells")
    assert live() is not None
    source.translate = (50, 60)
    source.scale = (2, 2)
    source.colormap = "magenta"
    preview = live()
    corner = source.world_to_data(preview.data_to_world((0, 0)))
    np.testing.assert_allclose(corner, np.rint(corner), atol=1e-9)
    assert tuple(preview.scale) == (2, 2)
    assert preview.colormap.name == "magenta"
    before = preview.data.copy()
    source.data = 255 - source.data
    assert not np.array_equal(live().data, before)


def test_a_hidden_widget_has_no_preview(
    widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    assert live() is not None
    widget.hideEvent(QHideEvent())
    assert live() is None
    widget.showEvent(QShowEvent())
    assert live() is not None


def test_a_preview_that_fails_is_told_once_and_leaves_no_stale_layer(
    widget: RestoreWidget,
    viewer: Any,
    live: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("napari_memnet.workers.show_error", shown.append)
    viewer.add_image(noise(40, 48), name="cells")
    assert live() is not None
    widget.form.low.value, widget.form.high.value = 9, 9
    widget.form.range.value = "pair"
    assert live() is None
    assert "has to lie below white" in widget.run.status.text()
    assert shown == []


@pytest.mark.parametrize(
    ("disturb", "sentence"),
    [
        (lambda dims: setattr(dims, "order", (1, 0, 2)), "show those"),
        (lambda dims: dims.set_current_step(0, 9), "beside the layer"),
    ],
    ids=["other axes", "other planes"],
)
def test_a_slice_that_is_not_shown_is_not_restored(
    widget: RestoreWidget, viewer: Any, disturb: Any, sentence: str
) -> None:
    viewer.add_image(np.zeros((10, 20, 24), np.uint8), name="longer")
    viewer.add_image(noise(3, 20, 24), name="cells")
    widget.extent.value = "current slice"
    disturb(viewer.dims)
    widget.apply()
    assert sentence in widget.run.status.text()
    assert widget.run.work is None


def test_a_layer_that_got_other_axes_in_the_meantime_keeps_them(
    widget: RestoreWidget, viewer: Any, wait: Any, gate: threading.Event
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


def test_a_3d_view_has_no_preview_and_it_is_said(
    widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(3, 40, 48), name="cells")
    assert live() is not None
    viewer.dims.ndisplay = 3
    assert live() is None
    assert "needs a 2D view" in widget.run.status.text()


def test_large_views_are_previewed_in_the_middle() -> None:
    from napari_memnet.widgets.preview import visible_region

    layer = Image(np.zeros((2, 900, 2000), np.uint8))
    layer.corner_pixels = np.array([[0, 0, 0], [0, 899, 1999]])
    region = visible_region(layer, (1, 0, 0), largest=512)
    assert region == Region((slice(1, 2), slice(194, 706), slice(744, 1256)))


def test_what_is_seen_of_a_multiscale_layer_is_counted_in_full_resolution() -> None:
    from napari_memnet.widgets.preview import visible_region

    pixels = np.zeros((800, 1200), np.uint8)
    layer = Image([pixels, pixels[::4, ::4]])
    layer.data_level = 1
    layer.corner_pixels = np.array([[10, 20], [19, 39]])
    region = visible_region(layer, (0, 0))
    assert region == Region((slice(40, 80), slice(80, 160)))
    assert layer_planes(layer).region.shape == (800, 1200)
