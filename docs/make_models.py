"""Write docs/models.md from the cards of the shipped models and docs/quality.json.

Usage: python docs/make_models.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memnet_core.model.registry import installed
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memnet_core.model.card import Card

DOCS = Path(__file__).parent

INTRODUCTION = """\
# The shipped models

This page is written by `python docs/make_models.py` from the cards inside the model
files; `memnet models info NAME` prints the same. Scores are recorded by
`python benchmarks/quality.py --record`, by the paper's protocol; those called RGB are
over all three colors. All are compact networks; the paper's full network (M6 R6, 64
channels, 2.89 M multiply-adds a pixel) is not shipped.
"""

COMPARISON = """## Beside other systems

Measured by `python benchmarks/quality.py --json docs/quality.json --picture
docs/pareto.png`: PSNR in dB / SSIM, and CPU seconds a megapixel. All systems take turns
on the same inputs in one process, one thread each.

![Gain in PSNR against CPU seconds per megapixel](pareto.png)
"""


def page() -> str:
    """Return the text of docs/models.md."""
    cards = [entry.card for entry in installed()[0] if entry.is_shipped]
    measured = json.loads((DOCS / "quality.json").read_text())
    sections = [
        INTRODUCTION,
        *("\n".join(section(card)) for card in cards),
        COMPARISON,
        *("\n".join(table(comparison)) for comparison in measured),
    ]
    return "\n".join(sections)


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


def table(comparison: Mapping[str, Any]) -> Iterator[str]:
    """Yield a comparison of benchmarks/quality.py as a table."""
    first, *_ = rows = [row for row in comparison["rows"] if not row["unavailable"]]
    task = find_task(comparison["task"])
    levels = list(first["scores"])
    columns = [comparison["dataset"], *(task.label(float(level)) for level in levels)]
    yield f"| {' | '.join(columns)} | CPU s/Mpx |"
    yield "|---" * (2 + len(levels)) + "|"
    for row in rows:
        cells = [row["scores"].get(level) for level in levels]
        scores = " | ".join(f"{c[0]:.2f} / {c[1]:.4f}" if c else "" for c in cells)
        seconds = row["seconds_per_megapixel"]
        name = f"**{row['name']}**" if row["sha256"] else row["name"]
        yield f"| {name} | {scores} | {'' if seconds is None else f'{seconds:.1f}'} |"
    yield ""


if __name__ == "__main__":
    (DOCS / "models.md").write_text(page())
