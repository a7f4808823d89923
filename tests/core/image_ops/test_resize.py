"""Bicubic resizing as MATLAB does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from memnet_core.image_ops.resize import imresize, modcrop

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = [(14, 18), (21, 27), (5, 4), (3, 5), (1, 1), (10, 3)]


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
