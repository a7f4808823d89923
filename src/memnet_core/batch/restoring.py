"""Restoring a file as a whole, or one shard of an OME-Zarr result."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core._util.sanitize import join_limited
from memnet_core.errors import ImageError, NothingToDo
from memnet_core.inference.runner import restore
from memnet_core.io import open_image
from memnet_core.io.core.errors import wrap_write_errors
from memnet_core.io.zarr.image import discard_block, open_level, shrink_block
from memnet_core.progress import Notice, Progress
from memnet_core.sources.prefetch import prefetched
from memnet_core.sources.regions import PixelRegion

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from memnet_core.batch.jobs import Job
    from memnet_core.batch.shared_output import SharedResult
    from memnet_core.inference.engine import EngineCache
    from memnet_core.inference.plan import Prepared
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io import ImageFile, Scenes
    from memnet_core.sources.protocols import Sink

__all__ = [
    "SceneJob",
    "ShardWorker",
    "common_level",
    "opened_scenes",
    "prepared_parts",
    "summarize",
]


@dataclass(frozen=True)
class SceneJob:
    """An image of a file.

    Attributes
    ----------
    label : str
        What tells it from the others; empty if it is the only one.
    source : ImageFile
        The open image.
    prepared : Prepared, optional
        How it is restored; None if it is copied, because it needs nothing.
    reason : str
        Why it needs nothing.
    """

    label: str
    source: ImageFile
    prepared: Prepared | None
    reason: str = ""

    @property
    def pixels(self) -> int:
        """Pixels of all its planes."""
        count, height, width, _ = self.source.shape
        return count * height * width

    def written(self, sink: Sink) -> Generator[float | str, None, None]:
        """Restore it into a sink; yield the fraction that is done, and notices."""
        with prefetched(self.source) as ahead:
            if self.prepared is None:
                count, height, width, _ = ahead.shape
                whole = slice(0, height), slice(0, width)
                for plane in range(count):
                    sink.write(plane, *whole, ahead.read(plane, *whole))
                    yield (plane + 1) / count
                return
            for event in restore(ahead, sink, self.prepared):
                if isinstance(event, Progress):
                    yield event.fraction
                elif isinstance(event, Notice):
                    told = f"{self.label}: " if self.label else ""
                    yield f"{told}{event.text}"


def opened_scenes(
    scenes: Scenes, axes: str, resources: ExitStack
) -> tuple[list[tuple[str, ImageFile]], list[str]]:
    """Open all images that can be read, as long as there is one.

    Parameters
    ----------
    scenes : Scenes
        The open file.
    axes : str
        Axes of all images, instead of those that they tell.
    resources : ExitStack
        Gets the open images.

    Returns
    -------
    list of (str, ImageFile)
        Their labels, empty for the only one, and themselves.
    list of str
        What cannot be read, and why, and what else the file holds.

    Raises
    ------
    ImageError
        If no image can be read: why the first cannot.
    """
    opened, lost = [], []
    first: ImageError | None = None
    several = len(scenes) > 1
    for number in range(len(scenes)):
        label = scenes.label(number) if several else ""
        try:
            source = resources.enter_context(scenes.open(number, axes))
        except ImageError as error:
            first = first or error
            _, _, why = str(error).partition(" cannot be read: ")
            lost.append(f"{label} ({(why or str(error)).rstrip('.')})")
        else:
            opened.append((label, source))
    if not opened and first:
        raise first
    return opened, [*lost, *(scenes.left_out if several else ())]


def prepared_parts(
    opened: Sequence[tuple[str, ImageFile]],
    settings: RestoreOptions,
    models: EngineCache,
) -> list[SceneJob]:
    """Decide how each image is restored.

    Raises
    ------
    MemnetError
        As `prepare`; `NothingToDo` only if no image needs anything.
    """
    from memnet_core.inference.engine import prepare  # imports PyTorch

    parts, idle = [], []
    for label, source in opened:
        try:
            parts.append(SceneJob(label, source, prepare(source, settings, models)))
        except NothingToDo as error:
            idle.append(error)
            parts.append(SceneJob(label, source, None, str(error)))
    if len(idle) == len(parts):
        raise idle[0]
    return parts


def summarize(parts: Sequence[SceneJob]) -> str:
    """Return what was found of each image, once where it is the same for all."""
    told = [
        "; ".join(part.prepared.decision.remarks)
        if part.prepared
        else f"left as it is: {part.reason}"
        for part in parts
    ]
    if len(set(told)) > 1:
        both = zip(parts, told, strict=True)
        each = [f"{part.label}: {text}" for part, text in both if text]
        return join_limited(each)
    count = f"{len(parts)} images" if len(parts) > 1 else ""
    return "; ".join(filter(None, (count, told[0])))


def common_level(parts: Sequence[SceneJob]) -> float | None:
    """Return the level of all images that are restored; None where they differ."""
    levels = {part.prepared.decision.level for part in parts if part.prepared}
    return levels.pop() if len(levels) == 1 else None


class ShardWorker:
    """The open source and the engine that shards need.

    Parameters
    ----------
    work : SharedResult
        The result in the making.
    job : Job
        What it is made of.
    device : str
        Where to compute.
    models : EngineCache
        Where engines are kept.

    Raises
    ------
    MemnetError
        If the source or the model cannot be read, or the plan is not one for them.
    """

    def __init__(
        self, work: SharedResult, job: Job, device: str, models: EngineCache
    ) -> None:
        from memnet_core.inference.engine import bind_engine  # imports PyTorch

        self.work = work
        with ExitStack() as opened:
            self._source = opened.enter_context(
                open_image(job.source, job.axes, scene=job.scene)
            )
            work.check_source(self._source)
            self.prepared = bind_engine(work.plan.decision, device, models)
            opened.pop_all()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def make(
        self, level: int, index: int, *, wait: bool
    ) -> Generator[Progress | Notice, None, bool]:
        """Make a shard unless it is done; say whether it is done now.

        Parameters
        ----------
        level, index : int
            Level 0 is restored; others are made from the one before, which is done.
        wait : bool
            Whether to wait for another process that is making it.

        Raises
        ------
        MemnetError
            If it cannot be read, restored or written; then the shard is not marked.
        """
        work = self.work
        if work.is_done(level, index):
            return True
        with work.claimed(f"{level}-{index}", wait=wait) as held:
            if held and not work.is_done(level, index):
                try:
                    yield from self._written(level, index)
                except (OSError, ImageError):
                    # Another run may have completed and placed the image meanwhile.
                    if not work.is_complete():
                        raise
            return held or work.is_complete()

    def _written(
        self, level: int, index: int
    ) -> Generator[Progress | Notice, None, None]:
        """Compute a shard, write it and mark it as done."""
        work = self.work
        block = work.plan.layout.block(level, index)
        if level:
            pixels = shrink_block(open_level(work.image, level - 1), block)
        else:
            pixels = yield from self._restored(block)
        with wrap_write_errors(work.image):
            discard_block(work.image, level, block)
            open_level(work.image, level)[block] = pixels
            work.mark_done(level, index)

    def _restored(
        self, block: tuple[slice, ...]
    ) -> Generator[Progress | Notice, None, NDArray[Any]]:
        """Restore a block of the full resolution, along the axes of the result."""
        source, layout = self._source, self.work.plan.layout
        chosen = dict(zip(layout.axes, block, strict=True))
        rows, columns = chosen["Y"], chosen["X"]
        counts = source.sizes[: len(source.leading)]
        leading = tuple(chosen[axis] for axis in source.leading)
        numbers = np.arange(source.shape[0]).reshape(counts)[leading]
        sink = _BlockSink(
            numbers.ravel(), rows, columns, source.shape[-1], source.dtype
        )
        part = PixelRegion(sink.planes, rows, columns)
        yield from restore(source, sink, self.prepared, part)
        return self._arranged(sink.pixels, numbers.shape)

    def _arranged(self, planes: NDArray[Any], counts: tuple[int, ...]) -> NDArray[Any]:
        """Return planes (N, h, w, S) along the axes of the result."""
        source, axes = self._source, self.work.plan.layout.axes
        named = f"{source.leading}YX"
        pixels = planes.reshape(*counts, *planes.shape[1:])
        if "S" in source.axes and "C" in axes:
            named += "C"
        else:
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels.transpose([named.index(a) for a in axes]))


class _BlockSink:
    """Collects the planes of a block."""

    def __init__(
        self,
        planes: NDArray[np.intp],
        rows: slice,
        columns: slice,
        samples: int,
        dtype: np.dtype[Any],
    ) -> None:
        self.planes = [int(plane) for plane in planes]
        self._corner = rows.start, columns.start
        height, width = rows.stop - rows.start, columns.stop - columns.start
        self.pixels = np.empty((len(self.planes), height, width, samples), dtype)

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        """Put a window at its place in the block."""
        top, left = self._corner
        self.pixels[
            self.planes.index(plane),
            rows.start - top : rows.stop - top,
            columns.start - left : columns.stop - left,
        ] = pixels
