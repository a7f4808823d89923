from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from memnet_core.errors import ImageError
from memnet_core.io import (
    FORMATS,
    READABLE_SUFFIXES,
    Image,
    Probe,
    format_of_suffix,
    open_image,
    probe,
    save_image,
    suffix_of_format,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

NOISE = np.random.default_rng(3).integers(0, 256, (40, 36, 3), np.uint8)
GRAY = NOISE[..., 0]
NO_IMAGE = "it is no PNG, TIFF, JPEG, WebP, BMP, GIF or movie"
NO_PNG = "it is no intact PNG"
DAMAGED_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHII", 271, 2, 99, 999)


def pillow(kind: str, pixels: NDArray[Any], mode: str = "", **options: Any) -> bytes:
    picture = PillowImage.fromarray(pixels)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: NDArray[Any], photometric: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric=photometric, metadata=None, **options)
    return buffer.getvalue()


def turned() -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[274] = 6
    return exif


FILES = {
    "gray.png": pillow("png", GRAY),
    "bilevel.png": pillow("png", GRAY > 99),
    "deep.png": pillow("png", GRAY.astype(np.uint16) * 257),
    "turned.png": pillow("png", NOISE, exif=turned()),
    "palette.png": pillow("png", NOISE, "P"),
    "keyed.png": pillow("png", GRAY, transparency=7),
    "keyed-bilevel.png": pillow("png", GRAY > 99, transparency=1),
    "keyed-palette.png": pillow("png", NOISE, "P", transparency=7),
    "gray.jpg": pillow("jpeg", GRAY),
    "turned.jpg": pillow("jpeg", NOISE, exif=turned()),
    "progressive.jpg": pillow("jpeg", NOISE, progressive=True),
    "cmyk.jpg": pillow("jpeg", NOISE, "CMYK"),
    "lossy.webp": pillow("webp", NOISE),
    "turned.webp": pillow("webp", NOISE, lossless=True, exif=turned()),
    "gray.bmp": pillow("bmp", GRAY),
    "color.bmp": pillow("bmp", NOISE),
    "palette.bmp": pillow("bmp", NOISE, "P"),
    "palette.tif": pillow("tiff", NOISE, "P"),
    "cmyk.tif": pillow("tiff", NOISE, "CMYK"),
    "gray.tif": tiff(GRAY, "minisblack"),
    "inverted.tif": tiff(GRAY > 99, "miniswhite"),
    "pages.tif": tiff(GRAY.reshape(4, 10, 36), "minisblack"),
    "bands.tif": tiff(GRAY.reshape(40, 6, 6), "minisblack", planarconfig="contig"),
    "float.tif": tiff(GRAY.astype("f4"), "minisblack", compression="zlib"),
    "lzw.tif": tiff(NOISE, "rgb", compression="lzw", rowsperstrip=8),
    "jpeg.tif": tiff(NOISE, "rgb", compression="jpeg", tile=(16, 16)),
    "turned.tif": tiff(NOISE, "rgb", extratags=[(274, 3, 1, 6, True)]),
    "planar.tif": tiff(NOISE.reshape(3, 40, 36), "rgb", planarconfig="separate"),
    "big.tif": tiff(NOISE, "rgb", bigtiff=True, byteorder=">"),
}


def read_image(path: Path) -> Image:
    with open_image(path) as file:
        return file.image()


any_file = pytest.mark.parametrize("name", FILES)
any_reader = pytest.mark.parametrize("reader", [read_image, probe])


@pytest.fixture(autouse=True)
def nothing_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", "")


def stored(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(action: Callable[..., object], path: Path, *arguments: Any) -> str:
    """Return the one sentence with which an action on a path is refused."""
    with pytest.raises(ImageError) as caught:
        action(path, *arguments)
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be ")
    assert message.endswith(".")
    assert not re.search(r"\n|\. [A-Z]|\.\.", message)
    return message.removeprefix(str(path))


def tiff_directory(
    width: int, height: int, *tags: tuple[int, int], compression: int = 8
) -> bytes:
    """Make a TIFF of one 8-bit gray page whose deflated data are 64 bytes at 256."""
    entries = [(256, width), (257, height), (258, 8), (259, compression), (262, 1)]
    entries += tags
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, v) for tag, v in sorted(entries))
    start = b"II*\0" + struct.pack("<IH", 8, len(entries))
    data = zlib.compress(bytes(64)).ljust(64, b"\0")
    return (start + packed + bytes(4)).ljust(256, b"\0") + data


