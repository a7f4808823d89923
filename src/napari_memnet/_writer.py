"""Writers of layers: OME-TIFF and OME-Zarr."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from napari_memnet.layers.metadata import NAMESPACE, dump_display_state, provenance_line
from napari_memnet.layers.source import LayerSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.io import Calibration, ImageFile

__all__ = [
    "calibration_of",
    "layer_axes",
    "write_ome_tiff",
    "write_ome_tiffs",
    "write_ome_zarr",
    "write_ome_zarrs",
    "written_each",
]


_DEFAULT_AXES = "TCZYX"
_TIFF_SUFFIX = ".ome.tif"
_UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
"""What names of layers may hold and names of files may not."""


def write_ome_tiff(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the data of an image layer, plane by plane, whole or not at all.

    Parameters
    ----------
    path : str
        Where to write; ``.ome.tif`` is added if it has another suffix.
    data : array
        Pixels; of a multiscale layer the full resolution is written.
    attributes : dict
        The layer's attributes; place, display and name are kept, and how it was
        restored.

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

    path = _with_tiff_suffix(path)
    data = data[0] if attributes.get("multiscale") else data
    rgb = bool(attributes.get("rgb"))
    shape = tuple(int(size) for size in data.shape)
    axes = layer_axes(attributes, len(shape) - rgb, path)
    planes = LayerSource(data, rgb)
    dtype = np.dtype(np.uint8) if planes.dtype.kind == "b" else planes.dtype
    whole = planes.region.slices[-2:]
    pixels = (planes.read(n, *whole).astype(dtype) for n in range(planes.shape[0]))
    write(
        Path(path),
        (plane if rgb else plane[..., 0] for plane in pixels),
        axes=axes + "S" * rgb,
        sizes=shape,
        dtype=dtype,
        calibration=calibration_of(axes, attributes),
        name=str(attributes.get("name") or ""),
        notes={NAMESPACE: dump_display_state(attributes, planes.region.shape)},
        provenance=provenance_line(attributes),
    )
    return [path]


def write_ome_tiffs(
    path: str, layers: list[tuple[Any, dict[str, Any], str]]
) -> list[str]:
    """Write image layers to files of their own, as `write_ome_tiff`.

    Parameters
    ----------
    path : str
        What the names of the files begin with; those of the layers follow.
    layers : list of (array, dict, str)
        Pixels, attributes, and kind of each.

    Returns
    -------
    list of str
        The paths.

    Raises
    ------
    ImageError
        If one of the files exists, OME-TIFF cannot hold a layer, or a file cannot be
        written.
    """
    stem = _with_tiff_suffix(path).removesuffix(".tiff").removesuffix(".tif")
    stem = stem.removesuffix(".ome")
    return written_each(stem, layers, _TIFF_SUFFIX, write_ome_tiff)


def written_each(
    stem: str,
    layers: list[tuple[Any, dict[str, Any], str]],
    suffix: str,
    write: Callable[[str, Any, dict[str, Any]], list[str]],
) -> list[str]:
    """Write layers to places that are called by their names.

    Parameters
    ----------
    stem : str
        What the places begin with.
    layers : list of (array, dict, str)
        Pixels, attributes, and kind of each.
    suffix : str
        What they end with.
    write : callable
        Writes one of them.

    Raises
    ------
    ImageError
        If one of the places is taken.
    """
    names = [_UNSAFE.sub("_", str(known["name"])) for _, known, _ in layers]
    paths = [f"{stem} {name}{suffix}" for name in names]
    for place in paths:
        # napari asked about the path that was chosen, which is none of these.
        if Path(place).exists() or paths.count(place) > 1:
            raise ImageError(f"{place} would be replaced; choose another name.")
    for place, (data, attributes, _) in zip(paths, layers, strict=True):
        write(place, data, attributes)
    return paths


def _with_tiff_suffix(path: str) -> str:
    """Return a path with the suffix of an OME-TIFF, instead of that of a TIFF."""
    lower = path.lower()
    if lower.endswith((".ome.tif", ".ome.tiff")):
        return path
    if lower.endswith((".tif", ".tiff")):
        path = path[: lower.rindex(".tif")]
    return path + _TIFF_SUFFIX


def layer_axes(attributes: dict[str, Any], ndim: int, path: str) -> str:
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


def calibration_of(axes: str, attributes: dict[str, Any]) -> Calibration:
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


_ZARR_SUFFIX = ".ome.zarr"


def write_ome_zarr(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the data of an image layer with lower levels, whole or not at all.

    Parameters
    ----------
    path : str
        The folder to make; ``.ome.zarr`` is added if it has another suffix.
    data : array
        Pixels; of a multiscale layer the full resolution is written.
    attributes : dict
        As for `napari_memnet._writer.write_ome_tiff`.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    ImageError
        If the folder exists, OME-Zarr cannot hold the layer, or it cannot be written.
    """
    from memnet_core._util.atomic_write import place_folder, temporary_folder
    from memnet_core.io.core.errors import wrap_write_errors
    from memnet_core.io.zarr.image import (
        create_ome_zarr,
        layout_for,
        open_level,
        shrink_block,
    )

    path = _with_zarr_suffix(path)
    output = Path(path)
    if output.exists():
        raise ImageError(f"{path} exists already; choose another name.", path=output)
    data = data[0] if attributes.get("multiscale") else data
    planes = LayerSource(data, bool(attributes.get("rgb")))
    with wrap_write_errors(output), temporary_folder(output) as folder:
        image = folder / output.name
        like = _source(output, planes, attributes)
        layout = layout_for(like, 1)
        create_ome_zarr(image, like, layout, 1, None)
        for level in range(len(layout.shapes)):
            array = open_level(image, level)
            finer = open_level(image, level - 1) if level else None
            for number in range(layout.blocks(level)):
                block = layout.block(level, number)
                array[block] = (
                    shrink_block(finer, block)
                    if level
                    else _block(like, layout.axes, block)
                )
        if not place_folder(image, output, overwrite=False):
            raise ImageError(f"{path} exists already; choose another name.")
    return [path]


