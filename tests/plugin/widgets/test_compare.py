"""The compare widget: blink, split view, figures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent

from memnet_core.image_ops.metrics import psnr, ssim
from napari_memnet.widgets.compare import CompareWidget

if TYPE_CHECKING:
    from collections.abc import Iterator

RNG = np.random.default_rng(0)
CLEAN = RNG.integers(50, 200, (2, 30, 40)).astype(np.uint8)
NOISY = np.clip(CLEAN + RNG.normal(0, 20, CLEAN.shape), 0, 255).astype(np.uint8)
BETTER = np.clip(CLEAN + RNG.normal(0, 5, CLEAN.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def widget(viewer: Any, dock: Any) -> Iterator[CompareWidget]:
    viewer.add_image(CLEAN, name="clean", scale=(1, 2, 2), visible=False)
    viewer.add_image(NOISY, name="noisy", scale=(1, 2, 2))
    viewer.add_image(
        BETTER,
        name="better",
        scale=(1, 2, 2),
        metadata={"memnet": {"source": {"layer": "noisy"}}},
    )
    widget = dock(CompareWidget(viewer))
    yield widget
    widget.close()


def lightness(widget: CompareWidget) -> float:
    color: Any = widget.plot.figure.get_facecolor()
    return float(np.mean(color))


def test_the_newest_result_is_compared_with_its_source(widget: CompareWidget) -> None:
    assert widget.source.value.name == "noisy"
    assert widget.result.value.name == "better"


def test_blinking_shows_before_and_after_in_turn_and_ends_with_the_result(
    widget: CompareWidget, viewer: Any, wait: Any
) -> None:
    viewer.layers["clean"].visible = True
    viewer.layers.move(1, 3)
    source, result = viewer.layers["noisy"], viewer.layers["better"]
    widget.blink.value = True
    for _ in range(2):
        wait(lambda: source.visible and not result.visible)
        wait(lambda: result.visible and not source.visible)
    assert not viewer.layers["clean"].visible
    widget.blink.value = False
    assert all(layer.visible for layer in viewer.layers)


def test_before_is_what_was_chosen_for_it(
    widget: CompareWidget, viewer: Any, wait: Any
) -> None:
    widget.source.value = viewer.layers["clean"]
    widget.blink.value = True
    wait(lambda: viewer.layers["clean"].visible)
    assert not viewer.layers["noisy"].visible
    assert not viewer.layers["better"].visible
    widget.blink.value = False
    assert [x.visible for x in viewer.layers] == [False, True, True]


def test_a_split_view_shows_before_left_of_a_line_and_adds_nothing(
    widget: CompareWidget, viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictured: list[list[str]] = []

    def screenshot(self: Any, **_: Any) -> Any:
        pictured.append([layer.name for layer in self.layers if layer.visible])
        return np.full((40, 60, 4), (255, 0, 0, 255), np.uint8)

    monkeypatch.setattr(type(viewer.__wrapped__), "screenshot", screenshot)
    widget.split.value = True
    assert pictured == [["noisy"]]
    assert [layer.visible for layer in viewer.layers] == [False, False, True]
    curtain = widget._curtain
    assert curtain is not None
    assert curtain.picture.pixmap.toImage().pixelColor(30, 20).red() == 255
    widget.position.value = 0.75
    assert curtain.picture.width() == round(0.75 * curtain.canvas.width())
    widget.split.value = False
    assert widget._curtain is None
    assert [layer.visible for layer in viewer.layers] == [False, True, True]


def test_the_line_can_be_dragged_in_the_image(
    widget: CompareWidget, viewer: Any
) -> None:
    widget.split.value = True
    curtain = widget._curtain
    assert curtain is not None
    width = curtain.canvas.width()
    to = QPoint(curtain.edge.width() // 2 - width // 4, 5)
    curtain.edge.mouseMoveEvent(
        QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(to),
            QPointF(to),
            Qt.MouseButton.LeftButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )
    assert widget.position.value == pytest.approx(0.25, abs=0.03)
    assert curtain.picture.width() == pytest.approx(width / 4, abs=0.03 * width)


@pytest.mark.parametrize("mode", ["blink", "split"])
def test_choosing_another_result_shows_the_first_one_again_in_the_end(
    widget: CompareWidget, viewer: Any, mode: str
) -> None:
    getattr(widget, mode).value = True
    viewer.layers["better"].visible = False
    widget.result.value = viewer.layers["clean"]
    getattr(widget, mode).value = False
    assert viewer.layers["better"].visible


@pytest.mark.parametrize("mode", ["blink", "split"])
def test_removing_the_result_ends_the_comparison(
    widget: CompareWidget, viewer: Any, mode: str
) -> None:
    getattr(widget, mode).value = True
    viewer.layers.remove(viewer.layers["better"])
    assert not widget.blink.value
    assert not widget.split.value
    assert [layer.name for layer in viewer.layers] == ["clean", "noisy"]
    assert viewer.layers["noisy"].visible


def test_metadata_of_others_does_no_harm(widget: CompareWidget, viewer: Any) -> None:
    for told in ("text", {}, {"source": "text"}):
        viewer.add_image(CLEAN, metadata={"memnet": told})
    assert len(widget.source.choices) == 6


def test_figures_are_those_of_the_plane_that_is_shown(
    widget: CompareWidget, viewer: Any
) -> None:
    for plane in (0, 1):
        viewer.dims.set_current_step(0, plane)
        widget.reference.value = viewer.layers["clean"]
        lines = widget.figures.text().splitlines()
        for line, name, pixels in (
            (lines[0], "before", NOISY),
            (lines[1], "after", BETTER),
        ):
            expected = psnr(CLEAN[plane], pixels[plane])
            similarity = ssim(CLEAN[plane], pixels[plane])
            assert line == f"{name}: {expected:.2f} dB, SSIM {similarity:.4f}"


def test_layers_of_other_shapes_are_not_compared(
    widget: CompareWidget, viewer: Any
) -> None:
    viewer.add_image(np.zeros((2, 30, 41), np.uint8), name="other")
    widget.reference.value = viewer.layers["other"]
    assert "choose layers of one shape" in widget.figures.text()


def test_closing_ends_the_split_view(widget: CompareWidget, viewer: Any) -> None:
    widget.split.value = True
    curtain = widget._curtain
    assert curtain is not None
    viewer.window.remove_dock_widget(widget)
    assert curtain.picture.parent() is None
    assert viewer.layers["better"].visible


def test_a_slice_is_scored_at_its_place_in_the_stack(
    widget: CompareWidget, viewer: Any
) -> None:
    made = viewer.add_image(
        BETTER[1:], name="slice", scale=(1, 2, 2), translate=(1, 0, 0)
    )
    widget.result.value = made
    widget.reference.value = viewer.layers["clean"]
    viewer.dims.set_current_step(0, 1)
    expected = f"after: {psnr(CLEAN[1], BETTER[1]):.2f} dB"
    assert widget.figures.text().splitlines()[1].startswith(expected)
    viewer.dims.set_current_step(0, 0)
    told = widget.figures.text()
    assert f"before: {psnr(CLEAN[0], NOISY[0]):.2f} dB" in told
    assert "after: the sliders are beside 'slice'." in told


def test_a_part_is_scored_at_its_place_and_before_is_scored_there_too(
    widget: CompareWidget, viewer: Any, wait: Any
) -> None:
    made = viewer.add_image(
        BETTER[:, 5:25, 10:38],
        name="part",
        scale=(1, 2, 2),
        translate=(0, 2 * 5, 2 * 10),
    )
    widget.result.value = made
    widget.reference.value = viewer.layers["clean"]
    shown = viewer.dims.current_step[0]
    clean, noisy, better = (x[shown, 5:25, 10:38] for x in (CLEAN, NOISY, BETTER))
    before, after, compared = widget.figures.text().splitlines()
    assert before.startswith(f"before: {psnr(clean, noisy):.2f} dB")
    assert after.startswith(f"after: {psnr(clean, better):.2f} dB")
    assert "28×20 px of this plane" in compared
    widget.plot.button.click()
    wait(lambda: not widget.plot.is_running)
    scored = widget.plot.found[shown][1]
    assert scored is not None
    assert scored.psnr == pytest.approx(psnr(clean, better))
    made.translate = (0, 2000, 0)
    widget._show_figures()
    assert "no pixel of 'clean' in common" in widget.figures.text()


def test_what_was_removed_is_a_layer_on_demand(
    widget: CompareWidget, viewer: Any
) -> None:
    widget.removed.native.click()
    layer = viewer.layers[-1]
    assert layer.name == "better: removed"
    np.testing.assert_array_equal(layer.data, NOISY.astype(float) - BETTER)
    np.testing.assert_array_equal(layer.scale, (1, 2, 2))
    # It is neither a result nor compared by itself.
    assert widget.result.value.name == "better"
    widget.result.value = widget.source.value
    widget.removed.native.click()
    assert "choose a layer and what was made of it" in widget.figures.text()


def test_every_slice_is_scored_and_drawn_in_the_colors_of_the_theme(
    widget: CompareWidget, viewer: Any, wait: Any
) -> None:
    assert not widget.plot.isVisibleTo(widget)
    widget.reference.value = viewer.layers["clean"]
    assert widget.plot.isVisibleTo(widget)
    assert not widget.plot.canvas.isVisibleTo(widget)
    widget.plot.button.click()
    wait(lambda: not widget.plot.is_running)
    assert sorted(widget.plot.found) == [0, 1]
    for plane in (0, 1):
        before, after = widget.plot.found[plane]
        assert before is not None
        assert after is not None
        assert before.psnr == pytest.approx(psnr(CLEAN[plane], NOISY[plane]))
        assert after.ssim == pytest.approx(ssim(CLEAN[plane], BETTER[plane]))
    upper, lower = widget.plot.figure.axes
    drawn = {line.get_label(): [*np.asarray(line.get_ydata())] for line in upper.lines}
    assert drawn["after"] == [
        pytest.approx(psnr(CLEAN[plane], BETTER[plane])) for plane in (0, 1)
    ]
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("PSNR, dB", "SSIM")
    dark = lightness(widget)
    viewer.theme = "light"
    assert lightness(widget) > dark
    widget.reference.value = "none"
    assert not widget.plot.isVisibleTo(widget)


def test_the_plot_marks_the_slice_that_is_shown_and_a_click_goes_to_another(
    widget: CompareWidget, viewer: Any, wait: Any
) -> None:
    widget.reference.value = viewer.layers["clean"]
    viewer.dims.set_current_step(0, 1)
    widget.plot.button.click()
    wait(lambda: not widget.plot.is_running)
    assert list(widget.plot._lines[0].get_xdata()) == [1, 1]
    widget.plot._on_press(SimpleNamespace(xdata=-0.3))
    assert viewer.dims.current_step[0] == 0
    assert list(widget.plot._lines[0].get_xdata()) == [0, 0]
    widget.plot._on_press(SimpleNamespace(xdata=None))
    widget.plot._on_press(SimpleNamespace(xdata=7.0))
    assert viewer.dims.current_step[0] == 1


def test_slices_that_a_result_does_not_have_are_gaps(
    widget: CompareWidget, viewer: Any, wait: Any
) -> None:
    made = viewer.add_image(
        BETTER[1:], name="slice", scale=(1, 2, 2), translate=(1, 0, 0)
    )
    widget.result.value = made
    widget.reference.value = viewer.layers["clean"]
    widget.plot.button.click()
    wait(lambda: not widget.plot.is_running)
    assert widget.plot.found[0][1] is None
    assert widget.plot.found[1][1] is not None
    # Other layers, other scores.
    widget.result.value = viewer.layers["better"]
    assert widget.plot.found == {}
    assert not widget.plot.canvas.isVisibleTo(widget)


def test_scores_of_layers_that_do_not_fit_are_one_sentence(
    widget: CompareWidget, viewer: Any
) -> None:
    viewer.add_image(np.zeros((2, 30, 41), np.uint8), name="other")
    widget.reference.value = viewer.layers["other"]
    widget.plot.button.click()
    assert "choose layers of one shape" in widget.figures.text()
    assert not widget.plot.is_running
