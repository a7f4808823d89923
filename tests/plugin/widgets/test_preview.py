"""The live preview in a real viewer, with tiny networks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtGui import QHideEvent, QShowEvent

from memnet_core.inference import engine, steps
from memnet_core.model.checkpoint import load_model
from memnet_core.model.streaming import RowStream
from napari_memnet.layers.source import LayerRegion, layer_planes
from napari_memnet.layers.view import visible_region

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from napari_memnet.widgets.restore import RestoreWidget


pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def live(widget: RestoreWidget, viewer: Any, wait: Any) -> Callable[[], Any]:
    """Switch the preview on; the function that is given waits for its layer."""

    def shown() -> Any:
        wait(lambda: not widget.preview.is_running)
        found = [x for x in viewer.layers if x.name == "MemNet preview" and x.visible]
        return found[0] if found else None

    widget.live.value = True
    return shown


def test_the_preview_is_the_part_of_the_result_that_it_covers(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any, live: Callable[[], Any]
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
    np.testing.assert_array_equal(preview.data[0], part)


def test_the_preview_follows_the_slider(
    noise: Any, viewer: Any, live: Callable[[], Any]
) -> None:
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
    noise: Any,
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


def test_the_last_wish_is_shown_although_it_came_while_one_was_being_cancelled(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    live: Callable[[], Any],
    gate: threading.Event,
    qtbot: Any,
) -> None:
    viewer.add_image(noise(5, 40, 48), name="cells")
    wait(lambda: widget.preview._work is not None)
    viewer.dims.set_current_step(0, 4)
    # The timer has run out long before the strip that is held back is there.
    wait(lambda: not widget.preview._timer.isActive())
    qtbot.wait(100)
    gate.set()
    wait(lambda: not widget.preview.is_running)
    assert live().translate[0] == 4


def test_three_previews_load_the_model_once(
    noise: Any,
    viewer: Any,
    live: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[Any] = []

    def load(path: Any) -> Any:
        loaded.append(path)
        return load_model(path)

    monkeypatch.setattr(engine, "_MODELS", engine.EngineCache())
    monkeypatch.setattr(engine, "load_model", load)
    viewer.add_image(noise(3, 40, 48), name="cells")
    for plane in range(3):
        viewer.dims.set_current_step(0, plane)
        assert live().translate[0] == plane
    assert len(loaded) == 1


def test_the_next_preview_decides_nothing_anew_unless_something_else_is_asked_for(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    live: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decided: list[Any] = []
    original = steps.plan_chain

    def decide(*asked: Any) -> Any:
        decided.append(asked)
        return original(*asked)

    monkeypatch.setattr(steps, "plan_chain", decide)
    layer = viewer.add_image(noise(3, 40, 48), name="cells")
    for plane in range(3):
        viewer.dims.set_current_step(0, plane)
        assert live().translate[0] == plane
    assert len(decided) == 1
    widget.form.channels.value = "luminance"
    assert live() is not None
    assert len(decided) == 2
    layer.data = 2 * noise(3, 40, 48)
    assert live() is not None
    assert len(decided) == 3


def test_only_a_change_of_what_is_shown_or_asked_computes(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    preview = widget.preview
    layer = viewer.add_image(noise(3, 40, 48), name="cells")
    shown = live()
    assert preview.computations == 1
    viewer.layers.selection = {layer, shown}
    live()
    viewer.layers.selection = {layer}
    live()
    widget.extent.value = "whole layer"
    live()
    widget.live.value = False
    widget.live.value = True
    assert live().visible
    assert preview.computations == 1
    viewer.dims.set_current_step(0, 2)
    assert live().translate[0] == 2
    assert preview.computations == 2


def test_pixels_that_change_in_place_are_noticed(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    layer = viewer.add_image(noise(40, 48), name="cells")
    before = np.array(live().data)
    layer.data[:] = 255 - layer.data
    layer.refresh()
    assert widget.preview.computations == 1
    assert not np.array_equal(live().data, before)
    assert widget.preview.computations == 2


def test_restoring_takes_over_what_the_preview_measured(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    live: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer.add_image(noise(3, 40, 48), name="cells")
    live()

    def measured_again(*asked: Any) -> Any:
        raise AssertionError(asked)

    monkeypatch.setattr(steps, "plan_chain", measured_again)
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert [layer.name for layer in viewer.layers if "denoised" in layer.name]


def test_before_and_after_can_be_switched(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    preview = live()
    widget.before.value = True
    assert not preview.visible
    widget.before.value = False
    assert preview.visible


def test_removing_the_preview_by_hand_switches_it_off(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    viewer.layers.remove(live())
    wait(lambda: not widget.live.value)
    assert live() is None


def test_removing_the_source_leaves_the_preview_on_for_the_next_layer(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any], qtbot: Any
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
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
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
    noise: Any, viewer: Any, live: Callable[[], Any]
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
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(40, 48), name="cells")
    assert live() is not None
    widget.hideEvent(QHideEvent())
    assert live() is None
    widget.showEvent(QShowEvent())
    assert live() is not None


def test_a_preview_that_fails_is_told_once_and_leaves_no_stale_layer(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    live: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("napari_memnet.jobs.worker.show_error", shown.append)
    viewer.add_image(noise(40, 48), name="cells")
    assert live() is not None
    widget.form.low.value, widget.form.high.value = 9, 9
    widget.form.range.value = "pair"
    assert live() is None
    assert "has to lie below white" in widget.seen.text()
    assert shown == []


def test_a_3d_view_has_no_preview_and_it_is_said(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(3, 40, 48), name="cells")
    assert live() is not None
    viewer.dims.ndisplay = 3
    assert live() is None
    assert "needs a 2D view" in widget.seen.text()


def looking(
    layer: Image, center: tuple[float, float], sides: tuple[int, int]
) -> ViewerModel:
    """Look at a layer; one pixel of the canvas is one unit of the world."""
    model = ViewerModel()
    model.add_layer(layer)
    model.canvas.size = sides
    model.scene.camera.center = (0, *center)
    model.scene.camera.zoom = 1
    return model


def test_large_views_are_previewed_in_the_middle() -> None:
    layer = Image(np.zeros((2, 900, 2000), np.uint8))
    model = looking(layer, (449.5, 999.5), (950, 2100))
    region = visible_region(model, layer, (1, 0, 0), largest=512)
    assert region == LayerRegion((slice(1, 2), slice(194, 706), slice(744, 1256)))


def test_what_is_seen_of_a_multiscale_layer_is_counted_in_full_resolution() -> None:
    pixels = np.zeros((800, 1200), np.uint8)
    layer = Image([pixels, pixels[::4, ::4]], scale=(2, 2), translate=(10, 0))
    layer.data_level = 1
    # As napari has them: up to the borders of chunks, and left from before.
    layer.corner_pixels = np.array([[0, 0], [199, 299]])
    model = looking(layer, (10 + 2 * 59.5, 2 * 119.5), (80, 160))
    region = visible_region(model, layer, (0, 0))
    assert region == LayerRegion((slice(40, 80), slice(80, 160)))
    assert layer_planes(layer).region.shape == (800, 1200)


def test_a_preview_keeps_its_layer_when_it_is_switched_off(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(3, 40, 48), name="cells")
    preview = live()
    widget.live.value = False
    assert not preview.visible
    assert preview in viewer.layers
    widget.live.value = True
    assert live() == preview


def test_contrast_is_shared_both_ways_and_is_no_reason_to_compute(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    source = viewer.add_image(noise(3, 40, 48), name="cells")
    viewer.dims.set_current_step(0, 0)
    preview = live()
    preview.contrast_limits = (10, 90)
    preview.gamma = 0.5
    preview.colormap = "magenta"
    assert not widget.preview.is_running
    assert tuple(source.contrast_limits) == (10, 90)
    assert (source.gamma, source.colormap.name) == (0.5, "magenta")
    viewer.dims.set_current_step(0, 2)
    assert tuple(live().contrast_limits) == (10, 90)
    source.contrast_limits = (20, 80)
    assert not widget.preview.is_running
    assert tuple(preview.contrast_limits) == (20, 80)
    widget.form.range.value = "contrast"
    live()
    source.contrast_limits = (30, 70)
    assert widget.preview.is_running


def test_an_additive_source_is_hidden_while_its_preview_is_shown(
    noise: Any, widget: RestoreWidget, viewer: Any, live: Callable[[], Any]
) -> None:
    source = viewer.add_image(noise(40, 48), name="cells", blending="additive")
    assert live() is not None
    assert not source.visible
    widget.before.value = True
    assert source.visible
    widget.before.value = False
    assert not source.visible
    widget.live.value = False
    assert source.visible


def test_it_is_said_which_slice_and_task_a_preview_shows(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any, live: Callable[[], Any]
) -> None:
    viewer.add_image(noise(3, 40, 48), name="cells", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 2)
    wait(lambda: widget.seen.text() == "Computing the preview of 'cells', z 2…")
    live()
    assert widget.seen.text().startswith("Preview of 'cells', z 2, denoised: ")


def test_layers_that_are_selected_stay_so_when_the_preview_comes(
    noise: Any, widget: RestoreWidget, viewer: Any, wait: Any, live: Callable[[], Any]
) -> None:
    stack = np.stack([noise(2, 20, 24), noise(2, 20, 24)])
    channels = viewer.add_image(stack, channel_axis=0, name=["bright", "dim"])
    viewer.layers.selection = set(channels)
    widget.extent.value = "whole layer"
    assert live() is not None
    assert set(viewer.layers.selection) == set(channels)
    assert widget.every.text == "all 2 selected layers"
    assert widget.extent.value == "whole layer"
    widget.apply()
    wait(lambda: widget.run.work is None)
    results = [x.name.split()[0] for x in viewer.layers if "by" in x.name]
    assert sorted(results) == ["bright", "dim"]


def test_restoring_while_a_preview_is_being_computed_changes_no_pixel(
    noise: Any,
    widget: RestoreWidget,
    viewer: Any,
    wait: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = [noise(2, 20, 24) * np.uint16(100), noise(2, 20, 24).astype(np.uint16)]
    channels = [viewer.add_image(x, name=n) for x, n in zip(pixels, "ab", strict=True)]
    viewer.layers.selection = set(channels)
    widget.extent.value = "whole layer"
    widget.apply()
    wait(lambda: widget.run.work is None)
    alone = {x.name: x.data for x in viewer.layers if x not in channels}
    for name in alone:
        viewer.layers.remove(viewer.layers[name])
    viewer.layers.selection = set(channels)
    compute, begun = RowStream.push, []

    def slowly(self: RowStream, x: Any) -> Any:
        begun.append(x)
        time.sleep(0.3)
        return compute(self, x)

    monkeypatch.setattr(RowStream, "push", slowly)
    widget.live.value = True
    wait(lambda: bool(begun))
    assert widget.preview.is_running
    widget.apply()
    wait(lambda: widget.run.work is None)
    assert len(alone) == 2
    for name, expected in alone.items():
        np.testing.assert_array_equal(viewer.layers[name].data, expected)
