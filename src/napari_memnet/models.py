"""The installed models, as widgets show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

if TYPE_CHECKING:
    from memnet_core.model.file import Card
    from memnet_core.model.zoo import Entry

__all__ = ["describe", "levels_for", "models_changed", "models_for"]


class _Models:
    changed = Signal()


_models = _Models()
models_changed = _models.changed
"""Emitted after a model was added, so that it can be chosen at once."""


def models_for(task: str) -> list[Entry]:
    """Return the usable models for a task, the user's first."""
    from memnet_core.model.zoo import installed

    return [entry for entry in installed()[0] if entry.card.task == task]


def levels_for(task: str) -> list[float]:
    """Return the levels of a task that some model lists, in ascending order."""
    return sorted({v for e in models_for(task) for v in e.card.levels.values})


def describe(card: Card) -> str:
    """Return a model's card in a few lines."""
    shape = card.architecture
    lines = [
        f"{card.name}: {card.serves}, licence {card.licence}",
        f"{shape.memory_blocks} memory blocks of {shape.recursions} recursions, "
        f"{shape.channels} channels",
    ]
    if card.training is not None:
        lines.append(
            f"trained on {card.training.data}, {card.training.minutes:.0f} minutes, "
            f"{card.training.megapixels:.0f} megapixels"
        )
    lines += [
        f"{score.dataset} {score.level:g}: {score.input_psnr:.2f} → {score.psnr:.2f} dB"
        for score in card.scores
    ]
    return "\n".join(lines)
