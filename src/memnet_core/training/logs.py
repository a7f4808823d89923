"""Logs of a run: CSV table, TensorBoard events, curves and example patches."""

from __future__ import annotations

import csv
import importlib.util
import math
import time
from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.sanitize import escape_mathtext
from memnet_core.image_ops.metrics import psnr
from memnet_core.training.events import Row, TrainingProgress, Validated

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from matplotlib.figure import Figure

    from memnet_core.training.events import Event, Example

__all__ = ["RunLog", "read_log"]

_LOG = "log.csv"
_HEADER = ["step", "minutes", "quantity", "value"]


def read_log(out: Path) -> list[Row]:
    """Read the rows of a run's log; truncated or damaged lines are skipped."""
    path = out / _LOG
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return list(filter(None, map(_row, file)))


def _row(line: str) -> Row | None:
    # A truncated line has no line end, and its number may have lost digits.
    if not line.endswith("\n"):
        return None
    try:
        step, minutes, quantity, value = next(csv.reader([line]))
        return int(step), float(minutes), quantity, float(value)
    except (ValueError, csv.Error, StopIteration):
        return None


class _Board:
    """Write TensorBoard events synchronously.

    The writer of tensorboardX is a thread. A full disk ends it, and the run would wait
    for it forever.
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
        """Close the file."""
        self._writer.close()


class RunLog:
    """Write ``log.csv``, ``curves.png`` and ``patches.png`` into the folder of a run.

    TensorBoard events are written, too, if tensorboardX is installed.

    Parameters
    ----------
    out : Path
        Folder of the run.
    step : int
        Step to resume from; rows logged after it are dropped.
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
        if importlib.util.find_spec("tensorboardX"):  # the extra "tensorboard"
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
        """Log progress and validations; draw curves and patches after a validation."""
        if isinstance(event, TrainingProgress):
            self._write(event, "loss/training", event.loss)
            self._write(event, "learning rate", event.learning_rate)
            self._write(event, "pixels per second", event.pixels_per_second)
        elif isinstance(event, Validated):
            if math.isfinite(event.training_loss):  # NaN before the first step
                self._write(event, "loss/training mean", event.training_loss)
            self._write(event, "loss/evaluation", event.evaluation_loss)
            for level, value in event.psnr.items():
                self._write(event, f"PSNR/{level}", value)
            for quantity, value in event.watch.items():
                self._write(event, quantity, value)
            _draw_curves(
                read_log(self._out), event.input_psnr, self._out / "curves.png"
            )
            _draw_examples(event.examples, self._out / "patches.png")

    def _write(
        self, event: TrainingProgress | Validated, quantity: str, value: float
    ) -> None:
        self._writer.writerow([event.step, f"{event.minutes:.3f}", quantity, value])
        self._file.flush()  # the rows of a killed run are kept
        if self._board:
            self._board.add(quantity, value, event.step)


def _draw_curves(rows: list[Row], input_psnr: dict[str, float], path: Path) -> None:
    """Plot a log over its minutes; `input_psnr` is in dB, by level.

    Four panels: losses, gain in PSNR, PSNR of each intermediate prediction, and the
    size of the weights of each layer.
    """
    from matplotlib.figure import Figure

    figure = Figure((11, 8), layout="constrained")
    (losses, gains), (predictions, weights) = figure.subplots(2, 2)
    for quantity, label in (
        ("loss/training mean", "training"),
        ("loss/evaluation", "evaluation"),
    ):
        points = [(minutes, v) for _, minutes, name, v in rows if name == quantity]
        losses.plot(*zip(*points, strict=True), "o-", label=label)
    # The logarithm of an error is negative already.
    is_log = any(v <= 0 for _, _, name, v in rows if name.startswith("loss/"))
    losses.set(xlabel="minutes", ylabel="loss", yscale="linear" if is_log else "log")
    for level, before in input_psnr.items():
        points = [(m, v - before) for _, m, name, v in rows if name == f"PSNR/{level}"]
        gains.plot(*zip(*points, strict=True), "o-", label=level)
    gains.set(xlabel="minutes", ylabel="gain in PSNR on validation images (dB)")
    for axes, kind, label in (
        (predictions, "prediction/", "PSNR of the intermediate predictions (dB)"),
        (weights, "weights/", "root mean square of weights"),
    ):
        names = dict.fromkeys(name for _, _, name, _ in rows if name.startswith(kind))
        for quantity in names:
            points = [(minutes, v) for _, minutes, name, v in rows if name == quantity]
            name = quantity.removeprefix(kind)
            axes.plot(*zip(*points, strict=True), ".-", label=escape_mathtext(name))
        axes.set(xlabel="minutes", ylabel=label)
    for axes in (losses, gains, predictions, weights):
        if axes.lines:
            axes.legend(fontsize="small", ncols=2)
        axes.grid(alpha=0.3)
    _save(figure, path)


def _draw_examples(examples: tuple[Example, ...], path: Path) -> None:
    """Draw degraded, restored and clean patches side by side, an example per row."""
    from matplotlib.figure import Figure

    figure = Figure((9, 3.2 * len(examples)), layout="constrained")
    for row, example in zip(
        figure.subplots(len(examples), 3, squeeze=False), examples, strict=True
    ):
        planes = {
            f"{example.name}, {psnr(example.clean, example.degraded):.2f} dB": (
                example.degraded
            ),
            f"restored, {psnr(example.clean, example.restored):.2f} dB": (
                example.restored
            ),
            "clean": example.clean,
        }
        for axes, (title, plane) in zip(row, planes.items(), strict=True):
            shown = plane.clip(0, 255).round().astype("uint8")
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(escape_mathtext(title))
            axes.set_axis_off()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replaced_when_complete(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
