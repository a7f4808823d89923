"""Kinds of files: told by content, called by name, read where readers differ."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from memnet_core.errors import ImageError
from memnet_core.io import (
    Image,
    open_image,
    probe,
    save_image,
    suffix_of_format,
)

if TYPE_CHECKING:
    from pathlib import Path

GRAY = np.random.default_rng(0).integers(0, 256, (24, 40)).astype(np.uint8)


def read(path: Path) -> Image:
    header = probe(path)
    with open_image(path) as file:
        assert (header.shape, header.dtype) == (file.sizes, str(file.dtype))
        return file.image()


@pytest.mark.parametrize("samples", [2, 4])
def test_alpha_of_a_bmp_is_kept(samples: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, samples)).astype(np.uint8)
    save_image(tmp_path / "a.bmp", Image(pixels, "YXS"))
    order = [0, 0, 0, 1] if samples == 2 else [0, 1, 2, 3]
    np.testing.assert_array_equal(read(tmp_path / "a.bmp").pixels, pixels[..., order])


@pytest.mark.parametrize("upwards", [False, True])
def test_one_bit_of_alpha_in_a_bmp_is_read(upwards: bool, tmp_path: Path) -> None:
    width, height = 5, 4
    opaque = np.random.default_rng(0).integers(0, 2, (height, width))
    words = (opaque << 15 | 31 << 10).astype("<u2")
    rows = np.pad(words, ((0, 0), (0, 1)))[:: -1 if upwards else 1]
    fields = (width, height if upwards else -height, 1, 16, 3, rows.nbytes, 0, 0, 0, 0)
    head = struct.pack("<IiiHHIIiiII", 108, *fields)
    head += struct.pack("<5I", 0x7C00, 0x3E0, 0x1F, 0x8000, 0x73524742) + bytes(48)
    size = 14 + len(head)
    start = struct.pack("<2sIHHI", b"BM", size + rows.nbytes, 0, 0, size)
    path = tmp_path / "a.bmp"
    path.write_bytes(start + head + rows.tobytes())
    pixels = read(path).pixels
    np.testing.assert_array_equal(pixels[..., 3], opaque * 255)
    np.testing.assert_array_equal(pixels[..., 0], 255)


@pytest.mark.parametrize("shape", [(24, 40), (24, 40, 3)])
@pytest.mark.parametrize(
    ("bits", "lossless"), [(8, True), (12, True), (16, True), (12, False)]
)
def test_jpeg_beyond_pillow_is_read(
    bits: int, shape: tuple[int, ...], lossless: bool, tmp_path: Path
) -> None:
    white = 2**bits - 1
    y, x = np.mgrid[:24, :40]
    smooth = (0.5 + 0.4 * np.sin(x / 9) * np.cos(y / 11)) * white
    pixels = np.broadcast_to(smooth, (24, 40))
    pixels = np.stack([pixels] * 3, -1) if len(shape) == 3 else pixels
    stored = np.ascontiguousarray(pixels).astype("uint8" if bits == 8 else "uint16")
    options: dict[str, Any] = {} if bits == 8 else {"bitspersample": bits}
    data = imagecodecs.jpeg_encode(stored, level=95, lossless=lossless, **options)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    image = read(path)
    top = np.iinfo(image.pixels.dtype).max
    error = np.abs(image.pixels / top - stored / white).max()
    assert image.pixels.shape == shape
    assert error <= (1e-4 if lossless else 0.03)


FOREIGN = {
    "HEIC": b"\0\0\0\x18ftypheic",
    "AVIF": b"\0\0\0\x18ftypavif",
    "CR3": b"\0\0\0\x18ftypcrx ",
    "CZI": b"ZISRAWFILE",
    "ND2": b"\xda\xce\xbe\x0a",
    "LIF": b"\x70\0\0\0\1\2\3\4\x2a",
    "PDF": b"%PDF-1.7",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\xff\x0a",
    "DICOM": bytes(128) + b"DICM",
    "MRC": bytes(208) + b"MAP ",
    "NIfTI": b"\x5c\x01\0\0" + bytes(340) + b"n+1\0",
    "PSD": b"8BPS",
    "RAF": b"FUJIFILMCCD-RAW",
}


@pytest.mark.parametrize("name", [*FOREIGN])
def test_foreign_kinds_are_called_by_their_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FOREIGN[name])
    with pytest.raises(ImageError, match=f"it is an? .*{name}.*, which is not read"):
        probe(path)


@pytest.mark.parametrize("suffix", [".vsi", ".nef", ".dng"])
def test_foreign_kinds_that_begin_as_a_tiff_are_called_by_their_name(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    tifffile.imwrite(path, GRAY, metadata=None)
    with pytest.raises(ImageError, match=suffix[1:].upper()):
        probe(path)


@pytest.mark.parametrize(
    "suffix", [".stk", ".lsm", ".btf", ".tf8", ".svs", ".ome.tf2", ".xyz"]
)
def test_content_decides_over_a_suffix_and_what_results_get(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    tifffile.imwrite(tmp_path / "a.tif", GRAY, metadata=None)
    (tmp_path / "a.tif").rename(path)
    np.testing.assert_array_equal(read(path).pixels, GRAY)
    assert suffix_of_format("auto", path) == suffix_of_format("same", path) == ".tif"


def test_jpeg_beyond_pillow_keeps_to_the_bound_of_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(imagecodecs.jpeg_encode(GRAY, lossless=True))
    monkeypatch.setenv("MEMNET_MAX_PIXELS", str(GRAY.size))
    np.testing.assert_array_equal(read(path).pixels, GRAY)
    monkeypatch.setenv("MEMNET_MAX_PIXELS", str(GRAY.size - 1))
    for reader in (probe, open_image):
        with pytest.raises(ImageError, match="MEMNET_MAX_PIXELS"):
            reader(path)
