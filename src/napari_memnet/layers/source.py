"""Layers in and out: planes of a layer, and results that lie exactly on it.

Nothing here needs Qt or changes a layer.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from memnet_core.io.core.arrays import ChunkCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from memnet_core.jpeg.coding import JpegCoding

__all__ = [
    "LayerRegion",
    "LayerSource",
    "aligned_layer_attributes",
    "fingerprint",
    "jpeg_tables_of",
    "layer_planes",
    "origin",
    "place_of",
    "plane_index",
]

_KEPT = (
    "affine",
    "attenuation",
    "axis_labels",
    "blending",
    "colormap",
    "contrast_limits",
    "depiction",
    "gamma",
    "interpolation2d",
    "interpolation3d",
    "iso_threshold",
    "opacity",
    "projection_mode",
    "rendering",
    "rgb",
    "rotate",
    "scale",
    "shear",
    "translate",
    "units",
)


_SAMPLED = 2**20
"""Values of a large array that its fingerprint looks at."""

_CHANNEL_LABELS = ("c", "channel", "channels")
_TIME_LABELS = ("t", "time")
_DEPTH_LABELS = ("z", "depth")


@dataclass(frozen=True)
class LayerRegion:
    """A part of a layer's data.

    Attributes
    ----------
    slices : tuple of slice
        Start and stop along every axis that the layer has, without color.
    """

    slices: tuple[slice, ...]

    @classmethod
    def whole(cls, shape: Sequence[int]) -> LayerRegion:
        """Return the region that is all of a shape."""
        return cls(tuple(slice(0, int(size)) for size in shape))

    @property
    def start(self) -> tuple[int, ...]:
        """First index along every axis."""
        return tuple(part.start for part in self.slices)

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along every axis."""
        return tuple(part.stop - part.start for part in self.slices)

    def at(self, index: Sequence[int], keep: int | None = None) -> LayerRegion:
        """Return the plane at an index of the leading axes.

        Parameters
        ----------
        index : sequence of int
            One for every axis; those of Y and X are ignored, others are clipped.
        keep : int, optional
            A leading axis along which everything is kept: a stack.
        """
        leading = [
            part if axis == keep else _single(int(value), part)
            for axis, (value, part) in enumerate(
                zip(index[:-2], self.slices[:-2], strict=True)
            )
        ]
        return LayerRegion((*leading, *self.slices[-2:]))

    def with_planes(self, rows: slice, columns: slice) -> LayerRegion:
        """Return the region with other rows and columns."""
        return LayerRegion((*self.slices[:-2], rows, columns))


def _single(value: int, part: slice) -> slice:
    index = min(max(value, part.start), part.stop - 1)
    return slice(index, index + 1)


