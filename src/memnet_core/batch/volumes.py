"""Restoring a stack into an OME-Zarr image, shard by shard."""

from __future__ import annotations

import time
import zlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memnet_core.batch.block_restorer import BlockRestorer
from memnet_core.batch.blocks import BlockWork, begin
from memnet_core.batch.events import ModelReady, Outcome, TileFinished
from memnet_core.engine import EventsWithResult
from memnet_core.io import suffix_format

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from memnet_core.batch.models import LoadedModels
    from memnet_core.batch.plan import Job
    from memnet_core.batch.settings import BatchSettings

__all__ = ["Share", "block_outcome", "restore_to_zarr"]


@dataclass(frozen=True)
class Share:
    """One of several equal parts of the work, for jobs that know nothing of each other.

    Attributes
    ----------
    index : int
        Which part, from 0.
    count : int
        Into how many parts the work is divided.
    """

    index: int = 0
    count: int = 1

    def of_jobs(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs of this part, and those that are divided into blocks."""
        return [
            job
            for number, job in enumerate(jobs)
            if suffix_format(job.output) == "ome-zarr"
            or number % self.count == self.index
        ]

    def of_blocks(self, job: Job, blocks: Iterable[int]) -> list[int]:
        """Return the blocks of a job that belong to this part."""
        first = zlib.crc32(job.output.name.encode())
        return [b for b in blocks if (first + b) % self.count == self.index]


def restore_to_zarr(
    job: Job, settings: BatchSettings, models: LoadedModels, share: Share
) -> Generator[ModelReady | TileFinished, None, Outcome]:
    """Restore a stack into an OME-Zarr image; closing the generator keeps whole shards.

    Whoever makes the last shard also makes the coarser levels and puts the image at
    its place.

    Raises
    ------
    MemnetError
        If the stack cannot be read, restored or written.
    """
    started = time.monotonic()
    if job.output.exists() and not job.overwrite:
        return Outcome(job=job, status="skipped")
    work = yield from begin(job, settings, models)
    total = sum(map(work.plan.layout.blocks, work.levels))
    with closing(BlockRestorer(work, settings, models)) as restorer:
        for level in work.levels:
            todo = work.remaining(level)
            before = sum(map(work.plan.layout.blocks, range(level + 1))) - len(todo)
            mine = todo if level else share.of_blocks(job, todo)
            for done in _made(restorer, level, mine):
                yield TileFinished(job, (before + done) / total)
            if left := work.remaining(level):
                return block_outcome(job, work, started, f"{len(left)} shards to go")
    work.finish(job.output, overwrite=job.overwrite)
    return block_outcome(job, work, started)


def _made(restorer: BlockRestorer, level: int, blocks: list[int]) -> Iterator[float]:
    """Make shards, last those that others are making; yield how many are done."""
    done = 0
    for wait in (False, True):
        postponed = []
        for index in blocks:
            events = EventsWithResult(restorer.make(level, index, wait=wait))
            for event in events:
                yield done + event.done / event.total
            if events.result:
                done += 1
                yield done
            else:
                postponed.append(index)
        blocks = postponed


def block_outcome(
    job: Job, work: BlockWork, started: float, to_do: str = ""
) -> Outcome:
    """Return what became of a job that is done, or done in part."""
    plan = work.plan
    return Outcome(
        job=job,
        status="partial" if to_do else "done",
        level=plan.level,
        remark="; ".join(filter(None, (plan.remark, to_do))),
        model=work.model().card.name,
        shape=plan.layout.shapes[0],
        dtype=plan.dtype,
        seconds=time.monotonic() - started,
        dropped=plan.dropped,
    )
