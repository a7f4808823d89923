"""Write docs/models.md from the cards of the shipped models.

Usage: python docs/make_models.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memnet_core.model.registry import installed
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memnet_core.model.card import Card

INTRODUCTION = """\
# The shipped models

This page is written by `python docs/make_models.py` from the cards inside the model
files; `memnet models info NAME` prints the same. Scores are recorded by
`python benchmarks/quality.py --record`, by the paper's protocol; those called RGB are
over all three colors. All are compact networks; the paper's full network (M6 R6, 64
channels, 2.89 M multiply-adds a pixel) is not shipped.
"""


def main() -> None:
    cards = [entry.card for entry in installed()[0] if entry.is_shipped]
    sections = [INTRODUCTION, *("\n".join(section(card)) for card in cards)]
    (Path(__file__).parent / "models.md").write_text("\n".join(sections))


def section(card: Card) -> Iterator[str]:
    shape, training = card.architecture, card.training
    yield f"## {card.name}\n"
    yield f"{card.description}\n"
    yield f"- Serves {card.serves}; license {card.license}."
    yield (
        f"- {shape.memory_blocks} memory blocks of {shape.recursions} recursions, "
        f"{shape.channels} channels, unshuffle {shape.unshuffle}; "
        f"{shape.multiply_adds() / 1e3:.0f} K multiply-adds a pixel."
    )
    if training:
        yield (
            f"- Trained on {training.data} for {training.minutes:g} minutes: "
            f"{training.megapixels:g} megapixels in {training.steps} steps, on "
            f"{training.hardware}."
        )
        if training.started_from:
            yield f"- Started from {training.started_from}."
        if training.teacher:
            yield f"- Taught by {training.teacher}."
        yield f"- Command: `{training.command}`"
    yield ""
    yield "| set | input | restored |\n|---|---|---|"
    for score in card.scores:
        yield (
            f"| {score.dataset} {find_task(card.task).label(score.level)} "
            f"| {score.input_psnr:.2f} / {score.input_ssim:.4f} "
            f"| {score.psnr:.2f} / {score.ssim:.4f} |"
        )
    yield ""
    if training and training.curve:
        levels = list(training.curve[0].psnr)
        yield "Mean PSNR in dB on validation images while it was trained:\n"
        yield f"| minutes | megapixels | {' | '.join(levels)} |"
        yield "|---" * (2 + len(levels)) + "|"
        for point in training.curve:
            values = " | ".join(f"{point.psnr[level]:.2f}" for level in levels)
            yield f"| {point.minutes:.0f} | {point.megapixels:.0f} | {values} |"
        yield ""


if __name__ == "__main__":
    main()
