"""The plugin's preferences, where napari has them (0.9 and later)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Preferences", "preferences"]


@dataclass(frozen=True)
class Preferences:
    """What widgets and commands begin with.

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
