"""Alpha of BMP: that of 16 bits, which Pillow does not read, and that of results."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["alpha_of_bmp16", "encode_alpha", "has_alpha16"]

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
        Colours and alpha.
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
