"""The kinds of restoration, one file each: pure functions of planes and levels.

A new task is a subclass of `Task` in a file of its own, and a line in `TASKS`.
"""

from __future__ import annotations

from memnet_core.errors import UsageError
from memnet_core.tasks.base import Grain, LevelField, LevelFound, Levels, Task
from memnet_core.tasks.deblock import Deblock
from memnet_core.tasks.denoise import CorrelatedDenoise, Denoise
from memnet_core.tasks.super_resolution import SuperResolution

__all__ = [
    "AUTO",
    "CLEANING",
    "CORRELATED",
    "TASKS",
    "Grain",
    "LevelField",
    "LevelFound",
    "Levels",
    "Task",
    "find_task",
]

TASKS: dict[str, Task] = {
    task.name: task for task in (Deblock(), Denoise(), SuperResolution())
}
"""All tasks by name."""

AUTO = "auto"
"""Asks for whatever of `CLEANING` an image needs; it is none of `TASKS`."""

CLEANING = tuple(task for task in TASKS.values() if task.estimable)
"""What an image may need, in this order: blocks first, then the noise that remains."""

CORRELATED: Task = CorrelatedDenoise()
"""What a model learns that removes noise of any grain; its task is ``denoise``."""


def find_task(name: str) -> Task:
    """Return the task of a name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in TASKS:
        raise UsageError(f"There is no task {name!r}; give one of {', '.join(TASKS)}.")
    return TASKS[name]
