from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from memnet_core.io import Image, Metadata, open_image, save_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CMYK_LOST = "CMYK (converted to RGB)"
LUMINANCE_50 = (16, 11, 10, 16, 24, 40, 51, 61)
CHROMINANCE_50 = (17, 18, 24, 47, 99, 99, 99, 99)


def read_image(path: Path) -> Image:
    with open_image(path) as file:
        return file.image()


def random_pixels(dtype: str, *shape: int) -> NDArray[Any]:
    generator = np.random.default_rng(sum(shape))
    if dtype == "bool":
        return generator.random(shape) < 0.5
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def image_of(pixels: NDArray[Any]) -> Image:
    return Image(pixels, "YXS"[: pixels.ndim])


def chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png_of(
    pixels: NDArray[Any],
    bits: int,
    *chunks: bytes,
    interlaced: bool = False,
) -> bytes:
    """Encode pixels of shape (H, W) or (H, W, S), of any bit depth."""
    height, width = pixels.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[pixels[0, 0].size]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
    adam7 += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for y, x, down, right in adam7 if interlaced else [(0, 0, 1, 1)]:
        for row in pixels[y::down, x::right]:
            digits = "".join(f"{sample:0{bits}b}" for sample in row.flat)
            rows += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    ihdr, idat = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows))
    parts = [b"\x89PNG\r\n\x1a\n", ihdr, *chunks, idat, chunk(b"IEND", b"")]
    return b"".join(parts)


