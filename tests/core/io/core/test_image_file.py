"""A file as a source: windows, channels, and how often pixels are decoded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr

from memnet_core.io import (
    Calibration,
    Image,
    ImageFile,
    Metadata,
    in_memory,
    open_image,
)
from memnet_core.io.zarr.ngff import image_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.sources.protocols import PixelSource

PATH = Path("a.tif")


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 999, shape).astype(dtype)


class Counting:
    """An array that notes which parts are read."""

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.pixels = pixels
        self.shape = pixels.shape
        self.dtype = pixels.dtype
        self.read: list[tuple[slice, ...]] = []

    def __getitem__(self, place: tuple[slice, ...]) -> NDArray[Any]:
        self.read.append(place)
        return self.pixels[place]


def counted(axes: str, *shape: int, **options: Any) -> tuple[ImageFile, Counting]:
    array = Counting(noise(*shape))
    file = ImageFile(PATH, array, axes, format="", metadata=Metadata(), **options)
    return file, array


def test_a_file_is_a_source() -> None:
    source: PixelSource = in_memory(PATH, Image(noise(2, 3, 4), "ZYX"))
    assert source.shape == (2, 3, 4, 1)


def test_windows_of_a_page_are_cut_from_what_was_decoded_once() -> None:
    file, array = counted("ZYX", 3, 40, 30)
    for plane in range(3):
        for left in (0, 17):
            columns = slice(left, left + 13)
            for top in range(0, 40, 7):
                rows = slice(top, min(top + 11, 40))
                window = file.read(plane, rows, columns)
                expected = array.pixels[plane, rows, columns, None]
                np.testing.assert_array_equal(window, expected, strict=True)
    assert len(array.read) == 3


@pytest.mark.parametrize("height", [5, 16, 19, 40])
def test_rows_of_tiles_are_decoded_once_from_top_to_bottom(height: int) -> None:
    file, array = counted("YX", 100, 90, chunk_shape=(16, 32))
    for top in range(0, 100, height):
        rows = slice(max(top - 3, 0), min(top + height + 3, 100))
        window = file.read(0, rows, slice(40, 60))
        np.testing.assert_array_equal(window[..., 0], array.pixels[rows, 40:60])
    read = [(rows.start, rows.stop) for rows, _ in array.read]
    assert all(columns == slice(32, 64) for _, columns in array.read)
    assert [start for start, _ in read] == [0, *(stop for _, stop in read[:-1])]
    assert read[-1][1] == 100


def test_windows_in_any_order_are_right() -> None:
    generator = np.random.default_rng(1)
    file, array = counted("ZYX", 2, 50, 60, chunk_shape=(8, 16))
    for _ in range(200):
        top, bottom = sorted(generator.choice(51, 2, replace=False))
        left, right = sorted(generator.choice(61, 2, replace=False))
        plane = int(generator.integers(2))
        window = file.read(plane, slice(top, bottom), slice(left, right))
        expected = array.pixels[plane, top:bottom, left:right, None]
        np.testing.assert_array_equal(window, expected)


def test_pixels_in_memory_are_not_copied() -> None:
    pixels = noise(3, 10, 12)
    file = in_memory(PATH, Image(pixels, "ZYX"))
    assert np.shares_memory(file.read(1, slice(2, 5), slice(0, 12)), pixels)
    assert np.shares_memory(file.image().pixels, pixels)


@pytest.mark.parametrize(
    ("axes", "shape", "channels"),
    [
        ("YX", (4, 5), [0]),
        ("CYX", (3, 4, 5), [0, 1, 2]),
        ("CZYX", (2, 3, 4, 5), [0, 0, 0, 1, 1, 1]),
        ("ZCYX", (2, 3, 4, 5), [0, 1, 2, 0, 1, 2]),
        ("TZYX", (2, 2, 4, 5), [0, 0, 0, 0]),
        ("YXS", (4, 5, 3), [0]),
    ],
)
def test_channels_are_those_of_the_axis_c(
    axes: str, shape: tuple[int, ...], channels: list[int]
) -> None:
    file = in_memory(PATH, Image(noise(*shape), axes))
    assert [file.channel(plane) for plane in range(file.shape[0])] == channels
    assert file.channels == max(channels) + 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "rowsperstrip": 3},
        {"compression": "lzw", "tile": (16, 32)},
        {"compression": "zlib", "planarconfig": "contig", "photometric": "rgb"},
        {"compression": "zlib", "planarconfig": "separate", "photometric": "rgb"},
        {"tile": (16, 16), "planarconfig": "separate", "photometric": "rgb"},
    ],
    ids=str,
)
def test_windows_of_any_tiff_are_those_of_the_whole(
    options: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    shape: tuple[int, ...] = (4, 50, 70)
    if options.get("planarconfig") == "contig":
        shape = (4, 50, 70, 3)
    elif "planarconfig" in options:
        shape = (4, 3, 50, 70)
    options = {"photometric": "minisblack"} | options
    tifffile.imwrite(path, noise(*shape), metadata=None, **options)
    with open_image(path) as file:
        whole = file.image().stack
        assert whole.shape == file.shape
        for plane in (0, 1, 3):
            for rows in (slice(0, 9), slice(7, 30), slice(30, 50)):
                for columns in (slice(0, 70), slice(31, 40)):
                    window = file.read(plane, rows, columns)
                    expected = whole[plane, rows, columns]
                    np.testing.assert_array_equal(window, expected)
                    assert window.dtype == np.uint16


def test_page_of_strips_is_decoded_once_for_all_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    pixels = noise(2, 64, 40)
    options: dict[str, Any] = {"compression": "zlib", "rowsperstrip": 4}
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    decoded = []
    real = tifffile.TiffPage.asarray

    def asarray(page: Any, *args: Any, **kwargs: Any) -> Any:
        decoded.append(page)
        return real(page, *args, **kwargs)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    monkeypatch.setattr(tifffile.TiffFrame, "asarray", asarray)
    with open_image(path) as file:
        for plane in range(2):
            for top in range(0, 64, 8):
                window = file.read(plane, slice(top, top + 8), slice(0, 40))
                np.testing.assert_array_equal(window[..., 0], pixels[plane, top:][:8])
    assert len(decoded) == 2


def test_each_chunk_of_a_zarr_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    transforms = [((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))]
    known = Calibration()
    attributes = image_attributes({}, "ZYX", known, transforms, zarr_format=3)
    group = zarr.open_group(path, mode="w", attributes=attributes)
    pixels = noise(2, 60, 50)
    array = group.create_array("0", shape=(2, 60, 50), chunks=(1, 16, 50), dtype="u2")
    array[...] = pixels
    with open_image(path) as file:
        for top in range(0, 60, 5):
            file.read(0, slice(top, top + 5), slice(0, 50))
            for chunk in (path / "0/c/0").glob("*/0"):
                if int(chunk.parent.name) < top // 16:
                    chunk.write_bytes(b"damaged")
