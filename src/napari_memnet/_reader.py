"""Open OME-TIFF and OME-Zarr with pixel sizes; results lie on their source."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from memnet_core.errors import MemnetError
from napari_memnet.layers.metadata import NAMESPACE, load_display_state
from napari_memnet.layers.result_store import MEMORY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.utils.colormaps import Colormap
    from numpy.typing import NDArray

    from memnet_core.io import Calibration, ImageFile, Provenance

    LayerData = tuple[Any, dict[str, Any], str]
    Reader = Callable[[str | list[str]], list[LayerData]]

__all__ = ["get_reader"]

_MOST_IMAGES = 12
"""Images of a plate or collection that become layers at once."""


def get_reader(path: str | list[str]) -> Reader | None:
    """Return the reader for an OME-TIFF or OME-Zarr, or None if nothing is there.

    Parameters
    ----------
    path : str or list of str
        A file, the folder of an OME-Zarr, or files that napari stacks by itself.
    """
    paths = [path] if isinstance(path, str) else path
    if all(map(os.path.exists, paths)):
        return _read if isinstance(path, str) else _napari_reader(path)
    return None


def _read(path: str | list[str]) -> list[LayerData]:
    """Open a file by the readers of the core, or by napari's where these refuse it."""
    from napari.utils.notifications import show_info

    assert isinstance(path, str)
    try:
        return _read_zarr(path) if os.path.isdir(path) else _read_tiff(path)
    except MemnetError as error:
        # napari follows the links of an OME-Zarr out of its folder.
        read = None if _is_ome_zarr(path) else _napari_reader(path)
        layers = read(path) if read else []
        # None is napari's sign for no data; of damaged files there may be none.
        if not layers or layers[0][0] is None or not np.size(layers[0][0]):
            raise
        show_info(f"Opened by napari, without its pixel sizes: {error}")
        return layers


def _is_ome_zarr(path: str) -> bool:
    from memnet_core.io.zarr.ngff import described_by

    return os.path.isdir(path) and bool(described_by(_attributes(Path(path))))


def _napari_reader(path: str | list[str]) -> Reader | None:
    from napari_builtins.io import napari_get_reader

    reader: Reader | None = napari_get_reader(path)
    return reader


def _read_tiff(path: str) -> list[LayerData]:
    """Open a TIFF: one layer per image, or per channel of an image."""
    from memnet_core.io import open_scenes, provenance_of

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
    from memnet_core.io.tiff.ome_xml import channel_colors_of_ome, note_of_ome

    color = file.axes.endswith("S") and file.shape[-1] > 1
    shape = file.sizes[: len(file.axes) - file.axes.endswith("S")]
    xml = getattr(file.metadata.native, "xml", "")
    text = note_of_ome(xml, NAMESPACE)
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
        colors = channel_colors_of_ome(xml, scene)
        if "channel_axis" in attributes and len(colors) == len(attributes["name"]):
            attributes["colormap"] = [_colormap(color) for color in colors]
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


def _attributes(path: Path) -> dict[str, Any]:
    import zarr

    from memnet_core.io.zarr.limits import BoundedStore

    return dict(zarr.open_group(BoundedStore(path, read_only=True), mode="r").attrs)


def _read_zarr(path: str) -> list[LayerData]:
    """Open an OME-Zarr: a layer per image; of a plate with many images the first."""
    from napari.utils.notifications import show_info

    from memnet_core.io import open_scenes

    name = _stem(path)
    with open_scenes(Path(path)) as scenes:
        if not scenes.are_folders:
            return [_zarr_layer(Path(path), name)]
        inner = scenes.names
    shown = inner if len(inner) <= _MOST_IMAGES else inner[:1]
    if shown != inner:
        show_info(
            f"{path} holds {len(inner)} images; {inner[0]} is open. Drop the folder of "
            "another one into the window to open it."
        )
    return [_zarr_layer(Path(path, part), f"{name}, {part}") for part in shown]


def _zarr_layer(folder: Path, name: str) -> LayerData:
    """Open an OME-Zarr image with its resolution levels as lazy arrays."""
    import dask.array

    from memnet_core.io.core.errors import wrap_read_errors
    from memnet_core.io.core.provenance import provenance_in
    from memnet_core.io.zarr.image import TOLD, open_ome_zarr
    from memnet_core.io.zarr.ngff import described_by, multiscale_of

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
        known = _described(axes, image.calibration, begin, name, shape)
        known |= _display(described, known)
    if not is_same:
        known["metadata"] = _told(made)
    known.setdefault("name", name)
    known |= {"multiscale": len(levels) > 1, "rgb": is_rgb}
    return levels if len(levels) > 1 else levels[0], known, "image"


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
            shown["colormap"] = [_colormap(color) for color in colors]
        return shown
    return {}


def _colormap(color: bytes) -> Colormap:
    """Return a colormap from black to a color of three bytes."""
    from napari.utils.colormaps import Colormap

    return Colormap([(0, 0, 0), [v / 255 for v in color]], name=color.hex())


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
