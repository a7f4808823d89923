"""Running jobs: reading ahead and writing behind while the network computes."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from memnet_core._old_tasks import LevelFound, find_level, restore_image
from memnet_core.atomic import remove_abandoned
from memnet_core.batch.events import (
    Event,
    FileFinished,
    FileStarted,
    ModelReady,
    Outcome,
    TileFinished,
    failure,
)
from memnet_core.batch.folders import make_folder
from memnet_core.batch.models import LoadedModels
from memnet_core.batch.stacks import restore_to_tiff
from memnet_core.batch.volumes import Share, restore_to_zarr
from memnet_core.devices import select_device
from memnet_core.engine import EventsWithResult
from memnet_core.errors import ImageError, MemnetError
from memnet_core.io import Image, read_image, suffix_format, write_image

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from memnet_core.batch.plan import Job
    from memnet_core.batch.settings import BatchSettings
    from memnet_core.model.zoo import Entry

__all__ = ["BatchRun"]

_MOST_UNWRITTEN = 2


@dataclass
class BatchRun:
    """One run over a list of jobs.

    Attributes
    ----------
    jobs : sequence of Job
        What to do, in this order.
    settings : BatchSettings
        How.
    share : Share
        Which part of OME-Zarr results to make; the jobs are those of the part already.
    engines : LoadedModels, optional
        Models that are loaded already.
    outcomes : list of Outcome
        What became of the files so far; complete after the events have ended, also if
        their generator was closed before.
    """

    jobs: Sequence[Job]
    settings: BatchSettings
    share: Share = field(default_factory=Share)
    engines: LoadedModels | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    _unwritten: deque[Future[Outcome]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._models = self.engines or LoadedModels(self.settings)

    def events(self) -> Generator[Event, None, None]:
        """Restore the files; closing the generator ends the run within one tile.

        Files that were being written then are still completed.

        Raises
        ------
        MemnetError
            If no file could be restored: the model or the device does not serve.
        """
        settings = self.settings
        select_device(settings.device)
        todo = [job for job in self.jobs if not job.skip]
        if todo:
            entry = self.settings.choose(settings.task.level)
            if settings.model is not None or settings.task.level is not None:
                yield from self._models.load(entry)
        for folder in {job.output.parent for job in todo}:
            remove_abandoned(folder)
        for job in self.jobs:
            if job.skip:
                yield self._finished(Outcome(job=job, status="skipped"))
        with (
            ThreadPoolExecutor(1, "memnet-reader") as reader,
            ThreadPoolExecutor(1, "memnet-writer") as writer,
        ):
            try:
                for job, image in _read_ahead(reader, todo, settings):
                    for event in self._restore(job, image, writer):
                        yield event
                        yield from self._collect(_MOST_UNWRITTEN)
                yield from self._collect(0)
            finally:
                reader.shutdown(cancel_futures=True)
                self.outcomes.extend(future.result() for future in self._unwritten)

    def _collect(self, most: int) -> Iterator[FileFinished]:
        """Yield what is written; wait until at most `most` files are not."""
        while self._unwritten and (
            len(self._unwritten) > most or self._unwritten[0].done()
        ):
            outcome = self._unwritten[0].result()
            self._unwritten.popleft()
            yield self._finished(outcome)

    def models(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each model used, by name."""
        return self._models.checksums()

    def _finished(self, outcome: Outcome) -> FileFinished:
        self.outcomes.append(outcome)
        return FileFinished(outcome)

    def _restore(
        self, job: Job, reading: Future[Image | None], writer: ThreadPoolExecutor
    ) -> Iterator[FileStarted | ModelReady | TileFinished]:
        """Restore one file and leave it to the writer."""
        started = time.monotonic()
        yield FileStarted(job)
        try:
            image = reading.result()
            if image is None:
                self._leave((yield from self._restore_streamed(job)))
            else:
                finish = yield from self._restore_image(job, image, started)
                self._unwritten.append(writer.submit(finish))
        except (MemnetError, MemoryError) as error:
            self._leave(failure(job, error))

    def _restore_streamed(
        self, job: Job
    ) -> Generator[ModelReady | TileFinished, None, Outcome]:
        if suffix_format(job.output) == "ome-zarr":
            return restore_to_zarr(job, self.settings, self._models, self.share)
        return restore_to_tiff(job, self.settings, self._models)

    def _leave(self, outcome: Outcome) -> None:
        """Put an outcome behind those of files that are being written."""
        known: Future[Outcome] = Future()
        known.set_result(outcome)
        self._unwritten.append(known)

    def _restore_image(
        self, job: Job, image: Image, started: float
    ) -> Generator[ModelReady | TileFinished, None, Callable[[], Outcome]]:
        """Restore an image; return what writes it."""
        task = self.settings.task
        found = find_level(image, task)
        entry = self.settings.choose(found.level)
        restorer = yield from self._models.load(entry)
        events = EventsWithResult(restore_image(image, restorer, task))
        for event in events:
            yield TileFinished(job, event.done / event.total)
        return partial(_write, job, events.result, found, entry, started)


def _is_streamed(job: Job, settings: BatchSettings) -> bool:
    """Whether a result is made plane by plane or block by block.

    Raises
    ------
    ImageError
        If axes are named for a result that has none.
    """
    kind = suffix_format(job.output)
    if kind == "ome-zarr":
        return True
    if kind == "tiff":
        return bool(settings.axes) or (job.header is not None and job.header.is_stack)
    if settings.axes:
        raise ImageError(
            f"{job.output} holds no axes to name; choose --format tiff or ome-zarr."
        )
    return False


def _read(job: Job, settings: BatchSettings) -> Image | None:
    """Read an image; None for a stack that is not read at once."""
    return None if _is_streamed(job, settings) else read_image(job.source)


def _read_ahead(
    reader: ThreadPoolExecutor, jobs: Sequence[Job], settings: BatchSettings
) -> Iterator[tuple[Job, Future[Image | None]]]:
    """Yield jobs with their images, of which one is read in advance."""
    ahead: deque[tuple[Job, Future[Image | None]]] = deque()
    for job in jobs:
        ahead.append((job, reader.submit(_read, job, settings)))
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead


def _write(
    job: Job, image: Image, found: LevelFound, entry: Entry, started: float
) -> Outcome:
    try:
        make_folder(job.output.parent)
        dropped = write_image(job.output, image)
    except (ImageError, MemoryError) as error:
        return failure(job, error)
    return Outcome(
        job=job,
        status="done",
        level=found.level,
        remark=found.remark,
        model=entry.card.name,
        shape=image.pixels.shape,
        dtype=str(image.pixels.dtype),
        seconds=time.monotonic() - started,
        dropped=image.metadata.dropped + dropped,
    )
