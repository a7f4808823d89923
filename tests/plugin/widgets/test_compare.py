"""The compare widget: blink, split view, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.metrics import psnr, ssim
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


def test_the_newest_result_is_compared_with_its_source(widget: CompareWidget) -> None:
    assert widget.source.value.name == "noisy"
    assert widget.result.value.name == "better"


def test_blinking_shows_and_hides_the_result_and_ends_with_it_shown(
    widget: CompareWidget, viewer: Any, wait: Any
) -> None:
    result = viewer.layers["better"]
    widget.blink.value = True
    wait(lambda: not result.visible)
    wait(lambda: result.visible)
    wait(lambda: not result.visible)
    widget.blink.value = False
    assert result.visible


def test_a_split_view_shows_the_result_right_of_the_line_only(
    widget: CompareWidget, viewer: Any
) -> None:
    widget.split.value = True
    part = viewer.layers["better, right part"]
    np.testing.assert_array_equal(part.data, BETTER[..., 20:])
    assert part.translate[-1] == 40
    assert not viewer.layers["better"].visible
    widget.position.value = 0.75
    np.testing.assert_array_equal(part.data, BETTER[..., 30:])
    assert part.translate[-1] == 60
    widget.split.value = False
    assert [layer.name for layer in viewer.layers] == ["clean", "noisy", "better"]
    assert viewer.layers["better"].visible


@pytest.mark.parametrize("mode", ["blink", "split"])
def test_choosing_another_result_shows_the_first_one_again(
    widget: CompareWidget, viewer: Any, mode: str
) -> None:
    getattr(widget, mode).value = True
    viewer.layers["better"].visible = False
    widget.result.value = viewer.layers["clean"]
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


def test_removing_the_part_by_hand_ends_the_split_view(
    widget: CompareWidget, viewer: Any
) -> None:
    widget.split.value = True
    viewer.layers.remove(viewer.layers["better, right part"])
    assert not widget.split.value
    assert viewer.layers["better"].visible


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
        lines = widget.figures.value.splitlines()
        for line, name, pixels in (
            (lines[0], "before", NOISY),
            (lines[2], "after", BETTER),
        ):
            expected = psnr(CLEAN[plane], pixels[plane])
            similarity = ssim(CLEAN[plane], pixels[plane])
            assert line == f"{name}: {expected:.2f} dB, SSIM {similarity:.4f}"


def test_layers_of_other_shapes_are_not_compared(
    widget: CompareWidget, viewer: Any
) -> None:
    viewer.add_image(np.zeros((2, 30, 41), np.uint8), name="other")
    widget.reference.value = viewer.layers["other"]
    assert "choose layers of one shape" in widget.figures.value


def test_closing_ends_the_split_view(widget: CompareWidget, viewer: Any) -> None:
    widget.split.value = True
    viewer.window.remove_dock_widget(widget)
    assert len(viewer.layers) == 3
    assert viewer.layers["better"].visible
