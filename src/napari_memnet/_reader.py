"""Opening files that this plugin or ``memnet`` wrote, at the place of their source."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_memnet.layers.metadata import NAMESPACE, load_display_state
from napari_memnet.layers.result_store import MEMORY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from memnet_core.io import Calibration, ImageFile, Provenance

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = ["get_reader"]

_SOFTWARE = 305
_TIFF = (".tif", ".tiff")


def get_reader(
    path: str | list[str],
) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Return the reader for a file, or None if this plugin did not write it.

    Parameters
    ----------
    path : str or list of str
        A TIFF, or the folder of an OME-Zarr image. Only its header is read.
    """
    if not isinstance(path, str):
        return None
    if path.lower().endswith(_TIFF) and os.path.isfile(path):
        return _read_tiff if _tells_of_us(Path(path)) else None
    if os.path.isdir(path) and _zarr_tells(Path(path)):
        return _read_zarr
    return None


def _tells_of_us(path: Path) -> bool:
    """Whether the first page of a TIFF names the plugin or ``memnet`` as its writer."""
    import tifffile

    from memnet_core.io.core.provenance import provenance_in
    from memnet_core.io.tiff.ome_xml import note_of_ome

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            software = str(page.tags.valueof(_SOFTWARE) or "")
            text = str(page.description)
    # What is damaged is no file of ours; tifffile raises whatever comes to its mind.
    except Exception:  # noqa: BLE001
        return False
    return bool(provenance_in(software)) or bool(note_of_ome(text, NAMESPACE))


def _read_tiff(path: str | list[str]) -> list[LayerData]:
    """Open a TIFF: one layer per image, or per channel of an image."""
    from memnet_core.io import open_scenes, provenance_of

    assert isinstance(path, str)
    made = provenance_of(Path(path))
    layers = []
    with open_scenes(Path(path)) as scenes:
        for number in range(len(scenes)):
            with scenes.open(number) as file:
                name = _stem(path)
                if len(scenes) > 1:
                    name = f"{name}, {scenes.label(number)}"
                layers.append(_layer_of(file, name, number, made))
    return layers


def _layer_of(
    file: ImageFile, name: str, scene: int, made: Provenance | None
) -> LayerData:
    from memnet_core.io.tiff.ome_xml import note_of_ome

    color = file.axes.endswith("S") and file.shape[-1] > 1
    shape = file.sizes[: len(file.axes) - file.axes.endswith("S")]
    text = note_of_ome(getattr(file.metadata.native, "xml", ""), NAMESPACE)
    noted = _noted_line(text)
    is_same = bool(text) and noted == (str(made) if made else "")
    data = _pixels(file, scene, color)
    full = _with_single(_noted(text).get("shape"), shape)
    attributes = load_display_state(text, full, is_same=is_same) if text else {}
    if attributes:
        data = data.reshape(full + data.shape[len(shape) :])
    if not attributes:
        axes, known = file.axes[: len(shape)], file.metadata.calibration
        shift = -(_factor(made) - 1) / 2
        begin = [shift * known.spacing.get(a, 1) if a in "YX" else 0 for a in axes]
        attributes = _described(axes, known, begin, name, shape)
    if not is_same:
        attributes["metadata"] = _told(made)
    attributes.setdefault("name", name)
    if color:
        attributes["rgb"] = True
    return data, attributes, "image"


