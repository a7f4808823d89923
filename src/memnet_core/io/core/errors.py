"""What libraries raise on broken files, told in one sentence; our own bugs are not."""

from __future__ import annotations

import contextlib
import struct
import zlib
from typing import TYPE_CHECKING

from memnet_core.errors import ImageError, MemnetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["wrap_parse_errors", "wrap_read_errors", "wrap_write_errors"]

_EXPLAINED = (EOFError, MemoryError, OSError, ValueError)
"""What says why a file cannot be read, whoever raises it."""

_DAMAGE = (struct.error, zlib.error)
"""What only data can cause, with messages that make no sense outside of libraries."""

_STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError)
"""What libraries raise on damaged data, and what our own bugs raise as well."""

_LIBRARIES = frozenset(
    {"PIL", "av", "imagecodecs", "imageio", "numcodecs", "tifffile", "zarr"}
)


@contextlib.contextmanager
def wrap_read_errors(path: Path) -> Iterator[None]:
    """Turn what a reader raises on a broken file into one sentence.

    An error that no library raised is our own bug and stays as it is; so code that
    picks apart what a file says marks itself with `wrap_parse_errors`.

    Raises
    ------
    ImageError
        Instead of what the block raises for the file's sake; it carries the path.
    """
    try:
        yield
    except MemnetError as error:
        error.path = error.path or path
        raise
    except _EXPLAINED as error:
        raise ImageError(
            f"{path} cannot be read: {_sentence(error)}.",
            path=path,
            settings=getattr(error, "settings", ()),
        ) from error
    except _DAMAGE as error:
        raise ImageError(_damaged(path), path=path) from error
    except Exception as error:
        if not _is_from_library(error):
            raise
        reason = f"{path} cannot be read: {_sentence(error)}."
        is_codec = _package(type(error).__module__) == "imagecodecs"
        if is_codec or isinstance(error, _STUMBLES):  # codecs tell names of constants
            reason = _damaged(path)
        raise ImageError(reason, path=path) from error


@contextlib.contextmanager
def wrap_parse_errors(what: str) -> Iterator[None]:
    """Mark code in which wrong types and missing keys are the fault of the file.

    Parameters
    ----------
    what : str
        What is picked apart, such as ``its OME-XML``.

    Raises
    ------
    ValueError
        Instead of what the block raises on what the file says.
    """
    try:
        yield
    except (*_STUMBLES, *_DAMAGE, SyntaxError) as error:
        raise ValueError(f"{what} cannot be understood") from error


@contextlib.contextmanager
def wrap_write_errors(path: Path) -> Iterator[list[BaseException]]:
    """Turn what a writer raises into one sentence.

    Yields
    ------
    list of BaseException
        Errors to let pass, because they do not come from writing.

    Raises
    ------
    ImageError
        If the system or the format does not allow to write the file; it carries the
        path.
    """
    foreign: list[BaseException] = []
    try:
        yield foreign
    except MemnetError as error:
        if not _is_among(error, foreign):
            error.path = error.path or path
        raise
    except (OSError, ValueError) as error:
        if _is_among(error, foreign):
            raise
        raise ImageError(
            f"{path} cannot be written: {_sentence(error)}.", path=path
        ) from error


def _is_from_library(error: BaseException) -> bool:
    """Whether a library for files raised an error, or called what raised it."""
    if _package(type(error).__module__) in _LIBRARIES:
        return True
    frame: TracebackType | None = error.__traceback__
    while frame:
        if _package(frame.tb_frame.f_globals.get("__name__", "")) in _LIBRARIES:
            return True
        frame = frame.tb_next
    return False


def _package(module: str) -> str:
    return module.partition(".")[0]


def _is_among(error: BaseException, errors: list[BaseException]) -> bool:
    return any(error is other for other in errors)


def _damaged(path: Path) -> str:
    return f"{path} cannot be read: the file is damaged."


def _sentence(error: Exception) -> str:
    """Return what an error says, on one line and without a full stop."""
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(said.split()).rstrip(".") or type(error).__name__
