from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps

from memnet_core.io import Image, Metadata, open_image, save_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a b="\xc2\xb5"/></x:xmpmeta>'
XMP_ROTATED = b'<x:xmpmeta><d tiff:Orientation="6" a="6"/></x:xmpmeta>'
ORIENTATION = 274


def read_image(path: Path) -> Image:
    with open_image(path) as file:
        return file.image()


def random_pixels(dtype: str, *shape: int) -> NDArray[Any]:
    generator = np.random.default_rng(sum(shape))
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def image_of(pixels: NDArray[Any], **metadata: Any) -> Image:
    axes = "YXS"[: pixels.ndim]
    return Image(pixels=pixels, axes=axes, metadata=Metadata(**metadata))


def exif_of(orientation: int = 1) -> bytes:
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    exif[271] = "Maker"
    exif[34665] = {36867: "2020:02:02 20:20:20", 37500: b"opaque note"}
    return exif.tobytes()


def tags_of(exif: bytes | None) -> dict[int, Any]:
    parsed = PillowImage.Exif()
    parsed.load(exif or b"")
    return {**parsed, 34665: parsed.get_ifd(34665)}


def saved(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    PillowImage.fromarray(pixels).save(path, **options)
    return path


def assert_carried(found: Metadata, expected: Metadata) -> None:
    assert found.icc == expected.icc
    assert found.exif == expected.exif
    assert found.xmp == expected.xmp
    assert found.dropped == ()
    if expected.resolution is None:
        assert found.resolution is None
    else:
        assert found.resolution == pytest.approx(expected.resolution, 1e-4)
        assert found.resolution_unit == expected.resolution_unit


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 2), (9, 7, 3), (9, 7, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_holds_all_metadata(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    exif = exif_of()
    metadata = Metadata(icc=SRGB, exif=exif, xmp=XMP, resolution=(300, 150))
    image = Image(random_pixels(dtype, *shape), "YXS"[: len(shape)], metadata)
    assert save_image(path, image) == ()
    with PillowImage.open(path) as independent:
        independent.load()
        assert independent.info["icc_profile"] == SRGB
        assert independent.info["exif"] == exif
        assert independent.info["dpi"] == pytest.approx((300, 150), 1e-4)
        assert independent.info["xmp"] == XMP
    assert_carried(read_image(path).metadata, metadata)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_jpeg_and_webp_hold_profile_exif_and_xmp(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    resolution = (300.0, 150.0) if suffix == ".jpg" else None
    metadata = Metadata(icc=SRGB, exif=exif_of(), xmp=XMP, resolution=resolution)
    image = Image(random_pixels("uint8", 9, 7, 3), "YXS", metadata)
    assert save_image(path, image) == ()
    with PillowImage.open(path) as independent:
        assert independent.info["icc_profile"] == SRGB
        assert independent.info["xmp"] == XMP
        assert independent.getexif()[271] == "Maker"
    assert_carried(read_image(path).metadata, metadata)


def test_jpeg_whose_exif_tells_no_resolution_has_none(tmp_path: Path) -> None:
    pixels = random_pixels("uint8", 9, 7)
    path = saved(tmp_path / "image.jpg", pixels, exif=exif_of())
    assert read_image(path).metadata.resolution is None


def test_jpeg_resolution_in_exif_alone_is_read(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[282], exif[283], exif[296] = 300.0, 300.0, 2
    path = saved(tmp_path / "image.jpg", random_pixels("uint8", 9, 7), exif=exif)
    assert read_image(path).metadata.resolution == (300, 300)


def test_metadata_survives_a_chain_of_formats(tmp_path: Path) -> None:
    pixels = random_pixels("uint8", 9, 7, 3)
    image = image_of(pixels, icc=SRGB, exif=exif_of(), xmp=XMP)
    for name in ("a.webp", "b.jpg", "c.png", "d.webp", "e.png", "f.jpg"):
        assert save_image(tmp_path / name, image) == ()
        image = read_image(tmp_path / name)
        assert tags_of(image.metadata.exif) == tags_of(exif_of())
        assert (image.metadata.icc, image.metadata.xmp) == (SRGB, XMP)


@pytest.mark.parametrize(
    ("suffix", "metadata", "expected"),
    [
        (".bmp", {"icc": SRGB}, "ICC profile (BMP has none)"),
        (".bmp", {"exif": exif_of()}, "EXIF (BMP has none)"),
        (".bmp", {"xmp": XMP}, "XMP (BMP has none)"),
        (".jpg", {"exif": bytes(65534)}, "EXIF (too long for JPEG)"),
        (".jpg", {"xmp": bytes(65505)}, "XMP (too long for JPEG)"),
        (".jpg", {"icc": bytes(255 * 65519 + 1)}, "ICC profile (too long for JPEG)"),
        (".png", {"description": "x"}, "TIFF description (PNG has none)"),
        (".webp", {"resolution": (9, 9)}, "resolution (WebP has none)"),
        (".jpg", {"resolution": (70000, 9)}, "resolution (out of range for JPEG)"),
        (".jpg", {"resolution": (0.1, 9)}, "resolution (out of range for JPEG)"),
        (".png", {"resolution": (1e-3, 9)}, "resolution (out of range for PNG)"),
        (".bmp", {"resolution": (9, 1e9)}, "resolution (out of range for BMP)"),
        (
            ".png",
            {"resolution": (9, 9), "resolution_unit": "none"},
            "resolution (without a unit; PNG needs one)",
        ),
    ],
)
def test_metadata_is_named_where_it_is_lost(
    suffix: str, metadata: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / f"image{suffix}"
    pixels = random_pixels("uint8", 8, 8, 3)
    assert save_image(path, image_of(pixels, **metadata)) == (expected,)
    assert read_image(path).metadata.resolution is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_resolution_in_centimetres_becomes_dots_per_inch(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"image{suffix}"
    pixels = random_pixels("uint8", 8, 8)
    save_image(path, image_of(pixels, resolution=(100, 50), resolution_unit="cm"))
    assert read_image(path).metadata.resolution == pytest.approx((254, 127), 1e-3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(
    orientation: int, suffix: str, tmp_path: Path
) -> None:
    path = saved(
        tmp_path / f"turned{suffix}",
        random_pixels("uint8", 16, 24, 3),
        exif=exif_of(orientation),
        dpi=(300, 150),
        lossless=True,
    )
    image = read_image(path)
    with PillowImage.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(image.pixels, expected)
    assert tags_of(image.metadata.exif) == tags_of(exif_of(1))
    if suffix != ".webp":
        dpi = (150, 300) if orientation >= 5 else (300, 150)
        assert image.metadata.resolution == pytest.approx(dpi, 1e-4)
    copy = tmp_path / f"copy{suffix}"
    save_image(copy, image)
    with PillowImage.open(copy) as opened:
        assert opened.getexif()[ORIENTATION] == 1
        assert opened.size == image.pixels.shape[1::-1]


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
def test_orientation_of_any_byte_order_is_reset_in_place(
    byte_order: str, kind: int, tmp_path: Path
) -> None:
    def exif(value: int) -> bytes:
        start = b"Exif\0\0" + (b"II*\0" if byte_order == "<" else b"MM\0*")
        number = struct.pack(byte_order + {3: "Hxx", 4: "I"}[kind], value)
        entry = struct.pack(byte_order + "HHI", ORIENTATION, kind, 1) + number
        return start + struct.pack(byte_order + "IH", 8, 1) + entry + b"\0\0\0\0tail"

    pixels = random_pixels("uint8", 4, 6)
    path = saved(tmp_path / "turned.png", pixels, exif=exif(3))
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, pixels[::-1, ::-1])
    assert image.metadata.exif == exif(1)


def test_orientation_of_16_bit_color_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    pixels = random_pixels("uint16", 4, 6, 3)
    save_image(path, image_of(pixels, exif=exif_of(6)))
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, np.rot90(pixels, -1))


def test_orientation_in_xmp_is_applied_and_reset(tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    pixels = random_pixels("uint8", 4, 6)
    save_image(path, image_of(pixels, xmp=XMP_ROTATED))
    image = read_image(path)
    with PillowImage.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.metadata.xmp == XMP_ROTATED.replace(
        b'Orientation="6', b'Orientation="1'
    )
