"""What is read of a Zarr folder: regular files, and of metadata no more than fits."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import math
import os
import stat
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.store import SuffixByteRequest
from zarr.storage import LocalStore

from memnet_core.io.core.limits import check_compression_ratio, check_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["BoundedStore", "ChunkLimits", "limits_of"]


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

_METADATA = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata"})
# Plates of 384 wells have some MB; as Python objects, JSON takes twenty times as much.
_MOST_METADATA = 2**24

_SPARSEST = 10_000
"""How many bytes of pixels one byte stands for in images that are mostly empty."""


class BoundedStore(LocalStore):
    """A folder of Zarr of which pipes, devices and endless metadata are not read.

    Whatever is read raises a ValueError that names the file if it is none of those
    that end, or metadata of more than 16 MiB.
    """

    _limits: ChunkLimits | None = None

    def limit(self, array: Any) -> None:
        """Take from now on no chunks but such as fit an array.

        Raises
        ------
        ValueError
            If the array or its chunks claim too many pixels, or these are compressed
            more than once.
        """
        check_pixels(math.prod(array.chunks), f"each chunk of {array.path!r} in it")
        pixels = math.prod(array.shape)  # Zarr's own count overflows
        size = pixels * np.dtype(array.dtype).itemsize
        check_compression_ratio(
            pixels,
            size,
            lambda: _stored_bytes(self.root / array.path, size // _SPARSEST + 1),
            _SPARSEST,
        )
        self._limits = limits_of(array)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return what a file holds, or None if there is none."""
        _check(self.root, key)
        found = await super().get(key, prototype, byte_range)
        return self._checked(key, found, byte_range)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return what a file holds, or None if there is none."""
        _check(self.root, key)
        found = super().get_sync(key, prototype=prototype, byte_range=byte_range)
        return self._checked(key, found, byte_range)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return what parts of files hold, each None if there is no such file."""
        wanted = [*key_ranges]
        for key, _ in wanted:
            _check(self.root, key)
        found = await super().get_partial_values(prototype, wanted)
        return [
            self._checked(key, piece, part)
            for (key, part), piece in zip(wanted, found, strict=True)
        ]

    def _checked(
        self, key: str, found: Buffer | None, part: ByteRequest | None
    ) -> Buffer | None:
        # The index of a shard is read from its end, and is not compressed.
        is_index = isinstance(part, SuffixByteRequest)
        if found and self._limits and not is_index and not _is_metadata(key):
            self._limits.check(found.to_bytes(), is_part=part is not None)
        return found


def _stored_bytes(folder: Path, enough: int) -> int:
    """Return how many bytes a folder holds, counted until they are enough."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.stat(os.path.join(parent, name)).st_size
            if size >= enough:
                return size
    return size


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] in _METADATA


def _check(root: Path, key: str) -> None:
    """Check that a file can be read to its end; one that is missing can.

    Raises
    ------
    ValueError
        If it cannot.
    """
    try:
        found = (root / key).stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{key} in it is a pipe, a device or a socket, not a file")
    if _is_metadata(key) and found.st_size > _MOST_METADATA:
        raise ValueError(
            f"{key} in it has {found.st_size / 2**20:,.0f} MiB, more than the "
            f"{_MOST_METADATA >> 20} MiB that metadata may have"
        )
