"""Folders for results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["make_folder"]


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing.

    Raises
    ------
    ImageError
        If that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"the folder {folder} cannot be made: {error.strerror}."
        ) from error
