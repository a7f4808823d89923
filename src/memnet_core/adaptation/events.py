"""What adapting tells those who drive it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from memnet_core.progress import Notice
from memnet_core.training.events import Progress, StepDone

__all__ = ["Event", "Learning", "Point", "Reading", "Retested"]


@dataclass(frozen=True)
class Reading:
    """So many of the parts of the source are read."""

    done: int
    total: int


class Point(NamedTuple):
    """Losses after some minutes of learning, in variances of the noise.

    `training` is the mean since the point before, NaN for the first one.
    """

    minutes: float
    training: float
    held_out: float


@dataclass(frozen=True)
class Retested:
    """The network was tried on what is held out, again.

    Attributes
    ----------
    step : int
        Steps taken so far.
    point : Point
        The losses.
    is_best : bool
        Whether the held-out loss was never lower.
    """

    step: int
    point: Point
    is_best: bool


Learning = Progress | StepDone | Retested
Event = Notice | Reading | Learning
