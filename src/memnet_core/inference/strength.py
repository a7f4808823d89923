"""How much of a level is applied, where a model lets that be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.errors import UsageError
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from memnet_core.inference.settings import Settings
    from memnet_core.model.checkpoint import Card

__all__ = ["check_strength", "strength_in_words"]


def check_strength(settings: Settings, card: Card) -> None:
    """Check that a model can do what a strength asks for.

    Raises
    ------
    UsageError
        If its strength cannot be chosen, but was.
    """
    if settings.strength == 1 or card.takes_strength:
        return
    if not find_task(card.task).graded:
        raise UsageError(
            f"The task {card.task} has no strength; leave the strength at 1."
        )
    raise UsageError(
        f"The model {card.name!r} is not told the level and knows one strength only; "
        "leave the strength at 1, or name a model with a level map."
    )


def strength_in_words(strength: float, level: float, card: Card) -> str:
    """Return as what level a model works, and whether it was trained for that.

    Parameters
    ----------
    strength : float
        What was asked for, in [0, 1.5].
    level : float
        What was given, or found.
    card : Card
        The model's.
    """
    if strength == 0:
        return "strength 0, which changes nothing"
    task = find_task(card.task)
    applied = task.at_strength(level, strength)
    said = f"strength {strength:g}, as {task.symbol} {applied:.3g}"
    served = [task.map_value(value) for value in card.levels.values]
    if not min(served) <= task.map_value(applied) <= max(served):
        said += f", beyond what the model is trained for ({card.serves})"
    return said
