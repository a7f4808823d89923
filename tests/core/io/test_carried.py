"""What files say besides their pixels reaches the result, or is named."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from memnet_core.io import (
    Image,
    create_image,
    in_memory,
    open_image,
    probe,
    save_image,
)
from memnet_core.io.core.orientation import EXIF_MARK
from memnet_core.io.raster.metadata import (
    secondary_images,
    update_exif,
    xmp_without_them,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
GRAY = np.ascontiguousarray(NOISE[..., 0])
FEI = "[Scan]\r\nPixelWidth=1.5e-009\r\nPixelHeight=3e-009\r\n"


def read(path: Path) -> Image:
    header = probe(path)
    with open_image(path) as file:
        assert (header.shape, header.dtype) == (file.sizes, str(file.dtype))
        return file.image()


def enlarged(path: Path, image: Image) -> tuple[str, ...]:
    """Write an image of twice the rows and columns; return what was dropped."""
    like = in_memory(path, image)
    with create_image(path, like, 2) as sink:
        for plane in range(like.shape[0]):
            pixels = image.stack[plane].repeat(2, 0).repeat(2, 1)
            rows, columns = (slice(0, size) for size in pixels.shape[:2])
            sink.write(plane, rows, columns, pixels)
    return sink.dropped


def tags_in(path: Path) -> dict[int, Any]:
    with tifffile.TiffFile(path) as file:
        return {tag.code: tag.value for tag in file.pages.first.tags}


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tags_that_say_how_a_tiff_was_made_are_carried(
    byteorder: Any, bigtiff: bool, tmp_path: Path
) -> None:
    told = {271: "FEI", 272: "Helios", 315: "me", 316: "desk", 33432: "(c) me"}
    source = tmp_path / "a.tif"
    extra = [(tag, 2, 0, text, True) for tag, text in (told | {34682: FEI}).items()]
    with tifffile.TiffWriter(source, byteorder=byteorder, bigtiff=bigtiff) as file:
        for _ in range(2):
            file.write(
                GRAY,
                metadata=None,
                software="xT",
                datetime="2026:11:25 10:00:00",
                extratags=extra,
            )
    image = read(source)
    assert image.metadata.dropped == ()
    assert image.metadata.calibration.spacing == pytest.approx(
        {"X": 0.0015, "Y": 0.003}
    )
    assert save_image(tmp_path / "b.tif", image) == ()
    kept = tags_in(tmp_path / "b.tif")
    assert kept.items() >= (told | {305: "xT", 306: "2026:11:25 10:00:00"}).items()
    assert kept[34682] == tags_in(source)[34682]
    assert enlarged(tmp_path / "c.tif", image) == ()
    scan = tags_in(tmp_path / "c.tif")[34682]["Scan"]
    assert scan == {"PixelWidth": 0.75e-9, "PixelHeight": 1.5e-9}
    assert read(tmp_path / "c.tif").metadata.calibration.spacing["X"] == 0.00075


def test_damaged_sizes_of_a_microscope_do_not_stop_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for size, lost in (
        ("many", ("metadata of its microscope (not understood)",)),
        ("nan", ()),
    ):
        fei = f"[Scan]\r\nPixelWidth={size}\r\nPixelHeight={size}\r\n"
        extra = [(34682, 2, 0, fei, True)]
        tifffile.imwrite(path, GRAY, metadata=None, extratags=extra)
        image = read(path)
        assert image.metadata.dropped == lost
        assert image.metadata.calibration.spacing == {}


def test_metamorph_stack_keeps_planes_and_pixel_sizes(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 60000, (3, 24, 20)).astype("<u2")
    start = 8 + 2 + 12 * 11 + 4
    first = start + planes.nbytes
    second = first + 32
    third = second + 20
    tags = [
        (256, 4, 1, 20),
        (257, 4, 1, 24),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, start),
        (277, 3, 1, 1),
        (278, 4, 1, 24),
        (279, 4, 1, planes[0].nbytes),
        (33628, 4, 4, first),
        (33629, 5, 3, third),
    ]
    content = b"II*\0" + struct.pack("<IH", 8, len(tags))
    content += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    content += planes.tobytes()
    content += struct.pack("<8I", 3, 1, 4, second, 5, second, 6, second + 8)
    content += struct.pack("<III", 1, 4, 3) + b"um\0\0" + bytes(4)
    content += struct.pack("<6I", 2, 1, 2451545, 0, 2451545, 0) * 3
    path = tmp_path / "a.stk"
    path.write_bytes(content)
    image = read(path)
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.pixels, planes)
    spacing = {"X": 0.25, "Y": 0.25, "Z": 2.0}
    assert image.metadata.calibration.spacing == spacing
    assert image.metadata.dropped == ("MetaMorph metadata besides pixel sizes",)
    save_image(tmp_path / "b.tif", image)
    assert read(tmp_path / "b.tif").metadata.calibration.spacing == spacing


def test_tags_that_are_not_carried_are_named(tmp_path: Path) -> None:
    extra = [(65000, 4, 1, 7, True), (33550, 12, 3, (1.0, 1.0, 0.0), True)]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GRAY, metadata=None, software=False, extratags=extra)
    assert read(path).metadata.dropped == ("GeoTIFF reference", "tag 65000")
    tifffile.imwrite(path, GRAY, metadata=None, software="xT")
    told = ("TIFF tags (software; PNG has none)",)
    assert save_image(tmp_path / "a.png", read(path)) == told


@pytest.mark.parametrize("pages", [1, 3])
def test_text_that_a_user_gave_to_tifffile_is_carried(
    pages: int, tmp_path: Path
) -> None:
    path, copy = tmp_path / "a.tif", tmp_path / "b.tif"
    pixels = GRAY if pages == 1 else np.stack([GRAY] * pages)
    tifffile.imwrite(path, pixels, description="my cells", photometric="minisblack")
    assert save_image(copy, read(path)) == ()
    assert "my cells" in str(tags_in(copy)[270])
    assert read(copy).axes == read(path).axes


def test_descriptions_of_further_pages_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for number in range(2):
            file.write(GRAY, metadata=None, description=f"page {number}")
    assert read(path).metadata.dropped == ("descriptions of further pages",)


@pytest.mark.parametrize(
    ("resolution", "unit"),
    [(72, "inch"), (96, "inch"), (1, "inch"), (28.35, "centimeter")],
)
def test_resolution_of_a_screen_is_no_pixel_size(
    resolution: float, unit: Any, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    options: dict[str, Any] = {"resolution": (resolution,) * 2, "resolutionunit": unit}
    tifffile.imwrite(path, GRAY, metadata=None, **options)
    image = read(path)
    assert image.metadata.calibration.spacing == {}
    enlarged(tmp_path / "b.tif", image)
    assert read(tmp_path / "b.tif").metadata.calibration.spacing == {}
    options["resolution"] = (1000, 1000)
    tifffile.imwrite(path, GRAY, metadata=None, **options)
    assert set(read(path).metadata.calibration.spacing) == {"X", "Y"}


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


@pytest.mark.parametrize("pixels", [GRAY, NOISE, NOISE.astype(np.uint16) * 257])
def test_what_a_png_says_goes_into_a_png(pixels: NDArray[Any], tmp_path: Path) -> None:
    path, copy = tmp_path / "a.png", tmp_path / "b.png"
    save_image(path, read_from(pixels))
    long = b"workflow\0\0" + zlib.compress(b'{"nodes": []}' * 300_000)
    said = [
        chunk(b"cICP", bytes([9, 16, 0, 1])),
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"tEXt", b"parameters\0Steps: 20"),
        chunk(b"zTXt", long),
        chunk(b"iTXt", b"Title\0\0\0de\0\0" + "Föhr".encode()),
    ]
    data = path.read_bytes()
    path.write_bytes(
        data[:33] + b"".join(said[:3]) + data[33:-12] + b"".join(said[3:]) + data[-12:]
    )
    image = read(path)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.metadata.dropped == ()
    assert enlarged(copy, image) == ()
    assert all(part in copy.read_bytes() for part in said)
    assert copy.read_bytes().index(said[0]) < copy.read_bytes().index(b"IDAT")
    named = save_image(tmp_path / "b.tif", image)
    assert any("workflow" in what for what in named)
    assert any("cICP" in what for what in named)


def read_from(pixels: NDArray[Any]) -> Image:
    return Image(pixels, "YXS"[: pixels.ndim])


def test_text_of_a_png_that_pillow_wrote_is_read_by_it_again(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("parameters", "a lighthouse")
    info.add_itxt("Title", "Leuchtturm – Föhr")
    PillowImage.fromarray(NOISE).save(tmp_path / "a.png", pnginfo=info)
    save_image(tmp_path / "b.png", read(tmp_path / "a.png"))
    with PillowImage.open(tmp_path / "b.png") as copy:
        copy.load()
        assert getattr(copy, "text", {}) == {
            "parameters": "a lighthouse",
            "Title": "Leuchtturm – Föhr",
        }


def exif_with_thumbnail(order: str, thumbnail: bytes) -> bytes:
    """Return EXIF of orientation 6 with a size and a thumbnail."""

    def entry(tag: int, kind: int, value: int) -> bytes:
        form = "HHIHH" if kind == 3 else "HHII"
        values = (value, 0) if kind == 3 else (value,)
        return struct.pack(order + form, tag, kind, 1, *values)

    first = 8
    inner = first + 2 + 2 * 12 + 4
    second = inner + 2 + 2 * 12 + 4
    jpeg = second + 2 + 2 * 12 + 4
    count, end = struct.pack(order + "H", 2), struct.pack(order + "I", 0)
    return b"".join(
        [
            EXIF_MARK,
            b"II*\0" if order == "<" else b"MM\0*",
            struct.pack(order + "I", first),
            count + entry(0x112, 3, 6) + entry(0x8769, 4, inner),
            struct.pack(order + "I", second),
            count + entry(0xA002, 3, 40) + entry(0xA003, 4, 24) + end,
            count + entry(0x201, 4, jpeg) + entry(0x202, 4, len(thumbnail)) + end,
            thumbnail,
        ]
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_names_the_size_of_the_result_and_no_thumbnail(
    order: str, suffix: str, tmp_path: Path
) -> None:
    thumbnail = io.BytesIO()
    PillowImage.fromarray(NOISE[::2, ::2].copy()).save(thumbnail, "JPEG")
    exif = exif_with_thumbnail(order, thumbnail.getvalue())
    PillowImage.fromarray(NOISE).save(tmp_path / "a.jpg", exif=exif)
    image = read(tmp_path / "a.jpg")
    assert image.pixels.shape == (40, 24, 3)
    path = tmp_path / f"b{suffix}"
    assert "EXIF thumbnail (of the picture before)" in enlarged(path, image)
    with PillowImage.open(path) as result:
        found = result.getexif()
        size = found.get_ifd(0x8769)
        assert result.size == (48, 80) == (size[0xA002], size[0xA003])
        assert found[0x112] == 1
        assert not found.get_ifd(1)
    assert thumbnail.getvalue()[-40:] not in path.read_bytes()


def test_damaged_exif_stays_as_it_is() -> None:
    exif = exif_with_thumbnail("<", b"x" * 10)
    for length in range(len(EXIF_MARK), 60):
        cut = exif[:length]
        assert update_exif(cut, 9, 9) == (cut, False)


def test_gain_maps_of_every_standard_are_named_and_not_promised() -> None:
    index = b""
    adobe = b'<rdf:Description hdrgm:Version="1.0" other:x="1"/>'
    google = (
        b'<x><Container:Directory><rdf:Seq><rdf:li Item:Semantic="GainMap"/></rdf:Seq>'
        b"</Container:Directory></x>"
    )
    iso = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
    for content in (adobe, google, iso):
        assert secondary_images([("APP1", content)], index) == ["gain map"]
    assert secondary_images([("APP1", b"<x/>")], index) == []
    kept = xmp_without_them(adobe)
    assert kept == b'<rdf:Description other:x="1"/>'
    assert xmp_without_them(google) == b"<x></x>"


def test_each_scene_keeps_its_own_tags_and_description(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    colormap = np.stack([ramp, ramp, ramp // 2])
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(GRAY, description="of all", software="one", metadata=None)
        for _ in range(2):
            file.write(
                GRAY[:12],
                photometric="palette",
                colormap=colormap,
                description="of a half",
                software="two",
                metadata=None,
            )
    with open_image(path, scene=0) as first, open_image(path, scene=1) as second:
        whole, half = first.metadata, second.metadata
    assert (whole.description, half.description) == ("of all", "of a half")
    assert whole.dropped == half.dropped == ()
    assert whole.tags
    assert half.tags
    assert (whole.tags.software, half.tags.software) == ("one", "two")
    assert whole.tags.colormap is None
    np.testing.assert_array_equal(half.tags.colormap, colormap)


def test_long_text_of_an_animated_png_is_carried(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    frames = [PillowImage.fromarray(np.roll(NOISE, n, 0)) for n in range(2)]
    text = PngInfo()
    text.add_text("Comment", "x" * 2_000_000)
    frames[0].save(path, save_all=True, append_images=frames[1:], pnginfo=text)
    image = read(path)
    assert image.pixels.shape == (2, *NOISE.shape)
    copy = tmp_path / "copy.png"
    assert save_image(copy, image) == ()
    assert read(copy).metadata.png_chunks == image.metadata.png_chunks != ()
