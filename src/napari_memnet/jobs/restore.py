"""Restoring a region of a layer: a generator that a worker drives; no Qt here."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core._version import __version__
from memnet_core.errors import MemnetError
from memnet_core.progress import GeneratorWithResult, Progress
from napari_memnet.layers.result_store import MEMORY_LIMIT, ResultStore, is_for_disk
from napari_memnet.layers.results import RestoredRegion
from napari_memnet.layers.source import (
    LayerSource,
    fingerprint,
    jpeg_tables_of,
    layer_planes,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari.layers import Image
    from numpy.typing import NDArray

    from memnet_core.inference.plan import Prepared, RestorePlan
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.progress import Notice
    from napari_memnet.layers.source import LayerRegion

__all__ = [
    "LayerBegun",
    "LayerFailed",
    "LayerRestored",
    "RestoreRequest",
    "progress_of",
    "restore_layers",
    "restore_region",
]


@dataclass(frozen=True)
class RestoreRequest:
    """A layer and the region to restore; safe to use in another thread.

    Attributes
    ----------
    planes : LayerSource
        All planes of the layer.
    region : Region
        What is to be restored.
    path : str, optional
        The file that the layer came from.
    remark : str
        What has to be said of the choice of planes.
    """

    planes: LayerSource
    region: LayerRegion
    path: str | None
    remark: str = ""

    @classmethod
    def of(cls, layer: Image, region: LayerRegion | None = None) -> RestoreRequest:
        """Build the request for a region of a layer, by default the whole layer.

        Raises
        ------
        ImageError
            If the layer cannot be restored.
        """
        planes = layer_planes(layer)
        planes.jpeg_tables = jpeg_tables_of(layer)
        remark = "level 0 of the multiscale layer" if layer.multiscale else ""
        return cls(planes, region or planes.region, layer.source.path, remark)

    def with_tables(self) -> LayerSource:
        """Return the planes with the JPEG quantization tables of their file.

        Files that cannot be read as an image any more have none.
        """
        from memnet_core.io import open_image

        if self.path is not None and Path(self.path).is_file():
            with suppress(MemnetError), open_image(Path(self.path)) as file:
                self.planes.jpeg_tables = file.jpeg_tables
                if file.shape[1:3] == self.planes.shape[1:3]:
                    self.planes.jpeg_coding = file.jpeg_coding
        return self.planes


@dataclass(frozen=True)
class LayerBegun:
    """The result of a layer exists and is filled from now on."""

    number: int
    restored: RestoredRegion


@dataclass(frozen=True)
class LayerRestored:
    """A layer is restored."""

    number: int
    restored: RestoredRegion


@dataclass(frozen=True)
class LayerFailed:
    """A layer could not be restored."""

    number: int
    error: MemnetError


_plans: OrderedDict[tuple[object, ...], RestorePlan] = OrderedDict()
"""Plans of this session, the latest last, by pixels, settings and installed models."""

_MOST_PLANS = 32


def plan_for(source: RestoreRequest, settings: RestoreOptions) -> RestorePlan:
    """Return the plan for a layer: made once, until its pixels or the settings change.

    Previews, slices, stacks and one-click commands of a layer share it.

    Raises
    ------
    MemnetError
        As `memnet_core.inference.steps.plan_chain`.
    """
    from memnet_core.inference.steps import plan_chain
    from memnet_core.model.registry import installed

    planes = source.with_tables()
    axes = planes.rgb, planes.channel_axis, planes.frame_axis, source.path
    models = tuple(entry.card.sha256 for entry in installed()[0])
    pixels = fingerprint(planes.data), planes.shape, str(planes.dtype)
    key = pixels, axes, settings, models
    plan = _plans.pop(key, None)
    if plan is None:
        plan = plan_chain(planes, settings)
        if source.remark:
            remarks = (source.remark, *plan.remarks)
            plan = plan.model_copy(update={"remarks": remarks})
    _plans[key] = plan
    if len(_plans) > _MOST_PLANS:
        _plans.popitem(last=False)
    return plan


def restore_region(
    source: RestoreRequest,
    settings: RestoreOptions,
    *,
    memory_limit: int = MEMORY_LIMIT,
) -> Generator[Prepared | RestoredRegion | Progress | Notice, None, RestoredRegion]:
    """Restore a region; closing the generator cancels and leaves nothing behind.

    The result is the part of the restored layer that it stands for.

    Parameters
    ----------
    source : RestoreRequest
        What to restore.
    settings : RestoreOptions
        How; range and level are those of the whole layer.
    memory_limit : int
        Bytes beyond which the result goes to disk.

    Yields
    ------
    Prepared, Restored, Progress, Notice
        First what it is restored with, then a result that goes to disk, which fills
        from there on, and progress after every strip of rows.

    Raises
    ------
    MemnetError
        If the level cannot be found out, no model or device serves, or pixels are not
        finite.
    """
    from memnet_core.inference.engine import bind_engine
    from memnet_core.inference.runner import restore
    from memnet_core.sources.regions import PixelRegion as CoreRegion

    prepared = bind_engine(plan_for(source, settings), settings.device)
    yield prepared
    scale, planes = prepared.scale, source.planes
    numbers = planes.numbers(source.region)
    rows, columns = (
        slice(part.start * scale, part.stop * scale)
        for part in source.region.slices[-2:]
    )
    sink = _RegionSink(source, numbers, scale, memory_limit)
    restored = RestoredRegion(
        data=sink.data,
        region=source.region,
        scale=scale,
        task=prepared.task.name,
        provenance=_provenance(prepared, source, settings)
        | ({"store": str(sink.store.path)} if sink.store else {}),
    )
    try:
        if sink.store:
            yield restored
        yield from restore(planes, sink, prepared, CoreRegion(numbers, rows, columns))
    except BaseException:
        if sink.store:
            sink.store.discard()
        raise
    return restored


def progress_of(event: object) -> float | None:
    """Return the completed fraction after an event, or None."""
    return event.fraction if isinstance(event, Progress) else None


def restore_layers(
    parts: Sequence[tuple[RestoreRequest, RestoreOptions]],
) -> Generator[Any, None, list[LayerFailed]]:
    """Restore regions of several layers; one that fails does not stop the others.

    Parameters
    ----------
    parts : sequence of (RestoreRequest, RestoreOptions)
        What to restore and how.

    Yields
    ------
    Prepared, LayerBegun, Progress, Notice, LayerRestored
        As `restore_region`, with the progress of all, and each result as it is done.

    Returns
    -------
    list of LayerFailed
        Which could not be restored.

    Raises
    ------
    MemnetError
        As `restore_region`, if there is but one.
    """
    failures = []
    for number, (source, settings) in enumerate(parts):
        events = GeneratorWithResult(restore_region(source, settings))
        try:
            for event in events:
                if isinstance(event, Progress):
                    done = number * event.total + event.done
                    yield Progress(done, len(parts) * event.total)
                elif isinstance(event, RestoredRegion):
                    yield LayerBegun(number, event)
                else:
                    yield event
        except MemnetError as error:
            if len(parts) == 1:
                raise
            failures.append(LayerFailed(number, error))
        else:
            yield LayerRestored(number, events.result)
    return failures


class _RegionSink:
    """Sink that writes restored windows into the result of a region."""

    def __init__(
        self, source: RestoreRequest, numbers: list[int], scale: int, memory_limit: int
    ) -> None:
        planes, region = source.planes, source.region
        *leading, height, width = region.shape
        samples = planes.shape[-1:] if planes.rgb else ()
        shape = (*leading, height * scale, width * scale, *samples)
        self._rgb, dtype = planes.rgb, planes.dtype
        self._places: dict[int, tuple[int, ...]] = {
            number: tuple(int(i) for i in np.unravel_index(place, tuple(leading)))
            if leading
            else ()
            for place, number in enumerate(numbers)
        }
        self._corner = tuple(scale * start for start in region.start[-2:])
        self.store: ResultStore | None = None
        if is_for_disk(shape, dtype, rgb=self._rgb, memory_limit=memory_limit):
            self.store = ResultStore(shape, dtype, rgb=self._rgb)
            self.data = self.store.data
        else:
            self.data = np.empty(shape, dtype)

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        """Write a window of a plane."""
        top, left = (
            part.start - first
            for part, first in zip((rows, columns), self._corner, strict=True)
        )
        height, width = pixels.shape[:2]
        place = self._places[plane]
        pixels = pixels if self._rgb else pixels[..., 0]
        if self.store:
            self.store.write(place, top, left, pixels)
        else:
            where = slice(top, top + height), slice(left, left + width)
            self.data[(*place, *where)] = pixels


def _provenance(
    prepared: Prepared, source: RestoreRequest, settings: RestoreOptions
) -> dict[str, Any]:
    from memnet_core.inference.provenance import provenance

    card, decision = prepared.entry.card, prepared.decision
    return {
        "memnet": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "task": settings.task,
        "level": decision.level,
        "remark": ", ".join(decision.remarks),
        "model": card.name,
        "model_sha256": card.sha256,
        "device": str(prepared.engine.device),
        "channels": [channel.model_dump() for channel in decision.channels],
        "region": [[part.start, part.stop] for part in source.region.slices],
        "settings": asdict(settings),
        "provenance": str(provenance(decision, settings)),
    }
