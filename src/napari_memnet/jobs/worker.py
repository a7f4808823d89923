"""Work in the background: one generator in a thread, its events in the main thread."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils import progress
from napari.utils.notifications import notification_manager, show_error
from qtpy.QtCore import QObject, Signal

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.errors import MemnetError, NotCovered, NothingToDo
from napari_memnet.snippets import as_field

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Work", "remaining"]


@dataclass(frozen=True)
class _Succeeded:
    result: Any


@dataclass(frozen=True)
class _Failed:
    sentence: str
    is_question: bool = False


@dataclass(frozen=True)
class _Broken:
    error: Exception


@dataclass(frozen=True)
class _Cancelled:
    pass


_Outcome = _Succeeded | _Failed | _Broken | _Cancelled


class _StoppableWorker(GeneratorWorker):  # type: ignore[misc]
    """A napari worker that closes its generator in its own thread when it quits."""

    def __init__(
        self,
        function: Callable[..., Any],
        work: Generator[Any, None, Any],
        stop: threading.Event,
    ) -> None:
        super().__init__(function, work, stop)
        self._stop = stop

    def quit(self) -> None:
        """Ask the generator to end after its current step."""
        self._stop.set()


def _drive(
    work: Generator[Any, None, Any], stop: threading.Event
) -> Generator[Any, None, _Outcome]:
    """Forward events until the work is done, fails or is cancelled."""
    try:
        while not stop.is_set():
            try:
                event = next(work)
            except StopIteration as end:
                return _Succeeded(end.value)
            yield event
        work.close()
    except MemnetError as error:
        is_question = isinstance(error, NotCovered | NothingToDo)
        return _Failed(error.spelled(as_field), is_question)
    except MemoryError:
        return _Failed("Memory ran out; choose a smaller part, or close other layers.")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _Failed(f"{name}{error.strerror or error}.")
    except Exception as error:  # noqa: BLE001 - shown with its traceback
        return _Broken(error)
    finally:
        work.close()
    return _Cancelled()


class _Titled(partial[Any]):
    """A function with a title, which napari shows when it asks whether to close."""

    title = ""

    def __str__(self) -> str:
        return self.title


def _no_progress(event: Any) -> None:
    return None


class Work(QObject):  # type: ignore[misc]
    """Run a generator in a thread, with a progress bar in the activity dock.

    napari knows of it: closing the window asks first, and then stops it.

    Parameters
    ----------
    generator : generator
        Yields events and returns a result; it is closed when the work is cancelled.
    title : str
        What is shown beside the bar.
    fraction : callable
        Returns how much is done after an event, in [0, 1], or None if that does not
        change.
    quiet : bool
        Whether napari is not to show why it failed; it never shows a question.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    yielded : Signal(object)
        What the generator yields.
    advanced : Signal(float, float)
        How much is done, in [0, 1], and the seconds that are left.
    succeeded : Signal(object)
        What it returned.
    failed : Signal(str)
        Why it failed, in one sentence, which napari shows, too.
    is_question : bool
        Whether it failed only because no model is trained for the level, while one
        comes close.
    cancelled, ended : Signal
        After it was cancelled; in the end, however it ended.
    """

    yielded = Signal(object)
    advanced = Signal(float, float)
    succeeded = Signal(object)
    failed = Signal(str)
    cancelled = Signal()
    ended = Signal()

    _running: ClassVar[dict[int, Work]] = {}

    def __init__(
        self,
        generator: Generator[Any, None, Any],
        title: str,
        *,
        fraction: Callable[[Any], float | None] = _no_progress,
        quiet: bool = False,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._quiet = quiet
        self.is_question = False
        self._running[id(self)] = self
        self._stop = threading.Event()
        self._fraction = fraction
        self._title = title
        self._bar: progress | None = None
        self._has_ended = False
        self._started = time.monotonic()
        drive = _Titled(_drive)
        drive.title = title
        self._worker = create_worker(
            drive, generator, self._stop, _worker_class=_StoppableWorker
        )
        # The bar has to wait: napari handles pending events while it makes one, such as
        # a second click on the button, whose owner does not know of this work yet.
        self._worker.started.connect(self._on_started)
        self._worker.yielded.connect(self._on_event)
        self._worker.returned.connect(self._on_outcome)
        self._worker.finished.connect(self._on_finished)
        # Also where the owner has been deleted meanwhile. What is connected to
        # `destroyed` may be gone itself when both are garbage, and Qt then crashes.
        self._worker.finished.connect(partial(self._running.pop, id(self), None))
        self._worker.start()

    def cancel(self) -> None:
        """Ask the work to end after its current step."""
        self._stop.set()

    @property
    def is_cancelling(self) -> bool:
        """True once `cancel` was called."""
        return self._stop.is_set()

    def _on_started(self) -> None:
        bar = progress(total=1000, desc=self._title)
        if self._has_ended:
            bar.close()
        else:
            self._bar = bar

    def _on_event(self, event: Any) -> None:
        self.yielded.emit(event)
        fraction = self._fraction(event)
        if fraction:
            left = remaining(time.monotonic() - self._started, fraction)
            self.advanced.emit(fraction, left)
            # Last, as napari's bar handles events that wait while it is drawn.
            if self._bar is not None:
                self._bar.update(round(1000 * fraction) - self._bar.n)

    def _on_outcome(self, outcome: _Outcome) -> None:
        if isinstance(outcome, _Succeeded):
            self.succeeded.emit(outcome.result)
        elif isinstance(outcome, _Failed):
            self.is_question = outcome.is_question
            if not (self._quiet or self.is_question):
                show_error(escape_control_chars(outcome.sentence))
            self.failed.emit(outcome.sentence)
        elif isinstance(outcome, _Broken):
            error = outcome.error
            notification_manager.receive_error(type(error), error, error.__traceback__)
            self.failed.emit(f"A fault of the program: {error!r}; please report it.")
        else:
            self.cancelled.emit()

    def _on_finished(self) -> None:
        self._has_ended = True
        if self._bar is not None:
            self._bar.close()
        self.ended.emit()


def remaining(seconds: float, fraction: float) -> float:
    """Return the remaining seconds, from the elapsed ones and a fraction in (0, 1]."""
    return seconds * (1 - fraction) / max(fraction, 1e-6)
