from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps

from memnet_core.errors import ImageError
from memnet_core.io import Image, Metadata, open_image, save_image
from memnet_core.io.tiff import pages
from memnet_core.io.tiff.ome_xml import updated_ome_xml

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta><d tiff:Orientation="%d" a="6"/></x:xmpmeta>'
DTYPES = ["uint8", "uint16", "uint32", "int16", "int32", "float16", "float32"]
DTYPES += ["float64"]
OME = set(DTYPES) - {"float16"}


def read_image(path: Path) -> Image:
    with open_image(path) as file:
        return file.image()


def random_pixels(dtype: str, *shape: int) -> NDArray[Any]:
    generator = np.random.default_rng(sum(shape))
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if dtype.startswith("float"):
        return generator.normal(0, 100, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def tiff_of(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """Write pixels that another program may have written."""
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.tif"


@pytest.mark.parametrize("axes", ["YX", "YXS"])
@pytest.mark.parametrize(
    ("dtype", "samples"),
    [("bool", 1), *[(dtype, n) for dtype in DTYPES for n in (1, 2, 3, 4)]],
)
def test_pixels_return_exactly(dtype: str, samples: int, axes: str, path: Path) -> None:
    if samples > 1 and axes == "YX":
        axes = "ZYXS"
    shape = [{"Y": 13, "X": 9, "Z": 3, "S": samples}[axis] for axis in axes]
    pixels = random_pixels(dtype, *shape)
    assert save_image(path, Image(pixels, axes)) == ()
    image = read_image(path)
    assert image.pixels.dtype == pixels.dtype
    assert image.format == ("OME-TIFF" if "Z" in axes and dtype in OME else "TIFF")
    assert replace(image.metadata, stated=None, native=None) == Metadata()
    np.testing.assert_array_equal(image.stack, Image(pixels, axes).stack)


@pytest.mark.parametrize("pages", [2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["bool", "uint16", "float32"])
def test_gray_stack_stays_a_stack_of_pages(dtype: str, pages: int, path: Path) -> None:
    pixels = random_pixels(dtype, pages, 6, 5)
    assert save_image(path, Image(pixels, "ZYX")) == ()
    image = read_image(path)
    assert image.pixels.shape == pixels.shape
    np.testing.assert_array_equal(image.pixels, pixels)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == pages


def test_axes_of_planes_are_kept_where_ome_knows_them(path: Path) -> None:
    pixels = random_pixels("uint8", 2, 3, 6, 5)
    assert save_image(path, Image(pixels, "TZYX")) == ()
    image = read_image(path)
    assert image.axes == "TZYX"
    np.testing.assert_array_equal(image.pixels, pixels)


def test_merged_leading_axes_are_named(path: Path) -> None:
    pixels = random_pixels("uint8", 2, 3, 6, 5)
    dropped = save_image(path, Image(pixels, "QZYX"))
    assert dropped == ("axes QZ (written as one row of pages)",)
    np.testing.assert_array_equal(read_image(path).pixels, pixels.reshape(6, 6, 5))


@pytest.mark.parametrize("limit", [0, 2**32])
def test_big_tiff_is_chosen_for_much_data(
    limit: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_BIG", limit)
    pixels = random_pixels("uint8", 6, 5)
    save_image(path, Image(pixels, "YX"))
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == (limit == 0)
    np.testing.assert_array_equal(read_image(path).pixels, pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib"},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"rowsperstrip": 4},
        {"tile": (16, 16)},
        {"tile": (16, 32), "compression": "lzw"},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "lzw"},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_foreign_gray_is_read(options: dict[str, Any], dtype: str, path: Path) -> None:
    pixels = random_pixels(dtype, 3, 37, 21)
    image = read_image(tiff_of(path, pixels, **options))
    assert image.pixels.dtype == dtype
    assert image.pixels.dtype.isnative
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"tile": (16, 16)}])
@pytest.mark.parametrize("pages", [1, 2])
def test_planar_color_is_read_with_color_last(
    pages: int, options: dict[str, Any], path: Path
) -> None:
    pixels = random_pixels("uint16", pages, 3, 37, 21)
    tiff_of(path, pixels, photometric="rgb", planarconfig="separate", **options)
    image = read_image(path)
    assert image.axes.endswith("YXS")
    np.testing.assert_array_equal(image.stack, np.moveaxis(pixels, 1, -1))


@pytest.mark.parametrize("mode", ["RGB", "YCbCr"])
def test_jpeg_compressed_color_is_read_as_rgb(mode: str, path: Path) -> None:
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp, ramp[:, None], np.uint8(128)), -1)
    stored = np.asarray(PillowImage.fromarray(pixels).convert(mode))
    compression = {"compression": "jpeg", "compressionargs": {"level": 95}}
    tiff_of(path, stored, photometric=mode.lower(), **compression)
    image = read_image(path)
    assert image.axes == "YXS"
    assert np.abs(image.pixels.astype(int) - pixels).max() <= 8


