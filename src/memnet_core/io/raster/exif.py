"""EXIF of results, and secondary images such as gain maps."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from memnet_core.io.core.orientation import EXIF_MARK, number_of_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["secondary_images", "update_exif", "xmp_of_result", "xmp_without_them"]


_EXIF_IFD, _THUMBNAIL, _THUMBNAIL_BYTES = 0x8769, 0x0201, 0x0202
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
_SHORT, _LONG = 3, 4
_MOST_TAGS = 4096
_XMP_SIZE = re.compile(
    rb"((?:tiff:Image|exif:Pixel[XY]Dimension)(?:Width|Length)?(?:\s*=\s*[\"']|>))(\d+)"
)


def update_exif(exif: bytes, width: int, height: int) -> tuple[bytes, bool]:
    """Return EXIF that names another size, and has no thumbnail.

    Nothing is moved, so that what makers of cameras wrote keeps its places.

    Parameters
    ----------
    exif : bytes
        Begins with `EXIF_MARK`; what is damaged stays.
    width, height : int
        Size of the result.

    Returns
    -------
    bytes
        EXIF of the same length, or shorter.
    bool
        Whether there was a thumbnail.
    """
    data = bytearray(exif[len(EXIF_MARK) :])
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        return exif, False
    try:
        had_thumbnail = _changed(data, order, width, height)
    except struct.error:
        return exif, False
    return EXIF_MARK + bytes(data), had_thumbnail


def xmp_of_result(xmp: bytes, width: int, height: int) -> bytes:
    """Return XMP that names another size."""

    def resized(match: re.Match[bytes]) -> bytes:
        is_width = b"Width" in match[1] or b"XDim" in match[1]
        return match[1] + b"%d" % (width if is_width else height)

    return _XMP_SIZE.sub(resized, xmp)


def _changed(data: bytearray, order: str, width: int, height: int) -> bool:
    (first,) = struct.unpack_from(order + "I", data, 4)
    entries, following = _directory(data, order, first)
    _resize(data, order, entries, width, height)
    if _EXIF_IFD in entries:
        (place,) = struct.unpack_from(order + "I", data, entries[_EXIF_IFD] + 8)
        inner, _ = _directory(data, order, place)
        _resize(data, order, inner, width, height)
    (thumbnail,) = struct.unpack_from(order + "I", data, following)
    if not thumbnail:
        return False
    struct.pack_into(order + "I", data, following, 0)
    _forget(data, order, thumbnail)
    return True


def _directory(data: bytearray, order: str, start: int) -> tuple[dict[int, int], int]:
    """Return where entries stand, by tag, and where the next directory is named."""
    (count,) = struct.unpack_from(order + "H", data, start)
    if count > _MOST_TAGS:
        raise struct.error("a directory of so many tags is none")
    places = [start + 2 + 12 * index for index in range(count)]
    tags = {struct.unpack_from(order + "H", data, at)[0]: at for at in places}
    return tags, start + 2 + 12 * count


def _resize(
    data: bytearray, order: str, entries: dict[int, int], width: int, height: int
) -> None:
    sizes = dict.fromkeys(_WIDTHS, width) | dict.fromkeys(_HEIGHTS, height)
    for tag in sizes.keys() & entries.keys():
        at = entries[tag]
        kind, count = struct.unpack_from(order + "HI", data, at + 2)
        if count != 1 or kind not in (_SHORT, _LONG):
            continue
        if sizes[tag] > 0xFFFF:
            struct.pack_into(order + "H", data, at + 2, _LONG)
            kind = _LONG
        form = "I" if kind == _LONG else "HH"
        values = (sizes[tag],) if kind == _LONG else (sizes[tag], 0)
        struct.pack_into(order + form, data, at + 8, *values)


def _forget(data: bytearray, order: str, directory: int) -> None:
    """Take away the bytes of a thumbnail: those at the end, or else their content."""
    try:
        entries, end = _directory(data, order, directory)
        (start,) = struct.unpack_from(order + "I", data, entries[_THUMBNAIL] + 8)
        (length,) = struct.unpack_from(order + "I", data, entries[_THUMBNAIL_BYTES] + 8)
    except (struct.error, KeyError):
        return
    if end <= start <= start + length == len(data):
        del data[start:]
    elif end <= start <= start + length <= len(data):
        data[start : start + length] = bytes(length)


_GAIN_MAP = re.compile(
    rb"hdrgm:Version|Item:Semantic\s*=\s*[\"']GainMap|HDRGainMap"
    rb"|urn:iso:std:iso:ts:21496:-1"
)
_VIDEO = re.compile(
    rb"(?:GCamera|Camera):(?:MotionPhoto|MicroVideo)\s*(?:=\s*[\"']|>)1"
)
_PROMISES = [
    re.compile(rb"\s[\w-]+:(?:MotionPhoto|MicroVideo)\w*\s*=\s*(?:\"[^\"]*\"|'[^']*')"),
    re.compile(rb"\shdrgm:\w+\s*=\s*(?:\"[^\"]*\"|'[^']*')"),
    re.compile(rb"<hdrgm:(\w+)[^>]*>.*?</hdrgm:\1>", re.DOTALL),
    re.compile(rb"<([\w-]*Container):Directory[^>]*>.*?</\1:Directory>", re.DOTALL),
]


def secondary_images(segments: Sequence[tuple[str, bytes]], index: bytes) -> list[str]:
    """Name the pictures of a JPEG besides the first.

    Parameters
    ----------
    segments : sequence of (str, bytes)
        Names and contents of its segments.
    index : bytes
        Index of a multi-picture file, or nothing.
    """
    found = []
    contents = [content for _, content in segments]
    if any(_GAIN_MAP.search(content) for content in contents):
        found.append("gain map")
    elif number_of_pictures(index) > 1:
        found.append("further pictures of the MPO file")
    if any(_VIDEO.search(content) for content in contents):
        found.append("video of the motion photo")
    return found


def xmp_without_them(xmp: bytes) -> bytes:
    """Return XMP that does not promise a gain map or a video any more."""
    for promise in _PROMISES:
        xmp = promise.sub(b"", xmp)
    return xmp
