"""Running jobs: reading ahead and writing behind while the network computes."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from memnet_core.atomic import remove_abandoned
from memnet_core.checkpoint import load_model
from memnet_core.devices import select_device
from memnet_core.engine import EventsWithResult, Precision, Restorer
from memnet_core.errors import ImageError, MemnetError
from memnet_core.io import Image, read_image, write_image
from memnet_core.tasks import LevelFound, TaskSettings, find_level, restore_image
from memnet_core.zoo import Entry, choose_model

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from memnet_core.batch.plan import Job
    from memnet_core.network import MemNet

__all__ = [
    "BatchRun",
    "BatchSettings",
    "Event",
    "FileFinished",
    "FileStarted",
    "ModelReady",
    "Outcome",
    "TileFinished",
]

_MOST_UNWRITTEN = 2


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """What to do with every file.

    Attributes
    ----------
    task : TaskSettings
        Task, level, channels and value range.
    model : str, optional
        Name or file of the model; by default the one that was trained for the level.
    nearest : bool
        Whether to accept the model that comes closest to the level.
    device, tile, halo, exit_block, tta, precision
        As for `memnet_core.engine.Restorer`.
    """

    task: TaskSettings
    model: str | None = None
    nearest: bool = False
    device: str = "auto"
    tile: tuple[int, int] | None = None
    halo: int | None = None
    exit_block: int | None = None
    tta: bool = False
    precision: Precision = "float32"

    def choose(self, level: float | None) -> Entry:
        """Return the model for a level; any of the task as long as it is not known.

        Raises
        ------
        MemnetError
            If none serves.
        """
        return choose_model(
            self.task.task,
            level or 0.0,
            self.model,
            nearest=self.nearest or level is None,
        )

    def restorer(self, model: MemNet) -> Restorer:
        """Return the engine for a model.

        Raises
        ------
        MemnetError
            If the device, the tile or the exit block does not serve.
        """
        return Restorer(
            model,
            device=self.device,
            tile=self.tile,
            halo=self.halo,
            exit_block=self.exit_block,
            tta=self.tta,
            precision=self.precision,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a file; `message` says why it failed."""

    job: Job
    status: Literal["done", "skipped", "failed"]
    message: str = ""
    level: float | None = None
    remark: str = ""
    model: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    seconds: float = 0.0
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelReady:
    """A model is loaded and the device chosen, before the first file that needs it."""

    entry: Entry
    restorer: Restorer


@dataclass(frozen=True)
class FileStarted:
    """The network begins with a file."""

    job: Job


@dataclass(frozen=True)
class TileFinished:
    """A fraction in (0, 1] of a file is computed."""

    job: Job
    fraction: float


@dataclass(frozen=True)
class FileFinished:
    """A file is written, skipped, or given up."""

    outcome: Outcome


Event = ModelReady | FileStarted | TileFinished | FileFinished


@dataclass
class BatchRun:
    """One run over a list of jobs.

    Attributes
    ----------
    jobs : sequence of Job
        What to do, in this order.
    settings : BatchSettings
        How.
    outcomes : list of Outcome
        What became of the files so far; complete after the events have ended, also if
        their generator was closed before.
    """

    jobs: Sequence[Job]
    settings: BatchSettings
    outcomes: list[Outcome] = field(default_factory=list)
    _ready: dict[Path, ModelReady] = field(default_factory=dict)
    _unwritten: deque[Future[Outcome]] = field(default_factory=deque)

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
                yield from self._load(entry)
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
                for job, image in _read_ahead(reader, todo):
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

    def _load(self, entry: Entry) -> Generator[ModelReady, None, Restorer]:
        """Return the engine for a model; each is loaded once."""
        if entry.path not in self._ready:
            model, card = load_model(entry.path)
            restorer = self.settings.restorer(model)
            ready = ModelReady(Entry(entry.path, card), restorer)
            self._ready[entry.path] = ready
            yield ready
        return self._ready[entry.path].restorer

    def models(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each model used, by name."""
        cards = [ready.entry.card for ready in self._ready.values()]
        return {card.name: card.sha256 for card in cards}

    def _finished(self, outcome: Outcome) -> FileFinished:
        self.outcomes.append(outcome)
        return FileFinished(outcome)

    def _restore(
        self, job: Job, reading: Future[Image], writer: ThreadPoolExecutor
    ) -> Iterator[FileStarted | ModelReady | TileFinished]:
        """Restore one file and leave it to the writer."""
        started = time.monotonic()
        task = self.settings.task
        yield FileStarted(job)
        try:
            image = reading.result()
            found = find_level(image, task)
            entry = self.settings.choose(found.level)
            restorer = yield from self._load(entry)
            events = EventsWithResult(restore_image(image, restorer, task))
            for event in events:
                yield TileFinished(job, event.done / event.total)
        except (MemnetError, MemoryError) as error:
            failed: Future[Outcome] = Future()
            failed.set_result(_failure(job, error))
            self._unwritten.append(failed)
        else:
            self._unwritten.append(
                writer.submit(_write, job, events.result, found, entry, started)
            )


def _read_ahead(
    reader: ThreadPoolExecutor, jobs: Sequence[Job]
) -> Iterator[tuple[Job, Future[Image]]]:
    """Yield jobs with their images, of which one is read in advance."""
    ahead: deque[tuple[Job, Future[Image]]] = deque()
    for job in jobs:
        ahead.append((job, reader.submit(read_image, job.source)))
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead


def _write(
    job: Job, image: Image, found: LevelFound, entry: Entry, started: float
) -> Outcome:
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        dropped = write_image(job.output, image)
    except OSError as error:
        folder = job.output.parent
        reason = f"the folder {folder} cannot be made: {error.strerror}."
        return _failure(job, ImageError(reason))
    except (ImageError, MemoryError) as error:
        return _failure(job, error)
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


def _failure(job: Job, error: MemnetError | MemoryError) -> Outcome:
    """Say which file failed, where the error does not."""
    memory = isinstance(error, MemoryError)
    reason = "it does not fit into memory." if memory else str(error)
    named = str(job.source) in reason or str(job.output) in reason
    message = reason if named else f"{job.source} cannot be restored: {reason}"
    return Outcome(job=job, status="failed", message=message)