def fingerprint(data: Any, region: LayerRegion | None = None) -> int | str:
    """Return a value that changes with the pixels of a layer, also in place.

    Parameters
    ----------
    data : array
        Pixels. Only arrays in memory are read; others are known by their name.
    region : LayerRegion, optional
        Part to look at, all of it; by default a sample of everything.
    """
    if not isinstance(data, np.ndarray):
        return str(getattr(data, "name", id(data)))
    pixels = data[region.slices] if region else data.flat[:: data.size // _SAMPLED + 1]
    return zlib.crc32(np.ascontiguousarray(pixels).tobytes())


class LayerSource:
    """The planes of a layer: a `memnet_core.sources.protocols.PixelSource`.

    Dask arrays, Zarr arrays and the like are asked for windows of one plane at a time,
    and for each chunk once while windows come from top to bottom. The layer itself is
    not needed any more, so that another thread can read on.

    Parameters
    ----------
    data : array
        Pixels of shape (..., H, W), with samples behind if `rgb`.
    rgb : bool
        Whether the last axis is color.
    channel_axis : int, optional
        The leading axis along which channels lie, each with a range of its own.
    jpeg_tables : tuple of tuple of int
        Quantization tables of the JPEG that the layer was read from.
    frame_axis : int, optional
        The leading axis along which planes follow each other: time, else depth.

    Attributes
    ----------
    region : Region
        All of the layer.
    channel_axis, frame_axis : int, optional
        As given.
    missing_planes : frozenset of int
        None of a layer: whatever it shows is there.
    jpeg_coding : JpegCoding, optional
        How that JPEG codes the pixels.
    """

    def __init__(
        self,
        data: Any,
        rgb: bool,
        channel_axis: int | None = None,
        jpeg_tables: tuple[tuple[int, ...], ...] = (),
        frame_axis: int | None = None,
    ) -> None:
        self.data = data
        self.rgb = rgb
        self.dtype = np.dtype(data.dtype)
        self.jpeg_tables = jpeg_tables
        self.jpeg_coding: JpegCoding | None = None
        self.channel_axis = channel_axis
        self.frame_axis = frame_axis
        self.missing_planes: frozenset[int] = frozenset()
        sizes = tuple(int(size) for size in data.shape)
        self.region = LayerRegion.whole(sizes[:-1] if rgb else sizes)
        edges = _chunk_edges(data, self.region.shape)
        self._cache = edges and ChunkCache(self._pixels, *edges)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, S): planes, height, width, samples."""
        *leading, height, width = self.region.shape
        samples = int(self.data.shape[-1]) if self.rgb else 1
        return math.prod(leading), height, width, samples

    @property
    def channels(self) -> int:
        """Number of channels."""
        axis = self.channel_axis
        return 1 if axis is None else self.region.shape[axis]

    def channel(self, plane: int) -> int:
        """Return the channel of a plane."""
        axis = self.channel_axis
        return 0 if axis is None else plane_index(plane, self.region.shape)[axis]

    def neighbors(self, plane: int) -> list[int]:
        """Return the planes before and after one in time, else in depth."""
        axis = self.frame_axis
        if axis is None:
            return []
        sizes = self.region.shape[:-2]
        step, place = (
            math.prod(sizes[axis + 1 :]),
            plane_index(plane, self.region.shape)[axis],
        )
        before = [plane - step] if place > 0 else []
        return [*before, plane + step] if place < sizes[axis] - 1 else before

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a window of a plane, of shape (h, w, S)."""
        read = self._cache.read if self._cache else self._pixels
        return read(plane, rows, columns)

    def _pixels(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        where = plane_index(plane, self.region.shape)
        window = np.asarray(self.data[(*where, rows, columns)])
        return window if self.rgb else window[..., None]

    def numbers(self, region: LayerRegion) -> list[int]:
        """Return the numbers of the planes that a region has a part of."""
        counts = self.region.shape[:-2]
        numbers = np.arange(math.prod(counts)).reshape(counts)
        return [int(n) for n in numbers[region.slices[:-2]].ravel()]

    def plane(self, region: LayerRegion) -> NDArray[Any]:
        """Read the rows and columns of a region in its first plane."""
        return self.read(self.numbers(region)[0], *region.slices[-2:])


def _chunk_edges(data: Any, shape: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Return the chunk boundaries along Y and X, or None if data are not chunked.

    Dask tells the size of every chunk along an axis, Zarr and HDF5 that of all.
    """
    chunks = getattr(data, "chunks", None)
    if not chunks:
        return None
    rows, columns = (
        [*range(0, size, sizes), size]
        if isinstance(sizes, int)
        else [0, *accumulate(sizes)]
        for sizes, size in zip(
            chunks[len(shape) - 2 : len(shape)], shape[-2:], strict=True
        )
    )
    return rows, columns


def plane_index(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Return where the plane of a number is along the leading axes of a shape."""
    return tuple(int(i) for i in np.unravel_index(index, tuple(shape[:-2]) or (1,)))[
        : len(shape) - 2
    ]


def layer_planes(layer: Image) -> LayerSource:
    """Return all planes of a layer, of a multiscale one in full resolution.

    Raises
    ------
    ImageError
        If the layer has fewer than two axes, or its values are no numbers.
    """
    data: Any = layer.data[0] if layer.multiscale else layer.data
    frames = _axis_labeled(layer, _TIME_LABELS)
    if frames is None or data.shape[frames] == 1:
        frames = _axis_labeled(layer, _DEPTH_LABELS)
    planes = LayerSource(
        data,
        bool(layer.rgb),
        channel_axis=_axis_labeled(layer, _CHANNEL_LABELS),
        frame_axis=frames,
    )
    if len(planes.region.slices) < 2 or 0 in planes.region.shape:
        raise ImageError(
            f"The layer {layer.name!r} has the shape {tuple(data.shape)}; restoration "
            "needs planes with rows and columns."
        )
    if planes.dtype.kind not in "buif":
        raise ImageError(
            f"The layer {layer.name!r} has values of type {data.dtype}; convert them "
            "to integers or floats first."
        )
    return planes


def _axis_labeled(layer: Image, names: Sequence[str]) -> int | None:
    """Return the first leading axis that has one of some names."""
    labels = [str(label).lower() for label in layer.axis_labels[:-2]]
    found = [axis for axis, label in enumerate(labels) if label in names]
    return found[0] if found else None


def place_of(layer: Image, region: LayerRegion) -> str:
    """Say which slice of a layer a region is, such as ``z 3``; empty if it is all."""
    whole = layer_planes(layer).region
    parts = zip(
        layer.axis_labels[:-2], region.slices[:-2], whole.shape[:-2], strict=True
    )
    named = [
        (str(label), part.start)
        for label, part, size in parts
        if part.stop - part.start == 1 < size
    ]
    # napari calls axes without a name by numbers such as -3.
    unnamed = "slice" if len(whole.shape) == 3 else "axis {}:"
    return " ".join(
        f"{unnamed.format(label) if label.lstrip('-').isdigit() else label} {index}"
        for label, index in named
    )


def origin(layer: Layer) -> dict[str, Any]:
    """Return how this plugin made a layer; empty if it did not."""
    told = _told(layer)
    return told if isinstance(told.get("source"), dict) else {}


def jpeg_tables_of(layer: Layer) -> tuple[tuple[int, ...], ...]:
    """Return the quantization tables that a layer without a file brings along."""
    tables: tuple[tuple[int, ...], ...] = _told(layer).get("jpeg_tables", ())
    return tables


def _told(layer: Layer) -> dict[str, Any]:
    """Return the metadata that this plugin wrote to a layer."""
    told = layer.metadata.get("memnet")
    return told if isinstance(told, dict) else {}


def aligned_layer_attributes(
    layer: Image, name: str, start: Sequence[float], scale: int = 1
) -> dict[str, Any]:
    """Return the attributes that align a restored layer with its source.

    Parameters
    ----------
    layer : Image
        The source.
    name : str
        Name of the new layer.
    start : sequence of float
        Index in the source's data where the restored region begins, for every axis.
    scale : int
        Pixels of the result for each of the source, along Y and X. napari puts pixel
        centers on integers, so that an enlarged region begins half a source pixel
        less half a result pixel before the center of its first pixel.

    Returns
    -------
    dict
        Keyword arguments of ``napari.layers.Image``, without data; `metadata` is a
        copy of the source's.
    """
    attributes = layer.as_layer_data_tuple()[1]
    kept = {key: attributes[key] for key in _KEPT if key in attributes}
    shrink = np.ones(layer.ndim)
    shrink[-2:] = 1 / scale
    begin = np.asarray(start, np.float64) + (shrink - 1) / 2
    kept["translate"] = np.asarray(layer.translate) + _world_offset(layer, begin)
    kept["scale"] = np.asarray(layer.scale) * shrink
    return {
        **kept,
        "name": name,
        "metadata": dict(layer.metadata),
        "multiscale": False,
    }


def _world_offset(layer: Image, begin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a layer's `translate` has to move to begin at a data index."""
    from napari.utils.transforms import Affine

    linear = Affine(
        scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
    ).linear_matrix
    offset: NDArray[np.float64] = linear @ begin
    return offset
