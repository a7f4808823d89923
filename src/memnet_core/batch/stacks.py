"""Restoring a stack plane by plane, from one file into another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from memnet_core._old_tasks import (
    LevelFound,
    TaskSettings,
    find_stack_level,
    restore_stack,
)
from memnet_core.batch.events import ModelReady, Outcome, TileFinished
from memnet_core.batch.folders import make_folder
from memnet_core.io import PlaneCrops, Stack, open_stack, tiff_like
from memnet_core.io.overlap import read_ahead, write_behind
from memnet_core.values import ValueRange, stack_range

if TYPE_CHECKING:
    from collections.abc import Generator

    from memnet_core.batch.models import LoadedModels
    from memnet_core.batch.plan import Job
    from memnet_core.batch.settings import BatchSettings

__all__ = ["find_values", "restore_to_tiff"]


def restore_to_tiff(
    job: Job, settings: BatchSettings, models: LoadedModels
) -> Generator[ModelReady | TileFinished, None, Outcome]:
    """Restore a stack into a TIFF; closing the generator leaves nothing behind.

    Memory is bounded by planes: one is read, one computed and one written at a time.

    Raises
    ------
    MemnetError
        If the stack cannot be read, restored or written.
    """
    started = time.monotonic()
    task = settings.task
    with open_stack(job.source, settings.axes) as stack:
        found, values = find_values(stack, task)
        entry = settings.choose(found.level)
        restorer = yield from models.load(entry)
        make_folder(job.output.parent)
        with (
            tiff_like(job.output, stack, task.scale) as planes,
            write_behind(planes) as result,
            read_ahead(stack) as source,
        ):
            for event in restore_stack(source, result, restorer, task, values):
                yield TileFinished(job, event.done / event.total)
        return Outcome(
            job=job,
            status="done",
            level=found.level,
            remark=found.remark,
            model=entry.card.name,
            shape=planes.sizes,
            dtype=str(stack.dtype),
            seconds=time.monotonic() - started,
            dropped=planes.dropped,
        )


def find_values(
    stack: Stack, task: TaskSettings
) -> tuple[LevelFound, ValueRange | None]:
    """Return level and range of a stack, by a sample of its planes where need be.

    The remark says what was found, and by what.

    Raises
    ------
    LevelError, ImageError
        If one of them cannot be found out.
    """
    crops = PlaneCrops(stack)
    found = find_stack_level(crops, task, stack.metadata.page.jpeg_tables)
    if task.value_range == "plane":
        return _remarked(found, "each plane by its own percentiles"), None
    values = stack_range(crops, task.value_range)
    if task.value_range == "percentile":
        planes = f"{crops.shape[0]} of {stack.shape[0]} planes"
        remark = f"range {values.low:g} to {values.high:g} by a sample of {planes}"
        found = _remarked(found, remark)
    return found, values


def _remarked(found: LevelFound, remark: str) -> LevelFound:
    return LevelFound(found.level, "; ".join(filter(None, (found.remark, remark))))
