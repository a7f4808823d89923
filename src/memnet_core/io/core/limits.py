"""How many pixels a file may claim; checked before memory is taken for them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from memnet_core.errors import SettingRef, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "VARIABLE",
    "check_compression_ratio",
    "check_pixels",
    "check_regular_file",
    "most_pixels",
]

VARIABLE = "MEMNET_MAX_PIXELS"
_BOUND = SettingRef("max_pixels", python=VARIABLE)
"""Environment variable that raises or lowers the bound, also in other processes."""

# RGB of so many pixels takes half a GiB; cameras have up to 150 million.
_MOST_PIXELS = 180_000_000


def most_pixels() -> int:
    """Return how many pixels may be decoded at once on a file's word.

    Raises
    ------
    UsageError
        If the environment names another bound that is no number.
    """
    text = os.environ.get(VARIABLE, "") or str(_MOST_PIXELS)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text)):
        raise UsageError(f"{VARIABLE} is {text!r}; give a number of pixels.")
    return int(text)


def check_pixels(pixels: int, what: str) -> None:
    """Check what has to be decoded as a whole.

    Parameters
    ----------
    pixels : int
        How many there are.
    what : str
        What claims to have them, such as ``it`` or ``a chunk of it``.

    Raises
    ------
    ValueError
        If they are more than `most_pixels`.
    """
    if pixels > most_pixels():
        raise TooManyPixels(f"{what} claims {_too_many(pixels)}")


def check_compression_ratio(
    pixels: int, size: int, stored: Callable[[], int], most: int
) -> None:
    """Check that what claims many pixels has the bytes for them.

    Parameters
    ----------
    pixels : int
        How many there are.
    size : int
        How many bytes they take.
    stored : callable
        Returns how many bytes there are of them, compressed; asked for if needed.
    most : int
        What compression can be believed in.

    Raises
    ------
    ValueError
        If pixels are more than `most_pixels`, and compressed by more than `most`.
    """
    if pixels > most_pixels() and size > most * (found := stored()):
        raise TooManyPixels(f"its {found:,} bytes of pixels claim {_too_many(pixels)}")


def check_regular_file(path: Path) -> None:
    """Check that a file has an end; one that is missing, or a folder, passes.

    Raises
    ------
    ValueError
        If it is a pipe, a device or a socket.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError("it is a pipe, a device or a socket, not a file")


class TooManyPixels(ValueError):
    """A file claims more pixels than are accepted."""

    settings = (_BOUND,)


def _too_many(pixels: int) -> str:
    most = most_pixels() / 1e6
    return (
        f"{pixels / 1e6:,.6g} megapixels, more than the {most:,.6g} that are accepted "
        f"unseen; {_BOUND} raises that"
    )