def png_header(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(ihdr))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + check


@any_file
def test_probe_agrees_with_read(name: str, tmp_path: Path) -> None:
    path = stored(tmp_path, name, FILES[name])
    with open_image(path) as file:
        image, is_stack = file.image(), file.is_stack
    assert is_stack == (name in ("pages.tif", "bands.tif"))
    assert probe(path) == Probe(
        format=image.format,
        shape=image.pixels.shape,
        dtype=str(image.pixels.dtype),
        megapixels=image.stack[..., 0].size / 1e6,
        is_stack=is_stack,
    )


@any_file
def test_format_is_recognized_by_content(name: str, tmp_path: Path) -> None:
    expected = read_image(stored(tmp_path, name, FILES[name]))
    disguised = read_image(stored(tmp_path, "disguised.png", FILES[name]))
    assert disguised.format == expected.format
    np.testing.assert_array_equal(disguised.pixels, expected.pixels)


@any_file
@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.6, 0.9])
def test_truncated_file_is_refused(name: str, fraction: float, tmp_path: Path) -> None:
    content = FILES[name][: int(fraction * len(FILES[name]))]
    refusal(read_image, stored(tmp_path, name, content))


@any_file
def test_flipped_bytes_end_in_pixels_or_one_sentence(name: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(len(FILES[name]))
    for case in range(30):
        content = np.frombuffer(FILES[name], np.uint8).copy()
        reach = len(content) if case % 2 else min(300, len(content))
        places = generator.integers(0, reach, generator.integers(1, 9))
        content[places] = generator.integers(0, 256, len(places))
        path = stored(tmp_path, name, content.tobytes())
        for reader in (probe, read_image):
            try:
                reader(path)
            except ImageError:
                refusal(reader, path)


@any_reader
@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_random_bytes_behind_a_tiff_header_are_refused(
    start: bytes, reader: Callable[[Path], object], tmp_path: Path
) -> None:
    generator = np.random.default_rng(1)
    for _ in range(25):
        content = start + generator.bytes(400)
        refusal(reader, stored(tmp_path, "random.tif", content))


@any_reader
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"Dear reader, this is text.", NO_IMAGE),
        (pillow("ppm", GRAY), "it is a PNM"),
        (b"\x89PNG\r\n\x1a\n", NO_PNG),
        (png_header(20_000, 20_000), NO_PNG),
        (png_header(20_000, 20_000) + bytes(4) + b"IDAT", "megapixels"),
    ],
)
def test_what_is_no_image_is_refused(
    content: bytes, reason: str, reader: Callable[[Path], object], tmp_path: Path
) -> None:
    assert reason in refusal(reader, stored(tmp_path, "image.png", content))


