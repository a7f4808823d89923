"""Restoring a region of a layer: a generator that a worker drives; no Qt here."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core._version import __version__
from napari_memnet.layers import layer_planes, plane_index, twin_attributes

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Image
    from numpy.typing import NDArray

    from memnet_core._old_tasks import TaskSettings
    from memnet_core.batch import BatchSettings
    from memnet_core.engine import TileDone
    from memnet_core.model.zoo import Entry
    from memnet_core.values import RangeChoice, ValueRange
    from napari_memnet.layers import LayerPlanes, Region

__all__ = [
    "MEMORY_LIMIT",
    "LayerSource",
    "Prepared",
    "Restored",
    "automatic_range",
    "progress_of",
    "restore_region",
    "result_layer",
]

MEMORY_LIMIT = 2 * 2**30
"""Bytes beyond which a result goes to a Zarr array on disk."""

_RESULTS = {"deblock": "deblocked", "denoise": "denoised", "sr": "enlarged"}
_GRID = 8
_INTERPOLATION = 4


@dataclass(frozen=True)
class LayerSource:
    """What is known of a layer before work begins; safe to use in another thread.

    Attributes
    ----------
    whole, planes : LayerPlanes
        All planes of the layer, and those that are to be restored.
    path : str, optional
        The file that the layer came from.
    remark : str
        What has to be said of the choice of planes.
    """

    whole: LayerPlanes
    planes: LayerPlanes
    path: str | None
    remark: str = ""

    @classmethod
    def of(cls, layer: Image, region: Region | None = None) -> LayerSource:
        """Return the source for a region of a layer, by default for all of it.

        Raises
        ------
        ImageError
            If the layer cannot be restored.
        """
        whole = layer_planes(layer)
        planes = whole.part(region) if region else whole
        remark = "level 0 of the multiscale layer" if layer.multiscale else ""
        return cls(whole, planes, layer.source.path, remark)


@dataclass(frozen=True)
class Prepared:
    """What a region is restored with, told before the first tile.

    Attributes
    ----------
    entry : Entry
        The model.
    device : str
        The device that is really used.
    level : float, optional
        The level, where it is known.
    remark : str
        How it was found, and what else has to be said.
    values : ValueRange
        The values that count as 0 and 1.
    """

    entry: Entry
    device: str
    level: float | None
    remark: str
    values: ValueRange

    def __str__(self) -> str:
        """Say it in one line."""
        card = self.entry.card
        parts = [
            self.remark,
            f"model {card.name} ({card.serves})",
            f"on {self.device}",
            f"values {self.values.low:g} to {self.values.high:g}",
        ]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Restored:
    """A restored region.

    Attributes
    ----------
    data : array
        A NumPy array, or a dask array over a Zarr array on disk.
    region : Region
        Which part of the source it is.
    scale : int
        Pixels for each of the source, along Y and X.
    task : str
        What was done.
    provenance : dict
        How it came to be, as plain values.
    """

    data: Any
    region: Region
    scale: int
    task: str
    provenance: dict[str, Any]


def automatic_range(layer: Image) -> RangeChoice:
    """Return what suits a layer: the type's values for 8 bits, percentiles for more."""
    data: Any = layer.data[0] if layer.multiscale else layer.data
    return "dtype" if np.dtype(data.dtype).itemsize == 1 else "percentile"


def restore_region(
    source: LayerSource, settings: BatchSettings, memory_limit: int = MEMORY_LIMIT
) -> Generator[Prepared | TileDone, None, Restored]:
    """Restore a region; closing the generator cancels and leaves nothing behind.

    Pixels around the region are taken into account, so that the result is the part of
    the restored layer that it stands for.

    Parameters
    ----------
    source : LayerSource
        What to restore.
    settings : BatchSettings
        How. The value range is that of the whole layer.
    memory_limit : int
        Bytes beyond which the result goes to disk.

    Yields
    ------
    Prepared, TileDone
        First what it is restored with, then after every tile.

    Raises
    ------
    MemnetError
        If the level cannot be found out, no model or device serves, or pixels are not
        finite.
    """
    from memnet_core._old_tasks import restore_stack
    from memnet_core.model.file import load_model
    from memnet_core.values import stack_range

    task = settings.task
    values = stack_range(source.whole, task.value_range)
    task = replace(task, value_range=(values.low, values.high))
    level, found = _level(source, task)
    remark = ", ".join(filter(None, (source.remark, found)))
    entry = settings.choose(level)
    restorer = settings.restorer(load_model(entry.path)[0])
    prepared = Prepared(entry, str(restorer.device), level, remark, values)
    yield prepared
    region = source.planes.region
    outer = _with_context(region, source.whole.region, restorer.halo, task.scale)
    sink = _Sink(source.planes, outer, task.scale, memory_limit)
    try:
        planes = source.whole.part(outer)
        yield from restore_stack(planes, sink, restorer, task, values)
        data = sink.finished()
    except BaseException:
        sink.discard()
        raise
    return Restored(
        data=data,
        region=region,
        scale=task.scale,
        task=task.task,
        provenance=_provenance(prepared, region, settings, restorer.halo)
        | ({"store": str(sink.store)} if sink.store else {}),
    )


