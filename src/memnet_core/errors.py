"""Errors that a user can act on: each says what was wrong, where, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "DeviceError",
    "EvaluationError",
    "ImageError",
    "LevelError",
    "MemnetError",
    "ModelError",
    "NotCovered",
    "NotFinite",
    "NothingToDo",
    "OutOfMemory",
    "TrainingError",
    "UsageError",
]


class MemnetError(Exception):
    """Base of all errors whose message is meant for the user.

    Parameters
    ----------
    message : str
        One sentence.
    path : Path, optional
        The file or folder that it is about, which the message names.
    """

    def __init__(self, message: str = "", *, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class DeviceError(MemnetError):
    """A computing device is unknown or not present, or its memory does not suffice."""


class EvaluationError(MemnetError):
    """Images are not those that figures were published for."""


class ImageError(MemnetError):
    """An image cannot be read, written, or restored."""


class LevelError(MemnetError):
    """No model covers a degradation level."""


class NotCovered(LevelError):
    """No model covers a level, but one comes close; see `RestoreOptions.nearest`."""


class NothingToDo(MemnetError):
    """An image is so little degraded that it is better left as it is."""


class ModelError(MemnetError):
    """A model file is missing, damaged, or of a kind that is not accepted."""


class NotFinite(ImageError):
    """What a network made of an image is not finite."""


class OutOfMemory(DeviceError):
    """The memory of a device does not suffice."""


class UsageError(MemnetError, ValueError):
    """A command or call asks for something that cannot be meant."""


class TrainingError(MemnetError):
    """Training data or settings do not allow a run, or the run went astray."""
