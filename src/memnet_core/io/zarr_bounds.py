"""What is read of a Zarr folder: regular files, and of metadata no more than fits."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from zarr.storage import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

__all__ = ["BoundedStore"]

_METADATA = frozenset({"zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata"})
# Plates of 384 wells have some MB; as Python objects, JSON takes twenty times as much.
_MOST_METADATA = 2**24


class BoundedStore(LocalStore):
    """A folder of Zarr of which pipes, devices and endless metadata are not read.

    Whatever is read raises a ValueError that names the file if it is none of those
    that end, or metadata of more than 16 MiB.
    """

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return what a file holds, or None if there is none."""
        _check(self.root, key)
        return await super().get(key, prototype, byte_range)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return what a file holds, or None if there is none."""
        _check(self.root, key)
        return super().get_sync(key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return what parts of files hold, each None if there is no such file."""
        wanted = [*key_ranges]
        for key, _ in wanted:
            _check(self.root, key)
        return await super().get_partial_values(prototype, wanted)


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
    if key.rpartition("/")[2] in _METADATA and found.st_size > _MOST_METADATA:
        raise ValueError(
            f"{key} in it has {found.st_size / 2**20:,.0f} MiB, more than the "
            f"{_MOST_METADATA >> 20} MiB that metadata may have"
        )
