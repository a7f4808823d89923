"""What readers raise on broken files, as one sentence."""

from __future__ import annotations

import contextlib
import struct
import zlib
from typing import TYPE_CHECKING

from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from memnet_core.errors import ImageError, MemnetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["reading", "writing"]

_EXPLAINED = (EOFError, MemoryError, OSError, RuntimeError, SyntaxError, ValueError)
"""What the libraries raise on damaged files, with a reason."""

_UNEXPLAINED = (ArithmeticError, LookupError, TypeError, struct.error, zlib.error)
"""What they stumble over, with messages that make no sense outside of them."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a reader raises on a broken file into one sentence.

    Raises
    ------
    ImageError
        Instead of whatever the block raises for the file's sake.
    """
    try:
        yield
    except MemnetError:
        raise
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


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a writer raises into one sentence.

    Raises
    ------
    ImageError
        If the system or the format does not allow to write the file.
    """
    try:
        yield
    except MemnetError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or _sentence(error)
        raise ImageError(f"{path} cannot be written: {reason}.") from error


def _sentence(error: Exception) -> str:
    """Return what an error says, on one line and without a full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