def progress_of(event: Prepared | TileDone) -> float | None:
    """Return how much is done after an event of `restore_region`."""
    return None if isinstance(event, Prepared) else event.done / event.total


def result_layer(layer: Image, restored: Restored) -> tuple[Any, dict[str, Any], str]:
    """Return a restored region as layer data: the twin of its source.

    Parameters
    ----------
    layer : Image
        The source.
    restored : Restored
        What came of it.

    Returns
    -------
    tuple
        Data, keyword arguments and ``image``, as ``Layer.create`` takes them.
    """
    name = f"{layer.name} {_RESULTS[restored.task]}"
    attributes = twin_attributes(layer, name, restored.region.start, restored.scale)
    attributes["metadata"]["memnet"] = restored.provenance | {
        "source": {"layer": layer.name, "path": layer.source.path}
    }
    return restored.data, attributes, "image"


def _level(source: LayerSource, task: TaskSettings) -> tuple[float | None, str]:
    """Return the level, None if it cannot be found out, and how it was found."""
    from memnet_core._old_tasks import find_level
    from memnet_core.errors import LevelError
    from memnet_core.io import Image as CoreImage
    from memnet_core.io import read_image

    planes = source.planes
    if task.level is not None:
        return task.level, ""
    if task.task == "denoise":
        image = CoreImage(planes[planes.shape[0] // 2], "YXS")
    elif source.path and Path(source.path).is_file():
        image = read_image(Path(source.path))
    else:
        return None, "JPEG quality not known, as the layer comes from no file"
    try:
        found = find_level(image, task)
    except LevelError:
        return None, "JPEG quality not known, as the file is no JPEG"
    return found.level, found.remark


def _with_context(region: Region, whole: Region, halo: int, scale: int) -> Region:
    """Return a region with what its pixels depend on around it."""
    margin = -(-halo // scale) + (_INTERPOLATION if scale > 1 else 0)
    rows, columns = (
        slice(
            max(part.start - margin, 0) // _GRID * _GRID,
            min(part.stop + margin, full.stop),
        )
        for part, full in zip(region.slices[-2:], whole.slices[-2:], strict=True)
    )
    return region.with_planes(rows, columns)


class _Sink:
    """Takes restored planes and keeps the part of them that was asked for."""

    def __init__(
        self, planes: LayerPlanes, outer: Region, scale: int, memory_limit: int
    ) -> None:
        self.store: Path | None = None
        shape = planes.restored_shape(scale)
        self._rgb = len(shape) > len(planes.region.slices)
        self._leading = planes.region.shape
        self._part = tuple(
            slice((part.start - begin) * scale, (part.stop - begin) * scale)
            for part, begin in zip(
                planes.region.slices[-2:], outer.start[-2:], strict=True
            )
        )
        size = int(np.prod(shape, dtype=np.int64)) * planes.dtype.itemsize
        if size > memory_limit:
            self._data = self._on_disk(shape, planes.dtype)
        else:
            self._data = np.empty(shape, planes.dtype)

    def __setitem__(self, index: int, pixels: NDArray[Any], /) -> None:
        part = pixels[self._part]
        where = plane_index(index, self._leading)
        self._data[where] = part if self._rgb else part[..., 0]

    def finished(self) -> Any:
        """Return the data, lazily where they are on disk."""
        if self.store is None:
            return self._data
        import dask.array

        return dask.array.from_zarr(self._data)

    def discard(self) -> None:
        """Remove what is on disk."""
        if self.store is not None:
            shutil.rmtree(self.store, ignore_errors=True)

    def _on_disk(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        import zarr

        self.store = Path(tempfile.mkdtemp(prefix="memnet-", suffix=".zarr"))
        atexit.register(shutil.rmtree, self.store, ignore_errors=True)
        leading = len(self._leading) - 2
        chunks = (1,) * leading + shape[leading:]
        return zarr.create_array(
            store=self.store, shape=shape, chunks=chunks, dtype=dtype
        )


def _provenance(
    prepared: Prepared, region: Region, settings: BatchSettings, halo: int
) -> dict[str, Any]:
    card = prepared.entry.card
    return {
        "memnet": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": settings.task.task,
        "level": prepared.level,
        "remark": prepared.remark,
        "model": card.name,
        "model_sha256": card.sha256,
        "device": prepared.device,
        "halo": halo,
        "values": [prepared.values.low, prepared.values.high],
        "region": [[part.start, part.stop] for part in region.slices],
        "settings": asdict(settings),
    }
