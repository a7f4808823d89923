"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["remove_abandoned", "replaced_when_complete", "temporary_beside"]

_HOST = re.sub(r"[^A-Za-z0-9]", "", platform.node())
_NAME = re.compile(r"^\.memnet-(?P<host>[A-Za-z0-9]*)-(?P<process>\d{1,9})-[0-9a-f]+")


@contextlib.contextmanager
def replaced_when_complete(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and rename it to `path` at the end.

    If the block raises, the temporary file is removed and `path` stays as it was.

    Parameters
    ----------
    path : Path
        The file to create or replace; its folder has to exist.

    Yields
    ------
    Path
        Where to write, in the same folder and with the same suffix.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_beside(path: Path) -> Path:
    """Return a name in the folder of `path` that `remove_abandoned` knows."""
    token = secrets.token_hex(4)
    return path.with_name(f".memnet-{_HOST}-{os.getpid()}-{token}{path.suffix}")


def remove_abandoned(folder: Path) -> int:
    """Delete what processes of this machine that no longer run have left behind.

    Parameters
    ----------
    folder : Path
        An existing folder; its subfolders are left alone.

    Returns
    -------
    int
        How many were deleted.
    """
    return sum(_remove(path) for path in _listed(folder) if _is_abandoned(path))


def _listed(folder: Path) -> list[Path]:
    """Return the temporary files of a folder; none where it may not be entered."""
    try:
        return list(folder.glob(".memnet-*"))
    except OSError:
        return []


def _is_abandoned(path: Path) -> bool:
    import psutil

    match = _NAME.match(path.name)
    return (
        match is not None
        and match["host"] == _HOST
        and not psutil.pid_exists(int(match["process"]))
    )


def _remove(path: Path) -> bool:
    """Delete if that is allowed; whoever may will do it another time."""
    try:
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
