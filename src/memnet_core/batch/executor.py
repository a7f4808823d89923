"""The steps of a job, defined once for this process and for those of a cluster.

A job is one step, ``file``, or for a result that is made by shards ``begin``, then
stages of ``block`` steps, of which those of one stage may be done at the same time by
anyone, and ``finish``. Doing a step twice is harmless.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from memnet_core._util.atomic_write import make_folder, remove_abandoned
from memnet_core.batch.collection_metadata import write_collection_metadata
from memnet_core.batch.report import (
    FileNotice,
    FileProgress,
    ModelReady,
    Outcome,
    skipped,
)
from memnet_core.batch.restoring import (
    ShardWorker,
    common_level,
    opened_scenes,
    prepared_parts,
    summarize,
)
from memnet_core.batch.shared_output import (
    SharedResult,
    is_being_made,
    join_or_create,
    remove_leftovers,
    work_folder,
)
from memnet_core.batch.staleness import StalenessChecker
from memnet_core.errors import ImageError
from memnet_core.inference.provenance import provenance
from memnet_core.io import create_scenes
from memnet_core.io.api import scenes_of
from memnet_core.io.core.errors import wrap_read_errors
from memnet_core.io.core.fingerprint import check_unchanged
from memnet_core.io.core.opened import OpenedFile
from memnet_core.progress import GeneratorWithResult, Notice
from memnet_core.sources.prefetch import buffered_writes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from memnet_core.batch.jobs import Job
    from memnet_core.inference.engine import EngineCache
    from memnet_core.inference.plan import Prepared
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.model.registry import Entry

    Events = Generator[ModelReady | FileProgress | FileNotice, None, "StepResult"]

__all__ = ["Step", "StepExecutor", "StepResult", "first_step"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something to do on any machine that sees the files.

    Attributes
    ----------
    job : Job
        The file.
    action : str
        What to do.
    folder : str
        Where a result is made by shards.
    level, index : int
        Which shard of it.
    """

    job: Job
    action: Literal["file", "begin", "block", "finish"]
    folder: str = ""
    level: int = 0
    index: int = 0


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step brought about.

    Attributes
    ----------
    outcome : Outcome, optional
        What became of the job, once that is decided.
    complete : callable, optional
        What has to be called for the outcome instead: the result is computed, but not
        yet written; another thread may do that.
    stages : tuple of tuple of Step
        What remains to be done, one stage after the other.
    total : int
        How many shards there are in all.
    is_postponed : bool
        Whether another process is at it.
    """

    outcome: Outcome | None = None
    complete: Callable[[], Outcome] | None = None
    stages: tuple[tuple[Step, ...], ...] = ()
    total: int = 0
    is_postponed: bool = False


def first_step(job: Job) -> Step:
    """Return what a job begins with."""
    return Step(job=job, action="begin" if job.by_shards else "file")


@dataclass
class StepExecutor:
    """What a process keeps from step to step: engines, and one open source.

    Attributes
    ----------
    settings : RestoreOptions
        How files are restored.
    entries : dict
        The models that were used, by name.
    """

    settings: RestoreOptions
    entries: dict[str, Entry] = field(default_factory=dict)
    _maker: ShardWorker | None = None

    @cached_property
    def models(self) -> EngineCache:
        """Engines that are loaded; a run that only skips does not import PyTorch."""
        from memnet_core.inference.engine import EngineCache

        return EngineCache()

    def close(self) -> None:
        """Close the source that is open."""
        if self._maker:
            self._maker.close()
            self._maker = None

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each model used, by name."""
        return {name: entry.card.sha256 for name, entry in self.entries.items()}

    def execute(self, step: Step, *, wait: bool = True) -> Events:
        """Do a step.

        Parameters
        ----------
        step : Step
            What to do.
        wait : bool
            Whether to wait for another process that makes the same shard.

        Raises
        ------
        MemnetError
            If the job cannot be done.
        """
        if step.job.version and step.action in ("file", "begin"):
            check_unchanged(step.job.source, step.job.version)
        if step.action == "file":
            return (yield from self._file(step.job))
        try:
            if step.action == "begin":
                return (yield from self._begin(step.job))
            if step.action == "block":
                return (yield from self._block(step, wait=wait))
            return self._finish(step)
        except FileNotFoundError:
            if is_being_made(step.job.output):
                raise
            return self._overtaken(step)

    def _overtaken(self, step: Step) -> StepResult:
        """Return what a step comes to if another run has completed the result."""
        if self._is_lost(step):
            raise ImageError(
                f"{step.job.output} cannot be written: the folder "
                f"{work_folder(step.job.output)}, in which it was being made, has been "
                "removed.",
                path=step.job.output,
            ) from None
        done = Outcome(job=step.job, status="done", remark="completed by another run")
        return StepResult(outcome=None if step.action == "block" else done)

    def _is_lost(self, step: Step) -> bool:
        """Whether a result that is no longer in the making is not at its place."""
        found = StalenessChecker(self.settings).state_of(step.job).state
        return step.action != "block" and found != "fresh"

    def left_over(self, stage: tuple[Step, ...]) -> Outcome | None:
        """Return what became of a job if others still make shards of a stage."""
        step = stage[0]
        if step.action != "block":
            return None
        try:
            work = SharedResult(Path(step.folder))
        except FileNotFoundError:
            return None
        left = len(work.remaining(step.level))
        to_do = f"{left} shards to go"
        return _outcome(step.job, work, "partial", to_do) if left else None

    def _file(self, job: Job) -> Events:
        """Restore a file into another one; memory is bounded by windows and planes."""
        started = time.monotonic()
        with ExitStack() as opened:
            with wrap_read_errors(job.source):
                file = opened.enter_context(OpenedFile(job.source))
                version = file.fingerprint
            scenes = opened.enter_context(scenes_of(file))
            sources, lost = opened_scenes(scenes, job.axes, opened)
            parts = prepared_parts(sources, self.settings, self.models)
            ready = [part.prepared for part in parts if part.prepared]
            for part in parts:
                decision = (part.prepared or ready[0]).decision
                made = provenance(decision, self.settings, job.axes, version)
                source = part.source
                source.metadata = replace(source.metadata, provenance=str(made))
            for prepared in ready:
                yield from self._announce_models(prepared)
            make_folder(job.output.parent, job.root)
            sinks = opened.enter_context(
                create_scenes(
                    job.output, [part.source for part in parts], ready[0].scale
                )
            )
            done, total = 0, sum(part.pixels for part in parts)
            behind: ExitStack | None = None
            for part, sink in zip(parts, sinks, strict=True):
                if behind:  # images of one file are written one after the other
                    behind.close()
                behind = opened.enter_context(ExitStack())
                events = part.written(behind.enter_context(buffered_writes(sink)))
                for told in behind.enter_context(closing(events)):
                    if isinstance(told, str):
                        yield FileNotice(job, told)
                    else:
                        yield FileProgress(job, (done + told * part.pixels) / total)
                done += part.pixels
            whole = opened.pop_all()

        def complete() -> Outcome:
            with whole:
                file.check_unchanged()
            dropped = [*lost, *(what for sink in sinks for what in sink.dropped)]
            return Outcome(
                job=job,
                status="done",
                level=common_level(parts),
                remark=_remark(job, (summarize(parts),)),
                model=ready[0].entry.card.name,
                shape=sinks[0].sizes,
                dtype=str(parts[0].source.dtype),
                seconds=time.monotonic() - started,
                dropped=tuple(dict.fromkeys(dropped)),
            )

        return StepResult(complete=complete)

    def _begin(self, job: Job) -> Events:
        remove_abandoned(job.output.parent)
        if os.path.exists(job.output):
            remove_leftovers(job.output)
            if not job.overwrite:
                return StepResult(outcome=skipped(job))
            # Another run may have brought it up to date since this one was planned.
            if (
                job.stale
                and StalenessChecker(self.settings).state_of(job).state == "fresh"
            ):
                return StepResult(outcome=skipped(replace(job, stale="")))
        work = join_or_create(job, self.settings)
        yield from self._opened(work, job)
        work.check_marks()
        folder = str(work.folder)
        stages = [
            tuple(
                Step(job=job, action="block", folder=folder, level=level, index=index)
                for index in work.remaining(level)
            )
            for level in work.levels
        ]
        last = Step(job=job, action="finish", folder=folder)
        return StepResult(stages=(*filter(None, stages), (last,)), total=work.total)

    def _block(self, step: Step, *, wait: bool) -> Events:
        if self._maker is None or str(self._maker.work.folder) != step.folder:
            yield from self._opened(SharedResult(Path(step.folder)), step.job)
        assert self._maker is not None
        if self._maker.work.is_complete():
            return StepResult()
        events = GeneratorWithResult(
            self._maker.make(step.level, step.index, wait=wait)
        )
        for event in events:
            if isinstance(event, Notice):
                yield FileNotice(step.job, event.text)
            else:
                yield FileProgress(step.job, event.fraction)
        return StepResult(is_postponed=not events.result)

    def _finish(self, step: Step) -> StepResult:
        work = SharedResult(Path(step.folder))
        self.close()
        work.check_version(step.job.source)
        if step.job.inside:
            write_collection_metadata(step.job, work.plan.decision.scale)
        work.finish(step.job.output, overwrite=step.job.overwrite)
        return StepResult(outcome=_outcome(step.job, work, "done"))

    def _opened(
        self, work: SharedResult, job: Job
    ) -> Generator[ModelReady, None, None]:
        """Open the source of a result; that of another one is closed."""
        self.close()
        self._maker = ShardWorker(work, job, self.settings.device, self.models)
        yield from self._announce_models(self._maker.prepared)

    def _announce_models(self, prepared: Prepared) -> Generator[ModelReady, None, None]:
        """Tell of models when they are used for the first time."""
        for step in prepared.steps:
            entry = step.entry
            if self.entries.get(entry.card.name) != entry:
                self.entries[entry.card.name] = entry
                yield ModelReady(entry, str(step.engine.device))


def _outcome(
    job: Job, work: SharedResult, status: Literal["done", "partial"], to_do: str = ""
) -> Outcome:
    """Return what became of a job that is done, or done in part."""
    plan = work.plan
    return Outcome(
        job=job,
        status=status,
        level=plan.decision.level,
        remark=_remark(job, (*plan.decision.remarks, to_do)),
        model=plan.decision.entry().card.name,
        shape=plan.layout.shapes[0],
        dtype=plan.dtype,
        dropped=plan.dropped,
    )


def _remark(job: Job, remarks: Sequence[str]) -> str:
    why = f"redone: {job.stale}" if job.stale else ""
    return "; ".join(filter(None, (why, *job.remarks, *remarks)))
