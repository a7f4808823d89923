"""Events of long-running work, and generators of events with a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["GeneratorWithResult", "Notice", "Progress", "result_of"]

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Progress:
    """Finished pixels of a result out of the total, over all planes."""

    done: int
    total: int

    @property
    def fraction(self) -> float:
        """Finished fraction, in [0, 1]."""
        return self.done / self.total


@dataclass(frozen=True)
class Notice:
    """A sentence for the user; the work continues."""

    text: str


class GeneratorWithResult(Generic[EventT, ResultT]):
    """Iterate over the events of a generator, and keep its return value as `result`.

    `result` is set when the iteration is complete.
    """

    result: ResultT

    def __init__(self, generator: Generator[EventT, None, ResultT]) -> None:
        self._generator = generator

    def __iter__(self) -> Iterator[EventT]:
        self.result = yield from self._generator


def result_of(generator: Generator[Any, None, ResultT]) -> ResultT:
    """Run a generator of events to its end and return its result."""
    events = GeneratorWithResult(generator)
    for _ in events:
        pass
    return events.result
