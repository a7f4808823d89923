"""What is read of a Zarr folder: regular files, and of metadata no more than fits."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import math
import os
import re
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.store import SuffixByteRequest
from zarr.storage import LocalStore

from memnet_core.io.core.limits import check_compression_ratio, check_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["BoundedStore", "ChunkLimits", "limits_of"]

# Hints to those who write Zarr are none to those who read it.
warnings.filterwarnings("ignore", module=r"zarr\.")

_LEAST = 2**26
"""Bytes that a chunk may have in any case."""

_STEP = 2**20
_DEFLATE_MOST = 1032
_NO_CHUNK = 2**64 - 1
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")


@dataclass(frozen=True)
class ChunkLimits:
    """Largest plausible chunks of an array, and what measures one before decoding.

    Attributes
    ----------
    measure : callable
        ``measure(data, most)``: bytes that a chunk decodes to; if they are above the
        most, any number above.
    most : int
        Bytes that a decoded chunk may have.
    parts : int
        How many chunks there are in a shard; 0 if there are no shards.
    index_first : bool
        Whether shards begin with the index of their chunks.
    checksum : int
        Bytes of the checksum behind the index.
    """

    measure: Callable[[bytes, int], int]
    most: int
    parts: int = 0
    index_first: bool = False
    checksum: int = 4

    def check(self, data: bytes, *, is_part: bool) -> None:
        """Check what a file holds, or a part of a shard.

        Raises
        ------
        ValueError
            If it would become larger than a chunk.
        """
        pieces = [data] if is_part or not self.parts else self._pieces(data)
        for piece in pieces:
            if _decoded_size(self.measure, piece, self.most) > self.most:
                raise ValueError("it has a chunk that is larger than its pixels")

    def _pieces(self, shard: bytes) -> Iterator[bytes]:
        """Yield the chunks of a shard that its index tells."""
        size = 16 * self.parts
        start = 0 if self.index_first else len(shard) - size - self.checksum
        if start < 0 or len(shard) < size:
            return
        index = np.frombuffer(shard, "<u8", 2 * self.parts, start).reshape(-1, 2)
        for offset, length in index.tolist():
            if offset != _NO_CHUNK:
                yield shard[offset : offset + length]


def limits_of(array: Any) -> ChunkLimits:
    """Return the largest plausible chunks of an array.

    Raises
    ------
    ValueError
        If they cannot be measured before they are decoded: they are compressed more
        than once, by an unknown codec, or in shards that hold shards.
    """
    codecs = [*array.filters, *array.compressors]
    names = [_name(codec) for codec in codecs]
    packed = [name for name in names if name in _SIZES]
    if len(packed) > 1:
        raise ValueError(f"it is compressed more than once, by {' and '.join(packed)}")
    if unknown := [n for n in names if n not in _SIZES and n not in _SAME_SIZE]:
        raise ValueError(f"its codec {unknown[0]!r} is not supported")
    pixels = math.prod(array.chunks)
    parts = math.prod(array.shards) // pixels if array.shards else 0
    index_first, checksum = _index_of(getattr(array.metadata, "codecs", ()))
    measure = _SIZES[packed[0]] if packed else _stored_size
    if packed == ["lzma"]:
        measure = _lzma_of(next(c for c in codecs if _name(c) == "lzma"))
    return ChunkLimits(
        measure=measure,
        most=max(_LEAST, 4 * pixels * np.dtype(array.dtype).itemsize),
        parts=parts,
        index_first=index_first,
        checksum=checksum,
    )


def _index_of(codecs: Sequence[Any]) -> tuple[bool, int]:
    """Return whether the index of shards comes first, and the bytes of its checksum.

    Raises
    ------
    ValueError
        If the index cannot be read as it is, or what is in shards is one as well.
    """
    inner = [c for outer in codecs for c in getattr(outer, "codecs", ())]
    outer = [codec for codec in codecs if hasattr(codec, "index_codecs")]
    if any(hasattr(codec, "index_codecs") for codec in inner):
        raise ValueError("its shards hold shards, which is not supported")
    if not outer:
        return False, 4
    if len(codecs) > 1:
        raise ValueError("its shards are compressed as a whole, which is not supported")
    names = [_name(codec) for codec in outer[0].index_codecs]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise ValueError("the index of its shards is compressed; this is not supported")
    first = str(outer[0].index_location).endswith("start")
    return first, 4 * (len(names) - 1)


def _name(codec: Any) -> str:
    """Return what a codec is called in Zarr 2."""
    name = getattr(codec, "codec_id", None) or codec.to_dict().get("name", "")
    return str(name).rpartition(".")[2]


def _decoded_size(measure: Callable[[bytes, int], int], data: bytes, most: int) -> int:
    """Return a size; if it is above the most, it may be any above."""
    try:
        return measure(data, most)
    except (EOFError, OSError, ValueError, lzma.LZMAError, struct.error, zlib.error):
        return 0  # what is damaged is told by its decoder


def _stored_size(data: bytes, _: int) -> int:
    return len(data)


def _lzma_of(codec: Any) -> Callable[[bytes, int], int]:
    """Return what measures a stream of the container that a codec names, or of none."""
    options = getattr(codec, "codec_config", None) or codec.get_config()
    form, filters = options.get("format", lzma.FORMAT_XZ), options.get("filters")

    def measured(data: bytes, most: int) -> int:
        return _unpacked(
            lambda: lzma.LZMADecompressor(form, filters=filters), data, most
        )

    return measured


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
    """Add up the sizes that frames state; decode them if one states none."""
    size = place = 0
    while place < len(data):
        if _SKIPPED.match(data, place):
            place += 8 + int.from_bytes(data[place + 4 : place + 8], "little")
            continue
        stated, place = _zstandard_frame(data, place)
        if stated is None:
            return _measured_zstandard(data, most)
        size += stated
    return size


def _zstandard_frame(data: bytes, place: int) -> tuple[int | None, int]:
    """Return the size that a frame states, if it does, and where it ends."""
    if not data.startswith(_ZSTD, place):
        return None, place
    flags = data[place + 4]
    single, kind = flags >> 5 & 1, flags >> 6
    start = place + 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    length = (1 if single else 0, 2, 4, 8)[kind]
    stated = int.from_bytes(data[start : start + length], "little")
    end, is_last = start + length, 0
    while not is_last and end + 3 <= len(data):
        block = int.from_bytes(data[end : end + 3], "little")
        is_last, is_run = block & 1, block >> 1 & 3 == 1
        end += 3 + (1 if is_run else block >> 3)
    end += 4 * (flags >> 2 & 1)
    return (stated + (256 if kind == 1 else 0) if length else None), end


def _measured_zstandard(data: bytes, most: int) -> int:
    """Return the size of frames that do not tell it, or more than the most."""
    import imagecodecs

    try:
        return len(imagecodecs.zstd_decode(data, out=most))
    except imagecodecs.ZstdError as error:
        # What is damaged is told by its decoder.
        return most + 1 if "too small" in str(error) else 0


_SIZES: dict[str, Callable[[bytes, int], int]] = {
    "gzip": _deflated,
    "zlib": _deflated,
    "bz2": lambda data, most: _unpacked(bz2.BZ2Decompressor, data, most),
    "lzma": lambda data, most: _unpacked(lzma.LZMADecompressor, data, most),
    "zstd": _zstandard,
    "lz4": lambda data, most: struct.unpack_from("<I", data)[0],
    "blosc": lambda data, most: struct.unpack_from("<I", data, 4)[0],
}

_SAME_SIZE = frozenset(
    {
        *("bytes", "transpose", "crc32", "crc32c", "adler32", "fletcher32"),
        *("jenkins_lookup3", "shuffle", "delta", "bitround", "quantize"),
        *("fixedscaleoffset", "astype", "packbits"),
    }
)
"""Codecs that change nothing or little in size; those of objects can run code."""

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
