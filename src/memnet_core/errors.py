"""Errors for users: each message says what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
    "SettingRef",
    "TrainingError",
    "UsageError",
    "spelled",
]


@dataclass(frozen=True)
class SettingRef:
    """Reference to a setting in a message; `str` gives Python's spelling.

    Messages are written in Python's spelling and carry their references, so that each
    entry point can substitute its own; see `spelled`.

    Attributes
    ----------
    name : str
        Keyword of the setting, such as ``noise``.
    value : object, optional
        Value that the message suggests.
    python : str
        Spelling in Python, if the setting is no keyword there.
    """

    name: str
    value: object = None
    python: str = ""

    def __str__(self) -> str:
        value = repr(self.value) if isinstance(self.value, str) else self.text
        return self.python or f"{self.name}={value}"

    @property
    def text(self) -> str:
        """Value as text, empty if there is none."""
        if self.value is None:
            return ""
        return f"{self.value:g}" if isinstance(self.value, float) else str(self.value)


def spelled(
    text: str, settings: Sequence[SettingRef], spelling: Callable[[SettingRef], str]
) -> str:
    """Replace the settings in a message by an entry point's spelling of them.

    Parameters
    ----------
    text : str
        Message in Python's spelling.
    settings : sequence of SettingRef
        Settings that it names.
    spelling : callable
        Returns the entry point's spelling of a setting.
    """
    # The longest first: `sigma=` is the beginning of `sigma=20`.
    for setting in sorted(settings, key=lambda one: -len(str(one))):
        text = text.replace(str(setting), spelling(setting))
    return text


class MemnetError(Exception):
    """Base of all errors with a message for users.

    Parameters
    ----------
    message : str
        One sentence.
    path : Path, optional
        File or folder that the message names.
    settings : sequence of SettingRef
        Settings that the message names, in Python's spelling.
    """

    def __init__(
        self,
        message: str = "",
        *,
        path: Path | None = None,
        settings: Sequence[SettingRef] = (),
    ) -> None:
        super().__init__(message)
        self.path = path
        self.settings = tuple(settings)

    def spelled(self, spelling: Callable[[SettingRef], str]) -> str:
        """Return the message in an entry point's spelling; see `spelled`."""
        return spelled(str(self), self.settings, spelling)


class DeviceError(MemnetError):
    """A computing device is unknown, missing, or out of memory."""


class EvaluationError(MemnetError):
    """Images differ from those that scores were published for."""


class ImageError(MemnetError):
    """An image cannot be read, written, or restored."""


class LevelError(MemnetError):
    """No model covers a degradation level."""


class NotCovered(LevelError):
    """No model covers a level, but one is close; see `RestoreOptions.nearest`."""


class NothingToDo(MemnetError):
    """An image is degraded so little that restoring it would not improve it."""


class ModelError(MemnetError):
    """A model file is missing, damaged, or not supported."""


class NotFinite(ImageError):
    """The output of a network is not finite."""


class OutOfMemory(DeviceError):
    """A device is out of memory."""


class UsageError(MemnetError, ValueError):
    """A command or call has invalid or contradictory arguments."""


class TrainingError(MemnetError):
    """Training data or settings do not allow a run, or the run diverged."""