def test_uncompressed_ycbcr_is_refused(path: Path) -> None:
    pixels = random_pixels("uint8", 8, 8, 3)
    tiff_of(path, pixels, photometric="ycbcr", subsampling=(1, 1))
    with pytest.raises(ImageError, match="YCbCr"):
        read_image(path)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32"])
def test_white_is_zero_is_inverted(dtype: str, path: Path) -> None:
    pixels = random_pixels(dtype, 9, 16)
    image = read_image(tiff_of(path, pixels, photometric="miniswhite"))
    assert image.metadata.dropped == ()
    np.testing.assert_array_equal(image.pixels, ~pixels)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_white_is_zero_is_named_where_it_has_no_meaning(dtype: str, path: Path) -> None:
    pixels = random_pixels(dtype, 9, 16)
    image = read_image(tiff_of(path, pixels, photometric="miniswhite"))
    assert image.metadata.dropped == ("white is zero (not inverted)",)
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_spread_over_the_range(
    bits: int, photometric: str, path: Path
) -> None:
    white = 2**bits - 1
    levels = np.arange(32, dtype=np.uint8).reshape(4, 8) % (white + 1)
    tiff_of(path, levels, photometric=photometric, bitspersample=bits)
    expected = (levels if photometric == "minisblack" else white - levels) * (
        255 // white
    )
    np.testing.assert_array_equal(read_image(path).pixels, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16", "F"])
def test_pillow_tiff_is_read(mode: str, path: Path) -> None:
    dtype = {"1": "bool", "I;16": "uint16", "F": "float32"}.get(mode, "uint8")
    samples = {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode, 0)
    pixels = random_pixels(dtype, 16, 16, *([samples] if samples else []))
    PillowImage.fromarray(pixels).save(path)
    image = read_image(path)
    assert image.axes == "YXS"[: pixels.ndim]
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("colors", [2, 16, 256])
def test_palette_is_expanded_and_named(colors: int, path: Path) -> None:
    picture = PillowImage.fromarray(random_pixels("uint8", 16, 16, 3))
    picture = picture.quantize(colors)
    picture.save(path)
    image = read_image(path)
    assert image.axes == "YXS"
    assert image.metadata.dropped == ("palette (expanded)",)
    np.testing.assert_array_equal(image.pixels, np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}])
def test_cmyk_becomes_rgb(options: dict[str, Any], path: Path) -> None:
    inks = random_pixels("uint8", 16, 12, 4)
    stored = np.moveaxis(inks, -1, 0) if options else inks
    image = read_image(tiff_of(path, stored, photometric="separated", **options))
    expected = PillowImage.fromarray(inks, "CMYK").convert("RGB")
    assert image.metadata.dropped == ("CMYK (converted to RGB)",)
    np.testing.assert_array_equal(image.pixels, np.asarray(expected))


