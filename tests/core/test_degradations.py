from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.bicubic import imresize, modcrop
from memnet_core.degradations import gaussian_noise, jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = [(14, 18), (21, 27), (5, 4), (3, 5), (1, 1), (10, 3)]


def smooth_plane(height: int, width: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(rows / 5) + np.cos((columns + rows) / 7)
    noise = np.random.default_rng(3).normal(0, 8, waves.shape)
    plane: NDArray[np.uint8] = np.clip(128 + 50 * waves + noise, 0, 255).astype(
        np.uint8
    )
    return plane


def random_image(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(4).uniform(0, 255, shape)


@pytest.mark.parametrize("shape", [(7, 9), (1, 1), (8, 5, 3)])
def test_resizing_to_the_same_size_is_the_identity(shape: tuple[int, ...]) -> None:
    image = random_image(*shape)
    resized = imresize(image, (shape[0], shape[1]))
    np.testing.assert_allclose(resized, image, rtol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_resizing_keeps_a_constant(shape: tuple[int, int]) -> None:
    resized = imresize(np.full((7, 9), 123.4), shape)
    np.testing.assert_allclose(resized, np.full(shape, 123.4), rtol=1e-13)


@pytest.mark.parametrize(
    ("old", "new"), [(20, 40), (20, 60), (20, 80), (20, 27), (60, 30), (60, 20)]
)
def test_resizing_keeps_a_ramp_away_from_the_border(old: int, new: int) -> None:
    ramp = np.arange(old, dtype=np.float64) + 0.5
    expected = (np.arange(new) + 0.5) * old / new
    border = 3 * max(1, new // old)
    rows = imresize(np.tile(ramp, (4, 1)), (4, new))
    np.testing.assert_allclose(
        rows[:, border:-border], np.tile(expected, (4, 1))[:, border:-border]
    )


def test_magnifying_twice_weighs_with_keys_kernel() -> None:
    impulse = np.zeros((1, 9))
    impulse[0, 4] = 1
    quarter, three_quarters = 0.8671875, 0.2265625
    five_quarters, seven_quarters = -0.0703125, -0.0234375
    half = [quarter, three_quarters, five_quarters, seven_quarters]
    resized = imresize(impulse, (1, 18))[0]
    np.testing.assert_allclose(resized[9:13], half)
    np.testing.assert_allclose(resized[5:9], half[::-1])
    assert not resized[:5].any()
    assert not resized[13:].any()


def test_shrinking_widens_the_kernel_against_aliasing() -> None:
    stripes = np.tile([0.0, 255.0], (8, 12))
    shrunk = imresize(stripes, (4, 12))
    np.testing.assert_allclose(shrunk[:, 4:-4], 127.5)


@pytest.mark.parametrize("shape", SHAPES)
def test_resizing_treats_all_directions_alike(shape: tuple[int, int]) -> None:
    image = random_image(7, 9)
    resized = imresize(image, shape)
    for axis in (0, 1):
        flipped = imresize(np.flip(image, axis), shape)
        np.testing.assert_allclose(flipped, np.flip(resized, axis), atol=1e-10)
    np.testing.assert_allclose(imresize(image.T, shape[::-1]), resized.T, atol=1e-10)


def test_resizing_treats_every_channel_alone() -> None:
    image = random_image(7, 9, 3)
    resized = imresize(image, (10, 5))
    assert resized.shape == (10, 5, 3)
    for channel in range(3):
        np.testing.assert_allclose(
            resized[..., channel], imresize(image[..., channel], (10, 5))
        )


@pytest.mark.parametrize("quality", [1, 10, 20, 75, 100])
@pytest.mark.parametrize(
    "region", [np.s_[8:32, 16:40], np.s_[16:, :24], np.s_[40:, 8:]]
)
def test_jpeg_compresses_a_region_on_the_block_grid_as_in_the_whole(
    region: tuple[slice, slice], quality: int
) -> None:
    plane = smooth_plane(50, 61)
    alone = jpeg(np.ascontiguousarray(plane[region]), quality)
    np.testing.assert_array_equal(alone, jpeg(plane, quality)[region])


def test_jpeg_compresses_a_region_off_the_block_grid_differently() -> None:
    plane = smooth_plane(48, 48)
    region = np.s_[4:44, 4:44]
    assert not np.array_equal(jpeg(plane[region].copy(), 10), jpeg(plane, 10)[region])


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (8, 16), (33, 5)])
def test_jpeg_keeps_shape_and_type(shape: tuple[int, int]) -> None:
    plane = smooth_plane(*shape)
    before = plane.copy()
    compressed = jpeg(plane, 50)
    assert compressed.shape == shape
    assert compressed.dtype == np.uint8
    np.testing.assert_array_equal(plane, before)


def test_jpeg_errs_less_the_higher_the_quality() -> None:
    plane = smooth_plane(64, 64).astype(np.float64)
    errors = [
        np.mean((jpeg(plane.astype(np.uint8), quality) - plane) ** 2)
        for quality in (5, 10, 20, 40, 80, 95)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 10 * errors[-1]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_jpeg_keeps_black_gray_and_white(level: int) -> None:
    plane = np.full((13, 9), level, np.uint8)
    np.testing.assert_array_equal(jpeg(plane, 10), plane)


def test_noise_has_the_given_deviation_and_is_not_clipped() -> None:
    plane = np.tile([0.0, 255.0], (300, 150))
    noise = gaussian_noise(plane, 50, np.random.default_rng(5)) - plane
    assert noise.mean() == pytest.approx(0, abs=0.6)
    assert noise.std() == pytest.approx(50, rel=0.02)
    assert noise[:, 0::2].min() < -100
    assert noise[:, 1::2].max() > 100


def test_noise_is_reproducible_and_leaves_the_plane_alone() -> None:
    plane = np.zeros((6, 5))
    first, again = (
        gaussian_noise(plane, 30, np.random.default_rng(6)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert not plane.any()


@pytest.mark.parametrize(
    ("shape", "scale", "cropped"),
    [
        ((7, 9), 2, (6, 8)),
        ((7, 9), 3, (6, 9)),
        ((8, 12), 4, (8, 12)),
        ((7, 9, 3), 4, (4, 8, 3)),
        ((7, 9), 1, (7, 9)),
    ],
)
def test_modcrop_crops_at_the_lower_right(
    shape: tuple[int, ...], scale: int, cropped: tuple[int, ...]
) -> None:
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    expected = image[: cropped[0], : cropped[1]]
    assert expected.shape == cropped
    np.testing.assert_array_equal(modcrop(image, scale), expected)


@pytest.mark.parametrize(("quality", "step"), [(10, 10), (20, 5), (50, 2)])
def test_jpeg_quality_is_on_the_scale_of_libjpeg(quality: int, step: int) -> None:
    """The DC coefficient, 8 times the level, is quantized by 16 at quality 50."""
    levels = np.arange(20, 236)
    flat = [jpeg(np.full((8, 8), level, np.uint8), quality) for level in levels]
    decoded = np.array([plane[0, 0] for plane in flat])
    assert all((plane == plane[0, 0]).all() for plane in flat)
    np.testing.assert_array_equal((decoded - 128.0) % step, 0)
    assert len(set(decoded.tolist())) == len({round((x - 128) / step) for x in levels})
