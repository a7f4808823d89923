"""Saving a layer as OME-Zarr, block by block: also planes that fit into no memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from napari_memnet._writer import calibration_of, layer_axes, written_each
from napari_memnet.layers.metadata import NAMESPACE, provenance_line, to_note
from napari_memnet.layers.source import LayerPlanes

if TYPE_CHECKING:
    from memnet_core.io import Calibration, ImageFile

__all__ = ["write_ome_zarr", "write_ome_zarrs"]

_SUFFIX = ".ome.zarr"


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
    from memnet_core.io.core.errors import writing
    from memnet_core.io.zarr.image import create_ome_zarr, layout_for
    from memnet_core.io.zarr.shards import open_level, shrink_block

    path = _suffixed(path)
    output = Path(path)
    if output.exists():
        raise ImageError(f"{path} exists already; choose another name.", path=output)
    data = data[0] if attributes.get("multiscale") else data
    planes = LayerPlanes(data, bool(attributes.get("rgb")))
    with writing(output), temporary_folder(output) as folder:
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
    stem = _suffixed(path).removesuffix(_SUFFIX)
    return written_each(stem, layers, _SUFFIX, write_ome_zarr)


def _suffixed(path: str) -> str:
    lower = path.lower()
    if lower.endswith(_SUFFIX):
        return path
    return (path[: -len(".zarr")] if lower.endswith(".zarr") else path) + _SUFFIX


def _source(path: Path, planes: LayerPlanes, attributes: dict[str, Any]) -> ImageFile:
    """Return a layer as if it were read from an OME-Zarr that says the same of it."""
    from memnet_core.io import ImageFile, Metadata
    from memnet_core.io.zarr.image import NgffAttributes
    from memnet_core.io.zarr.ngff import image_attributes

    shape = planes.region.shape
    axes = layer_axes(attributes, len(shape), str(path))
    if planes.rgb and "C" in axes:
        raise ImageError(
            f"{path} cannot be written: OME-Zarr has no channels of colours; save it "
            "as OME-TIFF.",
            path=path,
        )
    known: Calibration = calibration_of(axes, attributes)
    stored = _with_colour(axes) if planes.rgb else axes
    steps = dict(zip(axes, np.abs(attributes.get("scale", 1.0)), strict=True))
    places = dict(zip(axes, attributes.get("translate", 0.0), strict=True))
    transform = (
        [float(steps.get(a, 1)) for a in stored],
        [float(places.get(a, 0)) for a in stored],
    )
    told = image_attributes({}, stored, known, [transform], zarr_format=3)
    told[NAMESPACE] = to_note(attributes, shape)
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
        grain=(1, 1),
    )


def _with_colour(axes: str) -> str:
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
