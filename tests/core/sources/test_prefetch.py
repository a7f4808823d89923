"""Reading ahead and writing behind: order, errors, bounds, and threads that end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memnet_core.sources.prefetch import buffered_writes, prefetched
from memnet_core.sources.protocols import ArraySink, ArraySource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SHAPE = (3, 20, 8, 1)
STACK = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
WINDOW = 5 * 8
WHOLE = slice(0, 8)


class Source(ArraySource):
    """Notes what is read, and by whom; a window may fail."""

    def __init__(self, stack: NDArray[Any], bad: int = -1) -> None:
        super().__init__(stack)
        self.seen: list[tuple[int, int]] = []
        self.threads: set[str] = set()
        self.bad = bad

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        self.seen.append((plane, rows.start))
        self.threads.add(threading.current_thread().name)
        if len(self.seen) - 1 == self.bad:
            raise OSError(f"window {self.bad}")
        return super().read(plane, rows, columns)


class SlowSink:
    """Writes a window each time that it is allowed to; one may fail."""

    def __init__(self, bad: int = -1) -> None:
        self.allowed = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.written: list[tuple[int, int]] = []
        self.asked = 0
        self.bad = bad

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        self.begun.release()
        assert self.allowed.acquire(timeout=10)
        self.asked += 1
        if self.asked - 1 == self.bad:
            raise OSError(f"plane {plane}, row {rows.start}")
        self.written.append((plane, rows.start))


def windows(height: int = 5) -> Iterator[tuple[int, slice]]:
    for plane in range(SHAPE[0]):
        for top in range(0, SHAPE[1], height):
            yield plane, slice(top, min(top + height, SHAPE[1]))


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("memnet-window")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert own_threads() == []


@pytest.mark.parametrize("height", [3, 5, 7, 20])
@pytest.mark.parametrize("most_bytes", [1, 2 * WINDOW, 2**20])
def test_windows_pass_through_both_unchanged(height: int, most_bytes: int) -> None:
    copy = np.zeros_like(STACK)
    inner = Source(STACK)
    with (
        prefetched(inner, most_bytes) as source,
        buffered_writes(ArraySink(copy), most_bytes) as sink,
    ):
        assert (source.shape, source.dtype, source.channels) == (SHAPE, STACK.dtype, 1)
        for plane, rows in windows(height):
            sink.write(plane, rows, WHOLE, source.read(plane, rows, WHOLE))
    np.testing.assert_array_equal(copy, STACK)
    assert inner.seen == sorted(set(inner.seen))
    assert all(name.startswith("memnet-window-reader") for name in inner.threads)


def wait_for(inner: Source, count: int) -> None:
    for _ in range(1000):
        if len(inner.seen) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(inner.seen)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_windows_may_overlap_and_nothing_is_read_twice(step: int) -> None:
    inner = Source(STACK)
    with prefetched(inner, 4 * WINDOW) as source:
        for plane in range(3):
            for top in range(0, 20, step):
                rows = slice(max(top - 2, 0), min(top + step + 2, 20))
                pixels = source.read(plane, rows, WHOLE)
                np.testing.assert_array_equal(pixels, STACK[plane, rows])
    assert inner.seen == [(plane, rows.start) for plane, rows in windows()]


def test_what_comes_below_is_read_before_it_is_asked_for() -> None:
    inner = Source(STACK)
    with prefetched(inner, 4 * WINDOW) as source:
        source.read(0, slice(10, 12), WHOLE)
        wait_for(inner, 2)
        source.read(0, slice(17, 18), WHOLE)
        wait_for(inner, 3)
        assert inner.seen == [(0, 10), (0, 15), (1, 0)]


def test_no_more_is_read_in_advance_than_one_band() -> None:
    inner = Source(STACK)
    with prefetched(inner, 4 * WINDOW) as source:
        for _ in range(5):
            source.read(0, slice(0, 5), WHOLE)
    assert len(inner.seen) <= 2


def test_windows_in_any_order_are_right() -> None:
    asked = [(2, 3, 9), (0, 0, 4), (0, 4, 5), (1, 7, 20), (2, 0, 13), (0, 19, 20)]
    with prefetched(Source(STACK), 4 * WINDOW) as source:
        for plane, top, bottom in asked:
            for columns in (slice(0, 3), slice(3, 8)):
                pixels = source.read(plane, slice(top, bottom), columns)
                expected = STACK[plane, top:bottom, columns]
                np.testing.assert_array_equal(pixels, expected)


def test_reading_error_comes_with_its_own_window() -> None:
    inner = Source(STACK, bad=2)
    with prefetched(inner, 4 * WINDOW) as source:
        source.read(0, slice(0, 5), WHOLE)
        source.read(0, slice(5, 10), WHOLE)
        wait_for(inner, 3)
        with pytest.raises(OSError, match="window 2"):
            source.read(0, slice(10, 15), WHOLE)


def test_error_of_a_window_that_nobody_asks_for_does_not_matter() -> None:
    inner = Source(STACK, bad=1)
    with prefetched(inner, 4 * WINDOW) as source:
        source.read(0, slice(0, 5), WHOLE)
        wait_for(inner, 2)
        source.read(2, slice(0, 5), WHOLE)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_slow_sink_is_waited_for(most: int) -> None:
    slow = SlowSink()
    taken = 0

    def give() -> None:
        nonlocal taken
        with buffered_writes(slow, most * WINDOW) as sink:
            for plane, rows in windows():
                sink.write(plane, rows, WHOLE, STACK[plane, rows])
                taken += 1

    giver = threading.Thread(target=give)
    giver.start()
    try:
        assert slow.begun.acquire(timeout=10)
        giver.join(0.2)
        # What is being written counts as unwritten; one window always finds room.
        assert taken == max(most, 1)
        slow.allowed.release()
        assert slow.begun.acquire(timeout=10)
        giver.join(0.2)
        assert taken == max(most, 1) + 1
    finally:
        slow.allowed.release(len([*windows()]))
        giver.join(10)
    assert slow.written == [(plane, rows.start) for plane, rows in windows()]


@pytest.mark.parametrize("most", [1, 3, 100])
def test_writing_error_is_that_of_the_window_that_failed_first(most: int) -> None:
    slow = SlowSink(bad=5)
    slow.allowed.release(100)

    def write_all() -> None:
        with buffered_writes(slow, most * WINDOW) as sink:
            for plane, rows in windows():
                sink.write(plane, rows, WHOLE, STACK[plane, rows])

    with pytest.raises(OSError, match="plane 1, row 5"):
        write_all()
    assert len(slow.written) == 5


def test_leaving_is_not_before_all_is_written() -> None:
    slow = SlowSink()
    slow.allowed.release(100)
    with buffered_writes(slow) as sink:
        for plane, rows in windows():
            sink.write(plane, rows, WHOLE, STACK[plane, rows])
    assert len(slow.written) == len([*windows()])


def test_giving_up_writes_nothing_more() -> None:
    slow = SlowSink()

    def give_up() -> None:
        with buffered_writes(slow) as sink:
            for plane, rows in windows():
                sink.write(plane, rows, WHOLE, STACK[plane, rows])
            assert slow.begun.acquire(timeout=10)
            slow.allowed.release(100)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert len(slow.written) <= len([*windows()])
