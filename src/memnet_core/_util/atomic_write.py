"""Write files and folders atomically and durably (rename and fsync)."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from memnet_core._util.temp_locks import (
    LOCK_SUFFIX,
    PREFIX,
    locked_temp_name,
    try_lock_orphan,
)
from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "hidden_sibling",
    "make_folder",
    "mark",
    "place_folder",
    "remove_abandoned",
    "replaced_when_complete",
    "sync",
    "sync_tree",
    "temporary_folder",
]


_NAME = re.compile(rf"{re.escape(PREFIX)}([0-9a-f]{{32}})(?:\.|$)")

_OLD = ".old"
"""Suffix of a folder that holds a replaced file or folder, under its own name."""

_LONGEST_SUFFIX = 32
_MOST_RIVALS = 100


@contextlib.contextmanager
def replaced_when_complete(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it to `path` at the end.

    The pixels are on the disk before the name is, and both are when the block is
    left. If the block raises, the temporary file is removed and `path` stays as it was.

    Parameters
    ----------
    path : Path
        The file to create or replace; its folder has to exist.

    Yields
    ------
    Path
        Where to write, in the same folder and with the same suffix.

    Raises
    ------
    OSError
        If the folder cannot be written, the disk is full, or the block wrote nothing.
    """
    short = len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX
    with locked_temp_name(path.parent) as base:
        temporary = base.with_name(base.name + (path.suffix if short else ""))
        try:
            yield temporary
            sync(temporary)
            sync(path.parent)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


@contextlib.contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """Make a folder that is removed at the end, unless it was moved away.

    Parameters
    ----------
    beside : Path
        The folder is made in the one that this path is in.

    Yields
    ------
    Path
        An empty folder.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    with locked_temp_name(beside.parent) as folder:
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def place_folder(temporary: Path, output: Path, *, overwrite: bool) -> bool:
    """Move a finished folder to its place; rename away an existing one.

    Killed at any point, either the old or the new is there, whole, at the latest once
    `remove_abandoned` has seen the folder of `output`; call it before you look whether
    `output` exists.

    Parameters
    ----------
    temporary : Path
        What to move; on the same file system as `output`.
    output : Path
        The place.
    overwrite : bool
        Whether to replace what is there.

    Returns
    -------
    bool
        Whether it was moved; False if `output` exists and is to stay.

    Raises
    ------
    FileNotFoundError
        If there is no `temporary`: nothing is touched then. It was placed already if
        `output` exists.
    OSError
        If the folder cannot be written; the old one is at its place then.
    """
    sync_tree(temporary)
    sync(temporary.parent)
    for _ in range(_MOST_RIVALS):
        if not os.path.lexists(output):
            if _renamed(temporary, output):
                return True
        elif not overwrite:
            return False
        elif _exchanged(temporary, output):
            return True
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(output))


def _exchanged(temporary: Path, output: Path) -> bool:
    """Move the old away and the new to its place; False if another run was faster."""
    with locked_temp_name(output.parent) as base:
        holder = base.with_name(base.name + _OLD)
        old = holder / output.name
        holder.mkdir()
        try:
            os.rename(output, old)
            sync(holder)
            sync(output.parent)
            placed = _renamed(temporary, output)
        except BaseException as error:
            _settle_old(holder)
            if isinstance(error, FileNotFoundError) and temporary.exists():
                return False
            raise
        if placed:
            # From here on the old is waste, even if someone removes the new.
            os.rename(holder, base)
            _remove(base)
        else:
            _settle_old(holder)
        return placed


def _renamed(temporary: Path, output: Path) -> bool:
    """Rename to a place that is free; False if it no longer is."""
    try:
        os.rename(temporary, output)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    sync(output.parent)
    with contextlib.suppress(FileNotFoundError):  # a rival may have removed it
        sync(temporary.parent)
    return True


def mark(path: Path, text: str = "") -> None:
    """Write a small marker file and fsync it and its folder.

    Parameters
    ----------
    path : Path
        The file; its folder has to exist.
    text : str
        Content.
    """
    path.write_text(text)
    sync(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Fsync a file, or the directory entries of a folder.

    Raises
    ------
    OSError
        If that fails: the disk is full or defective.
    """
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network folders know no sync of names, which they write at once.
        if not is_folder or error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Fsync everything in a folder, the folder itself last."""
    for parent, _, files in os.walk(folder, topdown=False, onerror=_raise):
        for name in files:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                sync(path)
        sync(Path(parent))


def _raise(error: OSError) -> None:
    raise error


def remove_abandoned(folder: Path) -> int:
    """Delete temporary files of killed runs, of this or another machine.

    A file or folder that was renamed away but not replaced is moved back.

    Parameters
    ----------
    folder : Path
        Its subfolders are left alone; a folder that is missing holds nothing.

    Returns
    -------
    int
        How many files and folders were deleted or moved back.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _listed(folder):
        if match := _NAME.match(path.name):
            found[match[0].removesuffix(".")].append(path)
    count = 0
    for name, paths in found.items():
        lock = folder / f"{name}{LOCK_SUFFIX}"
        things = [path for path in paths if path != lock]
        with try_lock_orphan(lock, things) as free:
            if free:
                present = [path for path in things if os.path.lexists(path)]
                settled = [_settle(path) for path in present]
                count += sum(settled)
                if all(settled) and lock in paths:
                    _remove(lock)
    return count