def test_other_samples_become_a_leading_axis(path: Path) -> None:
    pixels = random_pixels("uint16", 9, 8, 5)
    image = read_image(tiff_of(path, pixels, planarconfig="contig"))
    assert image.axes == "CYX"
    assert image.metadata.dropped == ("samples of a pixel (written as pages)",)
    np.testing.assert_array_equal(image.pixels, np.moveaxis(pixels, -1, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3)])
def test_orientation_is_applied_and_reset(
    orientation: int, shape: tuple[int, ...], path: Path
) -> None:
    pixels = random_pixels("uint8", *shape)
    xmp = XMP % orientation
    tags: list[Any] = [(274, 3, 1, orientation), (700, 1, len(xmp), xmp)]
    tiff_of(
        path,
        pixels,
        photometric="minisblack" if len(shape) == 2 else "rgb",
        extratags=[(*tag, True) for tag in tags],
        resolution=(300, 150),
    )
    image = read_image(path)
    expected = PillowImage.fromarray(pixels)
    expected.getexif()[274] = orientation
    np.testing.assert_array_equal(image.pixels, ImageOps.exif_transpose(expected))
    turned = orientation >= 5
    assert image.metadata.resolution == ((150, 300) if turned else (300, 150))
    assert image.metadata.xmp == XMP % 1
    copy = path.with_name("copy.tif")
    save_image(copy, image)
    with PillowImage.open(copy) as opened:
        assert opened.getexif().get(274, 1) == 1


def test_orientation_turns_every_page(path: Path) -> None:
    pixels = random_pixels("uint8", 2, 6, 8)
    tiff_of(path, pixels, extratags=[(274, 3, 1, 6, False)])
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, np.rot90(pixels, -1, (1, 2)))


@pytest.mark.parametrize(("unit", "number"), [("none", 1), ("inch", 2), ("cm", 3)])
@pytest.mark.parametrize("resolution", [(300.0, 150.0), (7874.015748, 0.25)])
def test_resolution_returns_in_its_unit(
    unit: str, number: int, resolution: tuple[float, float], path: Path
) -> None:
    metadata = Metadata(resolution=resolution, resolution_unit=unit)
    image = Image(random_pixels("uint8", 6, 8), "YX", metadata)
    assert save_image(path, image) == ()
    with PillowImage.open(path) as independent:
        tags = getattr(independent, "tag_v2", {})
        assert tags[296] == number
        found = float(tags[282]), float(tags[283])
        assert found == pytest.approx(resolution, 1e-6)
    found_metadata = read_image(path).metadata
    assert found_metadata.resolution_unit == unit
    assert found_metadata.resolution == pytest.approx(resolution, 1e-6)