@any_reader
def test_missing_file_and_folder_are_refused(
    reader: Callable[[Path], object], tmp_path: Path
) -> None:
    assert "No such file" in refusal(reader, tmp_path / "missing.png")
    assert "directory" in refusal(reader, tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff_directory(20_000, 20_000), "no pixels"),
        (tiff_directory(20_000, 20_000, (273, 256), (279, 0)), "no pixels"),
        (tiff_directory(20_000, 20_000, (273, 0), (279, 64)), "no pixels"),
        (tiff_directory(20_000, 20_000, (273, 256), (279, 10**6)), "truncated"),
        (tiff_directory(60_000, 60_000, (273, 256), (279, 64)), "60000 × 60000"),
        (
            tiff_directory(9_000, 9_000, (273, 256), (279, 64), compression=1),
            "9000 × 9000",
        ),
        (
            tiff_directory(8, 8, (322, 2**16), (323, 2**16), (324, 256), (325, 64)),
            "cannot hold",
        ),
    ],
)
def test_tiff_that_promises_too_much_is_refused_without_memory_for_it(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = stored(tmp_path, "image.tif", content)
    tracemalloc.start()
    try:
        message = refusal(read_image, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reason in message
    assert peak < 20e6


def test_picture_above_pillows_limit_is_read_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path, "image.png", FILES["gray.png"])
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", GRAY.size // 2 - 1)
    np.testing.assert_array_equal(read_image(path).pixels, GRAY)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_damaged_exif_is_carried_in_silence(kind: str, tmp_path: Path) -> None:
    content = pillow(kind, NOISE, exif=DAMAGED_EXIF)
    image = read_image(stored(tmp_path, f"image.{kind}", content))
    assert image.pixels.shape == NOISE.shape
    assert image.metadata.exif == DAMAGED_EXIF
    assert save_image(tmp_path / "copy.png", image) == ()


def test_odd_files_print_nothing_and_warn_of_nothing(tmp_path: Path) -> None:
    content = pillow("jpeg", NOISE, exif=DAMAGED_EXIF)
    jpeg = stored(tmp_path, "image.jpg", content)
    odd = bytearray(
        tiff_directory(8, 8, (273, 256), (278, 2**32 - 1), (279, 64), (65000, 0))
    )
    odd[odd.index(struct.pack("<H", 65000)) + 2] = 99
    code = "import sys, pathlib; from memnet_core.io import open_image\n"
    code += "for path in sys.argv[1:]:\n"
    code += "    with open_image(pathlib.Path(path)) as file: file.image()"
    paths = [str(jpeg), str(stored(tmp_path, "odd.tif", bytes(odd)))]
    command = [sys.executable, "-W", "error", "-c", code, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "pixels", "reason"),
    [
        ("image.tga", GRAY, "'.tga' is none of .png"),
        ("image", GRAY, "'' is none of .png"),
        ("image.png", GRAY / 255, "float64"),
        ("image.png", GRAY.astype(np.int16), "int16"),
        ("image.jpg", GRAY.astype(np.uint16), "uint16"),
        ("image.webp", GRAY.astype(np.uint16), "uint16"),
        ("image.bmp", GRAY.astype(np.float32), "float32"),
        ("image.png", GRAY.reshape(4, 10, 36), "a stack of 4"),
        ("image.jpg", np.zeros((1, 65501), np.uint8), "65500 pixels a side"),
        ("image.webp", np.zeros((16384, 1), np.uint8), "16383 pixels a side"),
        ("missing/image.png", GRAY, "No such file"),
        ("missing/image.tif", GRAY, "No such file"),
        ("file/image.png", GRAY, "Not a directory"),
        ("folder.png", GRAY, "directory"),
        ("folder.tif", GRAY, "directory"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    name: str, pixels: NDArray[Any], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.tif").mkdir()
    image = Image(pixels, "ZYX"[-pixels.ndim :])
    assert reason in refusal(save_image, tmp_path / name, image)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("suffix", [f.suffix for f in FORMATS if f.create])
def test_failure_leaves_the_old_file(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = stored(tmp_path, f"image{suffix}", b"old")
    monkeypatch.setattr(os, "replace", denied)
    assert "Permission denied" in refusal(save_image, path, Image(GRAY, "YX"))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("This user may write everywhere.")
    path = tmp_path / "image.png"
    assert "Permission denied" in refusal(save_image, path, Image(GRAY, "YX"))


def test_every_suffix_that_is_read_can_be_written() -> None:
    suffixes = {suffix_of_format("same", Path(f"no{end}")) for end in READABLE_SUFFIXES}
    formats = {format_of_suffix(Path(f"image{end}")) for end in suffixes}
    assert formats == {
        known for known in FORMATS if not known.is_folder and not known.on_request
    }


def test_image_in_memory_is_not_written_as_ome_zarr(tmp_path: Path) -> None:
    reason = refusal(save_image, tmp_path / "a.ome.zarr", Image(GRAY, "YX"))
    assert "OME-Zarr is made by 'memnet batch'" in reason


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("same", "a.JPG", ".JPG"),
        ("auto", "a.JPG", ".png"),
        ("auto", "a.jfif", ".png"),
        ("auto", "a.tiff", ".tiff"),
        ("tiff", "a.png", ".tif"),
        ("jpeg", "a.png", ".jpg"),
    ],
)
def test_suffix_of_an_output(name: str, source: str, expected: str) -> None:
    assert suffix_of_format(name, Path(source)) == expected
