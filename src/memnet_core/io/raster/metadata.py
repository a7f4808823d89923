"""Metadata of encoded pictures: EXIF, XMP, and a line of text of our own."""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING

from memnet_core.io.core.orientation import EXIF_MARK, number_of_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

__all__ = [
    "embed_comment",
    "read_comments",
    "secondary_images",
    "update_exif",
    "xmp_of_result",
    "xmp_without_them",
]


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


_KEYWORD = b"memnet"
_WEBP_CHUNK = b"MEMN"
_END_OF_IMAGE = b"\xff\xd9"
_GIF_COMMENT = b"\x21\xfe"
_GIF_END = b";"
_TAIL = 2**16
_LONGEST = 2**20
"""Bytes of text that are looked at, in each place."""

_TOO_SHORT = "the file is truncated"


def embed_comment(kind: str, data: bytes, text: str) -> bytes:
    """Return an encoded picture that also holds a text.

    Parameters
    ----------
    kind : str
        ``png``, ``jpeg``, ``webp``, ``gif`` or ``bmp``.
    data : bytes
        The picture.
    text : str
        ASCII, of one line; nothing adds nothing.
    """
    held = text.encode("ascii")
    if not held:
        return data
    if kind == "png":  # text of the source stands before; the last one counts
        return data[:-12] + _png_chunk(b"tEXt", _KEYWORD + b"\0" + held) + data[-12:]
    if kind == "jpeg":  # before comments of the source: readers take the last one
        place = _after_applications(data)
        comment = b"\xff\xfe" + struct.pack(">H", len(held) + 2) + held
        return data[:place] + comment + data[place:]
    if kind == "webp":
        return _webp(data, held)
    if kind == "gif":
        return data[:-1] + _gif_comment(held) + data[-1:]
    # Readers of BMP stop behind the pixels, as its header tells where they end.
    return data[:2] + struct.pack("<I", len(data) + len(held)) + data[6:] + held


def read_comments(path: Path, kind: str) -> str:
    """Return the texts of a picture, in the order in which they were added.

    Raises
    ------
    ValueError
        If the file ends before the picture does.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        texts = {
            "png": _of_png,
            "jpeg": _of_jpeg,
            "webp": _of_webp,
            "gif": _of_gif,
            "bmp": _of_bmp,
        }[kind](file, size)
        return " ".join(text.decode("latin-1") for text in texts)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _after_applications(data: bytes) -> int:
    """Return where the segments of applications, which come first, end."""
    place = 2
    while data[place] == 0xFF and 0xE0 <= data[place + 1] <= 0xEF:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return place


def _webp(data: bytes, held: bytes) -> bytes:
    """Add a chunk of our own kind, for which the file has to be an extended one."""
    chunks = data[12:]
    if not chunks.startswith(b"VP8X"):
        (bits,) = struct.unpack_from("<I", chunks, 9)  # of a lossless picture
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
        sides = width.to_bytes(3, "little") + height.to_bytes(3, "little")
        chunks = _riff_chunk(b"VP8X", bytes([alpha << 4, 0, 0, 0]) + sides) + chunks
    body = b"WEBP" + chunks + _riff_chunk(_WEBP_CHUNK, held)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _gif_comment(held: bytes) -> bytes:
    """Return a comment extension, in blocks of at most 255 bytes."""
    parts = [held[n : n + 255] for n in range(0, len(held), 255)]
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    return _GIF_COMMENT + blocks + b"\0"


def _of_png(file: BinaryIO, size: int) -> Iterator[bytes]:
    place, kind = 8, b""
    while kind != b"IEND":
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            raise ValueError(_TOO_SHORT)
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        place += 12 + length
        if place > size:
            raise ValueError(_TOO_SHORT)
        if kind in (b"tEXt", b"iTXt") and length < _LONGEST:
            keyword, _, text = file.read(length).partition(b"\0")
            if keyword == _KEYWORD:
                yield text


def _of_jpeg(file: BinaryIO, _: int) -> Iterator[bytes]:
    place, comments = 2, []
    while True:
        file.seek(place)
        mark, kind, *length = file.read(4) or b"\0\0"
        if mark != 0xFF or kind == 0xDA or len(length) < 2:
            break
        count = int.from_bytes(length, "big")
        if kind == 0xFE:
            comments.append(file.read(count - 2))
        place += 2 + count
    file.seek(place)  # a thumbnail before it has an end of its own
    if _END_OF_IMAGE not in file.read():
        raise ValueError(_TOO_SHORT)
    yield from reversed(comments)


def _of_webp(file: BinaryIO, size: int) -> Iterator[bytes]:
    file.seek(4)
    (length,) = struct.unpack("<I", file.read(4))
    if length + 8 > size:
        raise ValueError(_TOO_SHORT)
    place = 12
    while place + 8 <= length + 8:
        file.seek(place)
        kind, count = struct.unpack("<4sI", file.read(8))
        if kind == _WEBP_CHUNK:
            yield file.read(min(count, _LONGEST))
        place += 8 + count + count % 2


def _of_gif(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield what the comment extension at the end of the file holds."""
    file.seek(max(size - _TAIL, 0))
    tail = file.read()
    if not tail.endswith(_GIF_END):
        raise ValueError(_TOO_SHORT)
    place = tail.rfind(_GIF_COMMENT)
    text = b""
    if place >= 0:
        place += len(_GIF_COMMENT)
        while length := tail[place]:
            text += tail[place + 1 : place + 1 + length]
            place += 1 + length
            if place >= len(tail):
                return
        yield text


def _of_bmp(file: BinaryIO, size: int) -> Iterator[bytes]:
    file.seek(2)
    (length,) = struct.unpack("<I", file.read(4))
    if length > size:
        raise ValueError(_TOO_SHORT)
    file.seek(max(size - _TAIL, 0))
    yield file.read()