def _with_single(noted: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Restore the axes of length 1 that TIFF drops, as the note lists them.

    Parameters
    ----------
    noted : list of int
        The shape that a layer had.
    shape : tuple of int
        That in the file; rows and columns may be other ones.
    """
    if not isinstance(noted, list):
        return shape
    long = [size for size in noted[:-2] if size != 1]
    is_same = long == [size for size in shape[:-2] if size != 1]
    return (*noted[:-2], *shape[-2:]) if is_same else shape


def _pixels(file: ImageFile, scene: int, color: bool) -> Any:
    """Return the pixels, as a lazy array if they exceed `MEMORY_LIMIT`."""
    size = int(np.prod(file.sizes, dtype=np.int64)) * file.dtype.itemsize
    if size <= MEMORY_LIMIT:
        pixels = file.image().pixels
        return pixels if color or not file.axes.endswith("S") else pixels[..., 0]
    import dask.array

    *_, height, width, samples = file.shape
    counts = file.sizes[: len(file.leading)]
    sides: tuple[tuple[int, ...], ...] = ((height,), (width,))
    sides = (*sides, (samples,)) if color else sides
    read = partial(_plane, file.path, scene, counts, color)
    return dask.array.map_blocks(
        read,
        chunks=(*((1,) * count for count in counts), *sides),
        dtype=file.dtype,
        meta=np.empty((0,) * (len(counts) + len(sides)), file.dtype),
    )


def _plane(
    path: Path,
    scene: int,
    counts: tuple[int, ...],
    color: bool,
    block_info: Any,
) -> NDArray[Any]:
    """Open a file, read one plane and close it."""
    from memnet_core.io import open_image

    place = block_info[None]["chunk-location"][: len(counts)]
    number = int(np.ravel_multi_index(place, counts)) if counts else 0
    with open_image(path, scene=scene) as file:
        _, height, width, _ = file.shape
        pixels = np.array(file.read(number, slice(0, height), slice(0, width)))
    pixels = pixels if color else pixels[..., 0]
    return pixels.reshape((1,) * len(counts) + pixels.shape)


def _zarr_tells(path: Path) -> bool:
    """Whether a folder is an OME-Zarr image written by the plugin or ``memnet``."""
    from memnet_core.io.core.provenance import provenance_in
    from memnet_core.io.zarr.image import TOLD
    from memnet_core.io.zarr.ngff import described_by

    try:
        attributes = _attributes(path)
    except Exception:  # noqa: BLE001 - as in `_tells_of_us`
        return False
    is_image = "multiscales" in described_by(attributes)
    told = attributes.get(TOLD, "")
    note = attributes.get(NAMESPACE)
    return is_image and (bool(note) or bool(provenance_in(str(told))))


def _attributes(path: Path) -> dict[str, Any]:
    import zarr

    from memnet_core.io.zarr.limits import BoundedStore

    return dict(zarr.open_group(BoundedStore(path, read_only=True), mode="r").attrs)


def _read_zarr(path: str | list[str]) -> list[LayerData]:
    """Open an OME-Zarr image with its resolution levels as lazy arrays."""
    import dask.array

    from memnet_core.io.core.errors import wrap_read_errors
    from memnet_core.io.core.provenance import provenance_in
    from memnet_core.io.zarr.image import TOLD, open_ome_zarr
    from memnet_core.io.zarr.ngff import described_by, multiscale_of

    assert isinstance(path, str)
    folder = Path(path)
    with wrap_read_errors(folder):
        attributes = _attributes(folder)
        image = multiscale_of(attributes)
        described = described_by(attributes)
        files = [
            open_ome_zarr(folder, level=level) for level in range(len(image.levels))
        ]
    axes, levels = files[0].axes, [_lazy(file) for file in files]
    made = provenance_in(str(attributes.get(TOLD, "")))
    note = str(attributes.get(NAMESPACE) or "")
    is_rgb = bool(_noted(note).get("rgb")) and "C" in axes
    if is_rgb:
        color = axes.index("C")
        levels = [dask.array.moveaxis(level, color, -1) for level in levels]
    shape = levels[0].shape[:-1] if is_rgb else levels[0].shape
    is_same = bool(note) and _noted_line(note) == (str(made) if made else "")
    known = load_display_state(note, shape, is_same=is_same) if note else {}
    if not known:
        stored = _origin(described["multiscales"][0], image.translation)
        begin = [stored[image.axes.index(axis)] for axis in axes]
        known = _described(axes, image.calibration, begin, _stem(path), shape)
        known |= _display(described, known)
    if not is_same:
        known["metadata"] = _told(made)
    known.setdefault("name", _stem(path))
    known |= {"multiscale": len(levels) > 1, "rgb": is_rgb}
    return [(levels if len(levels) > 1 else levels[0], known, "image")]


def _lazy(file: ImageFile) -> Any:
    """Wrap a level of an OME-Zarr image as a lazy array of its chunks."""
    import dask.array
    from dask.array.core import normalize_chunks

    count = len(file.leading)
    sides = ((1,) * count + file.chunk_shape + (-1,))[: len(file.sizes)]

    def block(block_info: Any) -> NDArray[Any]:
        where = [slice(*ends) for ends in block_info[None]["array-location"]]
        pixels = file.read_block(tuple(where[:count]), *where[count : count + 2])
        return pixels.reshape(block_info[None]["chunk-shape"])

    return dask.array.map_blocks(
        block,
        # Unique, as the pixels of a folder can be others when it is opened again.
        name=f"memnet-{uuid4().hex}",
        chunks=normalize_chunks(sides, file.sizes),
        dtype=file.dtype,
        meta=np.empty((0,) * len(file.sizes), file.dtype),
    )


def _origin(image: dict[str, Any], inner: tuple[float, ...]) -> list[float]:
    """Return where the first pixel lies, with the transform of the image applied."""
    begin = list(inner)
    for transform in image.get("coordinateTransformations", ()):
        numbers = transform.get(transform.get("type"), ())
        if len(numbers) == len(begin) and transform["type"] == "scale":
            begin = [a * float(b) for a, b in zip(begin, numbers, strict=True)]
        elif len(numbers) == len(begin):
            begin = [a + float(b) for a, b in zip(begin, numbers, strict=True)]
    return begin


def _described(
    axes: str, known: Calibration, begin: list[float], name: str, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return scale, translation, units and labels; each channel becomes a layer.

    Parameters
    ----------
    axes : str
        One letter for each axis, without color.
    known : Calibration
        What a step along them means.
    begin : list of float
        Where the first pixel lies along each.
    name : str
        What the layer is called.
    shape : tuple of int
        Sizes along the axes.
    """
    kept = [(n, axis) for n, axis in enumerate(axes) if axis != "C"]
    attributes: dict[str, Any] = {
        "name": name,
        "scale": [float(known.spacing.get(axis, 1)) for _, axis in kept],
        "translate": [begin[n] for n, _ in kept],
        "units": [_unit(known.units.get(axis, "")) for _, axis in kept],
        "axis_labels": [axis.lower() for _, axis in kept],
    }
    place = axes.find("C")
    if place >= 0:
        count = shape[place]
        names = known.channel_names or tuple(f"channel {n}" for n in range(count))
        names = names if len(names) == count else (("",) * count)
        attributes["channel_axis"] = place
        attributes["name"] = [f"{name} {channel}".strip() for channel in names]
    return attributes


def _unit(name: str) -> str:
    """Return a unit if napari knows it, else ``pixel``."""
    import pint

    known: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        return str(known.Unit(name)) if name else "pixel"
    except (pint.UndefinedUnitError, ValueError):
        return "pixel"


def _display(described: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Return the contrast limits and colors of channels from OMERO metadata."""
    from napari.utils.colormaps import Colormap

    channels = described.get("omero", {}).get("channels", [])
    if "channel_axis" not in known or len(channels) != len(known["name"]):
        return {}
    with suppress(KeyError, TypeError, ValueError):
        windows = [c["window"] for c in channels]
        limits = [(float(w["start"]), float(w["end"])) for w in windows]
        colors = [bytes.fromhex(str(c["color"]))[:3] for c in channels]
        shown: dict[str, Any] = {}
        if all(low < high for low, high in limits):
            shown["contrast_limits"] = limits
        # All white says no more than that nobody chose.
        if any(color != b"\xff\xff\xff" for color in colors):
            shown["colormap"] = [
                Colormap([(0, 0, 0), [v / 255 for v in color]], name=color.hex())
                for color in colors
            ]
        return shown
    return {}


def _factor(made: Provenance | None) -> int:
    """Return the upscaling factor along Y and X."""
    from memnet_core.tasks import find_task

    return find_task(made.task).scale(made.levels[0]) if made else 1


def _told(made: Provenance | None) -> dict[str, Any]:
    return {"memnet": {"provenance": str(made)}} if made else {}


def _noted(text: str) -> dict[str, Any]:
    """Parse a note, or return an empty dict if it is damaged."""
    with suppress(ValueError):
        note = json.loads(text or "{}")
        return note if isinstance(note, dict) else {}
    return {}


def _noted_line(text: str) -> str:
    """Return the provenance line of a note."""
    told = _noted(text).get("memnet")
    return str(told.get("provenance", "")) if isinstance(told, dict) else ""


def _stem(path: str) -> str:
    """Return the name of a file without its suffixes."""
    name = Path(path).name
    for suffix in (".ome.tif", ".ome.tiff", ".ome.zarr", ".tif", ".tiff", ".zarr"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
