"""The logs of a run: a table, TensorBoard, and pictures."""

from __future__ import annotations

import csv
import importlib.util
import math
import time
from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core.training.events import Row, TrainingProgress, Validated
from memnet_core.training.plots import draw_curves, draw_examples

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from memnet_core.training.events import Event

__all__ = ["RunLog", "read_log"]


_LOG = "log.csv"
_HEADER = ["step", "minutes", "quantity", "value"]


def read_log(out: Path) -> list[Row]:
    """Return the rows of a run's log; lines that are cut or damaged are left out."""
    path = out / _LOG
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return list(filter(None, map(_row, file)))


def _row(line: str) -> Row | None:
    # A line that is cut has no end; its number may have lost digits.
    if not line.endswith("\n"):
        return None
    try:
        step, minutes, quantity, value = next(csv.reader([line]))
        return int(step), float(minutes), quantity, float(value)
    except (ValueError, csv.Error, StopIteration):
        return None


class _Board:
    """TensorBoard's events, written at once.

    Its own writer has a thread, which a full disk ends, and the run then waits for it.
    """

    def __init__(self, folder: Path, purge_from: int | None) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder.mkdir(exist_ok=True)
        self._event = Event
        self._writer = EventsWriter(str(folder / "events"))
        if purge_from is not None:
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(Event(step=purge_from, session_log=start))

    def add(self, quantity: str, value: float, step: int) -> None:
        """Add a value to the curve of a quantity."""
        from tensorboardX.summary import scalar

        summary = scalar(quantity.replace(" ", "_"), value)
        event = self._event(wall_time=time.time(), step=step, summary=summary)
        self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()


class RunLog:
    """Write ``log.csv``, ``curves.png`` and ``patches.png`` into the folder of a run.

    TensorBoard events are written, too, if tensorboardX is installed.

    Parameters
    ----------
    out : Path
        Folder of the run.
    step : int
        Where it goes on; what an interrupted sitting logged after that is left out.
    """

    def __init__(self, out: Path, step: int) -> None:
        self._out = out
        rows = [row for row in read_log(out) if row[0] <= step]
        with (
            replaced_when_complete(out / _LOG) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([_HEADER, *rows])
        self._file = (out / _LOG).open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._board = None
        if importlib.util.find_spec("tensorboardX"):  # of the extra "tensorboard"
            self._board = _Board(out / "tensorboard", step + 1 if rows else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board:
            self._board.close()

    def add(self, event: Event) -> None:
        """Log reports and validations; after a validation draw the pictures."""
        if isinstance(event, TrainingProgress):
            self._write(event, "loss/training", event.loss)
            self._write(event, "learning rate", event.learning_rate)
            self._write(event, "pixels per second", event.pixels_per_second)
        elif isinstance(event, Validated):
            if math.isfinite(event.training_loss):  # it is not before the first step
                self._write(event, "loss/training mean", event.training_loss)
            self._write(event, "loss/evaluation", event.evaluation_loss)
            for level, value in event.psnr.items():
                self._write(event, f"PSNR/{level}", value)
            for quantity, value in event.watch.items():
                self._write(event, quantity, value)
            draw_curves(read_log(self._out), event.input_psnr, self._out / "curves.png")
            draw_examples(event.examples, self._out / "patches.png")

    def _write(
        self, event: TrainingProgress | Validated, quantity: str, value: float
    ) -> None:
        self._writer.writerow([event.step, f"{event.minutes:.3f}", quantity, value])
        self._file.flush()
        if self._board:
            self._board.add(quantity, value, event.step)
