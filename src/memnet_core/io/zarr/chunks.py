"""How large the chunks of a Zarr array become, found out before they are decoded."""

from __future__ import annotations

import bz2
import lzma
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ChunkLimits", "limits_of"]

_LEAST = 2**26
"""Bytes that a chunk may have in any case."""

_STEP = 2**20
_DEFLATE_MOST = 1032
_NO_CHUNK = 2**64 - 1
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class ChunkLimits:
    """What is believed of the chunks of an array.

    Attributes
    ----------
    codec : str
        Name of the compression, or nothing.
    most : int
        Bytes that a decoded chunk may have.
    parts : int
        How many chunks there are in a shard; 0 if there are no shards.
    index_first : bool
        Whether shards begin with the index of their chunks.
    """

    codec: str
    most: int
    parts: int = 0
    index_first: bool = False

    def check(self, data: bytes, *, is_part: bool) -> None:
        """Check what a file holds, or a part of a shard.

        Raises
        ------
        ValueError
            If it would become larger than a chunk.
        """
        pieces = [data] if is_part or not self.parts else self._pieces(data)
        for piece in pieces:
            if _decoded_size(self.codec, piece, self.most) > self.most:
                raise ValueError("it has a chunk that is larger than its pixels")

    def _pieces(self, shard: bytes) -> Iterator[bytes]:
        """Yield the chunks of a shard that its index tells."""
        size = 16 * self.parts
        start = 0 if self.index_first else len(shard) - size - 4
        if start < 0 or len(shard) < size:
            return
        index = np.frombuffer(shard, "<u8", 2 * self.parts, start).reshape(-1, 2)
        for offset, length in index.tolist():
            if offset != _NO_CHUNK:
                yield shard[offset : offset + length]


def limits_of(array: Any) -> ChunkLimits:
    """Return what is believed of the chunks of an array.

    Raises
    ------
    ValueError
        If they are compressed more than once, by which little becomes very much.
    """
    names = [_name(codec) for codec in (*array.filters, *array.compressors)]
    packed = [name for name in names if name in _SIZES]
    if len(packed) > 1:
        raise ValueError(f"it is compressed more than once, by {' and '.join(packed)}")
    pixels = math.prod(array.chunks)
    parts = math.prod(array.shards) // pixels if array.shards else 0
    sharding = getattr(array.metadata, "codecs", (None,))[0]
    return ChunkLimits(
        codec=packed[0] if packed else "",
        most=max(_LEAST, 4 * pixels * np.dtype(array.dtype).itemsize),
        parts=parts,
        index_first=str(getattr(sharding, "index_location", "")).endswith("start"),
    )


def _name(codec: Any) -> str:
    """Return what a codec is called in Zarr 2."""
    name = getattr(codec, "codec_id", None) or codec.to_dict().get("name", "")
    return str(name).rpartition(".")[2]


def _decoded_size(codec: str, data: bytes, most: int) -> int:
    """Return a size; if it is above the most, it may be any above."""
    measure = _SIZES.get(codec)
    try:
        return measure(data, most) if measure else len(data)
    except (EOFError, OSError, ValueError, lzma.LZMAError, struct.error, zlib.error):
        return 0  # what is damaged is told by its decoder


def _deflated(data: bytes, most: int) -> int:
    if _DEFLATE_MOST * len(data) <= most:
        return 0
    return _unpacked(lambda: zlib.decompressobj(47), data, most)


def _unpacked(make: Callable[[], Any], data: bytes, most: int) -> int:
    """Return how much a stream of one or more members unpacks to, by small steps."""
    size = 0
    while data and size <= most:
        unpacker = make()
        while not unpacker.eof and size <= most:
            piece = unpacker.decompress(data, _STEP)
            data = getattr(unpacker, "unconsumed_tail", b"")
            size += len(piece)
            if not piece and not data and not unpacker.eof:
                return size
        data = unpacker.unused_data
    return size


def _zstandard(data: bytes, most: int) -> int:
    """Return the size that the header of a frame tells."""
    flags = data[4]
    single, kind = flags >> 5 & 1, flags >> 6
    if not data.startswith(_ZSTD):
        return 0
    if not single and not kind:
        return _measured_zstandard(data, most)
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    length = (1, 2, 4, 8)[kind]
    stated = int.from_bytes(data[start : start + length], "little")
    return stated + (256 if kind == 1 else 0)


def _measured_zstandard(data: bytes, most: int) -> int:
    """Return the size of a frame that does not tell it, or more than the most."""
    import imagecodecs

    try:
        return len(imagecodecs.zstd_decode(data, out=most))
    except imagecodecs.ZstdError:
        return most + 1


_SIZES: dict[str, Callable[[bytes, int], int]] = {
    "gzip": _deflated,
    "zlib": _deflated,
    "bz2": lambda data, most: _unpacked(bz2.BZ2Decompressor, data, most),
    "lzma": lambda data, most: _unpacked(lzma.LZMADecompressor, data, most),
    "zstd": _zstandard,
    "lz4": lambda data, most: struct.unpack_from("<I", data)[0],
    "blosc": lambda data, most: struct.unpack_from("<I", data, 4)[0],
}
