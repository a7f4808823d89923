"""Locks on temporary files, which end with their process.

Host names and process numbers do not tell: containers share both.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LOCK_SUFFIX", "PREFIX", "locked_temp_name", "try_lock_orphan"]

PREFIX = ".memnet-"
LOCK_SUFFIX = ".lock"

_STALE = 24 * 3600
"""Age in seconds after which an unlocked temporary file counts as abandoned."""

_ONE_KERNEL = {"9p", "cifs", "smb3", "virtiofs", "vboxsf", "beegfs"}
_ONE_KERNEL_OPTIONS = {"nolock", "local_lock=all", "local_lock=flock", "localflock"}
"""File systems, and options of mounts, where machines do not see each other's locks;
so it is, too, with all of FUSE."""


@contextlib.contextmanager
def locked_temp_name(folder: Path) -> Iterator[Path]:
    """Hold a new name in a folder; what begins with it is ours while the block runs.

    Parameters
    ----------
    folder : Path
        It has to exist.

    Yields
    ------
    Path
        The name: add a suffix, or take it as it is.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    base, lock, handle = _new_lock(folder)
    try:
        yield base
    finally:
        if fcntl is None:
            os.close(handle)  # Windows deletes no file that is open
            lock.unlink(missing_ok=True)
        else:
            lock.unlink(missing_ok=True)
            os.close(handle)


@contextlib.contextmanager
def try_lock_orphan(lock: Path, things: Iterable[Path]) -> Iterator[bool]:
    """Tell whether nobody works on some things, and keep others off in the block.

    Parameters
    ----------
    lock : Path
        Their lock; it may be missing.
    things : iterable of Path
        What it guards.

    Yields
    ------
    bool
        True if the lock is free. Where there are no locks, or none that other
        machines see: if nothing has changed for a day.
    """
    try:
        handle = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        yield _is_stale(things)
        return
    except OSError:  # another user's, or a link
        yield False
        return
    try:
        taken = _lock(handle)
        if taken and (
            _is_of_this_kernel(handle)
            or _is_unused(handle, things)
            or _locks_reach_others(lock)
        ):
            yield True
        else:
            yield taken is not False and _is_stale([lock, *things])
    finally:
        os.close(handle)


def _new_lock(folder: Path) -> tuple[Path, Path, int]:
    while True:
        base = folder / f"{PREFIX}{secrets.token_hex(16)}"
        lock = base.with_name(base.name + LOCK_SUFFIX)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            # Between its creation and the lock another process may have removed it.
            if _lock(handle) is not False and lock.exists():
                os.write(handle, _kernel().encode())
                return base, lock, handle
        except BaseException:
            os.close(handle)
            lock.unlink(missing_ok=True)
            raise
        os.close(handle)


def _lock(handle: int) -> bool | None:
    """Lock a file without waiting; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _kernel() -> str:
    """Return what all containers of a machine share until it starts anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _is_of_this_kernel(handle: int) -> bool:
    os.lseek(handle, 0, os.SEEK_SET)
    return os.read(handle, 256) == _kernel().encode()


def _is_unused(handle: int, things: Iterable[Path]) -> bool:
    """Whether a run ended before it wrote into its lock, and so before it used it."""
    return not os.fstat(handle).st_size and not any(map(os.path.lexists, things))


def _locks_reach_others(path: Path) -> bool:
    """Whether a file system shows the locks of one machine to the others."""
    import psutil

    resolved = path.resolve()
    mounts = [
        mount
        for mount in psutil.disk_partitions(all=True)
        if resolved.is_relative_to(mount.mountpoint)
    ]
    if not mounts:
        return False
    # Of several mounts at one place the last one is seen.
    mount = max(reversed(mounts), key=lambda mount: len(mount.mountpoint))
    return not (
        mount.fstype in _ONE_KERNEL
        or mount.fstype.startswith("fuse")
        or _ONE_KERNEL_OPTIONS & set(mount.opts.split(","))
    )


def _is_stale(things: Iterable[Path]) -> bool:
    """Whether no path, recursively, was modified within the last 24 hours."""
    since = time.time() - _STALE
    for thing in things:
        try:
            state = thing.lstat()
        except FileNotFoundError:
            continue
        if state.st_mtime > since:
            return False
        if stat.S_ISDIR(state.st_mode):
            try:
                if not _is_stale(thing.iterdir()):
                    return False
            except OSError:
                return False
    return True
