"""Report: the paper's tables with our columns, as Markdown, CSV and curves."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._util.sanitize import escape_control_chars, escape_mathtext
from memnet_core.errors import UsageError
from memnet_core.evaluation.published import known_set, published, published_sets
from memnet_core.evaluation.report import format_score
from memnet_core.paper.plan import TABLES
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from memnet_core.evaluation.published import Figures
    from memnet_core.paper.plan import Network, ReproductionPlan, Table
    from memnet_core.training.events import Row

__all__ = ["Outcome", "Training", "as_markdown", "order", "write_tables"]

_DEGRADED = "degraded"
"""Our column of the unrestored images."""


@dataclass(frozen=True)
class Training:
    """Training cost: images and steps, megapixels of patches, minutes."""

    images: int
    steps: int
    megapixels: float
    minutes: float


@dataclass(frozen=True)
class Outcome:
    """A network that was trained and scored.

    Attributes
    ----------
    network : Network
        Network at the size that was trained.
    training : Training
        Cost of the training.
    scores : dict of str to dict of str to list of float
        By folder and level: PSNR in dB and SSIM of the degraded, then of the restored
        images.
    log : list of Row
        Log of the run.
    """

    network: Network
    training: Training
    scores: Mapping[str, Mapping[str, Sequence[float]]]
    log: list[Row]

    def score(self, name: str, level: float) -> Sequence[float] | None:
        """Return the scores on a set by its name in the paper, if there are any."""
        for folder, levels in self.scores.items():
            known = known_set(folder)
            if known and known.name == name:
                return levels.get(f"{level:g}")
        return None


class _Line(NamedTuple):
    """A set and a level, with the scores of the paper's columns and of ours."""

    name: str
    level: float
    paper: dict[str, Figures]
    ours: dict[str, Figures]


def write_tables(plan: ReproductionPlan, outcomes: Mapping[str, Outcome]) -> list[Path]:
    """Write the tables of finished networks and their curves; return the files.

    Raises
    ------
    UsageError
        If a file cannot be written.
    """
    written: list[Path] = []
    for number in plan.tables:
        table = TABLES[number]
        finished = _of(table, outcomes)
        if not finished:
            continue
        stem = f"table-{number}"
        texts = {
            f"{stem}.md": as_markdown(table, outcomes, plan),
            f"{stem}.csv": _as_csv(table, outcomes),
        }
        try:
            for name, text in texts.items():
                with replaced_when_complete(plan.out / name) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            _draw_curves(finished, plan.out / f"{stem}-curves.png")
        except OSError as error:
            raise UsageError(
                f"The tables cannot be written to {plan.out}: {error.strerror}; make "
                "room there, and give the same command again."
            ) from error
        written += [plan.out / name for name in (*texts, f"{stem}-curves.png")]
    return written