def write_ome_zarrs(
    path: str, layers: list[tuple[Any, dict[str, Any], str]]
) -> list[str]:
    """Write image layers to folders of their own, as `write_ome_zarr`.

    Parameters, results and errors are those of `napari_memnet._writer.write_ome_tiffs`.
    """
    stem = _with_zarr_suffix(path).removesuffix(_ZARR_SUFFIX)
    return written_each(stem, layers, _ZARR_SUFFIX, write_ome_zarr)


def _with_zarr_suffix(path: str) -> str:
    lower = path.lower()
    if lower.endswith(_ZARR_SUFFIX):
        return path
    return (path[: -len(".zarr")] if lower.endswith(".zarr") else path) + _ZARR_SUFFIX


def _source(path: Path, planes: LayerSource, attributes: dict[str, Any]) -> ImageFile:
    """Return a layer as if it were read from an OME-Zarr that says the same of it."""
    from memnet_core.io import ImageFile, Metadata
    from memnet_core.io.zarr.image import NgffAttributes
    from memnet_core.io.zarr.ngff import image_attributes

    shape = planes.region.shape
    axes = layer_axes(attributes, len(shape), str(path))
    if planes.rgb and "C" in axes:
        raise ImageError(
            f"{path} cannot be written: OME-Zarr has no channels of colors; save it "
            "as OME-TIFF.",
            path=path,
        )
    known: Calibration = calibration_of(axes, attributes)
    stored = _with_color(axes) if planes.rgb else axes
    steps = dict(zip(axes, np.abs(attributes.get("scale", 1.0)), strict=True))
    places = dict(zip(axes, attributes.get("translate", 0.0), strict=True))
    transform = (
        [float(steps.get(a, 1)) for a in stored],
        [float(places.get(a, 0)) for a in stored],
    )
    told = image_attributes({}, stored, known, [transform], zarr_format=3)
    told[NAMESPACE] = dump_display_state(attributes, shape)
    return ImageFile(
        path,
        planes.data,
        axes + "S" * planes.rgb,
        format="layer",
        metadata=Metadata(
            stated=known,
            native=NgffAttributes(told),
            provenance=provenance_line(attributes),
        ),
        chunk_shape=(1, 1),
    )


def _with_color(axes: str) -> str:
    """Return axes with C where OME-Zarr has it: after T, before Z."""
    return "".join(sorted(f"C{axes}", key="TCZYX".index))


def _block(like: ImageFile, axes: str, block: tuple[slice, ...]) -> Any:
    """Read a block of the full resolution, along the axes of the result."""
    chosen = dict(zip(axes, block, strict=True))
    leading = tuple(chosen[axis] for axis in like.leading)
    pixels = like.read_block(leading, chosen["Y"], chosen["X"])
    if not like.axes.endswith("S"):
        return pixels[..., 0]
    return np.moveaxis(pixels, -1, axes.index("C"))[
        tuple(chosen["C"] if axis == "C" else slice(None) for axis in axes)
    ]
