"""Restoring one shard of an OME-Zarr result, or making one of a coarser level."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.engine import TileDone, result_of
from memnet_core.io import open_stack
from memnet_core.io.faults import reading, writing
from memnet_core.io.ome_zarr import open_level, shrink_block
from memnet_core.pixels import without_alpha
from memnet_core.tasks import restore_stack, restored_shape
from memnet_core.tiling import round_up
from memnet_core.values import ValueRange, value_range

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from memnet_core.batch.blocks import BlockWork
    from memnet_core.batch.models import LoadedModels
    from memnet_core.batch.settings import BatchSettings

__all__ = ["BlockRestorer"]

_BICUBIC_REACH = 4


class BlockRestorer:
    """The open source, the model and the arrays that blocks need.

    Parameters
    ----------
    work : BlockWork
        The result in the making.
    settings : BatchSettings
        Those it was begun with, but for the device.
    models : LoadedModels
        Where the model is, or will be.

    Raises
    ------
    MemnetError
        If the source or the model cannot be read.
    """

    def __init__(
        self, work: BlockWork, settings: BatchSettings, models: LoadedModels
    ) -> None:
        plan = work.plan
        self.work = work
        self._task = replace(settings.task, level=plan.level)
        self._restorer = result_of(models.load(work.model())).with_tile(plan.tile)
        self._stack = open_stack(Path(plan.source), settings.axes)
        self._values = ValueRange(*plan.values) if plan.values else None
        self._range_of = lru_cache(maxsize=64)(self._plane_range)

    def close(self) -> None:
        """Close the source."""
        self._stack.close()

    def make(
        self, level: int, index: int, *, wait: bool
    ) -> Generator[TileDone, None, bool]:
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
                block = work.plan.layout.block(level, index)
                if level:
                    with reading(work.image):
                        pixels = shrink_block(open_level(work.image, level - 1), block)
                else:
                    pixels = yield from self._restored(block)
                with writing(work.image):
                    open_level(work.image, level)[block] = pixels
                    work.mark_done(level, index)
            return held or work.is_complete()

    def _restored(
        self, block: tuple[slice, ...]
    ) -> Generator[TileDone, None, NDArray[Any]]:
        """Restore a block of the full resolution, along the axes of the result."""
        stack, layout = self._stack, self.work.plan.layout
        chosen = dict(zip(layout.axes, block, strict=True))
        rows, columns = (
            self._window(chosen[axis], size)
            for axis, size in zip("YX", stack.shape[1:3], strict=True)
        )
        leading = tuple(chosen[axis] for axis in stack.leading)
        pixels = stack.read(leading, rows, columns)
        planes = pixels.reshape(-1, *pixels.shape[-3:])
        restored = np.empty(restored_shape(planes.shape, self._task), stack.dtype)
        if self._values:
            yield from self._run(planes, restored, self._values)
        else:
            for place, index in enumerate(self._indices(leading)):
                part = slice(place, place + 1)
                values = self._range_of(index)
                yield from self._run(planes[part], restored[part], values)
        scale = self._task.scale
        inner = tuple(
            slice(chosen[a].start - w.start * scale, chosen[a].stop - w.start * scale)
            for a, w in (("Y", rows), ("X", columns))
        )
        return self._arranged(restored[:, inner[0], inner[1]], pixels.shape[:-3])

    def _run(
        self, planes: NDArray[Any], restored: NDArray[Any], values: ValueRange
    ) -> Generator[TileDone, None, None]:
        yield from restore_stack(planes, restored, self._restorer, self._task, values)

    def _window(self, part: slice, size: int) -> slice:
        """Return the part of a source's rows or columns that a block depends on."""
        scale, multiple = self._task.scale, self._restorer.multiple
        halo = -(-self._restorer.halo // scale) + (_BICUBIC_REACH if scale > 1 else 0)
        start = (part.start // scale - halo) // multiple * multiple
        stop = round_up(-(-part.stop // scale) + halo, multiple)
        return slice(max(start, 0), min(stop, size))

    def _arranged(self, planes: NDArray[Any], counts: tuple[int, ...]) -> NDArray[Any]:
        """Return planes (N, h, w, S) along the axes of the result."""
        stack, axes = self._stack, self.work.plan.layout.axes
        named = f"{stack.leading}YX"
        pixels = planes.reshape(*counts, *planes.shape[1:])
        if "S" in stack.axes and "C" in axes:
            named += "C"
        else:
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels.transpose([named.index(a) for a in axes]))

    def _indices(self, leading: tuple[slice, ...]) -> list[int]:
        """Return the planes of a block by their number in the stack."""
        counts = self._stack.sizes[: len(leading)]
        numbers = np.arange(math.prod(counts)).reshape(counts)
        return [int(i) for i in numbers[leading].ravel()]

    def _plane_range(self, index: int) -> ValueRange:
        return value_range(without_alpha(self._stack[index]), "percentile")
