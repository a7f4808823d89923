"""PNG beyond what Pillow writes: 16-bit colour, with metadata."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image as PillowImage

from memnet_core.io.core.orientation import EXIF_MARK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.io.core.image import Metadata

__all__ = ["XMP_KEYWORD", "encode", "with_metadata"]

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
