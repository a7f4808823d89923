"""Sizes of the compressed streams in a TIFF that have a header of their own.

Their decoders take memory for what the stream says, whatever the page says: each is
measured before it is decoded.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

from memnet_core.io.raster.codecs import frame_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Size = tuple[int, int, int]

__all__ = ["guard_decoders"]

_MOST_SAMPLES = 4
"""Samples that a stream may have where the page has fewer: alpha that it drops."""


def guard_decoders(pages: Iterable[Any]) -> None:
    """Have the streams of pages measured before they are decoded.

    Parameters
    ----------
    pages : iterable of tifffile.TiffPage
        Those of one file; None stands for one that is missing.
    """
    for page in {id(p.keyframe): p.keyframe for p in pages if p is not None}.values():
        measure = _MEASURES.get(int(page.compression))
        if measure and not getattr(page.decode, "is_guarded", False):
            page.decode = _guarded(page, page.decode, measure)


def _guarded(
    page: Any, decode: Callable[..., Any], measure: Callable[[bytes], Size]
) -> Callable[..., Any]:
    if page.is_tiled:
        length, width = page.tilelength, page.tilewidth
    else:
        length, width = min(page.rowsperstrip, page.imagelength), page.imagewidth
    samples = max(_MOST_SAMPLES, page.samplesperpixel)
    name = page.compression.name

    def guarded(data: bytes | None, index: int, /, **options: Any) -> Any:
        if data is not None:
            try:
                found = measure(bytes(data))
            except (IndexError, KeyError, ValueError, struct.error) as error:
                reason = str(error) if type(error) is ValueError else ""
                reason = reason or f"a {name} stream in it is damaged"
                raise ValueError(reason) from error
            larger = f"{found[2]} samples" if found[2] > samples else ""
            if found[0] > length or found[1] > width:
                larger = f"{found[1]} × {found[0]} pixels"
            if larger:
                raise ValueError(
                    f"a {name} stream in it has {larger}, more than its page"
                )
        return decode(data, index, **options)

    guarded.is_guarded = True  # type: ignore[attr-defined]
    return guarded


def _jpeg(data: bytes) -> Size:
    frame = frame_of(io.BytesIO(data))
    if frame is None:
        return 0, 0, 0  # the decoder tells what is wrong
    return frame.height, frame.width, frame.samples


def _old_jpeg(data: bytes) -> Size:
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("JPEG in the style of TIFF 6.0 of 1992 is not supported")
    return _jpeg(data)


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">4sII", data, 12)[1:]
    return height, width, 1


def _webp(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[n : n + 3], "little") for n in (24, 27))
        return height + 1, width + 1, 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 1
    width, height = struct.unpack_from("<HH", data, 26)
    return height & 0x3FFF, width & 0x3FFF, 1


def _jpeg2000(data: bytes) -> Size:
    place = 0
    while data[place : place + 2] != b"\xff\x4f":  # in the boxes of a JP2
        length, kind = struct.unpack_from(">I4s", data, place)
        head = 16 if length == 1 else 8
        if kind == b"jp2c":
            place += head
        elif length == 1:
            place += struct.unpack_from(">Q", data, place + 8)[0]
        else:
            place += max(length, head)
    right, bottom, left, top = struct.unpack_from(">4I", data, place + 8)
    (samples,) = struct.unpack_from(">H", data, place + 40)
    return bottom - top, right - left, samples


def _jpeg_xr(data: bytes) -> Size:
    """Return the larger of what the container and the codestream in it say."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    entries = struct.iter_unpack("<HHII", data[start + 2 : start + 2 + 12 * count])
    tags = {tag: value for tag, _, _, value in entries}
    place = tags[0xBCC0]
    layout = ">HH" if data[place + 10] & 0x80 else ">II"
    width, height = struct.unpack_from(layout, data, place + 12)
    return max(tags.get(0xBC81, 0), height + 1), max(tags.get(0xBC80, 0), width + 1), 1


def _lerc(data: bytes) -> Size:
    """Add up the bands, each a blob of its own; further compression is not taken."""
    place = rows = columns = bands = 0
    while place < len(data):
        name, version = struct.unpack_from("<6si", data, place)
        if name != b"Lerc2 ":
            raise ValueError("LERC of version 1, or compressed again, is not supported")
        at = place + (14 if version >= 3 else 10)
        height, width = struct.unpack_from("<ii", data, at)
        at += 8
        depth = struct.unpack_from("<i", data, at)[0] if version >= 4 else 1
        at += 4 * (version >= 4)
        rows, columns = max(rows, height), max(columns, width)
        bands += depth
        place += max(struct.unpack_from("<8xi", data, at)[0], 1)
    return rows, columns, bands


def _jpeg_xl(_: bytes) -> Size:
    raise ValueError("JPEG XL in TIFF is not supported; convert it")


_MEASURES: dict[int, Callable[[bytes], Size]] = {
    **dict.fromkeys((7, 34892, 33007), _jpeg),
    6: _old_jpeg,
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg2000),
    **dict.fromkeys((22610, 34934), _jpeg_xr),
    **dict.fromkeys((50002, 52546), _jpeg_xl),
    34933: _png,
    50001: _webp,
    34887: _lerc,
}
"""By the number of the compression."""
