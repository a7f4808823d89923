"""PNG files of 16 bits, and the chunks that results keep."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image as PillowImage

from memnet_core.io.core.image import _COLORS, _TEXTS
from memnet_core.io.core.orientation import EXIF_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from memnet_core.io.core.image import Metadata

__all__ = [
    "XMP_KEYWORD",
    "carried_chunks",
    "check_pixel_checksums",
    "decoded",
    "encode",
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