def gray_cmyk_profile() -> bytes:
    """Make an ICC profile in which all mixtures but black are one middle gray."""
    identity = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(65536 * v for v in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table += 4 * identity + 15 * b"\x80\x80\x80" + b"\0\x80\x80" + 3 * identity
    start = 128 + 4 + 12
    header = struct.pack(">I4xI", start + len(table), 0x02400000) + b"prtrCMYKLab "
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    directory = struct.pack(">I4sII", 1, b"A2B0", start, len(table))
    return header.ljust(128, b"\0") + directory + table


@pytest.mark.parametrize(
    ("dtype", "samples", "suffix"),
    [
        *[("bool", 0, s) for s in (".png", ".bmp")],
        *[("uint8", n, ".png") for n in (0, 2, 3, 4)],
        *[("uint16", n, ".png") for n in (0, 2, 3, 4)],
        *[("uint8", n, s) for n in (0, 3) for s in (".bmp", ".dib")],
        *[("uint8", n, ".webp") for n in (3, 4)],
    ],
)
def test_pixels_return_exactly(
    dtype: str, samples: int, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"image{suffix}"
    pixels = random_pixels(dtype, 13, 9, *([samples] if samples else []))
    assert save_image(path, image_of(pixels)) == ()
    image = read_image(path)
    assert image.pixels.dtype == pixels.dtype
    assert image.axes == "YXS"[: pixels.ndim]
    assert image.metadata == Metadata()
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("samples", [1, 2])
def test_webp_stores_gray_as_equal_colors(samples: int, tmp_path: Path) -> None:
    path = tmp_path / "image.webp"
    pixels = random_pixels("uint8", 13, 9, samples)
    assert save_image(path, image_of(pixels)) == ("gray (WebP stores it as RGB)",)
    expected = pixels[..., [0, 0, 0, 1][: samples + 2]]
    np.testing.assert_array_equal(read_image(path).pixels, expected)


@pytest.mark.parametrize(
    ("suffix", "samples"), [(".jpg", 1), (".webp", 1), (".png", 2), (".bmp", 3)]
)
def test_bool_becomes_8_bit_where_it_has_to(
    suffix: str, samples: int, tmp_path: Path
) -> None:
    path = tmp_path / f"image{suffix}"
    white = np.arange(16) >= 8
    pixels = np.broadcast_to(white[:, None, None], (16, 16, samples))
    dropped = save_image(path, image_of(pixels))
    assert any("1-bit samples" in what for what in dropped)
    stored = read_image(path).pixels
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored.reshape(16, 16, -1)[:, 3, 0], white * 255)


@pytest.mark.parametrize(("samples", "shape"), [(2, (8, 8)), (4, (8, 8, 3))])
def test_alpha_is_named_where_it_is_lost(
    samples: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "image.jpg"
    dropped = save_image(path, image_of(random_pixels("uint8", 8, 8, samples)))
    assert dropped == ("alpha (JPEG has none)",)
    assert read_image(path).pixels.shape == shape


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
@pytest.mark.parametrize("extra", [b"", chunk(b"tEXt", b"Author\0me")])
def test_16_bits_of_foreign_png_are_not_cut_to_8(
    samples: int, extra: bytes, tmp_path: Path
) -> None:
    pixels = random_pixels("uint16", 8, 5, samples)
    path = tmp_path / "image.png"
    path.write_bytes(png_of(pixels, 16, extra))
    np.testing.assert_array_equal(read_image(path).stack[0], pixels)


@pytest.mark.parametrize(
    ("dtype", "samples"),
    [("uint8", 1), ("uint8", 4), ("uint16", 1), ("uint16", 2), ("uint16", 3)],
)
def test_interlaced_png_is_read(dtype: str, samples: int, tmp_path: Path) -> None:
    pixels = random_pixels(dtype, 11, 13, samples)
    path = tmp_path / "image.png"
    path.write_bytes(png_of(pixels, 8 * pixels.itemsize, interlaced=True))
    np.testing.assert_array_equal(read_image(path).stack[0], pixels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_a_png_spread_over_the_range(bits: int, tmp_path: Path) -> None:
    levels = np.arange(16).reshape(2, 8) % 2**bits
    path = tmp_path / "image.png"
    path.write_bytes(png_of(levels, bits))
    expected = levels * 255 // (2**bits - 1)
    pixels = read_image(path).pixels
    assert pixels.dtype == (np.bool_ if bits == 1 else np.uint8)
    np.testing.assert_array_equal(pixels, expected > 0 if bits == 1 else expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparent_gray_of_a_png_becomes_alpha(bits: int, tmp_path: Path) -> None:
    levels = np.arange(16).reshape(2, 8) % 2**bits
    key = levels[0, 1]
    path = tmp_path / "image.png"
    path.write_bytes(png_of(levels, bits, chunk(b"tRNS", struct.pack(">H", key))))
    white = 65535 if bits == 16 else 255
    image = read_image(path)
    assert image.axes == "YXS"
    assert image.pixels.dtype == ("uint16" if bits == 16 else "uint8")
    gray, alpha = np.moveaxis(image.pixels, -1, 0)
    np.testing.assert_array_equal(gray, levels * (white // (2**bits - 1)))
    np.testing.assert_array_equal(alpha, np.where(levels == key, 0, white))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_transparent_color_of_a_png_becomes_alpha(dtype: str, tmp_path: Path) -> None:
    colors = random_pixels(dtype, 4, 6, 3)
    key = chunk(b"tRNS", struct.pack(">3H", *colors[1, 2]))
    path = tmp_path / "image.png"
    path.write_bytes(png_of(colors, 8 * colors.itemsize, key))
    pixels = read_image(path).pixels
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels[..., :3], colors)
    np.testing.assert_array_equal(np.argwhere(pixels[..., 3] == 0), [[1, 2]])


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_palette_is_expanded_and_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    picture = PillowImage.fromarray(random_pixels("uint8", 8, 8, 3)).quantize(16)
    picture.save(path)
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, np.asarray(picture.convert("RGB")))
    assert image.metadata.dropped == ("palette (expanded)",)


@pytest.mark.parametrize("transparency", [3, bytes([0, 99, 255])])
def test_transparent_palette_is_expanded_with_alpha(
    transparency: int | bytes, tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    picture = PillowImage.fromarray(random_pixels("uint8", 8, 8, 3)).quantize(16)
    picture.save(path, transparency=transparency)
    with PillowImage.open(path) as opened:
        expected = np.asarray(opened.convert("RGBA"))
    np.testing.assert_array_equal(read_image(path).pixels, expected)
    assert expected[..., 3].min() == 0


def test_text_comment_and_gamma_of_a_file_are_named(tmp_path: Path) -> None:
    pixels = random_pixels("uint8", 8, 8)
    png = tmp_path / "image.png"
    texts = [chunk(b"tEXt", b"Title\0a"), chunk(b"tEXt", b"Author\0b")]
    png.write_bytes(png_of(pixels, 8, chunk(b"gAMA", bytes(4)), *texts))
    image = read_image(png)
    lost = tuple(f"{n} (WebP has none)" for n in ("gamma", "PNG text (Author, Title)"))
    assert save_image(tmp_path / "image.webp", image)[-2:] == lost
    assert save_image(tmp_path / "again.png", image) == ()
    jpeg = tmp_path / "image.jpg"
    PillowImage.fromarray(pixels).save(jpeg, comment="hello")
    assert read_image(jpeg).metadata.dropped == ("comment",)


@pytest.mark.parametrize("shape", [(16, 24), (16, 24, 3)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_decodes_as_pillow_does(
    shape: tuple[int, ...], progressive: bool, tmp_path: Path
) -> None:
    path = tmp_path / "image.jpg"
    picture = PillowImage.fromarray(random_pixels("uint8", *shape))
    picture.save(path, progressive=progressive)
    image = read_image(path)
    with PillowImage.open(path) as opened:
        np.testing.assert_array_equal(image.pixels, np.asarray(opened))
    assert image.format == "JPEG"


def test_jpeg_is_written_with_little_loss(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    pixels = np.stack([np.tile(ramp, (32, 1)), np.tile(ramp[:, None], (1, 32))], -1)
    pixels = np.dstack([pixels, pixels[..., 0]])
    assert save_image(path, image_of(pixels)) == ()
    errors = np.abs(read_image(path).pixels.astype(int) - pixels)
    assert errors.max() <= 6


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_tables_are_in_natural_order(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    PillowImage.new(mode, (16, 16)).save(path, quality=50)
    tables = read_image(path).metadata.jpeg_tables
    assert tables[0][:8] == LUMINANCE_50
    assert [table[:8] for table in tables[1:]] == [CHROMINANCE_50] * (mode == "RGB")
    assert all(len(table) == 64 for table in tables)


def test_jpeg_table_of_luminance_is_first_whatever_its_number(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    PillowImage.new("RGB", (16, 16)).save(path, quality=50)
    data = bytearray(path.read_bytes())
    first, second = (data.index(b"\xff\xdb\0\x43" + bytes([n])) for n in (0, 1))
    data[first + 4], data[second + 4] = 1, 0
    frame = data.index(b"\xff\xc0")
    data[frame + 12], data[frame + 15], data[frame + 18] = 1, 0, 0
    path.write_bytes(data)
    tables = read_image(path).metadata.jpeg_tables
    assert [table[:8] for table in tables] == [LUMINANCE_50, CHROMINANCE_50]


def test_cmyk_jpeg_with_adobe_marker_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    inks = PillowImage.new("CMYK", (16, 16), (255, 0, 0, 64))
    inks.save(path, quality=100)
    assert b"\xff\xee\0\x0eAdobe" in path.read_bytes()
    image = read_image(path)
    expected = np.asarray(inks.convert("RGB")).astype(int)
    assert image.axes == "YXS"
    assert image.metadata.dropped == (CMYK_LOST,)
    assert np.abs(image.pixels - expected).max() <= 3


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_is_converted_by_its_profile(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    inks = PillowImage.new("CMYK", (16, 16), (255, 0, 0, 64))
    inks.save(path, icc_profile=gray_cmyk_profile())
    image = read_image(path)
    assert image.pixels.shape == (16, 16, 3)
    assert np.abs(image.pixels.astype(int) - 119).max() <= 2
    assert image.metadata.icc is None
    assert image.metadata.dropped == (CMYK_LOST,)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("profile", [b"damaged", SRGB])
def test_cmyk_without_usable_profile_is_converted_plainly(
    suffix: str, profile: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"image{suffix}"
    inks = PillowImage.new("CMYK", (16, 16), (0, 255, 0, 0))
    inks.save(path, icc_profile=profile)
    image = read_image(path)
    expected = np.asarray(inks.convert("RGB")).astype(int)
    assert np.abs(image.pixels - expected).max() <= 3
    assert image.metadata.icc is None


def test_first_picture_of_an_mpo_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    views = [PillowImage.new("RGB", (16, 16), color) for color in ("red", "blue")]
    views[0].save(path, "MPO", save_all=True, append_images=views[1:])
    image = read_image(path)
    assert image.format == "JPEG"
    assert image.metadata.dropped == ("further pictures of the MPO file",)
    assert tuple(image.pixels[0, 0]) == (254, 0, 0)


def test_writing_replaces_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(b"old")
    pixels = random_pixels("uint8", 8, 8)
    save_image(path, image_of(pixels))
    np.testing.assert_array_equal(read_image(path).pixels, pixels)
    assert list(tmp_path.iterdir()) == [path]


def test_16_bit_png_is_readable_elsewhere(tmp_path: Path) -> None:
    pixels = random_pixels("uint16", 8, 8, 4)
    path = tmp_path / "image.png"
    save_image(path, image_of(pixels))
    with PillowImage.open(path) as independent:
        np.testing.assert_array_equal(np.asarray(independent), pixels >> 8)
