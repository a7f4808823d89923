from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core._old_tasks import Channels, TaskSettings, restore_image
from memnet_core.bicubic import imresize
from memnet_core.engine import Restorer, TileDone, result_of
from memnet_core.io.image import Image, Metadata
from memnet_core.model.architecture import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.model.network import MemNet

    Planes = NDArray[np.float32]
    StubRestorer = Callable[[Callable[[Planes], Planes]], Restorer]


def magnified(image: Image, restorer: Restorer, scale: int, **settings: Any) -> Image:
    chosen = TaskSettings(task="sr", level=scale, **settings)
    result: Image = result_of(restore_image(image, restorer, chosen))
    return result


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
    stub_restorer: StubRestorer,
    dtype: str,
    axes: str,
    shape: tuple[int, ...],
    y: int,
    scale: int,
) -> None:
    image = Image(np.ones(shape, dtype), axes, format="PNG")
    result = magnified(image, stub_restorer(unchanged), scale)
    expected = list(shape)
    expected[y] *= scale
    expected[y + 1] *= scale
    assert result.pixels.shape == tuple(expected)
    assert result.pixels.dtype == dtype
    assert (result.axes, result.format) == (axes, "PNG")


@pytest.mark.parametrize("channels", ["luminance", "all"])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 2), (6, 9, 3), (6, 9, 4)], ids=str)
@pytest.mark.parametrize("scale", [2, 3])
def test_network_that_changes_nothing_gives_the_bicubic_image(
    stub_restorer: StubRestorer, scale: int, shape: tuple[int, ...], channels: Channels
) -> None:
    pixels = np.where(noise(*shape) < 0.5, 3, 250).astype(np.uint8)
    image = Image(pixels, "YXS"[: len(shape)])
    result = magnified(image, stub_restorer(unchanged), scale, channels=channels)
    base = bicubic(pixels, scale)
    assert base.min() < 0
    assert base.max() > 255
    np.testing.assert_array_equal(result.pixels, np.clip(np.rint(base), 0, 255))


def test_floats_may_overshoot(stub_restorer: StubRestorer) -> None:
    pixels = (noise(6, 9) < 0.5).astype(np.float64)
    result = magnified(Image(pixels, "YX"), stub_restorer(unchanged), 2)
    assert result.pixels.max() > 1
    np.testing.assert_array_equal(result.pixels, bicubic(pixels, 2))


def test_every_plane_of_a_stack_is_magnified_alone(stub_restorer: StubRestorer) -> None:
    pixels = noise(3, 5, 4)
    result = magnified(Image(pixels, "TYX"), stub_restorer(unchanged), 2)
    for plane, picture in zip(result.pixels, pixels, strict=True):
        np.testing.assert_array_equal(plane, bicubic(picture, 2))


@pytest.mark.parametrize("samples", [2, 4])
def test_change_is_added_to_the_bicubic_colours_but_not_to_alpha(
    stub_restorer: StubRestorer, samples: int
) -> None:
    pixels = noise(5, 6, samples)
    change = noise(10, 12).astype(np.float32)
    result = magnified(
        Image(pixels, "YXS"), stub_restorer(lambda planes: planes + change), 2
    )
    base = bicubic(pixels, 2)
    difference = result.pixels - base
    np.testing.assert_array_equal(difference[..., -1], 0)
    for sample in range(samples - 1):
        np.testing.assert_allclose(difference[..., sample], change, atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "resolution"),
    [("inch", (900, 600)), ("cm", (900, 600)), ("none", (300, 200))],
)
def test_pixels_become_smaller_and_other_metadata_stay(
    stub_restorer: StubRestorer, unit: str, resolution: tuple[float, float]
) -> None:
    before = Metadata(
        icc=b"icc", resolution=(300, 200), resolution_unit=unit, description="cells"
    )
    image = Image(noise(3, 4), "YX", before)
    after = magnified(image, stub_restorer(unchanged), 3).metadata
    assert after == Metadata(
        icc=b"icc", resolution=resolution, resolution_unit=unit, description="cells"
    )


def test_progress_counts_over_the_whole_stack(stub_restorer: StubRestorer) -> None:
    settings = TaskSettings(task="sr", level=2)
    image = Image(noise(3, 4, 5), "TYX")
    events = list(restore_image(image, stub_restorer(unchanged), settings))
    assert events == [TileDone(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 10)], ids=str)
def test_real_network_restores_the_magnified_planes(
    tiny_model: Callable[[Architecture], MemNet], size: tuple[int, int]
) -> None:
    model = tiny_model(Architecture(memory_blocks=1, recursions=1, channels=4))
    restorer = Restorer(model, device="cpu", tile=8)
    pixels = noise(*size)
    magnified_first = bicubic(pixels, 2).astype(np.float32)
    expected = result_of(restorer.restore(magnified_first[None]))[0]
    result = magnified(Image(pixels, "YX"), restorer, 2).pixels
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
    assert np.abs(result - magnified_first).max() > 0.01
