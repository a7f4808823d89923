"""The installed models, as widgets show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from memnet_core.model.card import Card
    from memnet_core.model.registry import Entry

__all__ = [
    "describe",
    "levels_for",
    "models_changed",
    "models_for",
    "own_models",
    "trained_for",
]


class _Models:
    changed = Signal()


_models = _Models()
models_changed = _models.changed
"""Emitted after a model was added, renamed or deleted, so that forms offer what is."""


def models_for(task: str) -> list[Entry]:
    """Return the usable models for a task, the user's first."""
    from memnet_core.model.registry import installed

    return [entry for entry in installed()[0] if entry.card.task == task]


def own_models() -> list[Entry]:
    """Return the usable models that did not come with the package."""
    from memnet_core.model.registry import installed

    return [entry for entry in installed()[0] if not entry.is_shipped]


def levels_for(task: str) -> list[float]:
    """Return the levels of a task that some model lists, in ascending order."""
    return sorted({v for e in models_for(task) for v in e.card.levels.values})


def describe(card: Card) -> str:
    """Return a model's card in a few lines."""
    shape = card.architecture
    lines = [
        f"{card.name}: {card.serves}, license {card.license}",
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


def trained_for(entries: list[Entry]) -> str:
    """Say for what images models were trained, and what serves others."""
    lines = [
        f"{entry.card.name}: trained for {_levels(entry.card)}{_data(entry)}."
        for entry in entries
    ]
    if any(e.is_shipped and TASKS[e.card.task].noisy for e in entries):
        lines.append(
            "For fluorescence with few photons, compare with the source, or train a "
            "model on images of your own."
        )
    return "\n".join(lines)


def _levels(card: Card) -> str:
    return f"{TASKS[card.task].symbol} {card.levels}"


def _data(entry: Entry) -> str:
    training = entry.card.training
    data = training.data if training else ""
    if entry.is_shipped:
        return f" on photographs ({data})" if data else " on photographs"
    return f" on {data}" if data else ""
