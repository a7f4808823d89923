"""What ImageJ writes beside its pixels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import tifffile

from memnet_core.io.core.calibration import Calibration, unit_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IMAGEJ_TAGS", "calibration_of_imagej", "imagej_tags", "updated_imagej"]

IMAGEJ_TAGS = frozenset(
    {"Info", "Labels", "Ranges", "LUTs", "Plot", "ROI", "Overlays", "Properties"}
)
"""Keys that tifffile gives to what stands in tags of ImageJ's own."""

_ESCAPED_MICRO = r"\u00B5"
_IN_PIXELS = ("ROI", "Overlays")
_ORIGIN = re.compile(r"^([xy]origin)=(.*)$", re.MULTILINE)


def calibration_of_imagej(
    described: Mapping[str, Any], resolution: tuple[float, float] | None
) -> Calibration:
    """Return what the description of a hyperstack and its resolution say.

    Parameters
    ----------
    described : mapping
        Description, parsed by tifffile.
    resolution : (float, float), optional
        Pixels along x and y for each unit of the description.
    """
    unit = str(described.get("unit", "")).replace(_ESCAPED_MICRO, "µ")
    spacing: dict[str, float] = {}
    units: dict[str, str] = {}
    if unit and unit != "pixel":
        if resolution:
            spacing |= {a: 1 / r for a, r in zip("XY", resolution, strict=True)}
        if depth := float(described.get("spacing") or 0):
            spacing["Z"] = depth
        units = dict.fromkeys(spacing, unit_name(unit))
    if interval := float(described.get("finterval") or 0):
        spacing["T"] = interval
        units["T"] = unit_name(str(described.get("tunit", "s")))
    return Calibration(spacing=spacing, units=units)


def updated_imagej(description: str, scale: int) -> str:
    """Return the description for `scale` times the rows and columns."""
    description = description.replace("µ", _ESCAPED_MICRO)
    return _ORIGIN.sub(lambda m: f"{m[1]}={float(m[2]) * scale:g}", description)


def imagej_tags(tags: Mapping[str, Any], scale: int) -> tuple[list[Any], list[str]]:
    """Return tags to write, and what no longer fits.

    Parameters
    ----------
    tags : mapping
        By the keys of `IMAGEJ_TAGS`.
    scale : int
        How many of the new pixels stand for one of before along Y and X.
    """
    kept = {k: v for k, v in tags.items() if scale == 1 or k not in _IN_PIXELS}
    lost = [f"ImageJ {key}" for key in tags if key not in kept]
    return list(tifffile.imagej_metadata_tag(kept, "<")), lost
