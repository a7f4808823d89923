"""A file that is opened once: its bytes, its first bytes and its fingerprint."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from memnet_core.io.core.fingerprint import (
    Fingerprint,
    check_unchanged,
    file_outline,
    file_sha256,
    fingerprint_of,
)
from memnet_core.io.core.limits import check_regular_file

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["OpenedFile"]

_HEAD = 352
"""Bytes; the signature of NIfTI, the farthest from the start, ends at 348."""


class OpenedFile:
    """A file, or the folder of an image; use it in a ``with`` statement.

    Every reader of a job gets the same handle, so each seeks before it reads, and only
    one reads at a time.

    Parameters
    ----------
    path : Path
        File or folder.

    Attributes
    ----------
    path : Path
        As given.
    head : bytes
        The first bytes; empty for a folder.

    Raises
    ------
    ValueError
        If it is empty, or a pipe, a device or a socket.
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = b""
        self._handle: BinaryIO | None = None
        if path.is_dir():
            return
        check_regular_file(path)
        # tifffile looks for the other files of a set beside the name of the handle,
        # and a link may lie elsewhere.
        handle = open(os.path.realpath(path), "rb")  # noqa: SIM115
        self._handle = handle
        try:
            self.head = handle.read(_HEAD)
            if not self.head:
                raise ValueError("the file is empty")
        except BaseException:
            handle.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._handle:
            self._handle.close()

    def rewound(self) -> BinaryIO:
        """Return the handle, at the first byte.

        Raises
        ------
        IsADirectoryError
            If it is a folder.
        """
        if self._handle is None:
            raise IsADirectoryError(0, "it is a folder", str(self.path))
        self._handle.seek(0)
        return self._handle

    @cached_property
    def outline(self) -> Fingerprint:
        """Size and hash of the ends, without the hash of the whole."""
        if self._handle is None:
            return fingerprint_of(self.path)
        size, ends = file_outline(self._handle)
        return Fingerprint(bytes=size, ends=ends)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Size, hash of the ends and hash of the whole; reads the file."""
        if self._handle is None:
            return self.outline
        whole = file_sha256(self._handle)
        return self.outline.model_copy(update={"sha256": whole})

    def check_unchanged(self) -> None:
        """Check that the source still is what it was when `fingerprint` was taken.

        Raises
        ------
        ImageError
            As `memnet_core.io.core.fingerprint.check_unchanged`.
        """
        known = self.fingerprint
        if self._is_in_place() and self._handle is not None:
            size, ends = file_outline(self._handle)
            if (size, ends) == (known.bytes, known.ends):
                return
        # Another file lies at its path now, or the same one with other content.
        check_unchanged(self.path, known)

    def _is_in_place(self) -> bool:
        """Whether the path still leads to the file that is open."""
        if self._handle is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._handle.fileno()), os.stat(self.path))
        except OSError:
            return False
