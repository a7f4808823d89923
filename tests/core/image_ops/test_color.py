from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.image_ops.color import (
    add_luminance,
    full_range_luminance,
    rgb2gray,
    rgb2ycbcr_luminance,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

COLORS = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
}
GRAYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def random_colors(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(7).uniform(0, 255, (*shape, 3))


def chroma(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cb and Cr of ITU-R BT.601, full range, without their offset."""
    matrix = [[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    planes: NDArray[np.float64] = rgb @ np.array(matrix).T
    return planes


@pytest.mark.parametrize(
    ("name", "luminance"),
    [("white", 235), ("black", 16), ("red", 81), ("green", 145), ("blue", 41)],
)
def test_protocol_luminance_has_studio_range(name: str, luminance: int) -> None:
    assert rgb2ycbcr_luminance(np.array(COLORS[name], np.uint8)) == luminance


@pytest.mark.parametrize(
    ("name", "gray"),
    [("white", 255), ("black", 0), ("red", 76), ("green", 150), ("blue", 29)],
)
def test_gray_has_full_range(name: str, gray: int) -> None:
    assert rgb2gray(np.array(COLORS[name], np.uint8)) == gray


def test_gray_of_gray_is_itself() -> None:
    np.testing.assert_array_equal(rgb2gray(GRAYS), np.arange(256))


@pytest.mark.parametrize("convert", [rgb2ycbcr_luminance, rgb2gray])
def test_eight_bit_luminance_is_one_plane_of_rounded_levels(
    convert: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    rgb = random_colors(6, 5).astype(np.uint8)
    exact = full_range_luminance(rgb.astype(np.float64))
    if convert is rgb2ycbcr_luminance:
        exact = 16 + exact * 219 / 255
    luminance = convert(rgb)
    assert luminance.dtype == np.uint8
    assert luminance.shape == (6, 5)
    np.testing.assert_allclose(luminance, exact, rtol=0, atol=0.501)


def test_luminance_is_on_the_scale_of_the_colors() -> None:
    rgb = random_colors(4, 5)
    np.testing.assert_allclose(
        full_range_luminance(rgb / 255), full_range_luminance(rgb) / 255
    )


def test_luminance_keeps_single_precision() -> None:
    luminance = full_range_luminance(random_colors(4, 5).astype(np.float32))
    assert luminance.dtype == np.float32
    assert luminance.shape == (4, 5)


def test_luminance_of_gray_is_its_level() -> None:
    grays = GRAYS.astype(np.float64)
    np.testing.assert_allclose(full_range_luminance(grays), np.arange(256))


def test_added_luminance_is_the_whole_change_of_luminance() -> None:
    rgb, difference = random_colors(4, 5), random_colors(4, 5)[..., 0] - 100
    changed = full_range_luminance(add_luminance(rgb, difference))
    np.testing.assert_allclose(changed, full_range_luminance(rgb) + difference)


def test_added_luminance_keeps_chroma() -> None:
    rgb, difference = random_colors(4, 5), random_colors(4, 5)[..., 0] - 100
    changed = chroma(add_luminance(rgb, difference))
    np.testing.assert_allclose(changed, chroma(rgb), atol=1e-9)


def test_added_luminance_keeps_gray_gray() -> None:
    grays = GRAYS.astype(np.float64)
    changed = add_luminance(grays, np.linspace(-20, 20, len(grays)))
    np.testing.assert_array_equal(changed[:, 0], changed[:, 1])
    np.testing.assert_array_equal(changed[:, 0], changed[:, 2])
    np.testing.assert_allclose(changed[:, 0] - grays[:, 0], np.linspace(-20, 20, 256))


def test_added_luminance_keeps_type_and_input() -> None:
    rgb = random_colors(4, 5).astype(np.float32)
    before = rgb.copy()
    assert add_luminance(rgb, np.ones((4, 5), np.float32)).dtype == np.float32
    np.testing.assert_array_equal(rgb, before)