@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8), (6, 8, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_profile_xmp_and_description_return(
    shape: tuple[int, ...], dtype: str, path: Path
) -> None:
    metadata = Metadata(icc=SRGB, xmp=XMP % 1, description="Größe 5 µm")
    axes = "YXS" if shape[-1] == 4 else "ZYX"[-len(shape) :]
    image = Image(random_pixels(dtype, *shape), axes, metadata)
    assert save_image(path, image) == ()
    found = read_image(path).metadata
    if "Z" in axes:
        with tifffile.TiffFile(path) as file:
            described: Any = tifffile.xml2dict(str(file.ome_metadata))
        assert described["OME"]["Image"]["Description"] == metadata.description
        metadata = replace(metadata, description="")
    assert replace(found, stated=None, native=None) == metadata


def test_profile_and_xmp_are_readable_elsewhere(path: Path) -> None:
    metadata = Metadata(icc=SRGB, xmp=XMP % 1)
    save_image(path, Image(random_pixels("uint8", 6, 8, 3), "YXS", metadata))
    with PillowImage.open(path) as independent:
        assert independent.info["icc_profile"] == SRGB
        assert independent.info["xmp"] == XMP % 1


def test_exif_is_named_in_both_directions(path: Path) -> None:
    exif = PillowImage.Exif()
    exif.get_ifd(34665)[36867] = "2020:02:02 20:20:20"
    pixels = random_pixels("uint8", 6, 8)
    metadata = Metadata(exif=exif.tobytes())
    dropped = save_image(path, Image(pixels, "YX", metadata))
    assert dropped == ("EXIF (not written to TIFF)",)
    PillowImage.fromarray(pixels).save(path, exif=exif.tobytes())
    assert read_image(path).metadata.dropped == ("EXIF of a TIFF",)


@pytest.mark.parametrize(
    ("options", "lost"),
    [
        ({"ome": True}, "OME metadata"),
        ({"imagej": True}, "ImageJ metadata"),
    ],
)
def test_metadata_of_microscopes_is_carried_and_named_where_it_is_lost(
    options: dict[str, Any], lost: str, path: Path
) -> None:
    pixels = random_pixels("uint16", 1, 1, 6, 8)
    axes = "ZCYX"
    tifffile.imwrite(path, pixels, metadata={"axes": axes}, **options)
    image = read_image(path)
    assert set("YX") <= set(image.axes)
    assert image.metadata.dropped == ()
    assert image.metadata.description == ""
    np.testing.assert_array_equal(image.stack[0, ..., 0], pixels[0, 0])
    copy = path.with_name("copy.tif")
    assert save_image(copy, image) == ()
    assert read_image(copy).format == image.format
    software = "TIFF tags (software; PNG has none)"
    dropped = save_image(path.with_name("a.png"), image)
    assert dropped == (
        *[software] * bool(image.metadata.tags),
        f"{lost} (PNG has none)",
    )


def test_largest_level_of_a_pyramid_is_read_and_the_others_named(path: Path) -> None:
    pixels = random_pixels("uint8", 64, 48)
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, subifds=1, metadata=None)
        writer.write(pixels[::2, ::2], subfiletype=1, metadata=None)
    image = read_image(path)
    assert image.metadata.dropped == ("pyramid levels",)
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize(
    ("pixels", "options", "reason"),
    [
        (np.zeros((8, 8), "complex64"), {}, "complex64"),
        (np.zeros((8, 8, 6), "u1"), {"photometric": "rgb"}, "6 samples"),
        (np.zeros((8, 8, 4), "u2"), {"photometric": "separated"}, "8 bits"),
        (np.zeros((2, 8, 8, 4), "u1"), {"photometric": "separated"}, "one page"),
    ],
)
def test_unsupported_pixels_are_named(
    pixels: NDArray[Any], options: dict[str, Any], reason: str, path: Path
) -> None:
    tiff_of(path, pixels, **options)
    with pytest.raises(ImageError, match=re.escape(reason)):
        read_image(path)


def test_xmp_stored_as_text_is_read(path: Path) -> None:
    xmp = (XMP % 1).decode()
    pixels = random_pixels("uint8", 6, 8)
    tiff_of(path, pixels, extratags=[(700, 2, 0, xmp, True)])
    assert read_image(path).metadata.xmp == XMP % 1


def test_pages_of_different_shapes_are_no_one_image(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for size in (8, 9):
            writer.write(np.zeros((size, 8), np.uint8), metadata=None)
    with pytest.raises(ImageError, match="as one image: it holds 2, scene 0, scene 1"):
        read_image(path)


@pytest.mark.parametrize("scale", [1, 2])
def test_region_is_kept_only_where_it_still_fits(scale: int) -> None:
    xml = (
        '<OME><Image ID="Image:0"><Pixels SizeX="8" SizeY="8"/><ROIRef ID="ROI:0"/>'
        '</Image><ROI ID="ROI:0"><Union><Line X1="1"/></Union></ROI></OME>'
    )
    sizes = {0: (1, 8 * scale, 8 * scale)}
    updated, lost = updated_ome_xml(xml, sizes, scale)
    assert lost == (scale > 1)
    assert ("Line" in updated, "ROIRef" in updated) == (not lost, not lost)
