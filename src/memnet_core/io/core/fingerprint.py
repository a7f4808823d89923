"""What tells one version of a source from another, without a time stamp."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import BaseModel, ConfigDict

from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Fingerprint",
    "check_unchanged",
    "file_outline",
    "file_sha256",
    "fingerprint_of",
    "is_same",
    "last_change",
    "looks_same",
]

_END = 2**16
"""Bytes at either end of a file that are looked at for every result that exists."""


class Fingerprint(BaseModel):
    """A version of a file, or of the folder of an image.

    Attributes
    ----------
    bytes : int
        Size, of all files together.
    ends : str
        Hash of the first and last bytes; of a folder, of names and sizes of its files.
    sha256 : str
        Hash of the whole file; of a folder nothing.
    """

    model_config = ConfigDict(frozen=True)

    bytes: int
    ends: str
    sha256: str = ""


def fingerprint_of(path: Path) -> Fingerprint:
    """Return the fingerprint of a file, which is read, or of a folder, which is listed.

    Raises
    ------
    OSError
        If that is not possible.
    """
    size, ends = _outline(path)
    return Fingerprint(bytes=size, ends=ends, sha256=_whole(path))


def looks_same(path: Path, known: Fingerprint) -> bool:
    """Whether size and ends of a file, or the files of a folder, are those known.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return _outline(path) == (known.bytes, known.ends)


def is_same(path: Path, known: Fingerprint) -> bool:
    """Whether a file is the known one; a folder's content is not compared.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return bool(known.sha256) and _whole(path) == known.sha256


def check_unchanged(path: Path, known: Fingerprint) -> None:
    """Check that a source, if it still is there, is the one that was begun with.

    Raises
    ------
    ImageError
        If its size or its ends are others, or files of a folder are missing.
    """
    try:
        if looks_same(path, known):
            return
    except OSError:
        if known.sha256:  # its pixels came through a handle that stayed open
            return
    raise ImageError(
        f"{path} was changed or removed while it was restored; give the same command "
        "again once it is there as a whole.",
        path=path,
    )


def last_change(path: Path, *, content: bool) -> int:
    """Return when a file, or something in a folder, was changed, in ns since 1970.

    Parameters
    ----------
    path : Path
        File or folder.
    content : bool
        Whether only new content counts, and not what a rename or a copy with the old
        time changes, too.

    Raises
    ------
    OSError
        If it cannot be looked at.
    """
    states = [path.stat()]
    if path.is_dir():
        states += [file.stat() for file in _files(path)]
    return max(s.st_mtime_ns if content else _touched(s) for s in states)


def _touched(state: os.stat_result) -> int:
    # On Windows st_ctime is when a file was made, which changes nothing here.
    return max(state.st_mtime_ns, state.st_ctime_ns)


def _outline(path: Path) -> tuple[int, str]:
    if path.is_dir():
        sizes = {str(f.relative_to(path)): f.stat().st_size for f in _files(path)}
        named = "\n".join(f"{size} {name}" for name, size in sorted(sizes.items()))
        return sum(sizes.values()), _short(os.fsencode(named))
    with path.open("rb") as file:
        return file_outline(file)


def file_outline(file: BinaryIO) -> tuple[int, str]:
    """Return the size of an open file, and the hash of its first and last bytes."""
    # A seek to the end empties the buffer, which may hold what was there before.
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    ends = file.read(_END)
    file.seek(max(size - _END, 0))
    return size, _short(ends + file.read(_END))


def file_sha256(file: BinaryIO) -> str:
    """Return the SHA-256 of an open file, in hexadecimal digits."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _whole(path: Path) -> str:
    if path.is_dir():
        return ""
    with path.open("rb") as file:
        return file_sha256(file)


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            yield Path(parent, name)


def _raise(error: OSError) -> None:
    raise error
