"""What is done with an image, one step after the other, and why.

First JPEG blocks are removed, then the noise that remains, then the image is enlarged:
each step where it gains, all in one pass through the loop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memnet_core.errors import LevelError, NothingToDo, UsageError
from memnet_core.inference.analysis import analyze
from memnet_core.inference.plan import RestorePlan, plan_restore
from memnet_core.tasks import AUTO, CLEANING, find_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memnet_core.inference.analysis import SourceAnalysis
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.sources.protocols import PixelSource
    from memnet_core.tasks import Task

__all__ = ["RestoreStep", "joined", "plan_chain", "plan_steps"]

_LEAST_GAIN = 0.1
"""Gain in dB by the card's scores below which a step does not pay."""


@dataclass(frozen=True)
class RestoreStep:
    """One task in the restoration of an image.

    Attributes
    ----------
    task : str
        Name of the task.
    plan : RestorePlan, optional
        How it is done, with its model; None if it is left out.
    reason : str
        Where the level comes from, or why the step is left out.
    level : float, optional
        What was found, or given; None if there is none.
    gain : float, optional
        What the scores of the model's card promise over doing nothing, in dB; unknown
        without scores.
    """

    task: str
    plan: RestorePlan | None
    reason: str
    level: float | None = None
    gain: float | None = None


def plan_steps(
    source: PixelSource,
    settings: RestoreOptions,
    judged: Mapping[str, SourceAnalysis] | None = None,
) -> tuple[RestoreStep, ...]:
    """Decide what is done with an image, step by step.

    Noise is read from the image as it is: that of a clean JPEG reads as less than σ 3
    at any quality. Behind deblocking the map of the noise follows what remains.

    Parameters
    ----------
    source : PixelSource
        Any input.
    settings : RestoreOptions
        What was asked for.
    judged : mapping of str to SourceAnalysis, optional
        What `analyze` says for the tasks of `auto`, where it is known.

    Raises
    ------
    MemnetError
        As `plan_restore`, for the task that was asked for.
    """
    if settings.task == AUTO:
        known = judged or {}
        return tuple(
            _cleaning(source, task, settings, known.get(task.name)) for task in CLEANING
        )
    task = find_task(settings.task)
    plan = plan_restore(source, settings)
    first: tuple[RestoreStep, ...] = ()
    if task.needs_clean and settings.clean:
        # What is said of colors, depth and strength is about the task itself.
        clean = replace(settings, channels=None, exit_block=None, strength=1.0)
        first = tuple(_cleaning(source, task, clean) for task in CLEANING)
    return (*first, _done(task, plan))


def plan_chain(source: PixelSource, settings: RestoreOptions) -> RestorePlan:
    """Return the plan of the last step, which holds those before it.

    Raises
    ------
    NothingToDo
        If no step is needed.
    MemnetError
        As `plan_steps`.
    """
    return joined(plan_steps(source, settings), settings)


def joined(steps: Sequence[RestoreStep], settings: RestoreOptions) -> RestorePlan:
    """Return the plan of the last of some steps; see `plan_chain`."""
    plans = [step.plan for step in steps if step.plan]
    if not plans:
        reasons = ", ".join(step.reason for step in steps)
        raise NothingToDo(f"needs none: {reasons}")
    *before, last = plans
    if not before and settings.task != AUTO:
        return last
    done = ", then ".join(plan.label for plan in plans)
    told = dict.fromkeys(remark for plan in plans for remark in plan.remarks)
    return last.model_copy(update={"before": tuple(before), "remarks": (done, *told)})


def _done(task: Task, plan: RestorePlan) -> RestoreStep:
    gain = plan.entry().card.gain(plan.level)
    return RestoreStep(task.name, plan, "; ".join(plan.remarks), plan.level, gain)


def _cleaning(
    source: PixelSource,
    task: Task,
    settings: RestoreOptions,
    judged: SourceAnalysis | None = None,
) -> RestoreStep:
    """Decide whether an image needs a task that makes it clean."""
    asked = replace(
        settings,
        task=task.name,
        level=None,
        model=None,
        nearest=False,
        noise=settings.noise if task.noisy else "auto",
    )
    level = None
    try:
        judged = judged or analyze(source, asked)
        level = judged.strongest(task)
        counted = any(channel.is_stabilized for channel in judged.channels)
        if not counted and (why := _why_left(task, level, judged)):
            return RestoreStep(task.name, None, f"{task.label(level)} {why}", level)
        step = _done(task, plan_restore(source, asked, judged))
    except (LevelError, NothingToDo, UsageError) as error:
        reason, _, _ = str(error).partition(" (")
        if level is None and not isinstance(error, UsageError):
            reason = f"no {task.quantity}"
        return RestoreStep(task.name, None, reason.rstrip("."), level)
    if step.gain is not None and step.gain < _LEAST_GAIN:
        reason = f"{task.label(step.level or 0)} would gain {step.gain:.2f} dB only"
        return replace(step, plan=None, reason=reason)
    return step


def _why_left(task: Task, level: float, judged: SourceAnalysis) -> str:
    """Return why what was found is not worth a step; empty if it is."""
    if task.mildest is None:
        return ""
    if task.level_map_value(level) < task.level_map_value(task.mildest):
        return "is mild"
    if all(channel.may_be_texture for channel in judged.channels):
        return "may be texture"
    return ""