def as_markdown(
    table: Table, outcomes: Mapping[str, Outcome], plan: ReproductionPlan
) -> str:
    """Format a section: the paper's table with ours, the ranking, and the networks."""
    lines = _lines(table, outcomes)
    task = find_task(next(iter(table.networks.values())).task)
    paper = list(dict.fromkeys(system for line in lines for system in line.paper))
    ours = [_DEGRADED, *_of(table, outcomes)]
    rows = [
        [
            line.name,
            task.label(line.level),
            *(_cell(line.paper.get(system)) for system in paper),
            *(_cell(line.ours.get(system)) for system in ours),
        ]
        for line in lines
    ]
    header = ["set", task.quantity, *paper, *(f"ours: {name}" for name in ours)]
    parts = [
        f"# Table {table.number}: {table.title}",
        f"PSNR in dB / SSIM. {_size(plan)}",
        _grid(header, rows),
        "\n".join(f"- {sentence}" for sentence in order(table, outcomes)),
        _grid(
            [
                "network",
                *("depth", "filters", "multiply-adds per pixel", "training images"),
                *("steps", "megapixels", "minutes"),
            ],
            [_described(title, each) for title, each in _of(table, outcomes).items()],
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _as_csv(table: Table, outcomes: Mapping[str, Outcome]) -> str:
    """Format a line for each score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "set", "level", "source", "system", "psnr", "ssim"])
    for line in _lines(table, outcomes):
        for source, figures in (("paper", line.paper), ("ours", line.ours)):
            for system, (psnr, ssim) in figures.items():
                labels = [table.number, line.name, f"{line.level:g}", source, system]
                writer.writerow([*labels, psnr, "" if ssim is None else ssim])
    return text.getvalue()


def _draw_curves(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Draw the PSNR of validations against steps, a line for each network."""
    from matplotlib.figure import Figure

    figure = Figure((7, 4.5), layout="constrained")
    axes = figure.subplots()
    for title, outcome in outcomes.items():
        by_step: dict[int, list[float]] = {}
        for step, _, quantity, value in outcome.log:
            if quantity.startswith("PSNR/"):  # one for each level
                by_step.setdefault(step, []).append(value)
        means = [sum(values) / len(values) for values in by_step.values()]
        axes.plot([*by_step], means, "o-", label=escape_mathtext(title))
    axes.set(xlabel="steps", ylabel="mean PSNR on training images (dB)")
    axes.legend()
    axes.grid(alpha=0.3)
    with replaced_when_complete(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def order(table: Table, outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """State for each row with several networks whether they rank as published."""
    task = find_task(next(iter(table.networks.values())).task)
    for line in _lines(table, outcomes):
        ours = {name: psnr for name, (psnr, _) in line.ours.items()}
        names = [name for name in table.networks if name in ours]
        if len(names) < 2:
            continue
        names.sort(key=lambda name: line.paper[name][0])
        rises = all(ours[low] < ours[high] for low, high in pairwise(names))
        found = " < ".join(
            f"{name} ({ours[name]:.2f})" for name in sorted(names, key=ours.__getitem__)
        )
        verdict = "the paper's order" if rises else "not the paper's order"
        yield f"{line.name} {task.label(line.level)}: {found}: {verdict}."


def _of(table: Table, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return finished networks of a table by their labels in it."""
    return {
        title: outcomes[network.name]
        for title, network in table.networks.items()
        if network.name in outcomes
    }


def _lines(table: Table, outcomes: Mapping[str, Outcome]) -> list[_Line]:
    lines = []
    for each in published_sets(table.number):
        for level, paper in published(table.number, each.name).items():
            ours: dict[str, Figures] = {}
            for title, outcome in _of(table, outcomes).items():
                if found := outcome.score(each.name, level):
                    ours[_DEGRADED] = found[0], found[1]
                    ours[title] = found[2], found[3]
            lines.append(_Line(each.name, level, paper, ours))
    return lines


def _size(plan: ReproductionPlan) -> str:
    if plan.factor == 1:
        return "At the paper's size."
    return (
        f"Scaled down by {plan.factor}: 1/{plan.factor} of the paper's 64 filters and "
        f"64 patches per step, seed {plan.seed}; steps and megapixels below."
    )


def _described(title: str, outcome: Outcome) -> list[str]:
    shape, training = outcome.network.architecture, outcome.training
    return [
        title,
        str(shape.depth),
        str(shape.channels),
        f"{shape.multiply_adds() / 1e3:.0f} K",
        str(training.images),
        str(training.steps),
        f"{training.megapixels:.1f}",
        f"{training.minutes:.1f}",
    ]


def _cell(figures: Figures | None) -> str:
    if figures is None:
        return "-"
    psnr, ssim = figures
    return (
        format_score(psnr, 2)
        if ssim is None
        else f"{format_score(psnr, 2)}/{format_score(ssim, 4)}"
    )


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(map(escape_control_chars, line))} |" for line in lines
    )
