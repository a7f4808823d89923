"""What forms begin with, remember and save: preferences, last choices, presets; no Qt.

What is remembered and what a preset says are the same: values of fields, by the names
in `RestorationForm.kept`. Names, once used, stay readable.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import yaml

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.safe_yaml import load_plain
from memnet_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "OF_FOLDERS",
    "Preferences",
    "forget",
    "load_preset",
    "preferences",
    "recall",
    "remember",
    "save_preset",
]


@dataclass(frozen=True)
class Preferences:
    """Defaults of widgets and commands, from napari's preferences.

    Attributes
    ----------
    device : str
        ``auto`` or the name of a device.
    folder : str
        Where results go that are too large for memory; empty for the temporary folder.
    """

    device: str = "auto"
    folder: str = ""


def preferences() -> Preferences:
    """Return what the user chose in napari's preferences, or the defaults."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return Preferences()
    chosen = get_plugin_settings().get("napari-memnet")
    if chosen is None:
        return Preferences()
    return Preferences(chosen.inference.device, chosen.inference.folder)


def remember(name: str, values: dict[str, Any]) -> None:
    """Keep the values of a form, unless the folder cannot be written to."""
    file = _file(name)
    # Work must not fail over what is but a convenience.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replaced_when_complete(file) as temporary:
            temporary.write_text(json.dumps(values, indent=2) + "\n")


def recall(name: str) -> dict[str, Any]:
    """Return the values of a form that were kept; nothing if they cannot be read."""
    with suppress(OSError, ValueError):
        values = json.loads(_file(name).read_text())
        if isinstance(values, dict):
            return values
    return {}


def forget(name: str) -> None:
    """Delete the values that were kept."""
    with suppress(OSError):
        _file(name).unlink(missing_ok=True)


def _file(name: str) -> Path:
    """Return the file of a form, in MEMNET_SETTINGS or the user's configuration."""
    folder = os.environ.get("MEMNET_SETTINGS")
    return (
        Path(folder or platformdirs.user_config_dir("napari-memnet")) / f"{name}.json"
    )


OF_FOLDERS = ("format", "subfolders")
"""Fields of the folder form only; the layer form ignores them."""

_GONE = {"grain"}
"""Fields of presets of 0.1 that have no successor: noise is measured."""

_MARK, _VERSION = "memnet preset", 1
_LARGEST = 2**16
_ENDS = ("low", "high")


def save_preset(path: Path, fields: Mapping[str, Any]) -> None:
    """Write the values of fields that matter for the task.

    Parameters
    ----------
    path : Path
        What is there is replaced.
    fields : mapping of str to Widget
        Fields by name, as `RestorationForm.kept`.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    values = {name: field.value for name, field in fields.items()}
    level = f"level {values['task']}"
    kept = {
        name: value
        for name, value in values.items()
        if not (name.startswith("level ") and name != level)
        and (name not in _ENDS or values["range"] == "pair")
    }
    text = yaml.safe_dump(
        {_MARK: _VERSION, **kept}, sort_keys=False, allow_unicode=True
    )
    try:
        with replaced_when_complete(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def load_preset(path: Path, fields: Mapping[str, Any]) -> None:
    """Set the fields from a preset; on an error none is changed.

    Parameters
    ----------
    path : Path
        A file that `save_preset` wrote, of this form or another; JSON does, too.
    fields : mapping of str to Widget
        Fields by name; one after the other, as choices of some depend on others.

    Raises
    ------
    UsageError
        If the file is no preset, or has a value that cannot be chosen.
    """
    values = _read(path)
    unknown = [name for name in values if name not in fields and name not in OF_FOLDERS]
    if unknown:
        raise UsageError(f"{path.name} sets {unknown[0]!r}, which is no setting here.")
    before = {name: field.value for name, field in fields.items()}
    try:
        for name, field in fields.items():
            if name in values:
                _choose(path, name, field, values[name])
    except UsageError:
        for name, value in before.items():
            fields[name].value = value
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        text = ""
    try:
        values = load_plain(text) if len(text) <= _LARGEST else None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        values = None
    if not isinstance(values, dict) or _MARK not in values:
        raise UsageError(f"{path.name} is no preset of MemNet; choose another file.")
    version = values.pop(_MARK)
    if version != _VERSION:
        raise UsageError(
            f"{path.name} is a preset of version {version!r}, and version {_VERSION} "
            "is known here; update napari-memnet."
        )
    return {str(k): value for k, value in values.items() if k not in _GONE}


def _choose(path: Path, name: str, field: Any, value: Any) -> None:
    """Set a field, if its value could also be chosen by hand."""
    if hasattr(field, "choices"):
        fits = any(value == c and type(value) is type(c) for c in field.choices)
    elif hasattr(field, "min"):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number and field.min <= value <= field.max
    else:
        fits = isinstance(value, bool)
    if name == "model" and not fits:
        raise UsageError(
            f"{path.name} needs the model {value!r}, which is not among those for its "
            "task; install it with “memnet models add”."
        )
    if not fits:
        label = getattr(field, "text", "") or field.label
        raise UsageError(f"{path.name}: “{label}” cannot be {value!r} here.")
    field.value = value
