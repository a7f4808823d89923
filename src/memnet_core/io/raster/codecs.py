"""What Pillow does not read or write: PNG of 16 bits, rare JPEG, BMP with alpha."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import imagecodecs
import numpy as np
from PIL import Image as PillowImage

from memnet_core.io.core.color import spread
from memnet_core.io.core.image import _COLORS, _TEXTS, Image, Metadata, Probe
from memnet_core.io.core.limits import check_pixels
from memnet_core.io.core.orientation import (
    EXIF_MARK,
    apply_orientation,
    exif_resolution,
    reset_orientation,
    stored_orientation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray


__all__ = [
    "XMP_KEYWORD",
    "Frame",
    "alpha_of_bmp16",
    "carried_chunks",
    "check_pixel_checksums",
    "decoded",
    "encode",
    "encode_alpha",
    "frame_of",
    "has_alpha16",
    "probe_rare",
    "read_rare",
    "with_metadata",
    "without_text",
]


_SIGNATURE = 8
_STEP = 2**20
_OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_ELSEWHERE = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"memnet")
"""Keywords of what is carried in another way, or made anew."""


def carried_chunks(path: Path) -> tuple[tuple[bytes, bytes], ...]:
    """Return kind and content of the chunks of a PNG that its result gets, too.

    Parameters
    ----------
    path : Path
        A PNG; where it is damaged the list ends.
    """
    with path.open("rb") as file:
        found = [
            (kind, data) for kind, data in _chunks(file) if _is_carried(kind, data)
        ]
    return tuple(found)


def check_pixel_checksums(file: BinaryIO) -> None:
    """Check the chunks of pixels against their CRC, as libpng does and Pillow does not.

    Raises
    ------
    ValueError
        If one is damaged; where chunks end too early is left to the decoder.
    """
    file.seek(_SIGNATURE)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind not in (b"IDAT", b"fdAT"):
            file.seek(length + 4, io.SEEK_CUR)
            continue
        check = zlib.crc32(kind)
        while length and (data := file.read(min(length, _STEP))):
            check = zlib.crc32(data, check)
            length -= len(data)
        stored = file.read(4)
        if len(stored) == 4 and check != int.from_bytes(stored, "big"):
            raise ValueError("the file is damaged: the checksum of its pixels is wrong")


def without_text(path: Path) -> io.BytesIO:
    """Return a PNG without the text that is carried: Pillow refuses what is long."""
    kept = _filtered(
        path.read_bytes(),
        lambda kind, data: kind not in _TEXTS or not _is_carried(kind, data),
    )
    return io.BytesIO(kept)


def decoded(path: Path) -> NDArray[Any]:
    """Decode a PNG of any depth; its color key becomes alpha.

    libpng prints warnings of chunks that do not matter here: it is given none.
    """
    plain = _filtered(path.read_bytes(), lambda kind, _: kind in _OF_PIXELS)
    pixels: NDArray[Any] = imagecodecs.png_decode(plain)
    return pixels


def _filtered(data: bytes, keeps: Callable[[bytes, bytes], bool]) -> bytes:
    """Return a PNG with those chunks, of a kind and content, that are kept."""
    parts, position = [data[:_SIGNATURE]], _SIGNATURE
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + length + 12
        if keeps(kind, data[position + 8 : end - 4]):
            parts.append(data[position:end])
        position = end
    parts.append(data[position:])
    return b"".join(parts)


def _is_carried(kind: bytes, data: bytes) -> bool:
    if kind in _TEXTS:
        return data.partition(b"\0")[0] not in _ELSEWHERE
    return kind in _COLORS


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of chunks, but without those of pixels."""
    file.seek(0, io.SEEK_END)
    size = file.tell()
    position = _SIGNATURE
    while position + 12 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        position += length + 12
        if position > size:
            return
        if kind in _TEXTS or kind in _COLORS:
            yield kind, file.read(length)


XMP_KEYWORD = "XML:com.adobe.xmp"

_AFTER_HEADER = 8 + 25


