"""Folders for results, made by any number of runs at the same time."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from memnet_core._util.atomic_write import sync
from memnet_core.errors import ImageError

__all__ = ["hidden_sibling", "make_folder"]

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
