"""Pixels to planes and back, in tasks that keep the size of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from memnet_core.errors import ImageError
from memnet_core.io import Image, Metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]
    Restored = Callable[..., Image]

DTYPES = ["bool", "uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"]


def unchanged(planes: Planes) -> Planes:
    return planes


class Recorder:
    """Changes nothing and keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[Planes] = []

    def __call__(self, planes: Planes) -> Planes:
        self.seen.append(planes.copy())
        return planes


def noise(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).random(shape)


@st.composite
def images(draw: st.DrawFn, dtype: str, choice: Any) -> Image:
    leading = draw(st.sampled_from(["", "T", "TZ", "C"]))
    samples = draw(st.sampled_from(["", "1", "2", "3", "4"]))
    shape = tuple(
        draw(st.integers(1, 2 if axis in leading else 6)) for axis in f"{leading}YX"
    )
    if samples:
        shape = (*shape, int(samples))
    elements = None
    if np.dtype(dtype).kind == "f":
        low, high = (0, 1) if choice == "dtype" else (-1000, 1000)
        elements = hnp.from_dtype(np.dtype(dtype), min_value=low, max_value=high)
    pixels = draw(hnp.arrays(dtype, shape, elements=elements))
    return Image(pixels, f"{leading}YX{'S' if samples else ''}")


@pytest.mark.parametrize(
    "choice", ["auto", "dtype", "percentile", "plane", (-3.0, 70.0)], ids=str
)
@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_network_that_changes_nothing_gives_back_every_pixel(
    restored: Restored, dtype: str, choice: Any, data: st.DataObject
) -> None:
    image = data.draw(images(dtype, choice))
    result = restored(
        image,
        unchanged,
        task=data.draw(st.sampled_from(["denoise", "deblock"])),
        channels=data.draw(st.sampled_from([None, "luminance", "each"])),
        value_range=choice,
    )
    assert result.axes == image.axes
    assert result.pixels.dtype == image.pixels.dtype
    np.testing.assert_array_equal(result.pixels, image.pixels)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_network_that_changes_nothing_gives_back_wide_integers(
    restored: Restored, dtype: str
) -> None:
    image = Image(np.array([[0, 2**53]], dtype), "YX")
    result = restored(image, unchanged, task="denoise")
    np.testing.assert_array_equal(result.pixels, image.pixels)


def test_metadata_and_format_are_carried(restored: Restored) -> None:
    metadata = Metadata(
        icc=b"icc", exif=b"exif", resolution=(300, 200), description="cells"
    )
    image = Image(np.zeros((3, 4), np.uint8), "YX", metadata, "TIFF")
    result = restored(image, unchanged, task="denoise")
    assert (result.metadata, result.format) == (metadata, "TIFF")


@pytest.mark.parametrize(
    ("task", "channels", "planes"),
    [
        ("denoise", None, 3),
        ("deblock", None, 1),
        ("denoise", "luminance", 1),
        ("deblock", "each", 3),
    ],
)
def test_only_denoising_restores_each_channel_unless_told(
    restored: Restored, task: str, channels: Any, planes: int
) -> None:
    seen = Recorder()
    restored(Image(noise(5, 6, 3), "YXS"), seen, task=task, channels=channels)
    assert [given.shape for given in seen.seen] == [(planes, 5, 6)]


def test_luminance_mode_changes_red_green_and_blue_alike(restored: Restored) -> None:
    pixels = 200 * noise(5, 6, 3)
    change = (noise(5, 6) - 0.5).astype(np.float32)
    seen = Recorder()
    result = restored(
        Image(pixels, "YXS"),
        lambda planes: seen(planes) + change,
        task="deblock",
        value_range=(0.0, 200.0),
    )
    luminance = pixels @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(seen.seen[0], luminance[None] / 200, rtol=1e-6)
    for channel in range(3):
        np.testing.assert_allclose(
            result.pixels[..., channel] - pixels[..., channel], 200 * change, atol=1e-4
        )


def test_every_channel_gets_its_own_change(restored: Restored) -> None:
    pixels = noise(5, 6, 3)
    changes = np.array([0.1, -0.2, 0.3], np.float32)
    seen = Recorder()
    result = restored(
        Image(pixels, "YXS"),
        lambda planes: seen(planes) + changes[:, None, None],
        task="denoise",
    )
    np.testing.assert_array_equal(
        seen.seen[0], np.moveaxis(pixels, -1, 0).astype(np.float32)
    )
    np.testing.assert_allclose(result.pixels - pixels, changes + 0 * pixels, atol=1e-6)


