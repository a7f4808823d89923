"""Saving a layer as OME-TIFF with its pixel sizes and units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import ImageError
from napari_memnet.layers import LayerPlanes, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["write_ome_tiff"]

_DEFAULT_AXES = "TCZYX"
_BIG = 2**32 - 2**25


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
    import tifffile

    data = data[0] if attributes.get("multiscale") else data
    rgb = bool(attributes.get("rgb"))
    shape = tuple(int(size) for size in data.shape)
    axes = _axes(attributes.get("axis_labels"), len(shape) - rgb, path)
    planes = LayerPlanes(data, rgb, Region.whole(shape[:-1] if rgb else shape))
    if planes.dtype.kind == "b":
        planes.dtype = np.dtype(np.uint8)
    metadata = {"axes": axes + "S" * rgb, "Name": attributes.get("name", "")}
    metadata |= _sizes(axes, attributes.get("scale"), attributes.get("units"))
    pages = (
        (plane if rgb else plane[..., 0]).astype(planes.dtype, copy=False)
        for plane in (planes[index] for index in range(planes.shape[0]))
    )
    try:
        with replaced_when_complete(Path(path)) as temporary:
            tifffile.imwrite(
                temporary,
                pages,
                shape=shape,
                dtype=planes.dtype,
                ome=True,
                bigtiff=np.prod(shape, dtype=float) * planes.dtype.itemsize > _BIG,
                photometric="rgb" if rgb else "minisblack",
                compression="zlib",
                metadata=metadata,
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} cannot be written: {reason}.") from error
    return [path]


def _axes(labels: Sequence[str] | None, ndim: int, path: str) -> str:
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
    named = "".join(label[:1].upper() for label in labels or ())
    is_usable = (
        len(named) == ndim == len(set(named))
        and set(named) <= set(_DEFAULT_AXES)
        and named.endswith("YX")
    )
    usual = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}
    return named if is_usable else usual[ndim]


def _sizes(
    axes: str, scale: Sequence[float] | None, units: Sequence[Any] | None
) -> dict[str, Any]:
    """Return pixel sizes and time steps of axes whose unit is not the pixel."""
    sizes: dict[str, Any] = {}
    for axis, size, unit in zip(axes, scale or (), units or (), strict=False):
        name = f"{unit:~}" if hasattr(unit, "dimensionality") else str(unit)
        if name in ("pixel", "px"):
            continue
        if axis in "XYZ":
            sizes |= {
                f"PhysicalSize{axis}": float(size),
                f"PhysicalSize{axis}Unit": name,
            }
        elif axis == "T":
            sizes |= {"TimeIncrement": float(size), "TimeIncrementUnit": name}
    return sizes
