"""Pixels to planes and back where the result is larger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.image_ops.resize import imresize
from memnet_core.io import Image, Metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]
    Restored = Callable[..., Image]


def unchanged(planes: Planes) -> Planes:
    return planes


def noise(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).random(shape)


def bicubic(picture: NDArray[Any], scale: int) -> NDArray[np.float64]:
    height, width = picture.shape[:2]
    return imresize(picture.astype(np.float64), (scale * height, scale * width))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("axes", "shape", "y"),
    [
        ("YX", (4, 7), 0),
        ("YXS", (4, 7, 3), 0),
        ("TYX", (2, 4, 7), 1),
        ("TZYXS", (2, 3, 4, 1, 4), 2),
    ],
)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "float64"])
def test_height_and_width_grow_and_nothing_else_does(
    restored: Restored,
    dtype: str,
    axes: str,
    shape: tuple[int, ...],
    y: int,
    scale: int,
) -> None:
    image = Image(np.ones(shape, dtype), axes, format="PNG")
    result = restored(image, unchanged, task="sr", level=scale)
    expected = list(shape)
    expected[y] *= scale
    expected[y + 1] *= scale
    assert result.pixels.shape == tuple(expected)
    assert result.pixels.dtype == dtype
    assert (result.axes, result.format) == (axes, "PNG")


@pytest.mark.parametrize("channels", ["luminance", "each"])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 2), (6, 9, 3), (6, 9, 4)], ids=str)
@pytest.mark.parametrize("scale", [2, 3])
def test_network_that_changes_nothing_gives_the_bicubic_image(
    restored: Restored, scale: int, shape: tuple[int, ...], channels: str
) -> None:
    pixels = np.where(noise(*shape) < 0.5, 3, 250).astype(np.uint8)
    image = Image(pixels, "YXS"[: len(shape)])
    result = restored(image, unchanged, task="sr", level=scale, channels=channels)
    base = bicubic(pixels, scale)
    assert base.min() < 0
    assert base.max() > 255
    np.testing.assert_array_equal(result.pixels, np.clip(np.rint(base), 0, 255))


def test_floats_may_overshoot(restored: Restored) -> None:
    pixels = (noise(6, 9) < 0.5).astype(np.float64)
    result = restored(Image(pixels, "YX"), unchanged, task="sr", level=2)
    assert result.pixels.max() > 1
    np.testing.assert_array_equal(result.pixels, bicubic(pixels, 2))


def test_every_plane_of_a_stack_is_magnified_alone(restored: Restored) -> None:
    pixels = noise(3, 5, 4)
    result = restored(Image(pixels, "TYX"), unchanged, task="sr", level=2)
    for plane, picture in zip(result.pixels, pixels, strict=True):
        np.testing.assert_array_equal(plane, bicubic(picture, 2))


@pytest.mark.parametrize("samples", [2, 4])
def test_change_is_added_to_the_bicubic_colors_but_not_to_alpha(
    restored: Restored, samples: int
) -> None:
    pixels = noise(5, 6, samples)
    change = noise(10, 12).astype(np.float32)
    result = restored(
        Image(pixels, "YXS"), lambda planes: planes + change, task="sr", level=2
    )
    difference = result.pixels - bicubic(pixels, 2)
    np.testing.assert_array_equal(difference[..., -1], 0)
    for sample in range(samples - 1):
        np.testing.assert_allclose(difference[..., sample], change, atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "resolution"),
    [("inch", (900, 600)), ("cm", (900, 600)), ("none", (300, 200))],
)
def test_pixels_become_smaller_and_other_metadata_stay(
    restored: Restored, unit: str, resolution: tuple[float, float]
) -> None:
    before = Metadata(
        icc=b"icc", resolution=(300, 200), resolution_unit=unit, description="cells"
    )
    image = Image(noise(3, 4), "YX", before)
    after = restored(image, unchanged, task="sr", level=3).metadata
    assert after == Metadata(
        icc=b"icc", resolution=resolution, resolution_unit=unit, description="cells"
    )
