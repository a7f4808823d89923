"""What a person sees of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import escape_control_chars, shown_lines
from memnet_core.cli._options import as_option
from memnet_core.errors import spelled

if TYPE_CHECKING:
    from types import FrameType

    from memnet_core.batch import (
        ClusterReady,
        Event,
        FileFinished,
        Job,
        ModelReady,
        Run,
    )
    from memnet_core.training.events import Event as TrainingEvent

__all__ = [
    "EXIT_BUG",
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_USAGE",
    "StopSignal",
    "follow",
    "is_debugging",
    "shown_cause",
    "told",
]


EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED = 130


def is_debugging() -> bool:
    """Whether the command that runs was given --debug, or MEMNET_DEBUG was set."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get("debug"))


def shown_cause(error: BaseException | str) -> str:
    """Return the traceback of an error and of its causes, as a terminal can print it.

    Parameters
    ----------
    error : BaseException or str
        The error, or its traceback as text, where it comes from another process.
    """
    if isinstance(error, BaseException):
        error = "".join(traceback.format_exception(error))
    return shown_lines(error)


def follow(run: Run, *, resumes: bool, quiet: bool = False) -> int:
    """Run to the end, or to Ctrl-C, and tell what happens; return the exit code.

    Parameters
    ----------
    run : BatchRun
        What to do.
    resumes : bool
        Whether the same command, given again, skips what is done.
    quiet : bool
        Whether to print failures and the summary only.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    display = _Bar(run) if on_terminal and not quiet else _Lines(run, quiet=quiet)
    started = time.perf_counter()
    interrupted = False
    try:
        with display, closing(run.events()) as events:
            for event in events:
                display.show(event)
    except KeyboardInterrupt:
        interrupted = True
    _summarize(run, time.perf_counter() - started)
    if interrupted:
        click.echo(
            "Interrupted; nothing is half-written. Run the same command again to "
            f"{'go on' if resumes else 'start over'}.",
            err=True,
        )
        return EXIT_INTERRUPTED
    failed = any(outcome.status == "failed" for outcome in run.outcomes)
    return EXIT_FAILED if failed else 0


class _Lines:
    """One line for each file, or for each that failed."""

    def __init__(self, run: Run, *, quiet: bool) -> None:
        self._run = run
        self._quiet = quiet

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, event: Event) -> None:
        from memnet_core.batch import (
            ClusterReady,
            FileFinished,
            FileNotice,
            ModelReady,
        )

        if self._quiet and not _has_failed(event):
            return
        if isinstance(event, ModelReady | ClusterReady):
            click.echo(_header(event), err=True)
        if isinstance(event, FileNotice):
            click.echo(
                f"{escape_control_chars(event.job.source)}: "
                f"{escape_control_chars(event.text)}",
                err=True,
            )
        if isinstance(event, FileFinished):
            if is_debugging() and event.outcome.details:
                click.echo(shown_cause(event.outcome.details), err=True)
            position = f"[{len(self._run.outcomes)}/{len(self._run.jobs)}]"
            click.echo(f"{position} {_line(event)}", err=True)


def _has_failed(event: Event) -> bool:
    from memnet_core.batch import FileFinished

    return isinstance(event, FileFinished) and event.outcome.status == "failed"


class _Bar:
    """A progress bar in megapixels; above it, lines for what is out of the ordinary."""

    def __init__(self, run: Run) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._todo = [job for job in run.jobs if not job.skip]
        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[pace]}"),
            console=self._console,
            transient=True,
        )
        self._total = sum(job.megapixels for job in self._todo)
        self._bar = self._progress.add_task("starting", total=self._total, pace="")
        self._number = 0
        self._done: dict[Job, float] = {}

    def __enter__(self) -> object:
        return self._progress.__enter__()

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        from memnet_core.batch import (
            ClusterReady,
            FileFinished,
            FileNotice,
            FileStarted,
            ModelReady,
        )

        if isinstance(event, ModelReady | ClusterReady):
            self._console.print(_header(event), soft_wrap=True)
        elif isinstance(event, FileStarted):
            self._number += 1
            name = escape_control_chars(event.job.name)
            description = f"{self._number}/{len(self._todo)} {name}"
            self._progress.update(self._bar, description=description)
        elif isinstance(event, FileNotice):
            source = escape_control_chars(event.job.source)
            told = f"{source}: {escape_control_chars(event.text)}"
            self._console.print(told, soft_wrap=True)
        elif isinstance(event, FileFinished):
            outcome = event.outcome
            if is_debugging() and outcome.details:
                self._console.print(shown_cause(outcome.details), soft_wrap=True)
            if outcome.message or outcome.remark or outcome.dropped:
                self._console.print(_line(event), soft_wrap=True)
            if outcome.status in ("failed", "skipped") and outcome.job in self._todo:
                self._total -= outcome.job.megapixels
                self._count(outcome.job, 0.0)
        else:
            self._count(event.job, event.fraction * event.job.megapixels)

    def _count(self, job: Job, megapixels: float) -> None:
        """Set how much of a job is done."""
        self._done[job] = megapixels
        done = sum(self._done.values())
        self._progress.update(self._bar, completed=done, total=self._total)
        # Of the last half minute, and from the first rows on: loading is no speed.
        (bar,) = self._progress.tasks
        if bar.speed and bar.time_remaining is not None:
            left = timedelta(seconds=bar.time_remaining)
            pace = f"{bar.speed:.2f} Mpx/s, {left} left"
            self._progress.update(self._bar, pace=pace)


def _header(event: ModelReady | ClusterReady) -> str:
    from memnet_core.batch import ClusterReady

    if isinstance(event, ClusterReady):
        return escape_control_chars(f"{event.workers} workers of {event.address}")
    card = event.entry.card
    return escape_control_chars(f"Model {card.name} ({card.serves}) on {event.device}")


def _line(event: FileFinished) -> str:
    outcome = event.outcome
    message = spelled(outcome.message, outcome.settings, as_option)
    if outcome.status == "failed":
        return f"FAILED {escape_control_chars(message)}"
    source = escape_control_chars(outcome.job.source)
    if outcome.status == "skipped":
        why = message or f"{outcome.job.output} exists"
        return f"skipped {source}: {escape_control_chars(why)}"
    remarks = [f"{outcome.job.megapixels:.2f} Mpx in {outcome.seconds:.1f} s"]
    if outcome.remark:
        remarks.append(escape_control_chars(outcome.remark))
    if outcome.dropped:
        remarks.append(f"not kept: {escape_control_chars(', '.join(outcome.dropped))}")
    output = escape_control_chars(outcome.job.output)
    return f"{source} -> {output}  {'; '.join(remarks)}"


def _summarize(run: Run, seconds: float) -> None:
    """Print the counts of what became of the files."""
    from memnet_core.batch import counts_of, out_of_date

    megapixels = sum(o.job.megapixels for o in run.outcomes if o.status == "done")
    speed = (
        f" in {seconds:.1f} s ({megapixels / seconds:.2f} Mpx/s)" if megapixels else ""
    )
    hint = "; --update redoes what is out of date" if out_of_date(run) else ""
    click.echo(f"{counts_of(run)}{speed}{hint}.", err=True)


class StopSignal:
    """Turns the first Ctrl-C or SIGTERM into a request to stop after this step."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)


