"""Work in a thread: events, outcomes, and the end of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from napari.qt.threading import create_worker
from napari.utils import progress

from memnet_core.errors import ImageError
from napari_memnet.jobs.worker import Work, remaining

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

pytestmark = pytest.mark.usefixtures("viewer")


class Record:
    """What a work told, in this order, and in which thread."""

    def __init__(self, work: Work) -> None:
        self.told: list[tuple[str, Any]] = []
        self.threads: set[str] = set()
        work.yielded.connect(lambda event: self._note("yielded", event))
        work.advanced.connect(lambda *a: self._note("advanced", round(a[0], 3)))
        work.succeeded.connect(lambda result: self._note("succeeded", result))
        work.failed.connect(lambda sentence: self._note("failed", sentence))
        work.cancelled.connect(lambda: self._note("cancelled", None))
        work.ended.connect(lambda: self._note("ended", None))

    def _note(self, what: str, value: Any) -> None:
        self.told.append((what, value))
        self.threads.add(threading.current_thread().name)

    @property
    def has_ended(self) -> bool:
        return ("ended", None) in self.told


def test_events_and_the_result_arrive_in_order_in_the_main_thread(wait: Any) -> None:
    def count() -> Generator[int, None, str]:
        yield from range(1, 4)
        return threading.current_thread().name

    record = Record(Work(count(), "counting", fraction=lambda n: n / 3))
    wait(lambda: record.has_ended)
    kinds = [what for what, _ in record.told]
    assert kinds == ["yielded", "advanced"] * 3 + ["succeeded", "ended"]
    assert [v for what, v in record.told if what == "yielded"] == [1, 2, 3]
    assert [v for what, v in record.told if what == "advanced"] == [0.333, 0.667, 1]
    assert record.threads == {"MainThread"}
    assert dict(record.told)["succeeded"] != "MainThread"


def test_cancelling_ends_after_the_current_step_and_closes_in_the_thread(
    wait: Any,
) -> None:
    steps: list[int] = []
    go_on = threading.Event()
    closed_in: list[str] = []

    def endless() -> Generator[int, None, None]:
        try:
            for number in range(10**6):
                steps.append(number)
                yield number
                go_on.wait(10)
        finally:
            closed_in.append(threading.current_thread().name)

    work = Work(endless(), "endless")
    record = Record(work)
    wait(lambda: bool(record.told))
    work.cancel()
    go_on.set()
    wait(lambda: record.has_ended)
    assert [what for what, _ in record.told][-2:] == ["cancelled", "ended"]
    assert len(steps) <= 2
    assert closed_in
    assert closed_in != ["MainThread"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ImageError("The pixels are odd; change them."), "The pixels are odd"),
        (OSError(28, "No space left on device", "/data/x"), "/data/x: No space left"),
        (MemoryError(), "Memory ran out"),
    ],
    ids=["ours", "disk", "memory"],
)
def test_errors_arrive_as_one_sentence(
    wait: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("napari_memnet.jobs.worker.show_error", shown.append)

    def failing() -> Generator[int, None, None]:
        yield 1
        raise error

    record = Record(Work(failing(), "failing"))
    wait(lambda: record.has_ended)
    told = dict(record.told)
    assert told["failed"].startswith(sentence)
    assert shown == [told["failed"]]
    assert "\n" not in told["failed"]
    assert "succeeded" not in told


def test_a_fault_of_the_program_ends_the_work_and_shows_its_traceback(
    wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[Any] = []
    monkeypatch.setattr(
        "napari_memnet.jobs.worker.notification_manager.receive_error",
        lambda *parts: received.append(parts),
    )

    def faulty() -> Generator[int, None, None]:
        yield 1
        raise RuntimeError("a tensor went astray")

    record = Record(Work(faulty(), "faulty"))
    wait(lambda: record.has_ended)
    told = dict(record.told)
    assert "succeeded" not in told
    assert "a tensor went astray" in told["failed"]
    ((kind, error, traceback),) = received
    assert kind is RuntimeError
    assert traceback is error.__traceback__


def test_closing_the_window_stops_the_work(
    make_napari_viewer: Callable[..., Any], wait: Any
) -> None:
    window = make_napari_viewer()
    started, closed = threading.Event(), threading.Event()

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                started.set()
                yield 1
                threading.Event().wait(0.01)
        finally:
            closed.set()

    Work(endless(), "endless")
    wait(started.is_set)
    window.close()
    wait(closed.is_set)


def test_time_that_is_left_follows_from_time_that_passed() -> None:
    assert remaining(30, 0.25) == pytest.approx(90)
    assert remaining(30, 1) == 0


def test_napari_names_the_work_when_it_asks_whether_to_close(
    viewer: Any, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []

    def create(function: Any, *args: Any, **kwargs: Any) -> Any:
        named.append(f"{function} execution pending")
        return create_worker(function, *args, **kwargs)

    monkeypatch.setattr("napari_memnet.jobs.worker.create_worker", create)

    def nothing() -> Generator[int, None, None]:
        yield 1

    record = Record(Work(nothing(), "MemNet: cells"))
    wait(lambda: record.has_ended)
    assert named == ["MemNet: cells execution pending"]


def test_no_bar_stays_however_short_the_work_is(wait: Any) -> None:
    def nothing() -> Generator[int, None, None]:
        yield from ()

    records = [Record(Work(nothing(), "short")) for _ in range(3)]
    wait(lambda: all(record.has_ended for record in records))
    wait(lambda: not progress._all_instances)
