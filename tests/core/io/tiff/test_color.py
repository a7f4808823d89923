"""TIFF pages whose samples are not plain gray or RGB."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from memnet_core.io import open_image, probe, save_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io import Image

RAMP = np.arange(256, dtype=np.uint16) * 257
ZERO = np.zeros(256, np.uint16)
GRAY = np.random.default_rng(0).integers(0, 256, (3, 24, 20)).astype(np.uint8)
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"byteorder": ">"},
    {"bigtiff": True},
    {"tile": (16, 16)},
]


def write(path: Path, pages: NDArray[Any], **options: Any) -> Path:
    writer = {k: options.pop(k) for k in ("byteorder", "bigtiff") if k in options}
    described = options.pop("description", None)
    with tifffile.TiffWriter(path, **writer) as file:
        for page in pages:
            file.write(
                page, metadata=None, software=False, description=described, **options
            )
            described = None
    return path


def read(path: Path) -> Image:
    header = probe(path)
    with open_image(path) as file:
        assert (header.shape, header.dtype) == (file.sizes, str(file.dtype))
        return file.image()


def directory(tags: list[tuple[int, int, int, int]], behind: bytes) -> bytes:
    """Return a little-endian TIFF; 0 as a value of 4 bytes is where `behind` stands."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHI", code, kind, count)
        + struct.pack("<I", start if code == 273 else value)
        for code, kind, count, value in tags
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + bytes(4) + behind


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("description", ["ImageJ=1.53t\nimages=3\nslices=3\n", None])
def test_table_of_brightness_leaves_values_as_they_are(
    layout: dict[str, Any], description: str | None, tmp_path: Path
) -> None:
    table = np.stack([ZERO, RAMP, RAMP // 2])
    options = {"photometric": "palette", "colormap": table, "description": description}
    image = read(write(tmp_path / "a.tif", GRAY, **options, **layout))
    assert image.axes[1:] == "YX"
    np.testing.assert_array_equal(image.pixels, GRAY)
    assert image.metadata.dropped == ()
    assert save_image(tmp_path / "b.tif", image) == ()
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        for page in file.pages:
            np.testing.assert_array_equal(page.aspage().colormap, table)
        np.testing.assert_array_equal(file.asarray(), GRAY)
    (one,) = GRAY[:1]
    single = read(write(tmp_path / "c.tif", one[None], **options))
    assert "lookup table" in save_image(tmp_path / "c.png", single)[0]


def test_tables_that_differ_from_page_to_page_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for table in ([ZERO, RAMP, ZERO], [RAMP, ZERO, RAMP]):
            colors = np.stack(table)
            file.write(GRAY[0], photometric="palette", colormap=colors, metadata=None)
    image = read(path)
    np.testing.assert_array_equal(image.pixels, GRAY[[0, 0]])
    assert image.metadata.dropped == ("lookup tables of channels",)


def test_table_with_marks_at_its_ends_is_one_of_brightness(tmp_path: Path) -> None:
    table = np.stack([RAMP] * 3)
    table[:, 0], table[:, -1] = (0, 0, 65535), (65535, 0, 0)
    path = write(tmp_path / "a.tif", GRAY[:1], photometric="palette", colormap=table)
    np.testing.assert_array_equal(read(path).pixels, GRAY[0])


@pytest.mark.parametrize("ramp", [RAMP, RAMP[::-1], RAMP // 257, RAMP // 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gray_palette_becomes_gray_and_keeps_axes(
    ramp: NDArray[np.uint16], layout: dict[str, Any], tmp_path: Path
) -> None:
    options = {"photometric": "palette", "colormap": np.stack([ramp] * 3)}
    image = read(write(tmp_path / "a.tif", GRAY, **options, **layout))
    grays = (ramp if ramp.max() < 256 else ramp >> 8).astype(np.uint8)
    assert image.axes == "IYX"
    np.testing.assert_array_equal(image.pixels, grays[GRAY])
    assert image.metadata.dropped == ()


def test_colors_of_8_instead_of_16_bits_are_not_black(tmp_path: Path) -> None:
    table = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16)
    path = write(tmp_path / "a.tif", GRAY[:1], photometric="palette", colormap=table)
    np.testing.assert_array_equal(read(path).pixels, table.T[GRAY[0]])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_lab_becomes_srgb(planar: str, dtype: str, tmp_path: Path) -> None:
    unit, white = (1, 255) if dtype == "uint8" else (256, 65535)
    # L*, a*, b* under D50 of sRGB white, mid gray, pure red and pure blue.
    lab = np.array(
        [[100, 0, 0], [53.585, 0, 0], [54.29, 80.81, 69.89], [29.57, 68.30, -112.03]]
    )
    light = np.rint(lab[:, :1] * white / 100).astype(dtype)
    signed = np.rint(lab[:, 1:] * unit).astype(f"i{np.dtype(dtype).itemsize}")
    stored = np.hstack([light, signed.view(dtype)])
    pixels = np.tile(stored, (4, 1, 1))
    if planar == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, pixels, photometric="cielab", planarconfig=planar, metadata=None
    )
    image = read(path)
    wanted = np.array([[1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1]])
    assert image.pixels.dtype == dtype
    assert image.pixels.shape == (4, 4, 3)
    error = np.abs(image.pixels[2] / white - wanted)
    assert error.max() < 0.02
    assert image.metadata.dropped == ("CIELab (converted to sRGB)",)


@pytest.mark.parametrize("samples", [1, 3])
def test_page_that_does_not_say_what_it_means_is_black_at_zero(
    samples: int, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, samples))
    data = pixels.astype(np.uint8).tobytes()
    behind = 8 + 2 + 12 * 8 + 4 + len(data)
    depth = (258, 3, 1, 8) if samples == 1 else (258, 3, 3, behind)
    tags = [
        (256, 4, 1, 10),
        (257, 4, 1, 12),
        depth,
        (259, 3, 1, 1),
        (273, 4, 1, 0),
        (277, 3, 1, samples),
        (278, 4, 1, 12),
        (279, 4, 1, len(data)),
    ]
    path = tmp_path / "a.tif"
    path.write_bytes(directory(tags, data + struct.pack("<3H", 8, 8, 8)))
    image = read(path)
    np.testing.assert_array_equal(
        image.pixels, pixels[..., 0] if samples == 1 else pixels
    )


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("photometric", [0, 1])
def test_few_bits_are_spread_to_the_range_of_their_type(
    bits: int, photometric: int, tmp_path: Path
) -> None:
    white = 2**bits - 1
    values = np.random.default_rng(0).integers(0, white + 1, (16, 16))
    values[0, :2] = 0, white
    shifts = np.arange(bits - 1, -1, -1)
    packed = np.packbits((values[..., None] >> shifts & 1).reshape(16, -1), axis=1)
    tags = [
        (256, 4, 1, 16),
        (257, 4, 1, 16),
        (258, 3, 1, bits),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 0),
        (277, 3, 1, 1),
        (278, 4, 1, 16),
        (279, 4, 1, packed.size),
    ]
    path = tmp_path / "a.tif"
    path.write_bytes(directory(tags, packed.astype(np.uint8).tobytes()))
    seen = values if photometric else white - values
    image = read(path)
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, seen * 65535 // white)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_premultiplied_alpha_is_taken_out(
    dtype: str, planar: str, tmp_path: Path
) -> None:
    opaque = 1.0 if dtype == "float32" else float(np.iinfo(dtype).max)
    alpha = np.linspace(0, 1, 16)
    colors = np.array([1.0, 0.5, 0.25])
    shown = np.concatenate([colors * alpha[:, None], alpha[:, None]], axis=1)
    pixels = np.tile(shown * opaque, (4, 1, 1))
    pixels = pixels if dtype == "float32" else np.rint(pixels)
    stored = pixels.astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        stored if planar == "contig" else np.moveaxis(stored, -1, 0),
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["assocalpha"],
        metadata=None,
    )
    image = read(path)
    wanted = np.where(alpha[:, None] > 0, colors, 0)
    coarse = 0.5 / (opaque * alpha[1]) if dtype != "float32" else 1e-6
    assert np.abs(image.pixels[0, :, :3] / opaque - wanted).max() <= 2 * coarse
    np.testing.assert_array_equal(image.pixels[..., 3], stored[..., 3])
    assert image.metadata.dropped == ("premultiplied alpha (made straight)",)
