"""Which reader and writer serves a file."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, TypeVar

from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import ImageError
from memnet_core.io import ordinary, tiff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.io.image import Image, Probe

T = TypeVar("T")

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "probe",
    "read_image",
    "suffix_format",
    "suffix_of_format",
    "write_image",
]

FORMATS = {
    "png": ".png",
    "tiff": ".tif",
    "jpeg": ".jpg",
    "webp": ".webp",
    "bmp": ".bmp",
}
"""Formats that can be written, with the suffix they get."""

READABLE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
)
"""Suffixes of files that are taken for images."""

_SYNONYMS = {".jpeg": "jpeg", ".jpe": "jpeg", ".jfif": "jpeg", ".tiff": "tiff"}
_SYNONYMS |= {".dib": "bmp"} | {suffix: name for name, suffix in FORMATS.items()}

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_EXPLAINED = (EOFError, MemoryError, OSError, RuntimeError, SyntaxError, ValueError)
"""What Pillow, tifffile and imagecodecs raise on damaged files, with a reason."""

_UNEXPLAINED = (ArithmeticError, LookupError, TypeError, struct.error, zlib.error)
"""What they stumble over, with messages that make no sense outside of them."""


def read_image(path: Path) -> Image:
    """Read all pixels of a file and what belongs to them.

    Parameters
    ----------
    path : Path
        PNG, JPEG, WebP, BMP or TIFF, recognised by content.

    Raises
    ------
    ImageError
        If the file is missing, empty, damaged, or of a kind that is not supported.
    """
    return _guarded(path, tiff.read if _is_tiff(path) else ordinary.read)


def probe(path: Path) -> Probe:
    """Read the header of a file.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header tells.
    """
    return _guarded(path, tiff.probe if _is_tiff(path) else ordinary.probe)


def write_image(path: Path, image: Image) -> tuple[str, ...]:
    """Write an image in the format of the suffix, whole or not at all.

    Parameters
    ----------
    path : Path
        Where to write; what is there is replaced.
    image : Image
        What to write.

    Returns
    -------
    tuple of str
        What the format could not hold.

    Raises
    ------
    ImageError
        If the format cannot hold these pixels, or the file cannot be written.
    """
    kind = suffix_format(path)
    try:
        with replaced_when_complete(path) as temporary:
            if kind == "tiff":
                return tiff.write(temporary, image)
            return ordinary.write(temporary, image, kind)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _sentence(error)
        raise ImageError(f"{path} cannot be written: {reason}.") from error


def suffix_format(path: Path) -> str:
    """Return the format that the suffix of a path stands for.

    Raises
    ------
    ImageError
        If no format that can be written has this suffix.
    """
    try:
        return _SYNONYMS[path.suffix.lower()]
    except KeyError:
        raise ImageError(
            f"{path} cannot be written: the suffix {path.suffix!r} is none of "
            f"{', '.join(FORMATS.values())}."
        ) from None


def suffix_of_format(name: str, source: Path) -> str:
    """Return the suffix of an output.

    Parameters
    ----------
    name : str
        One of `FORMATS`, ``same`` for the suffix of the source, or ``auto``, which
        differs from ``same`` in that no JPEG is compressed a second time.
    source : Path
        The input.
    """
    if name == "same":
        return source.suffix
    if name == "auto":
        return ".png" if suffix_format(source) == "jpeg" else source.suffix
    return FORMATS[name]


def _is_tiff(path: Path) -> bool:
    """Look at the first bytes of a file.

    Raises
    ------
    ImageError
        If the file cannot be opened or is empty.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise ImageError(f"{path} cannot be read: the file is empty.")
    return start in _TIFF_STARTS


def _guarded(path: Path, reader: Callable[[Path], T]) -> T:
    """Call a reader and turn what it raises on broken files into one sentence."""
    try:
        return reader(path)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} cannot be read: it is no intact PNG, JPEG, WebP, BMP or TIFF."
        ) from error
    except PillowImage.DecompressionBombError as error:
        raise ImageError(
            f"{path} cannot be read: it claims to have more than "
            f"{2 * (PillowImage.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} megapixels, "
            "which is accepted of a TIFF only."
        ) from error
    except _UNEXPLAINED as error:
        raise ImageError(f"{path} cannot be read: the file is damaged.") from error
    except _EXPLAINED as error:
        raise ImageError(f"{path} cannot be read: {_sentence(error)}.") from error


def _sentence(error: Exception) -> str:
    """Return what an error says, on one line and without a full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
