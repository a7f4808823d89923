"""Reading the next plane and writing the last one while another is computed."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from memnet_core._old_tasks import PlaneSink
    from memnet_core.values import PlaneSource

__all__ = ["read_ahead", "write_behind"]


class _Ahead:
    """Planes of which the one after that which was last asked for is read already."""

    def __init__(self, source: PlaneSource, reader: ThreadPoolExecutor) -> None:
        self.shape = source.shape
        self.dtype = source.dtype
        self._source = source
        self._reader = reader
        self._next: tuple[int, Future[NDArray[Any]]] | None = None

    def __getitem__(self, index: int) -> NDArray[Any]:
        ready = self._next
        if ready is None or ready[0] != index:
            ready = index, self._reader.submit(self._source.__getitem__, index)
        pixels = ready[1].result()
        following = index + 1
        self._next = None
        if following < self.shape[0]:
            planned = self._reader.submit(self._source.__getitem__, following)
            self._next = following, planned
        return pixels


class _Behind:
    """Planes of which the last one may still be on its way."""

    def __init__(self, sink: PlaneSink, writer: ThreadPoolExecutor) -> None:
        self._sink = sink
        self._writer = writer
        self._last: Future[None] | None = None

    def __setitem__(self, index: int, pixels: NDArray[Any]) -> None:
        self.wait()
        self._last = self._writer.submit(self._sink.__setitem__, index, pixels)

    def wait(self) -> None:
        if self._last:
            self._last.result()


@contextmanager
def read_ahead(source: PlaneSource) -> Iterator[PlaneSource]:
    """Give the planes of a source, reading one in advance while others are used."""
    with ThreadPoolExecutor(1, "memnet-plane-reader") as reader:
        yield _Ahead(source, reader)


@contextmanager
def write_behind(sink: PlaneSink) -> Iterator[PlaneSink]:
    """Give a sink that takes a plane before the last one is written.

    At the end all are written. What the sink raises comes with a later plane or at the
    end.
    """
    with ThreadPoolExecutor(1, "memnet-plane-writer") as writer:
        behind = _Behind(sink, writer)
        yield behind
        behind.wait()