def told(event: TrainingEvent) -> str:
    """Return an event of training in one line, or nothing."""
    from memnet_core.progress import Notice
    from memnet_core.training.events import Finished, TrainingProgress, Validated

    if isinstance(event, Notice):
        return event.text
    if isinstance(event, TrainingProgress):
        return (
            f"{event.minutes:6.1f} min {event.fraction:4.0%}  step {event.step:6d}  "
            f"loss {event.loss:.6f}  lr {event.learning_rate:.1e}  "
            f"{event.patches_per_second:.1f} patches/s  "
            f"{event.pixels_per_second / 1e3:.0f} kpx/s  "
            f"{event.minutes_left:.1f} min left"
        )
    if isinstance(event, Validated):
        gains = ", ".join(
            f"{level} {event.input_psnr[level]:.2f} -> {event.psnr[level]:.2f} dB"
            for level in event.psnr
        )
        best = "" if event.is_best else "  (not better than before)"
        return (
            f"{event.minutes:6.1f} min validation  {gains}  loss "
            f"{event.training_loss:.6f} training, {event.evaluation_loss:.6f} "
            f"evaluation{best}"
        )
    if isinstance(event, Finished):
        return (
            f"Finished after {event.minutes:.1f} min, {event.step} steps, "
            f"{event.megapixels:.1f} megapixels."
        )
    return ""
