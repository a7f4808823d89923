"""The batch widget: restore a folder of images, file by file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.errors import MemnetError, UsageError, spelled
from napari_memnet.form_state import OF_FOLDERS
from napari_memnet.jobs.worker import Work
from napari_memnet.snippets import as_command, as_field
from napari_memnet.widgets.dock import DockWidget
from napari_memnet.widgets.fields import chosen_folder, folder_field, plain_tip
from napari_memnet.widgets.form_buttons import CopyBar, PresetBar
from napari_memnet.widgets.restore_form import RestorationForm
from napari_memnet.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from memnet_core.batch import BatchRun, Job, Outcome
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["BatchWidget"]


class BatchWidget(DockWidget):
    """Restores folders with the engine of ``memnet batch``."""

    def __init__(self) -> None:
        self.folder = folder_field("images in", "Folder of images to restore.")
        self.output = folder_field(
            "results to", "Folder for the results; your images are not changed."
        )
        self.recursive = CheckBox(
            text="subfolders, too",
            value=False,
            tooltip="Also restore images in subfolders; results keep the same "
            "folder structure.",
        )
        self.update = CheckBox(
            text="redo results that are out of date",
            value=False,
            tooltip="Restore again if the image has changed, or the result was "
            "made with other settings.",
        )
        self.overwrite = CheckBox(
            text="redo results that exist",
            value=False,
            tooltip="Restore again even if a result exists; otherwise it is skipped, "
            "so you can resume.",
        )
        self.format = ComboBox(
            label="format", choices=_formats(), tooltip="File format of the results."
        )
        self.form = RestorationForm(
            "folder",
            for_layers=False,
            first=[self.folder, self.output, self.recursive],
            last=[self.format, self.update, self.overwrite],
            kept=dict(zip(OF_FOLDERS, (self.format, self.recursive), strict=True)),
        )
        self.run = RunBar("Restore folder")
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["file", "status"])
        self.table.horizontalHeader().setSectionResizeMode(
            1, QHeaderView.ResizeMode.Stretch
        )
        self.table.verticalHeader().hide()
        self.table.hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.copy = CopyBar({"Copy as command": self._command}, self.run.status.setText)
        self.presets = PresetBar(self.form, self.run.status.setText)
        super().__init__(self.form, self.run, self.table, self.copy, self.presets)
        self._rows: dict[Job, int] = {}
        self._run: BatchRun | None = None
        self.run.button.setEnabled(False)
        self.form.ready.connect(lambda: self.run.button.setEnabled(True))
        self.run.requested.connect(self.start)
        self.run.status.accepted.connect(self._accept)

    def start(self) -> None:
        """Restore the folder, in the background."""
        folder, output = chosen_folder(self.folder), chosen_folder(self.output)
        if folder is None or output is None:
            self.run.status.setText("Choose a folder of images and one for results.")
            return
        try:
            settings = self.form.settings()
        except MemnetError as error:
            self.run.status.setText(str(error))
            return
        self._run = None
        work = Work(
            restore_folder(
                folder,
                output,
                settings,
                recursive=self.recursive.value,
                file_format=self.format.value,
                overwrite=self.overwrite.value,
                update=self.update.value,
            ),
            f"MemNet: {folder.name}",
            fraction=JobProgress(),
            parent=self,
        )
        work.yielded.connect(self._on_event)
        work.succeeded.connect(self._on_finished)
        self.run.follow(work)
        work.cancelled.connect(self._on_cancelled)

    def close_down(self) -> None:
        """Cancel the run; unfinished files are discarded."""
        self.run.cancel()
        self.form.close_down()

    def _command(self) -> str:
        flags = {
            "--recursive": self.recursive.value,
            "--update": self.update.value,
            "--overwrite": self.overwrite.value,
            f"--format={self.format.value}": self.format.value != "auto",
        }
        return as_command(
            self.form.settings(),
            str(chosen_folder(self.folder) or "IMAGES"),
            str(chosen_folder(self.output) or "RESULTS"),
            verb="batch",
            flags=[flag for flag, is_given in flags.items() if is_given],
        )

    def status_of(self, row: int) -> str:
        """Return what the table says of a file."""
        return str(self.table.item(row, 1).text())

    def _on_event(self, event: Any) -> None:
        from memnet_core.batch import FileFinished, FileStarted, ModelReady

        if isinstance(event, Planned):
            self._run = event.run
            self._list(event.run.jobs)
        elif isinstance(event, ModelReady):
            card = event.entry.card
            self.run.status.setText(
                f"model {card.name} ({card.serves}) on {event.device}"
            )
        elif isinstance(event, FileStarted):
            self._say(event.job, "restoring…")
        elif isinstance(event, FileFinished):
            self._say(event.outcome.job, _told(event.outcome))

    def _list(self, jobs: Sequence[Job]) -> None:
        self.table.setRowCount(len(jobs))
        self.table.show()
        self._rows = {job: row for row, job in enumerate(jobs)}
        for job, row in self._rows.items():
            name = QTableWidgetItem(escape_control_chars(job.name))
            name.setToolTip(plain_tip(f"{job.source} → {job.output}"))
            self.table.setItem(row, 0, name)
            self.table.setItem(row, 1, QTableWidgetItem("waiting"))

    def _say(self, job: Job, text: str) -> None:
        item = self.table.item(self._rows[job], 1)
        item.setText(escape_control_chars(text))
        item.setToolTip(plain_tip(text))
        self.table.scrollToItem(item)

    def _on_finished(self, run: BatchRun) -> None:
        from memnet_core.batch import counts_of

        declined = sum(outcome.declined for outcome in run.outcomes)
        if declined:
            self.run.status.ask(
                f"{counts_of(run)}. For {declined} of them no model is trained; "
                "the list says for which level."
            )
        else:
            self.run.status.setText(f"{counts_of(run)}.")

    def _accept(self) -> None:
        self.form.nearest.value = True
        self.start()

    def _on_cancelled(self) -> None:
        if self._run is not None:
            for outcome in self._run.outcomes:
                self._say(outcome.job, _told(outcome))
        waiting = self.table.findItems("restoring…", Qt.MatchFlag.MatchExactly)
        for item in waiting:
            item.setText("waiting")
        self.run.status.setText(
            "Cancelled; nothing is half-written. Restore again to go on."
        )


def _told(outcome: Outcome) -> str:
    message = spelled(outcome.message, outcome.settings, as_field)
    if outcome.status == "failed":
        return f"failed: {message}"
    if outcome.status == "skipped":
        return message or "there already"
    remarks = [f"done in {outcome.seconds:.1f} s", outcome.remark]
    if outcome.dropped:
        remarks.append(f"not kept: {', '.join(outcome.dropped)}")
    return "; ".join(filter(None, remarks))


def _formats() -> list[tuple[str, str]]:
    """Return the file formats of results, as (label, name)."""
    from memnet_core.io import FORMATS

    return [
        ("as input, JPEG to PNG", "auto"),
        *((known.title, known.name) for known in FORMATS if known.is_written),
        ("as input, also JPEG", "same"),
    ]


@dataclass(frozen=True)
class Planned:
    """The plan of a run, before the first file."""

    run: BatchRun


def restore_folder(
    folder: Path,
    output: Path,
    settings: RestoreOptions,
    *,
    recursive: bool,
    file_format: str,
    overwrite: bool,
    update: bool = False,
) -> Generator[Any, None, BatchRun]:
    """Restore the images of a folder, as ``memnet batch`` does.

    Parameters
    ----------
    folder, output : Path
        Where to read and where to write; results that exist are skipped.
    settings : RestoreOptions
        How.
    recursive : bool
        Whether to descend into subfolders.
    file_format : str
        As in `memnet_core.io.suffix_of_format`.
    overwrite, update : bool
        Whether to redo all results that exist, or those that are out of date.

    Yields
    ------
    Planned, Event
        The plan, and then the events of `memnet_core.batch.BatchRun`.

    Raises
    ------
    MemnetError
        If there is nothing to do, or nothing can be done.
    """
    from memnet_core.batch import BatchRun, find_inputs, plan_jobs

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; choose one with images.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; the output has to be a folder.")
    found = find_inputs([str(folder)], output, recursive=recursive)
    if not found.sources:
        raise UsageError(f"No images found in {folder}; choose another folder.")
    jobs = plan_jobs(
        found.sources,
        output,
        file_format,
        overwrite=overwrite,
        update=update,
        settings=settings,
    )
    run = BatchRun(jobs, settings)
    yield Planned(run)
    yield from run.events()
    return run


class JobProgress:
    """Progress of a run, weighted by pixels."""

    def __init__(self) -> None:
        self._left: dict[Job, float] = {}
        self._total = 0.0

    def __call__(self, event: Any) -> float | None:
        """Return the fraction that is done after an event."""
        from memnet_core.batch import FileFinished, FileProgress

        if isinstance(event, Planned):
            self._left = {job: job.megapixels for job in event.run.jobs if not job.skip}
            self._total = sum(self._left.values())
        elif isinstance(event, FileProgress):
            self._left[event.job] = (1 - event.fraction) * event.job.megapixels
        elif isinstance(event, FileFinished):
            self._left.pop(event.outcome.job, None)
        return 1 - sum(self._left.values()) / self._total if self._total else None
