"""Layers that belong together share their display, and mixing ones their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_memnet.layers.results import (
    link_result,
    mixes,
    place,
    results_of,
    source_of,
    unlink,
)

if TYPE_CHECKING:
    from napari.layers import Image

PIXELS = np.arange(400, dtype=np.uint8).reshape(20, 20)


def pair(blending: str) -> tuple[ViewerModel, Image, Image]:
    viewer = ViewerModel()
    source = viewer.add_image(PIXELS, name="source", blending=blending)
    made = viewer.add_image(PIXELS, name="made", blending=blending)
    link_result(viewer.layers, source, made)
    return viewer, source, made


def test_contrast_gamma_and_colormap_are_linked_both_ways() -> None:
    _, source, made = pair("translucent")
    source.contrast_limits = (3, 90)
    made.gamma = 0.7
    made.colormap = "green"
    assert tuple(made.contrast_limits) == (3, 90)
    assert (source.gamma, source.colormap.name) == (0.7, "green")


@pytest.mark.parametrize("blending", ["additive", "minimum", "multiplicative"])
def test_of_layers_that_mix_one_is_visible_at_a_time(blending: str) -> None:
    viewer, source, made = pair(blending)
    assert mixes(source)
    assert (source.visible, made.visible) == (False, True)
    made.visible = False
    assert source.visible
    made.visible = True
    assert not source.visible
    second = viewer.add_image(PIXELS, blending=blending)
    link_result(viewer.layers, source, second)
    assert [x.visible for x in (source, made, second)] == [False, False, True]
    viewer.layers.remove(second)
    assert [x.visible for x in (source, made)] == [True, False]


def test_a_source_that_was_hidden_before_stays_hidden() -> None:
    viewer = ViewerModel()
    source = viewer.add_image(PIXELS, blending="additive", visible=False)
    made = viewer.add_image(PIXELS, blending="additive")
    link_result(viewer.layers, source, made)
    made.visible = False
    assert not source.visible


def test_layers_that_cover_what_is_below_stay_visible() -> None:
    _, source, made = pair("translucent_no_depth")
    assert source.visible
    assert made.visible
    made.opacity = 0.5
    assert not source.visible


def test_layers_part_when_one_is_removed_or_gets_other_data() -> None:
    viewer, source, made = pair("additive")
    assert results_of(source) == [made]
    assert source_of(made) == source
    viewer.layers.remove(made)
    assert source.visible
    assert results_of(source) == []
    source.gamma = 0.5
    assert made.gamma == 1
    _, source, made = pair("translucent")
    source.data = PIXELS + 1
    source.gamma = 0.5
    assert made.gamma == 1
    assert source_of(made) is None


def test_a_layer_can_be_given_to_another_source() -> None:
    viewer, source, made = pair("additive")
    unlink(made)
    assert source.visible
    other = viewer.add_image(PIXELS, blending="additive")
    link_result(viewer.layers, other, made)
    assert (source.visible, other.visible) == (True, False)
    source.gamma = 0.3
    assert made.gamma == 1


def test_what_is_made_of_a_channel_lies_below_the_channels_that_are_added_to_it() -> (
    None
):
    viewer = ViewerModel()
    names = ["base", "added"]
    base, added = viewer.add_image(
        np.stack([PIXELS, PIXELS]), channel_axis=0, name=names
    )
    made = viewer.add_image(PIXELS, name="made", blending="translucent_no_depth")
    link_result(viewer.layers, base, made)
    place(viewer.layers, base, made)
    assert [x.name for x in viewer.layers] == ["base", "made", "added"]
    top = viewer.add_image(PIXELS, name="top", blending="additive")
    link_result(viewer.layers, added, top)
    place(viewer.layers, added, top)
    assert [x.name for x in viewer.layers] == ["base", "made", "added", "top"]


def test_what_is_made_of_an_image_lies_on_top() -> None:
    viewer, source, made = pair("translucent")
    other = viewer.add_image(PIXELS, name="other")
    place(viewer.layers, source, made)
    assert [*viewer.layers] == [source, other, made]
