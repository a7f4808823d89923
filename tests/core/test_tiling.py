from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memnet_core.tiling import plan_tiles, round_up


class Layout(NamedTuple):
    shape: tuple[int, int]
    tile: tuple[int, int]
    halo: int
    multiple: int


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    multiple = draw(st.integers(1, 4))
    cells = draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    return Layout(
        shape=(cells[0] * multiple, cells[1] * multiple),
        tile=draw(st.tuples(st.integers(1, 40), st.integers(1, 40))),
        halo=draw(st.integers(0, 12)),
        multiple=multiple,
    )


any_layout = given(layout=layouts())
light = settings(deadline=None, max_examples=150)


@any_layout
@example(Layout((1, 1), (1, 1), 0, 1))
@example(Layout((1, 50), (1, 7), 3, 1))
@example(Layout((50, 1), (3, 40), 8, 1))
@light
def test_cores_partition_the_image(layout: Layout) -> None:
    covered = np.zeros(layout.shape, np.int64)
    for tile in plan_tiles(*layout):
        covered[tile.core] += 1
    np.testing.assert_array_equal(covered, 1)


@any_layout
@light
def test_windows_have_one_shape_and_lie_inside_the_image(layout: Layout) -> None:
    tiles = plan_tiles(*layout)
    shapes = set()
    for tile in tiles:
        for window, length in zip(tile.window, layout.shape, strict=True):
            assert 0 <= window.start < window.stop <= length
        shapes.add(tuple(window.stop - window.start for window in tile.window))
    assert len(shapes) == 1
    assert {tile.window_pixels for tile in tiles} == {np.prod(shapes.pop())}


@any_layout
@light
def test_windows_lie_on_the_grid(layout: Layout) -> None:
    for tile in plan_tiles(*layout):
        for window in tile.window:
            assert window.start % layout.multiple == 0
            assert window.stop % layout.multiple == 0


@any_layout
@light
def test_core_keeps_the_halo_from_window_sides_within_the_image(layout: Layout) -> None:
    for tile in plan_tiles(*layout):
        for window, core, length in zip(
            tile.window, tile.core, layout.shape, strict=True
        ):
            assert window.start == 0 or core.start - window.start >= layout.halo
            assert window.stop == length or window.stop - core.stop >= layout.halo


@any_layout
@light
def test_inner_is_the_core_seen_from_the_window(layout: Layout) -> None:
    image = np.arange(np.prod(layout.shape)).reshape(layout.shape)
    for tile in plan_tiles(*layout):
        np.testing.assert_array_equal(image[tile.window][tile.inner], image[tile.core])


@any_layout
@light
def test_tiles_come_row_by_row(layout: Layout) -> None:
    corners = [(tile.core[0].start, tile.core[1].start) for tile in plan_tiles(*layout)]
    assert corners == sorted(corners)


@any_layout
@light
def test_tile_amid_the_image_provides_no_more_than_asked(layout: Layout) -> None:
    for tile in plan_tiles(*layout):
        for core, side, length in zip(
            tile.core, layout.tile, layout.shape, strict=True
        ):
            if core.start > 0 and core.stop < length:
                assert core.stop - core.start <= round_up(side, layout.multiple)


@pytest.mark.parametrize("shape", [(1, 1), (12, 16), (1, 16)], ids=str)
def test_image_that_fits_a_window_is_one_tile(shape: tuple[int, int]) -> None:
    (tile,) = plan_tiles(shape, tile=(6, 10), halo=3)
    assert tile.window == tile.core == (slice(0, shape[0]), slice(0, shape[1]))


def test_no_more_tiles_than_needed() -> None:
    assert len(plan_tiles((13, 16), tile=(6, 10), halo=3)) == 2
    assert len(plan_tiles((18, 26), tile=(6, 10), halo=3)) == 4
    assert len(plan_tiles((19, 26), tile=(6, 10), halo=3)) == 6


@pytest.mark.parametrize(
    ("value", "multiple", "rounded"),
    [(0, 4, 0), (1, 4, 4), (4, 4, 4), (5, 4, 8), (7, 1, 7)],
)
def test_rounding_up(value: int, multiple: int, rounded: int) -> None:
    assert round_up(value, multiple) == rounded