def encode(
    pixels: NDArray[Any],
    metadata: Metadata,
    dots_per_inch: tuple[float, float] | None,
) -> bytes:
    """Encode pixels, and put the metadata behind the header.

    Parameters
    ----------
    pixels : ndarray, shape (H, W) or (H, W, S)
        Of type bool (gray only), uint8 or uint16.
    metadata : Metadata
        Its ICC profile, EXIF, XMP and chunks of a PNG are written.
    dots_per_inch : (float, float), optional
        Along x and y.
    """
    if pixels.dtype == np.uint16:
        encoded = bytes(imagecodecs.png_encode(pixels))
    else:
        buffer = io.BytesIO()
        PillowImage.fromarray(pixels).save(buffer, "PNG")
        encoded = buffer.getvalue()
    return with_metadata(encoded, metadata, dots_per_inch)


def with_metadata(
    encoded: bytes, metadata: Metadata, dots_per_inch: tuple[float, float] | None
) -> bytes:
    """Return a PNG with chunks behind its header; see `encode`."""
    chunks = []
    if metadata.icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if dots_per_inch:
        per_metre = [round(value / 0.0254) for value in dots_per_inch]
        chunks.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif.removeprefix(EXIF_MARK)))
    if metadata.xmp:
        chunks.append((b"iTXt", XMP_KEYWORD.encode() + b"\0\0\0\0\0" + metadata.xmp))
    chunks += metadata.png_chunks
    return (
        encoded[:_AFTER_HEADER]
        + b"".join(_chunk(*chunk) for chunk in chunks)
        + encoded[_AFTER_HEADER:]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


_FILE_HEADER, _V4_HEADER, _BITFIELDS, _SRGB = 14, 108, 3, 0x73524742
_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def has_alpha16(path: Path) -> bool:
    """Whether a BMP has pixels of 16 bits with a mask of alpha."""
    return _mask(_header(path)) > 0


def alpha_of_bmp16(path: Path) -> NDArray[np.uint8]:
    """Return the alpha (H, W) of a BMP of which `has_alpha16` is true.

    Raises
    ------
    ValueError
        If the file is truncated.
    """
    head = _header(path)
    (start,) = struct.unpack_from("<I", head, 10)
    width, height = struct.unpack_from("<ii", head, 18)
    stride = (width * 16 + 31) // 32 * 2
    mask = _mask(head)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(stride * 2 * abs(height))
    if len(data) < stride * 2 * abs(height):
        raise ValueError("the file is truncated")
    words = np.frombuffer(data, "<u2").reshape(abs(height), stride)[:, :width]
    lowest = mask & -mask
    values = (words & mask) // lowest
    alpha = (values.astype(np.uint32) * 255 // (mask // lowest)).astype(np.uint8)
    return alpha if height < 0 else alpha[::-1]


def encode_alpha(
    pixels: NDArray[np.uint8], dots_per_inch: tuple[float, float] | None
) -> bytes:
    """Return a BMP with a header that says where alpha is.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, 4)
        Colors and alpha.
    dots_per_inch : (float, float), optional
        Along x and y.
    """
    height, width = pixels.shape[:2]
    per_metre = [round(value / 0.0254) for value in dots_per_inch or (0, 0)]
    start = _FILE_HEADER + _V4_HEADER
    fields = (width, -height, 1, 32, _BITFIELDS, pixels.size, *per_metre, 0, 0)
    described = struct.pack("<IiiHHIIiiII", _V4_HEADER, *fields)
    described += struct.pack("<5I", *_MASKS, _SRGB) + bytes(48)
    named = struct.pack("<2sIHHI", b"BM", start + pixels.size, 0, 0, start)
    return named + described + pixels[..., [2, 1, 0, 3]].tobytes()


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_FILE_HEADER + _V4_HEADER)


def _mask(head: bytes) -> int:
    """Return the mask of alpha in pixels of 16 bits, or 0."""
    if len(head) < 70:
        return 0
    (size,) = struct.unpack_from("<I", head, 14)
    bits, compression = struct.unpack_from("<HI", head, 28)
    if size < 56 or bits != 16 or compression != _BITFIELDS:
        return 0
    return int(struct.unpack_from("<I", head, 66)[0]) & 0xFFFF


_LOSSLESS = 0xC3
_ORDINARY = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_HIERARCHICAL = (0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
_JPEG_LS = 0xF7
_FRAMES = (*_ORDINARY, _LOSSLESS, *_HIERARCHICAL, _JPEG_LS)
_ALONE = (0x01, *range(0xD0, 0xD9))
_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"
_ICC_MARK = b"ICC_PROFILE\0"


@dataclass(frozen=True)
class Frame:
    """What the head of a JPEG says."""

    process: int
    bits: int
    height: int
    width: int
    samples: int
    segments: tuple[bytes, ...] = ()

    @property
    def is_rare(self) -> bool:
        """Whether Pillow cannot read it."""
        return self.process not in _ORDINARY or self.bits != 8

    @property
    def dtype(self) -> str:
        """Type of a sample as it is read."""
        return "uint8" if self.bits <= 8 else "uint16"


def frame_of(file: BinaryIO) -> Frame | None:
    """Return what the head of a JPEG says; None if it has none that is understood."""
    segments: list[bytes] = []
    file.seek(2)
    while True:
        mark = file.read(2)
        if len(mark) < 2 or mark[0] != 0xFF:
            return None
        if mark[1] == 0xFF:
            file.seek(-1, 1)
            continue
        if mark[1] in _ALONE:
            continue
        size = file.read(2)
        length = int.from_bytes(size, "big") - 2
        content = file.read(max(length, 0))
        if len(size) < 2 or length < 0 or len(content) < length:
            return None
        if mark[1] in (0xE1, 0xE2):
            segments.append(content)
        if mark[1] in _FRAMES:
            if length < 6:
                return None
            bits, height, width, samples = struct.unpack_from(">BHHB", content)
            size_of = height, width, samples
            return Frame(mark[1], bits, *size_of, tuple(segments))
        if mark[1] in (0xD9, 0xDA):
            return None


def probe_rare(frame: Frame) -> Probe:
    """Return what the head says as a `Probe`.

    Raises
    ------
    ValueError
        If it is of a kind that is not read, or too large.
    """
    _check(frame)
    exif, xmp = _metadata(frame)
    size = (frame.height, frame.width)
    if stored_orientation(exif, xmp) >= 5:
        size = size[::-1]
    shape = (*size, frame.samples) if frame.samples > 1 else size
    return Probe("JPEG", shape, frame.dtype, frame.height * frame.width / 1e6)


def read_rare(path: Path, frame: Frame) -> Image:
    """Read a JPEG of 12 bits, or a lossless one, as a whole.

    Values are spread to the range of 8 or 16 bits.

    Raises
    ------
    ValueError
        If it is of a kind that is not read, too large, or damaged.
    """
    _check(frame)
    pixels: NDArray[Any] = np.asarray(imagecodecs.jpeg_decode(path.read_bytes()))
    if pixels.shape[:2] != (frame.height, frame.width):
        raise ValueError("the file is damaged")
    exif, xmp = _metadata(frame)
    orientation = stored_orientation(exif, xmp)
    exif, xmp, resolution = reset_orientation(
        orientation, exif, xmp, exif_resolution(exif)
    )
    pixels = apply_orientation(spread(pixels, frame.bits), orientation, 0, 1)
    profiles = sorted(s for s in frame.segments if s.startswith(_ICC_MARK))
    icc = b"".join(s[len(_ICC_MARK) + 2 :] for s in profiles)
    metadata = Metadata(icc=icc or None, exif=exif, xmp=xmp, resolution=resolution)
    axes = "YXS"[: pixels.ndim]
    return Image(np.ascontiguousarray(pixels), axes, metadata, "JPEG")


def _check(frame: Frame) -> None:
    check_pixels(frame.width * frame.height, "it")
    if frame.process == _JPEG_LS:
        raise ValueError("it is a JPEG-LS, which is not supported; convert it to PNG")
    if frame.process in _HIERARCHICAL:
        raise ValueError(
            "it is a hierarchical JPEG, which is not supported; convert it to PNG"
        )
    if frame.samples not in (1, 3) or not 2 <= frame.bits <= 16:
        raise ValueError(
            f"a JPEG of {frame.samples} samples of {frame.bits} bits is not supported"
        )


def _metadata(frame: Frame) -> tuple[bytes | None, bytes | None]:
    """Return EXIF and XMP."""
    exif = next((s for s in frame.segments if s.startswith(EXIF_MARK)), None)
    xmp = next((s for s in frame.segments if s.startswith(_XMP_MARK)), None)
    return exif, xmp[len(_XMP_MARK) :] if xmp else None
