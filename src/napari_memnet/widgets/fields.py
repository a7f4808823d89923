"""Fields of forms that magicgui has no name for."""

from __future__ import annotations

from pathlib import Path

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit

__all__ = ["chosen_folder", "folder_field"]


def folder_field(label: str, tooltip: str = "") -> FileEdit:
    """Return a field for a folder, which is empty at first."""
    return FileEdit(
        label=label,
        mode=FileDialogMode.EXISTING_DIRECTORY,
        nullable=True,
        value=None,
        tooltip=tooltip,
    )


def chosen_folder(field: FileEdit) -> Path | None:
    """Return the folder of a field, or None if it is empty."""
    value = field.value
    return value if isinstance(value, Path) and value != Path() else None
