"""Saving a layer as OME-TIFF with its pixel sizes and units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from napari_memnet.layers import LayerPlanes

if TYPE_CHECKING:
    from memnet_core.io import Calibration

__all__ = ["write_ome_tiff"]

_DEFAULT_AXES = "TCZYX"


def write_ome_tiff(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the data of an image layer, plane by plane, whole or not at all.

    Parameters
    ----------
    path : str
        Where to write.
    data : array
        Pixels; of a multiscale layer the full resolution is written.
    attributes : dict
        The layer's attributes; scale, units, axis labels and name are kept.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    ImageError
        If OME-TIFF cannot hold the layer, or the file cannot be written.
    """
    from memnet_core.io import write_ome_tiff as write

    data = data[0] if attributes.get("multiscale") else data
    rgb = bool(attributes.get("rgb"))
    shape = tuple(int(size) for size in data.shape)
    axes = _axes(attributes, len(shape) - rgb, path)
    planes = LayerPlanes(data, rgb)
    dtype = np.dtype(np.uint8) if planes.dtype.kind == "b" else planes.dtype
    whole = planes.region.slices[-2:]
    pixels = (planes.read(n, *whole).astype(dtype) for n in range(planes.shape[0]))
    write(
        Path(path),
        (plane if rgb else plane[..., 0] for plane in pixels),
        axes=axes + "S" * rgb,
        sizes=shape,
        dtype=dtype,
        calibration=_calibration(axes, attributes),
    )
    return [path]


def _axes(attributes: dict[str, Any], ndim: int, path: str) -> str:
    """Return OME's letters for the axes: those that label them, or the usual ones.

    Raises
    ------
    ImageError
        If there are more axes than OME-TIFF has.
    """
    if ndim > len(_DEFAULT_AXES):
        raise ImageError(
            f"{path} cannot be written: OME-TIFF has five axes at most, not {ndim}."
        )
    named = "".join(label[:1].upper() for label in attributes.get("axis_labels") or ())
    is_usable = (
        len(named) == ndim == len(set(named))
        and set(named) <= set(_DEFAULT_AXES)
        and named.endswith("YX")
    )
    if is_usable:
        return named
    units = attributes.get("units") or ()
    if ndim == 3 and units and _measures(units[0], "second"):
        return "TYX"
    return {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}[ndim]


def _calibration(axes: str, attributes: dict[str, Any]) -> Calibration:
    """Return pixel sizes and time steps, as far as they say something."""
    from memnet_core.io import Calibration

    spacing, units = {}, {}
    scale, named = attributes.get("scale", ()), attributes.get("units") or ()
    for axis, size, unit in zip(axes, scale, named, strict=False):
        is_length = axis in "ZYX" and _measures(unit, "meter")
        is_time = axis == "T" and _measures(unit, "second")
        in_pixels = axis in "ZYX" and str(unit) == "pixel" and abs(size) != 1
        if size and (is_length or is_time or in_pixels):
            spacing[axis], units[axis] = abs(float(size)), str(unit)
    return Calibration(spacing=spacing, units=units)


def _measures(unit: Any, other: str) -> bool:
    """Whether a unit, as napari keeps them, measures the same as another one."""
    return bool(unit.is_compatible_with(other))