def _listed(folder: Path) -> list[Path]:
    """Return the temporary files of a folder; none if it is not readable."""
    try:
        return list(folder.glob(f"{PREFIX}*"))
    except OSError:
        return []


def _settle(path: Path) -> bool:
    return _settle_old(path) if path.suffix == _OLD else _remove(path)


def _settle_old(holder: Path) -> bool:
    """Move the entry of a holder back if its place is free, then remove the holder.

    A link is removed and never entered: it can lead to anybody's folder. A folder of
    several entries is none that `place_folder` makes, and stays.
    """
    try:
        if not _is_real_folder(holder):
            return _remove(holder)
        entries = [*holder.iterdir()]
        if len(entries) > 1:
            return False
        for old in entries:
            place = holder.with_name(old.name)
            if not os.path.lexists(place):
                _renamed(old, place)
    except OSError:
        return False
    return _remove(holder)


def _is_real_folder(path: Path) -> bool:
    """Whether a path is a folder itself, not a link or junction to one."""
    state = path.lstat()
    return stat.S_ISDIR(state.st_mode) and not getattr(state, "st_reparse_tag", 0)


def _remove(path: Path) -> bool:
    """Delete if permitted, and return whether it worked."""
    try:
        if _is_real_folder(path):
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


_ATTEMPTS = 100
_LONGEST_NAME = 255
"""Bytes; what nearly every file system takes."""


def make_folder(folder: Path, within: Path | None = None) -> None:
    """Make a folder and those above it, as far as they are missing.

    Other runs may make and remove the same folders meanwhile.

    Parameters
    ----------
    folder : Path
        What to make.
    within : Path, optional
        The folder that was named, which may be a link; one inside must not lead out.

    Raises
    ------
    ImageError
        If that is not possible.
    """
    if within and not _real(folder).is_relative_to(_real(within)):
        raise ImageError(
            f"{folder} leads out of {within} by a link; remove the link, or name the "
            "folder that it leads to."
        )
    reason = "other runs keep removing it"
    for _ in range(_ATTEMPTS):
        try:
            missing = [path for path in (folder, *folder.parents) if not path.exists()]
            for path in reversed(missing):
                path.mkdir(exist_ok=True)
                sync(path.parent)
            if folder.is_dir():
                return
            folder.mkdir(exist_ok=True)
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = error.strerror or str(error)
            break
    raise ImageError(f"the folder {folder} cannot be made: {reason}.")


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def hidden_sibling(path: Path, ending: str) -> Path:
    """Return ``.NAME<ending>`` beside a path; a name too long for it is shortened.

    Parameters
    ----------
    path : Path
        File or folder; its name is of up to 255 bytes.
    ending : str
        Such as ``.memnet``.
    """
    name = f".{path.name}{ending}"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{sha256(os.fsencode(path.name)).hexdigest()}{ending}"
    return path.with_name(name)
