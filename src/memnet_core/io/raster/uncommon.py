"""Files that Pillow cannot read: 12-bit and lossless JPEG, BMP with alpha."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import imagecodecs
import numpy as np

from memnet_core.io.core.color import spread
from memnet_core.io.core.image import Image, Metadata, Probe
from memnet_core.io.core.limits import check_pixels
from memnet_core.io.core.orientation import (
    EXIF_MARK,
    apply_orientation,
    exif_resolution,
    reset_orientation,
    stored_orientation,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "Frame",
    "alpha_of_bmp16",
    "encode_alpha",
    "frame_of",
    "has_alpha16",
    "probe_rare",
    "read_rare",
]


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
