"""What is read of a Zarr folder: regular files, and of metadata no more than fits."""

from __future__ import annotations

import contextlib
import math
import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.store import SuffixByteRequest
from zarr.storage import LocalStore

from memnet_core.io.core.limits import check_backed, check_pixels
from memnet_core.io.zarr.chunks import limits_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from memnet_core.io.zarr.chunks import ChunkLimits

__all__ = ["BoundedStore"]

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
        check_backed(
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
