"""What long work tells while it goes on, and the result it ends with."""

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
    """More pixels of the result are finished.

    Attributes
    ----------
    done, total : int
        Pixels so far and in all, over all planes.
    """

    done: int
    total: int

    @property
    def fraction(self) -> float:
        """What is done of the whole, in [0, 1]."""
        return self.done / self.total


@dataclass(frozen=True)
class Notice:
    """Something that the user should know, in one sentence; the work goes on."""

    text: str


class GeneratorWithResult(Generic[EventT, ResultT]):
    """The events of a generator, to loop over, and then its result.

    Parameters
    ----------
    generator : generator
        Yields events and returns a result.

    Attributes
    ----------
    result
        What the generator returned; there is none before the loop has ended.
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
