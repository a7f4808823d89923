"""What a PNG says besides its pixels: found, kept as it stands, and named."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["carried_chunks", "chunk_names", "without_text"]

_SIGNATURE = 8
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ELSEWHERE = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"memnet")
"""Keywords of what is carried in another way, or made anew."""

_COLOURS = {
    b"cICP": "cICP (colours of HDR)",
    b"mDCV": "mastering display",
    b"cLLI": "light levels of HDR",
    b"gAMA": "gamma",
    b"cHRM": "chromaticities",
    b"sRGB": "rendering intent",
}


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


def without_text(path: Path) -> io.BytesIO:
    """Return a PNG without the text that is carried: Pillow refuses what is long."""
    with path.open("rb") as file:
        data = file.read()
    parts, position = [data[:_SIGNATURE]], _SIGNATURE
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + length + 12
        kind = data[position + 4 : position + 8]
        if kind not in _TEXTS or not _is_carried(kind, data[position + 8 : end - 4]):
            parts.append(data[position:end])
        position = end
    parts.append(data[position:])
    return io.BytesIO(b"".join(parts))


def chunk_names(chunks: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Return what chunks hold, for the report of what another format cannot hold."""
    kinds = dict.fromkeys(kind for kind, _ in chunks)
    names = [_COLOURS[kind] for kind in kinds if kind in _COLOURS and kind != b"sRGB"]
    if b"sRGB" in kinds:  # what every format without a profile is taken for
        names = [name for name in names if name not in ("gamma", "chromaticities")]
    texts = sorted(
        data.partition(b"\0")[0].decode("latin-1")
        for kind, data in chunks
        if kind in _TEXTS
    )
    if texts:
        names.append(f"PNG text ({', '.join(dict.fromkeys(texts))})")
    return names


def _is_carried(kind: bytes, data: bytes) -> bool:
    if kind in _TEXTS:
        return data.partition(b"\0")[0] not in _ELSEWHERE
    return kind in _COLOURS


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
        if kind in _TEXTS or kind in _COLOURS:
            yield kind, file.read(length)
