"""Errors that a user can act on: each says what was wrong, where, and what to do."""

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
    """A setting that a message names; as text it is spelled as in Python.

    A message is written with Python's spelling and carries its references, so that
    each entry point can put its own spelling in their place; see `spelled`.

    Attributes
    ----------
    name : str
        Name of the setting, as a keyword: ``hot_pixels``.
    value : object, optional
        The value that is meant.
    python : str
        Spelling in Python, where the setting is no keyword there.
    """

    name: str
    value: object = None
    python: str = ""

    def __str__(self) -> str:
        value = repr(self.value) if isinstance(self.value, str) else self.text
        return self.python or f"{self.name}={value}"

    @property
    def text(self) -> str:
        """The value as text, empty if none is meant."""
        if self.value is None:
            return ""
        return f"{self.value:g}" if isinstance(self.value, float) else str(self.value)


def spelled(
    text: str, settings: Sequence[SettingRef], spelling: Callable[[SettingRef], str]
) -> str:
    """Return a message with its settings as an entry point spells them.

    Parameters
    ----------
    text : str
        Message in Python's spelling.
    settings : sequence of SettingRef
        The settings that it names.
    spelling : callable
        Returns the entry point's spelling of a setting.
    """
    # The longest first: `sigma=` is the beginning of `sigma=20`.
    for setting in sorted(settings, key=lambda one: -len(str(one))):
        text = text.replace(str(setting), spelling(setting))
    return text


class MemnetError(Exception):
    """Base of all errors whose message is meant for the user.

    Parameters
    ----------
    message : str
        One sentence.
    path : Path, optional
        The file or folder that it is about, which the message names.
    settings : sequence of SettingRef
        The settings that the message names, in Python's spelling.
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
        """Return the message with its settings as an entry point spells them."""
        return spelled(str(self), self.settings, spelling)


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