@pytest.mark.parametrize("channels", ["luminance", "each"])
@pytest.mark.parametrize("task", ["denoise", "deblock"])
@pytest.mark.parametrize("samples", [2, 4])
def test_alpha_is_not_touched(
    restored: Restored, samples: int, task: str, channels: Any
) -> None:
    pixels = (255 * noise(5, 6, samples)).astype(np.uint8)
    result = restored(
        Image(pixels, "YXS"), lambda planes: 1 - planes, task=task, channels=channels
    ).pixels
    np.testing.assert_array_equal(result[..., -1], pixels[..., -1])
    assert np.abs(result[..., :-1] - pixels[..., :-1].astype(int)).max() > 50


@pytest.mark.parametrize("channels", ["luminance", "each"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("samples", [3, 4])
def test_gray_picture_stored_in_color_comes_back_gray(
    restored: Restored, samples: int, dtype: str, channels: Any
) -> None:
    gray = (255 * noise(21, 18)).astype(dtype)
    color = np.repeat(gray[..., None], samples, -1)
    options: dict[str, Any] = {
        "task": "denoise",
        "channels": channels,
        "value_range": (0.0, 2000.0),
    }

    def turned(planes: Planes) -> Planes:
        return planes[:, ::-1]

    result = restored(Image(color, "YXS"), turned, **options).pixels
    for channel in range(3):
        np.testing.assert_array_equal(result[..., channel], result[..., 0])
    tolerance = 1 if dtype == "uint8" else 0.01
    np.testing.assert_allclose(
        result[..., 0].astype(float), gray[::-1], rtol=0, atol=tolerance
    )


@pytest.mark.parametrize(
    ("colored", "planes"), [(None, 1), (0, 3), (1, 3), (2, 3), (3, 1)]
)
def test_only_a_picture_that_is_gray_is_restored_as_one_plane(
    restored: Restored, colored: int | None, planes: int
) -> None:
    pixels = np.repeat(noise(5, 6, 1), 4, -1)
    if colored is not None:
        pixels[2, 3, colored] = 1
    seen = Recorder()
    restored(Image(pixels, "YXS"), seen, task="denoise")
    assert [given.shape for given in seen.seen] == [(planes, 5, 6)]


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("bool", 0, 1), ("uint8", 0, 255), ("int16", -32768, 32767), ("float32", 0, 1)],
)
def test_network_sees_the_range_of_the_type_as_0_to_1(
    restored: Restored, dtype: str, low: int, high: int
) -> None:
    seen = Recorder()
    restored(Image(np.array([[low, high]], dtype), "YX"), seen, task="denoise")
    assert seen.seen[0].dtype == np.float32
    np.testing.assert_array_equal(seen.seen[0], [[[0, 1]]])


@pytest.mark.parametrize("axes", ["TYX", "YXS"])
def test_planes_and_samples_share_one_range(restored: Restored, axes: str) -> None:
    brightness = np.array([1, 10, 100])
    planes = (100 * brightness[:, None, None] * noise(3, 5, 6)).astype(np.uint16)
    low, high = np.percentile(planes, [0.1, 99.9])
    pixels = planes if axes == "TYX" else np.moveaxis(planes, 0, -1)
    seen = Recorder()
    restored(Image(pixels, axes), seen, task="denoise", value_range="percentile")
    np.testing.assert_allclose(
        np.concatenate(seen.seen), (planes - low) / (high - low), rtol=1e-5, atol=1e-6
    )


def test_channels_have_ranges_of_their_own(restored: Restored) -> None:
    brightness = np.array([1, 100])
    planes = (100 * brightness[:, None, None] * noise(2, 15, 16)).astype(np.uint16)
    seen = Recorder()
    restored(Image(planes, "CYX"), seen, task="denoise", value_range="auto")
    for channel, plane in zip(seen.seen, planes, strict=True):
        low, high = np.percentile(plane, [0.1, 99.9])
        np.testing.assert_allclose(
            channel[0], (plane - low) / (high - low), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("samples", [2, 4])
def test_alpha_has_no_say_in_the_range(restored: Restored, samples: int) -> None:
    pixels = np.full((10, 10, samples), 255, np.uint8)
    pixels[..., :-1] = np.arange(100).reshape(10, 10, 1)
    seen = Recorder()
    restored(Image(pixels, "YXS"), seen, task="denoise", value_range="percentile")
    assert seen.seen[0].max() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.array([[0, 1.01]], np.float32), "reach from 0 to 1.01"),
        (np.array([[1j]]), "complex128"),
        (np.array([["text"]]), "<U4"),
        pytest.param(np.zeros((0, 5), np.uint8), "cannot be restored"),
    ],
    ids=str,
)
def test_pixels_that_cannot_be_restored_are_refused(
    restored: Restored, pixels: NDArray[Any], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        restored(Image(pixels, "YX"), unchanged, task="denoise")


def test_stack_without_planes_is_refused(restored: Restored) -> None:
    image = Image(np.zeros((0, 4, 5), np.uint8), "TYX")
    with pytest.raises(ImageError, match="cannot be restored"):
        restored(image, unchanged, task="denoise")
