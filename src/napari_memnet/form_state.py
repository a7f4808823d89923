"""What was chosen in a form the last time, over sessions."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from memnet_core._util.atomic_write import replaced_when_complete

__all__ = ["forget", "recall", "remember"]


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
    """Remove what was kept."""
    with suppress(OSError):
        _file(name).unlink(missing_ok=True)


def _file(name: str) -> Path:
    """Return the file of a form, in MEMNET_SETTINGS or the user's configuration."""
    folder = os.environ.get("MEMNET_SETTINGS")
    return (
        Path(folder or platformdirs.user_config_dir("napari-memnet")) / f"{name}.json"
    )
