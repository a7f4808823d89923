"""One budget for what comes in; checked before memory is taken for it.

Every reader draws on it: pixels, planes, bytes of a decoded stream, and elements and
depth of XML.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from memnet_core.errors import SettingRef, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "VARIABLE",
    "check_compression_ratio",
    "check_frames",
    "check_pixels",
    "check_planes",
    "check_regular_file",
    "most_pixels",
    "parsed_xml",
]

VARIABLE = "MEMNET_MAX_PIXELS"
_BOUND = SettingRef("max_pixels", python=VARIABLE)
"""Environment variable that raises or lowers the bound, also in other processes."""

# RGB of so many pixels takes half a GiB; cameras have up to 150 million.
_MOST_PIXELS = 180_000_000

_RGB = 3
_COMPOSED = 12
"""Bytes a pixel of three pictures of RGBA: the canvas, the one before, a copy."""

MOST_PLANES = 2**20
"""Planes that an image may claim on its word; a list of them takes some 16 MB."""

# OME-XML nests 15 deep. A plate of 384 wells has 200,000 elements; half a million takes
# 0.7 GB, with the copies that tifffile and an edit make.
_MOST_XML_DEPTH = 100
_MOST_XML_ELEMENTS = 500_000
_XML_STEP = 2**20
"""Characters that are parsed before the bounds are looked at again."""


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


def check_frames(count: int, height: int, width: int, *, samples: int) -> None:
    """Check an animation, whose frames are decoded as a whole.

    Parameters
    ----------
    count, height, width : int
        Frames, and their sides.
    samples : int
        Samples of a pixel, of 8 bits each.

    Raises
    ------
    ValueError
        If they take more memory than the RGB of `most_pixels`, with the pictures that
        a decoder composes them from.
    """
    size = (count * samples + _COMPOSED) * height * width
    most = _RGB * most_pixels()
    if size > most:
        raise TooManyPixels(
            f"its {count} frames of {width} × {height} pixels take {size / 1e6:,.6g} "
            f"MB, more than the {most / 1e6:,.6g} that are accepted unseen; {_BOUND} "
            "raises that"
        )


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


def check_planes(claimed: int, held: int = 0) -> None:
    """Check a number of planes that a description claims.

    Parameters
    ----------
    claimed : int
        What it says.
    held : int
        How many its files are known to hold.

    Raises
    ------
    ValueError
        If they are more than `MOST_PLANES`, and more than there are.
    """
    if claimed > max(MOST_PLANES, held):
        found = f" and its files hold {held:,}" if held else ""
        raise ValueError(
            f"it describes {claimed:,} planes{found}; {MOST_PLANES:,} are accepted"
        )


def parsed_xml(text: str, what: str = "its XML") -> ElementTree.Element:
    """Parse XML of bounded depth and size.

    Libraries walk the tree by recursion: deep ones end the process.

    Parameters
    ----------
    text : str
        A document.
    what : str
        What it is, to say so in errors.

    Raises
    ------
    xml.etree.ElementTree.ParseError
        If it is not well-formed.
    ValueError
        If it nests too deep, or has too many elements.
    """
    parser = ElementTree.XMLParser(target=_BoundedBuilder(what))
    for start in range(0, len(text), _XML_STEP):
        parser.feed(text[start : start + _XML_STEP])
    root: ElementTree.Element = parser.close()
    return root


class _BoundedBuilder(ElementTree.TreeBuilder):
    """Builds a tree as long as it is within the budget."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._depth = 0
        self._count = 0

    def start(
        self,
        tag: str,
        attrs: dict[str, str],
    ) -> ElementTree.Element:
        self._depth += 1
        self._count += 1
        if self._depth > _MOST_XML_DEPTH:
            raise ValueError(f"{self._what} nests more than {_MOST_XML_DEPTH} deep")
        if self._count > _MOST_XML_ELEMENTS:
            raise ValueError(
                f"{self._what} has more than {_MOST_XML_ELEMENTS:,} elements"
            )
        return super().start(tag, attrs)

    def end(self, tag: str) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)


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
